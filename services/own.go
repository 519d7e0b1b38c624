package services

import (
	"context"
	"net/http"

	"github.com/earshot-mq/earshot/internal/problem"
	"github.com/earshot-mq/earshot/publisher"
)

// What every service has of its own.
const (
	livePath     = "/livez"
	readyPath    = "/readyz"
	documentPath = "/openapi.json"
)

func isOwn(path string) bool {
	return path == livePath || path == readyPath || path == documentPath
}

// Unrecorded tells whether a request is for a path of the service's own, which is never
// recorded: it is asked every second and says nothing about what a client got. As a
// recorder's Skip it lets these paths answer also when the journal is full.
func Unrecorded(r *http.Request) bool { return isOwn(r.URL.Path) }

// handler is a service's routes and beside them its own paths, which stand outside gin,
// so that a catch-all route does not collide with them.
type handler struct {
	routes http.Handler
	own    map[string]http.HandlerFunc
}

// newHandler puts the own paths before routes; a document that is nil is none of them.
func newHandler(routes http.Handler, ready func(context.Context) error, document []byte) *handler {
	own := map[string]http.HandlerFunc{
		livePath:  text("text/plain; charset=utf-8", []byte("ok\n")),
		readyPath: readyz(ready),
	}
	if document != nil {
		own[documentPath] = text("application/json", document)
	}
	return &handler{routes: routes, own: own}
}

// ServeHTTP answers.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	own, ok := h.own[r.URL.Path]
	if !ok {
		h.routes.ServeHTTP(w, r)
		return
	}
	publisher.FromContext(r.Context()).Skip()
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		problem.Write(w, problem.Document{
			Status: http.StatusMethodNotAllowed,
			Detail: r.Method + " is not a method of this path; see the field Allow",
		})
		return
	}
	own(w, r)
}

func text(contentType string, body []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		_, _ = w.Write(body) // fails only if the client is gone
	}
}

// readyz does not say why a service is not ready: the path is as public as the service.
func readyz(ready func(context.Context) error) http.HandlerFunc {
	yes := text("text/plain; charset=utf-8", []byte("ok\n"))
	return func(w http.ResponseWriter, r *http.Request) {
		if ready != nil && ready(r.Context()) != nil {
			problem.Write(w, problem.Document{Status: http.StatusServiceUnavailable, Detail: "the service is not ready"})
			return
		}
		yes(w, r)
	}
}
