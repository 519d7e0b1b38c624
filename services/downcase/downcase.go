// Package downcase is the service that gives a text back in lower case, the first that
// Earshot had:
//
//	GET /downcase/?param=HELLO
//	lower case of HELLO is hello
//
// The answer is the article's own, byte for byte: lower case as str.lower() of Python 3
// has it, the query read as Werkzeug 2 reads it. A param that is empty is lowered to
// nothing; of several the first counts; bytes that are not UTF-8 become U+FFFD.
//
// # Errors
//
// Problem documents: 400 without a param, 414 beyond MaxParam or MaxQuery.
package downcase

import (
	"fmt"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gin-gonic/gin"

	"github.com/earshot-mq/earshot/services"
)

// Limits of a request, in bytes. They are such that each gets its 414: what a server
// accepts as the head of a request, 16 KiB, is more. And a record holds each answer
// whole, so that it is on the text feed too: the body, at most 2.5 times the param, stays
// below the 64 KiB that a record keeps.
const (
	MaxParam = 8 << 10  // of the text, after decoding
	MaxQuery = 12 << 10 // of the whole query, as it was sent
)

// Name is the service's name.
const Name = "downcase"

// New returns the service.
func New() *services.Service { return services.New(Name, routes) }

func routes(r *services.Router) {
	one := 1
	length := MaxParam
	r.Operation(huma.Operation{
		OperationID: Name,
		Method:      http.MethodGet,
		Path:        "/downcase/",
		Summary:     "A text in lower case",
		Parameters: []*huma.Param{{
			Name:        "param",
			In:          "query",
			Description: "The text.",
			Required:    true,
			Example:     "HELLO",
			Schema:      &huma.Schema{Type: huma.TypeString, MaxLength: &length},
		}},
		Responses: map[string]*huma.Response{"200": {
			Description: "The text and its lower case.",
			Content: map[string]*huma.MediaType{"text/plain": {
				Schema:  &huma.Schema{Type: huma.TypeString, MinLength: &one},
				Example: "lower case of HELLO is hello",
			}},
		}},
	}, answer)
}

func answer(c *gin.Context) {
	query := c.Request.URL.RawQuery
	if len(query) > MaxQuery {
		tooLong(c, "query", len(query), MaxQuery)
		return
	}
	param, found := first(query, "param")
	if !found {
		services.Problem(c, http.StatusBadRequest,
			"the query parameter param is missing; for example: /downcase/?param=HELLO",
			&huma.ErrorDetail{Location: "query.param", Message: "required, and may be empty"})
		return
	}
	if len(param) > MaxParam {
		tooLong(c, "query.param", len(param), MaxParam)
		return
	}
	c.Data(http.StatusOK, "text/plain; charset=utf-8", []byte("lower case of "+param+" is "+Lower(param)))
}

func tooLong(c *gin.Context, what string, bytes, limit int) {
	services.Problem(c, http.StatusRequestURITooLong,
		fmt.Sprintf("%s has %d bytes; the limit is %d", what, bytes, limit),
		&huma.ErrorDetail{Location: what, Message: fmt.Sprintf("at most %d bytes", limit)})
}
