package services_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gin-gonic/gin"

	"github.com/earshot-mq/earshot/services"
)

type things struct {
	ID    int    `path:"id" minimum:"1" doc:"Which thing."`
	Color string `query:"color" required:"true" enum:"red,blue" example:"red"`
}

type thing struct {
	Body struct {
		ID    int    `json:"id"`
		Color string `json:"color"`
	}
}

var errSecret = errors.New("password of the database is 42")

// routes has one route of each kind, and each way to fail.
func routes(r *services.Router) {
	r.GET("/hello/:name", func(c *gin.Context) { c.String(http.StatusOK, "hello, %s", c.Param("name")) })
	huma.Get(r, "/things/{id}", func(_ context.Context, in *things) (*thing, error) {
		var out thing
		out.Body.ID, out.Body.Color = in.ID, in.Color
		return &out, nil
	})
	huma.Get(r, "/fail/", func(context.Context, *struct{}) (*struct{}, error) { return nil, errSecret })
	huma.Get(r, "/gone/", func(context.Context, *struct{}) (*struct{}, error) {
		return nil, huma.Error410Gone("it is gone", &huma.ErrorDetail{Message: "since May", Location: "path"})
	})
	r.Operation(huma.Operation{
		OperationID: "declared", Method: http.MethodGet, Path: "/declared/",
		Parameters: []*huma.Param{{Name: "q", In: "query", Schema: &huma.Schema{Type: huma.TypeString}}},
	}, func(c *gin.Context) { c.String(http.StatusOK, "declared %s", c.Query("q")) })
	r.POST("/panic/before", func(c *gin.Context) {
		c.Header("Cache-Control", "max-age=3600")
		c.Header("Etag", `"of what did not come"`)
		c.Header("Content-Length", "5")
		c.Status(http.StatusCreated)
		panic(errSecret)
	})
	r.GET("/panic/after", func(c *gin.Context) {
		c.String(http.StatusOK, "half of")
		c.Writer.Flush()
		panic(errSecret)
	})
	r.GET("/panic/abort", func(*gin.Context) { panic(http.ErrAbortHandler) })
}

func newHandler(t *testing.T, o services.HandlerOptions) http.Handler {
	t.Helper()
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	h, err := services.New("test", routes).Handler(o)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestAnswers(t *testing.T) {
	h := newHandler(t, services.HandlerOptions{})
	for name, c := range map[string]struct {
		method, target string
		status         int
		body           string // a part of it
		header         http.Header
	}{
		"gin route":                     {"GET", "/hello/you", 200, "hello, you", http.Header{"X-Content-Type-Options": {"nosniff"}}},
		"gin route, closing slash":      {"GET", "/hello/you/", 404, "no route /hello/you/", nil},
		"gin route, another method":     {"PUT", "/hello/you", 405, "PUT is not a method", http.Header{"Allow": {"GET"}}},
		"typed route":                   {"GET", "/things/7?color=red", 200, `{"id":7,"color":"red"}` + "\n", nil},
		"typed route, closing slash":    {"GET", "/things/7/?color=red", 200, `{"id":7,"color":"red"}`, nil},
		"typed route, head":             {"HEAD", "/things/7?color=red", 200, "", http.Header{"Content-Type": {"application/json"}}},
		"typed route, missing input":    {"GET", "/things/7", 422, `"location":"query.color"`, nil},
		"typed route, wrong input":      {"GET", "/things/7?color=secret", 422, `"location":"query.color"`, nil},
		"typed route, another method":   {"POST", "/things/7", 405, "POST is not a method", http.Header{"Allow": {"GET, HEAD"}}},
		"unexpected error":              {"GET", "/fail/", 500, "Internal Server Error", nil},
		"expected error":                {"GET", "/gone", 410, `"errors":[{"message":"since May","location":"path"}]`, nil},
		"declared route":                {"GET", "/declared/?q=1", 200, "declared 1", nil},
		"declared route, without slash": {"GET", "/declared?q=1", 200, "declared 1", nil},
		"panic before the header": {
			"POST", "/panic/before", 500, "the reason is in its log",
			http.Header{"Cache-Control": {"no-store"}, "Content-Length": nil, "Etag": nil},
		},
		"unknown path":         {"GET", "/nothing", 404, "no route /nothing", nil},
		"live":                 {"GET", "/livez", 200, "ok\n", http.Header{"Content-Type": {"text/plain; charset=utf-8"}}},
		"ready":                {"HEAD", "/readyz", 200, "", nil},
		"live, another method": {"POST", "/livez", 405, "POST is not", http.Header{"Allow": {"GET, HEAD"}}},
		"document":             {"GET", "/openapi.json", 200, `"openapi":"3.1.0"`, http.Header{"Content-Type": {"application/json"}}},
	} {
		t.Run(name, func(t *testing.T) {
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequest(c.method, c.target, nil))
			body := w.Body.String()
			if w.Code != c.status || !strings.Contains(body, c.body) {
				t.Errorf("%s %s = %d %q, want %d with %q", c.method, c.target, w.Code, body, c.status, c.body)
			}
			if w.Code >= 400 && w.Header().Get("Content-Type") != "application/problem+json" {
				t.Errorf("Content-Type = %q, want a problem document", w.Header().Get("Content-Type"))
			}
			if strings.Contains(body, "secret") || strings.Contains(body, "password") {
				t.Errorf("%q tells what is not the client's", body)
			}
			for name, want := range c.header {
				if got := w.Header().Values(name); strings.Join(got, "|") != strings.Join(want, "|") {
					t.Errorf("%s = %q, want %q", name, got, want)
				}
			}
		})
	}
}

// TestClientIsWhoConnects: what a client says of itself in a header is believed by nobody but
// the recorder, which knows whom to trust.
func TestClientIsWhoConnects(t *testing.T) {
	h, err := services.New("test", func(r *services.Router) {
		r.GET("/ip", func(c *gin.Context) { c.String(http.StatusOK, c.ClientIP()) })
	}).Handler(services.HandlerOptions{})
	if err != nil {
		t.Fatal(err)
	}
	req := httptest.NewRequest(http.MethodGet, "/ip", nil)
	req.Header.Set("X-Forwarded-For", "203.0.113.9")
	w := httptest.NewRecorder()
	if h.ServeHTTP(w, req); w.Body.String() != "192.0.2.1" { // httptest's
		t.Errorf("the client is %s", w.Body)
	}
}

// TestBreakOff sees that an answer which failed halfway does not look whole.
func TestBreakOff(t *testing.T) {
	srv := httptest.NewServer(newHandler(t, services.HandlerOptions{}))
	defer srv.Close()
	for path, begun := range map[string]bool{"/panic/after": true, "/panic/abort": false} {
		r, err := http.Get(srv.URL + path)
		if err != nil {
			if begun {
				t.Errorf("GET %s: %v, want the first half", path, err)
			}
			continue
		}
		body, err := io.ReadAll(r.Body)
		r.Body.Close()
		if !begun || err == nil {
			t.Errorf("GET %s = %d %q whole, want it cut", path, r.StatusCode, body)
		}
	}
}

func TestLog(t *testing.T) {
	for path, want := range map[string]string{
		"GET /fail/":         "unexpected error",
		"POST /panic/before": "handler panicked",
	} {
		t.Run(path, func(t *testing.T) {
			var log strings.Builder
			h := newHandler(t, services.HandlerOptions{Logger: slog.New(slog.NewJSONHandler(&log, nil))})
			method, target, _ := strings.Cut(path, " ")
			h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(method, target, nil))
			if got := log.String(); !strings.Contains(got, want) || !strings.Contains(got, errSecret.Error()) {
				t.Errorf("log = %q, want %q with the error", got, want)
			}
		})
	}
}

func TestReady(t *testing.T) {
	var err error
	h := newHandler(t, services.HandlerOptions{Ready: func(context.Context) error { return err }})
	for _, want := range []int{200, 503, 200} {
		err = nil
		if want == 503 {
			err = errSecret
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/readyz", nil))
		if w.Code != want || strings.Contains(w.Body.String(), "password") {
			t.Errorf("GET /readyz = %d %s, want %d", w.Code, w.Body, want)
		}
	}
}

func TestData(t *testing.T) {
	for _, want := range []string{"", "data/services/test"} {
		got := "not told"
		s := services.New("test", func(r *services.Router) { got = r.Data })
		if _, err := s.Handler(services.HandlerOptions{Data: want}); err != nil || got != want {
			t.Errorf("Router.Data = %q with %v, want %q", got, err, want)
		}
	}
}

func TestHandlerRefuses(t *testing.T) {
	get := func(path string) func(*services.Router) {
		return func(r *services.Router) { r.GET(path, func(*gin.Context) {}) }
	}
	for name, c := range map[string]struct {
		service string
		routes  func(*services.Router)
		want    string
	}{
		"no name":             {"", get("/"), `services: name "":`},
		"slash in the name":   {"a/b", get("/"), `services: name "a/b":`},
		"capital in the name": {"Shop", get("/"), `services: name "Shop":`},
		"too long a name":     {strings.Repeat("a", 65), get("/"), "services: name"},
		"a path of its own":   {"shop", get("/livez"), "services: shop: route GET /livez: the path belongs to the service itself"},
		"a route twice": {"shop", func(r *services.Router) {
			get("/a")(r)
			get("/a")(r)
		}, "services: shop: routes: handlers are already registered for path '/a'"},
		"a route without a slash": {"shop", get("a*"), "services: shop: routes: "},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := services.New(c.service, c.routes).Handler(services.HandlerOptions{})
			if err == nil || !strings.HasPrefix(err.Error(), c.want) {
				t.Errorf("Handler() = %v, want %q", err, c.want)
			}
		})
	}
}

// document is as much of OpenAPI 3.1 as is checked here.
type document struct {
	OpenAPI    string
	Info       struct{ Title, Version string }
	Paths      map[string]map[string]operation
	Components struct{ Schemas map[string]any }
}

type operation struct {
	OperationID string
	Parameters  []struct {
		Name, In string
		Required bool
		Schema   map[string]any
	}
	Responses map[string]struct {
		Description string
		Content     map[string]struct{ Schema map[string]any }
	}
}

func TestOpenAPI(t *testing.T) {
	h := newHandler(t, services.HandlerOptions{Version: "1.2.3"})
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/openapi.json", nil))
	var d document
	if err := json.Unmarshal(w.Body.Bytes(), &d); err != nil {
		t.Fatal(err)
	}
	if d.OpenAPI != "3.1.0" || d.Info.Title != "test" || d.Info.Version != "1.2.3" {
		t.Errorf("document of %s %s in OpenAPI %s, want test 1.2.3 in 3.1.0", d.Info.Title, d.Info.Version, d.OpenAPI)
	}
	ids := map[string]bool{}
	for path, item := range d.Paths {
		for method, op := range item {
			if op.OperationID == "" || ids[op.OperationID] {
				t.Errorf("%s %s: operation id %q is empty or taken", method, path, op.OperationID)
			}
			ids[op.OperationID] = true
			checkResponses(t, d, path, op)
		}
	}
	for _, want := range []struct {
		path, name, in string
		required       bool
		kind           string
	}{
		{"/things/{id}", "id", "path", true, "integer"},
		{"/things/{id}", "color", "query", true, "string"},
		{"/declared/", "q", "query", false, "string"},
	} {
		found := false
		for _, p := range d.Paths[want.path]["get"].Parameters {
			if p.Name == want.name {
				found = p.In == want.in && p.Required == want.required && p.Schema["type"] == want.kind
			}
		}
		if !found {
			t.Errorf("GET %s declares %+v, want %+v among them", want.path, d.Paths[want.path]["get"].Parameters, want)
		}
	}
	if len(d.Paths) != 4 {
		t.Errorf("%d paths, want the 4 that were declared: %v", len(d.Paths), d.Paths)
	}
}

// checkResponses holds an operation against what OpenAPI asks of all: at least one
// response, each with a description, and references that lead somewhere.
func checkResponses(t *testing.T, d document, path string, op operation) {
	t.Helper()
	if len(op.Responses) == 0 {
		t.Errorf("%s: no responses", path)
	}
	for status, r := range op.Responses {
		if r.Description == "" {
			t.Errorf("%s: response %s has no description", path, status)
		}
		for kind, media := range r.Content {
			ref, ok := media.Schema["$ref"].(string)
			if !ok {
				continue
			}
			if name := strings.TrimPrefix(ref, "#/components/schemas/"); d.Components.Schemas[name] == nil {
				t.Errorf("%s: response %s %s refers to %s, which is not there", path, status, kind, ref)
			}
		}
	}
}
