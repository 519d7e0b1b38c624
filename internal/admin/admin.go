// Package admin is the operators' door of a process: health, metrics and what its parts
// hang in, on an address of its own.
//
// Without a token it listens on loopback only, and takes only requests whose Host is an
// address of loopback, so that no page in a browser can reach it by a name of its own.
// With one, every path but /livez and /readyz asks for "Authorization: Bearer …".
//
// # Concurrency
//
// Checks and handlers are hung in before Handler is called.
package admin

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/earshot-mq/earshot/internal/problem"
)

// Kind is what a check says something of.
type Kind uint8

// The kinds of checks.
const (
	Live  Kind = iota // the process works; if not, start it again
	Ready             // it should get requests
)

// Check tells how a part is, in plain words; an error is a no.
type Check func(ctx context.Context) (state string, err error)

// Options tunes a Server.
type Options struct {
	Addr    string // where it will listen; what is not loopback needs Token or Private
	Token   string
	Private bool // the network is private: a container's, published on loopback
	Version string
}

// Server is the admin door of one process.
type Server struct {
	o       Options
	mux     *http.ServeMux
	metrics *prometheus.Registry
	checks  []check
}

type check struct {
	name string
	kind Kind
	f    Check
}

// New makes a Server, or says why it must not listen there.
func New(o Options) (*Server, error) {
	if o.Token == "" && !o.Private && !loopback(o.Addr) {
		return nil, fmt.Errorf("admin: %s is not an address of loopback: set admin.token, or admin.private if that network is", o.Addr)
	}
	s := &Server{o: o, mux: http.NewServeMux(), metrics: prometheus.NewRegistry()}
	s.metrics.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	s.mux.HandleFunc("GET /livez", s.health(Live))
	s.mux.HandleFunc("GET /readyz", s.health(Ready))
	s.mux.Handle("GET /metrics", promhttp.HandlerFor(s.metrics, promhttp.HandlerOpts{}))
	return s, nil
}

// Counter shows a total that only grows. Names are Prometheus': earshot_…_total, with
// the unit. The error says that the name is taken or none.
func (s *Server) Counter(name, help string, value func() float64) error {
	return s.register(name, prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help}, value))
}

// Gauge shows what is now.
func (s *Server) Gauge(name, help string, value func() float64) error {
	return s.register(name, prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value))
}

func (s *Server) register(name string, c prometheus.Collector) error {
	if err := s.metrics.Register(c); err != nil {
		return fmt.Errorf("admin: metric %s: %w", name, err)
	}
	return nil
}

// Check hangs in a check.
func (s *Server) Check(name string, kind Kind, f Check) {
	s.checks = append(s.checks, check{name, kind, f})
}

// Handle hangs in a handler, under a pattern of http.ServeMux.
func (s *Server) Handle(pattern string, h http.Handler) { s.mux.Handle(pattern, h) }

// Handler is the server's, with its guards.
func (s *Server) Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Cache-Control", "no-store")
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		open := r.URL.Path == "/livez" || r.URL.Path == "/readyz"
		switch {
		case s.o.Token != "" && !open && !s.authorized(r):
			h.Set("WWW-Authenticate", "Bearer")
			problem.Write(w, problem.Document{Status: http.StatusUnauthorized, Detail: "this needs the admin token: Authorization: Bearer …"})
		case s.o.Token == "" && !s.o.Private && !loopback(r.Host):
			problem.Write(w, problem.Document{Status: http.StatusForbidden, Detail: "Host must be an address of loopback"})
		case r.Header.Get("Origin") != "" && !sameOrigin(r):
			problem.Write(w, problem.Document{Status: http.StatusForbidden, Detail: "requests of other sites are refused"})
		default:
			s.mux.ServeHTTP(w, r)
		}
	})
}

func (s *Server) authorized(r *http.Request) bool {
	got, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	a, b := sha256.Sum256([]byte(got)), sha256.Sum256([]byte(s.o.Token))
	return ok && subtle.ConstantTimeCompare(a[:], b[:]) == 1
}

func sameOrigin(r *http.Request) bool {
	_, host, _ := strings.Cut(r.Header.Get("Origin"), "://")
	return host == r.Host
}

// loopback tells whether a host, with or without a port, is this machine's own.
func loopback(hostport string) bool {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = strings.Trim(hostport, "[]")
	}
	if host == "localhost" {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.IsLoopback()
}

// result is one check's in the answer of /livez and /readyz.
type result struct {
	State string `json:"state"`
	Error string `json:"error,omitempty"`
}

const checkTimeout = 2 * time.Second

func (s *Server) health(kind Kind) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), checkTimeout)
		defer cancel()
		status, all := http.StatusOK, map[string]result{}
		for _, c := range s.checks {
			if c.kind != kind {
				continue
			}
			state, err := c.f(ctx)
			res := result{State: state}
			if err != nil {
				res.Error, status = err.Error(), http.StatusServiceUnavailable
			}
			all[c.name] = res
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(map[string]any{
			"status":  map[bool]string{true: "ok", false: "unhealthy"}[status == http.StatusOK],
			"version": s.o.Version, "checks": all,
		})
	}
}

// ErrUnhealthy says that a process answered that it is not well.
var ErrUnhealthy = errors.New("unhealthy")

// Client speaks to a Server.
type Client struct {
	Addr  string // host:port
	Token string
	HTTP  *http.Client // default http.DefaultClient
}

// Do asks for a path. An answer that is not 2xx is an error that holds its detail; of a
// 503 it wraps ErrUnhealthy. The caller closes the body.
func (c *Client) Do(ctx context.Context, method, path string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://"+c.Addr+path, nil)
	if err != nil {
		return nil, fmt.Errorf("admin: %w", err)
	}
	if c.Token != "" {
		req.Header.Set("Authorization", "Bearer "+c.Token)
	}
	client := c.HTTP
	if client == nil {
		client = http.DefaultClient
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("admin: nothing answers at %s: is it running, and is its admin.listen that? %w", c.Addr, err)
	}
	if resp.StatusCode/100 == 2 {
		return resp, nil
	}
	defer resp.Body.Close()
	var doc struct{ Detail, Title string }
	_ = json.NewDecoder(http.MaxBytesReader(nil, resp.Body, 64<<10)).Decode(&doc)
	if resp.StatusCode == http.StatusServiceUnavailable {
		return nil, fmt.Errorf("admin: %s%s: %w", c.Addr, path, ErrUnhealthy)
	}
	return nil, fmt.Errorf("admin: %s%s: %s %s%s", c.Addr, path, resp.Status, doc.Title, doc.Detail)
}
