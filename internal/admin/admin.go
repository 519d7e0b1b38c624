// Package admin is the operators' door of a process: health, metrics and what its parts
// hang in, on an address of its own.
//
// Without a token it listens on loopback, or in a network that is private, only. Then it
// takes only requests whose Host no page in a browser can have by a name of its own (DNS
// rebinding): loopback's, and in a private network addresses and names that are not
// public. With a token every path but /livez and /readyz asks for "Authorization: Bearer
// …". Requests that a page of another site makes are refused always.
//
// # Concurrency
//
// Checks, metrics and handlers are hung in before the Handler serves. Checks and metrics
// are asked from many goroutines.
//
// # Errors
//
// Refusals are problem documents. ErrUnhealthy, of a Client: the process answered that
// it is not ready.
package admin

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/earshot-mq/earshot/internal/problem"
)

// Options tunes a Server.
type Options struct {
	Addr    string // where it will listen; what is not loopback needs Token or Private
	Token   string // that requests have to bring; default none
	Private bool   // the network is private: a container's, published on loopback
	Version string // of the program, for /readyz and metrics
}

// Server is the admin door of one process.
type Server struct {
	o       Options
	mux     *http.ServeMux
	metrics *prometheus.Registry
	checks  []check
}

// New makes a Server, or says why it must not listen there.
func New(o Options) (*Server, error) {
	if o.Token == "" && !o.Private && !loopback(o.Addr) {
		return nil, fmt.Errorf("admin: %s is not an address of loopback: set admin.token, or admin.private if that network is private", o.Addr)
	}
	s := &Server{o: o, mux: http.NewServeMux(), metrics: prometheus.NewRegistry()}
	if err := s.own(); err != nil {
		return nil, err
	}
	s.mux.HandleFunc("GET /livez", s.health(Live))
	s.mux.HandleFunc("GET /readyz", s.health(Ready))
	s.mux.Handle("GET /metrics", promhttp.HandlerFor(s.metrics, promhttp.HandlerOpts{MaxRequestsInFlight: 4}))
	return s, nil
}

// Handle hangs in a handler, under a pattern of http.ServeMux. It panics if the pattern
// is none or is taken, as ServeMux does.
func (s *Server) Handle(pattern string, h http.Handler) { s.mux.Handle(pattern, h) }

// Handler is the server's, with its guards.
func (s *Server) Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Cache-Control", "no-store")
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Referrer-Policy", "no-referrer")
		if refusal := s.refuse(r); refusal != nil {
			if refusal.Status == http.StatusUnauthorized {
				h.Set("WWW-Authenticate", "Bearer")
			}
			problem.Write(w, *refusal)
			return
		}
		if _, pattern := s.mux.Handler(r); pattern == "" {
			s.unknown(w, r)
			return
		}
		s.mux.ServeHTTP(w, r)
	})
}

// unknown answers what no pattern matches: ServeMux knows whether it is the path or the
// method, but says so in plain text.
func (s *Server) unknown(w http.ResponseWriter, r *http.Request) {
	said := &verdict{header: http.Header{}}
	s.mux.ServeHTTP(said, r)
	d := problem.Document{Status: said.status, Detail: "nothing is here; see /livez, /readyz and /metrics"}
	if allow := said.header.Get("Allow"); allow != "" {
		w.Header().Set("Allow", allow)
		d.Detail = "allowed: " + allow
	}
	problem.Write(w, d)
}

// verdict is an http.ResponseWriter that keeps status and header.
type verdict struct {
	header http.Header
	status int
}

func (v *verdict) Header() http.Header         { return v.header }
func (v *verdict) WriteHeader(status int)      { v.status = status }
func (v *verdict) Write(p []byte) (int, error) { return len(p), nil }

// ErrUnhealthy says that a process answered that it is not well.
var ErrUnhealthy = errors.New("unhealthy")
