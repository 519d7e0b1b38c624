package services

import (
	"maps"
	"net/http"
	"reflect"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humagin"
	"github.com/gin-gonic/gin"
)

// Router is what a service declares its routes on, in one of three ways:
//
//   - as gin has it: r.GET("/hello/:name", handler), and groups and middleware of gin;
//   - typed: huma.Get(r, "/count/", handler), where a struct declares the inputs, which
//     are checked before the handler runs and stand in the OpenAPI document;
//   - a gin handler with its declaration: r.Operation(op, handler).
//
// A route of the last two answers with and without its closing slash, and HEAD where
// it answers GET; both are recorded under the path as it was declared. Nothing is ever
// redirected.
type Router struct {
	gin.IRouter
	huma.API

	// Data is the folder for files of the service's own, which makes it if it needs it;
	// "" if there is none, and it keeps nothing.
	Data string

	adapter *adapter
}

func newRouter(engine *gin.Engine, name string, o HandlerOptions, aliases map[string]string) *Router {
	config := huma.DefaultConfig(name, o.Version)
	config.OpenAPIPath, config.DocsPath, config.SchemasPath = "", "", ""
	config.CreateHooks = nil // they would add "$schema" to each answer
	config.Transformers = []huma.Transformer{discreet(o.Logger)}
	a := &adapter{Handler: engine, router: engine, aliases: aliases}
	return &Router{IRouter: engine, API: huma.NewAPI(config, a), Data: o.Data, adapter: a}
}

// Operation answers op with a gin handler and puts it into the OpenAPI document. The
// document says what the handler takes; that it takes no more is the handler's affair.
// Method, path and operation id are required. The responses get one for all errors, a
// problem document, unless they have a "default" of their own.
func (r *Router) Operation(op huma.Operation, handler gin.HandlerFunc) {
	responses := map[string]*huma.Response{"default": {
		Description: "Error",
		Content: map[string]*huma.MediaType{
			"application/problem+json": {
				Schema: r.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[huma.ErrorModel](), true, ""),
			},
		},
	}}
	maps.Copy(responses, op.Responses)
	op.Responses = responses
	if !op.Hidden {
		r.OpenAPI().AddOperation(&op)
	}
	r.adapter.handle(&op, handler)
}

// adapter puts huma's operations onto gin.
type adapter struct {
	http.Handler
	router  gin.IRouter
	aliases map[string]string // the path with the other closing slash → the path as declared
}

// Handle implements huma.Adapter.
func (a *adapter) Handle(op *huma.Operation, handler func(huma.Context)) {
	a.handle(op, func(c *gin.Context) { handler(humagin.NewContext(op, c)) })
}

func (a *adapter) handle(op *huma.Operation, handler gin.HandlerFunc) {
	path := ginPath(op.Path)
	methods := []string{op.Method}
	if op.Method == http.MethodGet {
		methods = append(methods, http.MethodHead)
	}
	other := otherSlash(path)
	for _, method := range methods {
		a.router.Handle(method, path, handler)
		if other != "" {
			a.router.Handle(method, other, handler)
			a.aliases[other] = path
		}
	}
}

// ginPath writes OpenAPI's /things/{id} as gin does, /things/:id.
func ginPath(path string) string {
	return strings.NewReplacer("{", ":", "}", "").Replace(path)
}

// otherSlash returns path with its closing slash where it has none and without where it
// has one, and "" where there is no such path.
func otherSlash(path string) string {
	trimmed, had := strings.CutSuffix(path, "/")
	switch {
	case trimmed == "" || strings.Contains(path, "*"):
		return ""
	case had:
		return trimmed
	}
	return path + "/"
}
