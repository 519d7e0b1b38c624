package services

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/earshot-mq/earshot/publisher"
)

// route tells the recorder which route answers: a record has the pattern as its
// subject, never the raw path. aliases has the declared pattern of those that are the
// same route with another closing slash.
func route(aliases map[string]string) gin.HandlerFunc {
	return func(c *gin.Context) {
		if pattern := declared(aliases, c); pattern != "" {
			publisher.FromContext(c.Request.Context()).SetRoute(pattern)
		}
		c.Header("X-Content-Type-Options", "nosniff") // a text that repeats its input must not become a page
	}
}

func declared(aliases map[string]string, c *gin.Context) string {
	pattern := c.FullPath()
	if other, ok := aliases[pattern]; ok {
		return other
	}
	return pattern
}

// observed reports each answer to observe, the broken ones too.
func observed(aliases map[string]string, observe func(Observation)) gin.HandlerFunc {
	return func(c *gin.Context) {
		start := time.Now()
		defer func() {
			observe(Observation{
				Route:  declared(aliases, c),
				Method: knownMethod(c.Request.Method),
				Status: c.Writer.Status(),
				Took:   time.Since(start),
			})
		}()
		c.Next()
	}
}

// knownMethod bounds what a client can make a metric of.
func knownMethod(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch,
		http.MethodDelete, http.MethodConnect, http.MethodOptions, http.MethodTrace:
		return method
	}
	return "other"
}

// recovery makes a panic of a handler its 500, if nothing has been written, and
// otherwise breaks the answer off, so that the client can tell it from a whole one. It
// stands inside the recorder, which thus sees what the client sees. gin's own would
// end a broken answer as if it were complete.
func recovery(log *slog.Logger) gin.HandlerFunc {
	return func(c *gin.Context) {
		defer func() {
			v := recover()
			if v == nil {
				return
			}
			if !clientGone(v) {
				log.ErrorContext(c.Request.Context(), "handler panicked",
					"request", publisher.FromContext(c.Request.Context()).RequestID(),
					"route", c.FullPath(), "panic", v, "stack", string(debug.Stack()))
			}
			if err, ok := v.(error); ok && errors.Is(err, http.ErrAbortHandler) || c.Writer.Written() {
				panic(http.ErrAbortHandler)
			}
			Problem(c, http.StatusInternalServerError, "the service failed; the reason is in its log")
		}()
		c.Next()
	}
}

// clientGone says that a handler did not fail but could not write: huma panics then, and
// http.ErrAbortHandler is how a handler asks for the end of the connection.
func clientGone(v any) bool {
	err, _ := v.(error)
	for _, gone := range []error{http.ErrAbortHandler, context.Canceled, syscall.EPIPE, syscall.ECONNRESET} {
		if errors.Is(err, gone) {
			return true
		}
	}
	return false
}
