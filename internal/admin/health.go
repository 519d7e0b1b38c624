package admin

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"time"
)

// Kind is what a check says something of.
type Kind uint8

// The kinds of checks.
const (
	Live  Kind = iota // the process works; if not, start it again
	Ready             // it should get requests
)

// Check tells how a part is, in plain words: "ok", or "degraded: …" while it does its
// job in part. An error is a no. It must return when ctx is done.
type Check func(ctx context.Context) (state string, err error)

type check struct {
	name string
	kind Kind
	f    Check
}

// Check hangs in a check.
func (s *Server) Check(name string, kind Kind, f Check) {
	s.checks = append(s.checks, check{name, kind, f})
}

// checkTimeout is for all checks of a request together. Docker and Kubernetes give up
// sooner or later than this by default; what they see then is no answer.
const checkTimeout = 2 * time.Second

// Health is the answer of /livez and /readyz.
type Health struct {
	Status  string            `json:"status"` // ok, degraded or unhealthy
	Version string            `json:"version,omitempty"`
	Checks  map[string]Result `json:"checks"`
}

// Result is one check's.
type Result struct {
	State string `json:"state"`           // its first word, for those who could not show a token
	Error string `json:"error,omitempty"` // not for them
}

func (s *Server) health(kind Kind) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), checkTimeout)
		defer cancel()
		h := s.examine(ctx, kind)
		if s.o.Token != "" && !s.authorized(r) {
			h.Version = ""
			for name, res := range h.Checks {
				h.Checks[name] = Result{State: res.State[:strings.IndexAny(res.State+":", ":;")]}
			}
		}
		w.Header().Set("Content-Type", "application/json")
		if h.Status == "unhealthy" {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		enc := json.NewEncoder(w)
		enc.SetEscapeHTML(false)
		_ = enc.Encode(h) // fails only when the client is gone
	}
}

// examine asks all checks of a kind.
func (s *Server) examine(ctx context.Context, kind Kind) Health {
	h := Health{Status: "ok", Version: s.o.Version, Checks: map[string]Result{}}
	for _, c := range s.checks {
		if c.kind != kind {
			continue
		}
		state, err := c.f(ctx)
		res := Result{State: state}
		switch {
		case err != nil:
			res.Error, h.Status = err.Error(), "unhealthy"
		case strings.HasPrefix(state, "degraded") && h.Status == "ok":
			h.Status = "degraded"
		}
		if state == "" {
			res.State = "ok"
			if err != nil {
				res.State = "failed"
			}
		}
		h.Checks[c.name] = res
	}
	return h
}
