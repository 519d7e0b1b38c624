package compose

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/earshot-mq/earshot/gateway/upstream"
)

// door asks real upstreams.
func door(t *testing.T, handlers map[string]http.HandlerFunc) func(string, *http.Request) (*http.Response, error) {
	t.Helper()
	all := map[string]*upstream.HTTP{}
	for name, h := range handlers {
		s := httptest.NewServer(h)
		u, err := upstream.NewHTTP(name, []string{s.URL}, upstream.Options{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { u.Close(); s.CloseClientConnections(); s.Close() })
		all[name] = u
	}
	return func(name string, r *http.Request) (*http.Response, error) { return all[name].Do(r, nil) }
}

// TestNoGoroutineOutlives: when Compose returns, for whatever reason, all that it has
// started has ended.
func TestNoGoroutineOutlives(t *testing.T) {
	var asked atomic.Int32
	hangs := func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		w.Header().Set("Content-Type", "application/json")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}
	do := door(t, map[string]http.HandlerFunc{
		"slow": hangs, "none": func(w http.ResponseWriter, r *http.Request) {
			for asked.Load() == 0 && r.Context().Err() == nil {
				time.Sleep(time.Millisecond) // until the slow one has been asked
			}
			w.WriteHeader(404)
		},
	})
	endless := func(name string) PartConfig { return PartConfig{Name: name, Upstream: "slow", Path: "/"} }
	waits := PartConfig{Name: "w", Upstream: "slow", Path: "/{part.a.x}"}
	view := []Pick{{Take: "a"}, {Take: "b"}, {Take: "w"}}
	type setting struct {
		parts   []PartConfig
		timeout time.Duration
		leave   time.Duration // the client
		want    int           // 0: the error of the context
	}
	for name, setting := range map[string]func(brief time.Duration) setting{
		"the parts' time is up": func(brief time.Duration) setting {
			slow := func(name string) PartConfig {
				return PartConfig{Name: name, Upstream: "slow", Path: "/", Timeout: brief}
			}
			return setting{[]PartConfig{slow("a"), slow("b"), waits}, time.Minute, time.Minute, 504}
		},
		"the page's time is up": func(brief time.Duration) setting {
			return setting{[]PartConfig{endless("a"), endless("b"), waits}, brief, time.Minute, 504}
		},
		"the client goes": func(brief time.Duration) setting {
			return setting{[]PartConfig{endless("a"), endless("b"), waits}, time.Minute, brief, 0}
		},
		"a required part fails": func(time.Duration) setting {
			none := PartConfig{Name: "b", Upstream: "none", Path: "/", Required: true}
			return setting{[]PartConfig{endless("a"), none, waits}, time.Minute, time.Minute, 404}
		},
	} {
		t.Run(name, func(t *testing.T) {
			// On a busy machine a brief time may be up before anybody was asked.
			for brief := 50 * time.Millisecond; ; brief *= 2 {
				asked.Store(0)
				c := setting(brief)
				comp, err := New(Config{Timeout: c.timeout, Parts: c.parts, Views: map[string][]Pick{"v": view}}, []string{"slow", "none"})
				if err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithTimeout(t.Context(), c.leave)
				defer cancel()
				_, err = comp.views["v"].Compose(ctx, Request{Do: do})
				stack := make([]byte, 1<<20)
				stack = stack[:runtime.Stack(stack, true)]
				if n := strings.Count(string(stack), "compose.(*run)"); n > 0 {
					t.Errorf("%d frames are left:\n%s", n, stack)
				}
				var e *Error
				switch isOne := errors.As(err, &e); {
				case c.want == 0 && !errors.Is(err, context.DeadlineExceeded), c.want != 0 && (!isOne || e.Status != c.want):
					t.Errorf("Compose = %v, want %d", err, c.want)
				}
				switch {
				case asked.Load() > 0:
					return
				case brief > 5*time.Second:
					t.Fatalf("nobody was asked within %v", brief)
				}
			}
		})
	}
}
