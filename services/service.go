package services

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gin-gonic/gin"

	"github.com/earshot-mq/earshot/publisher"
)

// Service is a name and the routes that answer under it. It holds nothing that runs, so
// that one process can build it many times.
type Service struct {
	name   string
	routes func(*Router)
	plain  http.Handler // instead of routes
}

// New returns a service. The name is a part of its records, of its topic and of its
// metrics: 1 to 64 of a-z, 0-9 and -. The routes are declared when Handler is called,
// which also says what is wrong with name or routes.
func New(name string, routes func(*Router)) *Service {
	return &Service{name: name, routes: routes}
}

// FromHandler returns a service that h answers for, any handler of net/http. It is
// recorded, under the patterns of an http.ServeMux if h is one, and has health; there is
// no OpenAPI document, no Observe, and what h refuses is as h says it.
func FromHandler(name string, h http.Handler) *Service {
	return &Service{name: name, plain: h}
}

// Name returns the service's name.
func (s *Service) Name() string { return s.name }

// HandlerOptions tunes a Handler. Every zero field means its default.
type HandlerOptions struct {
	Logger  *slog.Logger                // for panics and unexpected errors of routes; default slog.Default()
	Ready   func(context.Context) error // why /readyz should say no; default: always ready
	Observe func(Observation)           // gets each answer of a route, for metrics; default none
	Version string                      // of the service, for its OpenAPI document; default "0.0.0"
	Data    string                      // folder for what the service keeps, as Router.Data; default none
}

// Observation is one answer. No client can make more of them differ than there are
// routes, methods and statuses.
type Observation struct {
	Route  string        // the pattern as it was declared; "" if none matched
	Method string        // one of HTTP's own, else "other"
	Status int           // as it was sent, or was to be
	Took   time.Duration // until the handler returned
}

// Handler builds what answers for the service: its routes, /livez, /readyz and
// /openapi.json. It records nothing: what records, a publisher.Recorder, is wrapped
// around it, with Unrecorded as its Skip. A name or a route that can't be is an error.
func (s *Service) Handler(o HandlerOptions) (http.Handler, error) {
	if !publisher.ValidService(s.name) {
		return nil, fmt.Errorf("services: name %q: want 1 to 64 of a-z, 0-9 and -", s.name)
	}
	if s.plain != nil {
		return newHandler(s.plain, o.Ready, nil), nil
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Version == "" {
		o.Version = "0.0.0"
	}
	aliases := map[string]string{}
	engine, err := newEngine(o, aliases)
	if err != nil {
		return nil, fmt.Errorf("services: %s: %w", s.name, err)
	}
	r := newRouter(engine, s.name, o, aliases)
	if err := declare(r, s.routes); err != nil {
		return nil, fmt.Errorf("services: %s: routes: %w", s.name, err)
	}
	document, err := json.Marshal(r.OpenAPI())
	if err != nil {
		return nil, fmt.Errorf("services: %s: openapi: %w", s.name, err)
	}
	h := newHandler(engine, o.Ready, document)
	for _, route := range engine.Routes() {
		if isOwn(route.Path) {
			return nil, fmt.Errorf("services: %s: route %s %s: the path belongs to the service itself", s.name, route.Method, route.Path)
		}
	}
	return h, nil
}

// declare runs routes and turns the panic by which gin and huma refuse a route into an
// error.
func declare(r *Router, routes func(*Router)) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("%v", v)
		}
	}()
	routes(r)
	return nil
}

// newEngine returns gin as a service needs it: it believes no forwarding header (the
// recorder knows whom to trust), never redirects, and refuses with problem documents.
func newEngine(o HandlerOptions, aliases map[string]string) (*gin.Engine, error) {
	quietGin()
	e := gin.New()
	if err := e.SetTrustedProxies(nil); err != nil {
		return nil, err
	}
	e.RedirectTrailingSlash = false
	e.HandleMethodNotAllowed = true
	e.ContextWithFallback = true // a *gin.Context is the request's context too
	if o.Observe != nil {
		e.Use(observed(aliases, o.Observe))
	}
	e.Use(route(aliases), recovery(o.Logger))
	e.NoRoute(notFound)
	e.NoMethod(methodNotAllowed)
	return e, nil
}

// quietGin puts gin, whose mode is one for the process, into release mode: in debug mode
// it prints each route to standard output, which belongs to data. Whoever sets GIN_MODE
// gets what they ask for, and a test binary keeps gin's test mode.
func quietGin() {
	if os.Getenv(gin.EnvGinMode) == "" && gin.Mode() == gin.DebugMode {
		gin.SetMode(gin.ReleaseMode)
	}
}

func notFound(c *gin.Context) {
	Problem(c, http.StatusNotFound, "this service has no route "+c.Request.URL.Path)
}

func methodNotAllowed(c *gin.Context) {
	Problem(c, http.StatusMethodNotAllowed,
		c.Request.Method+" is not a method of this route; see the field Allow",
		&huma.ErrorDetail{Message: "allowed: " + c.Writer.Header().Get("Allow"), Location: "method"})
}
