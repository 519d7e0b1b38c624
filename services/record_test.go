package services_test

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/earshot-mq/earshot/publisher"
	"github.com/earshot-mq/earshot/publisher/record"
	"github.com/earshot-mq/earshot/services"
)

// sink keeps what a recorder publishes.
type sink struct {
	full error // what Reserve fails with

	mu      sync.Mutex // guards what follows
	records []record.Record
}

func (s *sink) Mark() string { return "stream/epoch" }

func (s *sink) Reserve(context.Context) (func(), error) { return func() {}, s.full }

func (s *sink) Publish(_ context.Context, rs ...*record.Record) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range rs {
		s.records = append(s.records, *r)
	}
	return nil
}

func (s *sink) take() []record.Record {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer func() { s.records = nil }()
	return s.records
}

// TestRecorded sees what stands in the records of a service: one for each answer of a
// route, under the pattern as it was declared, and none for its own paths.
func TestRecorded(t *testing.T) {
	var s sink
	rec, err := publisher.NewRecorder(&s, publisher.RecorderOptions{})
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(rec.Wrap(newHandler(t, services.HandlerOptions{})))
	defer srv.Close()
	for name, c := range map[string]struct {
		method, target string
		subject        string
		status         int
		aborted        bool
	}{
		"gin route":                  {"GET", "/hello/you", "/hello/:name", 200, false},
		"typed route":                {"GET", "/things/7?color=red", "/things/:id", 200, false},
		"typed route, closing slash": {"GET", "/things/7/?color=red", "/things/:id", 200, false},
		"typed route, refused":       {"GET", "/things/7", "/things/:id", 422, false},
		"declared, without slash":    {"GET", "/declared", "/declared/", 200, false},
		"declared, head":             {"HEAD", "/declared", "/declared/", 200, false},
		"another method":             {"PUT", "/declared/", "", 405, false},
		"unknown path":               {"GET", "/nothing", "", 404, false},
		"panic before the header":    {"POST", "/panic/before", "/panic/before", 500, false},
		"panic after the header":     {"GET", "/panic/after", "/panic/after", 200, true},
	} {
		t.Run(name, func(t *testing.T) {
			body, request := ask(t, c.method, srv.URL+c.target)
			records := s.take()
			if len(records) != 1 {
				t.Fatalf("%d records, want 1", len(records))
			}
			got := records[0]
			if got.Subject != c.subject || got.HTTP.Status != c.status || got.HTTP.Aborted != c.aborted {
				t.Errorf("record of %q with %d, aborted %v, want %q, %d, %v",
					got.Subject, got.HTTP.Status, got.HTTP.Aborted, c.subject, c.status, c.aborted)
			}
			if got.HTTP.Request == "" || got.HTTP.Request != request {
				t.Errorf("request id is %q in the record and %q in the answer", got.HTTP.Request, request)
			}
			var p struct{ Instance string }
			if c.status >= 400 && (json.Unmarshal(body, &p) != nil || p.Instance != request) {
				t.Errorf("document %s names request %q, want %q", body, p.Instance, request)
			}
		})
	}
	for _, path := range []string{"/livez", "/readyz", "/openapi.json"} {
		ask(t, http.MethodGet, srv.URL+path)
		if got := s.take(); len(got) != 0 {
			t.Errorf("GET %s made %d records, want none", path, len(got))
		}
	}
}

// TestUnrecorded sees that a service's own paths answer also when the journal is full.
func TestUnrecorded(t *testing.T) {
	rec, err := publisher.NewRecorder(&sink{full: publisher.ErrFull}, publisher.RecorderOptions{Skip: services.Unrecorded})
	if err != nil {
		t.Fatal(err)
	}
	h := rec.Wrap(newHandler(t, services.HandlerOptions{}))
	for path, want := range map[string]int{
		"/livez": 200, "/readyz": 200, "/openapi.json": 200, "/hello/you": 503, "/nothing": 503,
	} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		if w.Code != want {
			t.Errorf("GET %s = %d, want %d", path, w.Code, want)
		}
	}
}

// ask returns the body, as far as it came, and the id of the request.
func ask(t *testing.T, method, url string) (body []byte, request string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	body, _ = io.ReadAll(r.Body) // one of the answers is cut
	return body, r.Header.Get("X-Request-Id")
}

func TestObserve(t *testing.T) {
	var got services.Observation
	h := newHandler(t, services.HandlerOptions{
		Observe: func(o services.Observation) { got = o },
		Logger:  slog.New(slog.DiscardHandler),
	})
	for target, want := range map[string]services.Observation{
		"GET /declared":       {Route: "/declared/", Method: "GET", Status: 200},
		"GET /things/7":       {Route: "/things/:id", Method: "GET", Status: 422},
		"POST /panic/before":  {Route: "/panic/before", Method: "POST", Status: 500},
		"GET /panic/after":    {Route: "/panic/after", Method: "GET", Status: 200},
		"GET /nothing":        {Route: "", Method: "GET", Status: 404},
		"INVENTED /declared/": {Route: "", Method: "other", Status: 405},
	} {
		method, path, _ := strings.Cut(target, " ")
		func() {
			defer func() { _ = recover() }() // of the answer that is broken off
			h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(method, path, nil))
		}()
		if got.Took <= 0 {
			t.Errorf("%s took %v", target, got.Took)
		}
		if got.Took = 0; got != want {
			t.Errorf("%s observed as %+v, want %+v", target, got, want)
		}
	}
}
