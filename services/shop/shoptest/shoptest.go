// Package shoptest asks the shop's services in tests, through HTTP.
package shoptest

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/earshot-mq/earshot/services"
	"github.com/earshot-mq/earshot/services/shop"
)

// Shop is a service that answers on a port of its own.
type Shop struct {
	t      testing.TB
	server *httptest.Server
}

// Start starts a service that keeps its files in the folder data; "" is none. It ends
// with the test.
func Start(t testing.TB, s *services.Service, data string) *Shop {
	t.Helper()
	h, err := s.Handler(services.HandlerOptions{Data: data})
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return &Shop{t, srv}
}

// At starts a service whose routes are told what time it is: always this one.
func At(t testing.TB, name string, routes func(*services.Router, func() time.Time), at time.Time) *Shop {
	t.Helper()
	return Start(t, services.New(name, func(r *services.Router) { routes(r, func() time.Time { return at }) }), "")
}

// Answer is an answer.
type Answer struct {
	Status int
	Header http.Header
	Body   string
}

// Ask sends a request; header is names and values in turn. It may be called from many
// goroutines.
func (s *Shop) Ask(method, target, body string, header ...string) Answer {
	s.t.Helper()
	req, err := http.NewRequest(method, s.server.URL+target, strings.NewReader(body))
	if err != nil {
		s.t.Error(err)
		return Answer{}
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := s.server.Client().Do(req)
	if err != nil {
		s.t.Error(err)
		return Answer{}
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Error(err)
	}
	return Answer{resp.StatusCode, resp.Header, string(b)}
}

// Get asks for something that has to be there, and reads it into v, which has to have all
// that the answer has.
func (s *Shop) Get(target string, v any) {
	s.t.Helper()
	a := s.Ask(http.MethodGet, target, "")
	if a.Status != http.StatusOK {
		s.t.Fatalf("GET %s = %d %s, want 200", target, a.Status, a.Body)
	}
	d := json.NewDecoder(strings.NewReader(a.Body))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		s.t.Fatalf("GET %s = %s: %v", target, a.Body, err)
	}
}

// Fill writes a file of a Log that has one entry and no room for another.
func Fill(t testing.TB, path, entry string) {
	t.Helper()
	line := entry + strings.Repeat(" ", shop.MaxLog-1-len(entry)) + "\n"
	if err := os.WriteFile(path, []byte(line), 0o600); err != nil {
		t.Fatal(err)
	}
}

// Refused sees that a request is answered with a problem document of a status, with
// detail in it.
func (s *Shop) Refused(method, target, body string, status int, detail string, header ...string) {
	s.t.Helper()
	a := s.Ask(method, target, body, header...)
	if a.Status != status || !strings.Contains(a.Body, detail) {
		s.t.Errorf("%s %s = %d %s, want %d with %q", method, target, a.Status, a.Body, status, detail)
	}
	if kind := a.Header.Get("Content-Type"); kind != "application/problem+json" {
		s.t.Errorf("%s %s: Content-Type = %q, want a problem document", method, target, kind)
	}
}

// Refusal is a GET that is refused.
type Refusal = struct {
	Target string
	Status int
	Detail string // in the problem document
}

// RefuseAll sees that each is, by its name.
func (s *Shop) RefuseAll(t *testing.T, all map[string]Refusal) {
	t.Helper()
	for name, r := range all {
		t.Run(name, func(t *testing.T) {
			t.Helper()
			s := *s
			s.t = t
			s.Refused(http.MethodGet, r.Target, "", r.Status, r.Detail)
		})
	}
}
