package services

import (
	"context"
	"log/slog"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gin-gonic/gin"

	"github.com/earshot-mq/earshot/internal/problem"
	"github.com/earshot-mq/earshot/publisher"
)

// Problem answers with a problem document (RFC 9457) and ends the chain of handlers.
// The detail is for the client: what is wrong with the request and how it would be
// right, never the text of an internal error. The document's instance is the id of the
// request, under which the log has the rest.
func Problem(c *gin.Context, status int, detail string, errs ...*huma.ErrorDetail) {
	c.Abort()
	problem.Write(c.Writer, document(c.Request.Context(), status, detail, errs))
}

func document(ctx context.Context, status int, detail string, errs []*huma.ErrorDetail) problem.Document {
	d := problem.Document{Status: status, Detail: detail, Instance: publisher.FromContext(ctx).RequestID()}
	if len(errs) > 0 {
		d.More = map[string]any{"errors": errs}
	}
	return d
}

// discreet returns the transformer that every typed answer passes. Of an unexpected
// error, whose text huma would send, the client gets no more than its status; the log
// gets the rest. Of an input that was refused the client gets place and reason, not the
// input again, which would bring into the record what redaction takes out of the query.
func discreet(log *slog.Logger) huma.Transformer {
	return func(ctx huma.Context, _ string, v any) (any, error) {
		p, ok := v.(*huma.ErrorModel)
		if !ok {
			return v, nil
		}
		var told []*huma.ErrorDetail
		for _, e := range p.Errors {
			if p.Status >= http.StatusInternalServerError {
				log.ErrorContext(ctx.Context(), "unexpected error",
					"request", publisher.FromContext(ctx.Context()).RequestID(), "route", ctx.Operation().Path, "error", e)
				continue
			}
			told = append(told, &huma.ErrorDetail{Message: e.Message, Location: e.Location})
		}
		ctx.SetHeader("Cache-Control", "no-store")
		return document(ctx.Context(), p.Status, p.Detail, told), nil
	}
}
