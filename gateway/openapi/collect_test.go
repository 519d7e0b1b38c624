package openapi

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// service is a real server that answers with what it is told.
type service struct {
	*httptest.Server
	asked  atomic.Int64
	answer atomic.Value // of http.HandlerFunc
}

func serve(t *testing.T, h http.HandlerFunc) *service {
	t.Helper()
	s := &service{}
	s.answer.Store(h)
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.asked.Add(1)
		s.answer.Load().(http.HandlerFunc)(w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *service) source(name string) Source {
	return Source{Name: name, Key: s.URL, Get: func(ctx context.Context) (*http.Response, error) {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL, nil)
		if err != nil {
			return nil, err
		}
		r.Header.Set("Accept-Encoding", "identity")
		return s.Client().Do(r)
	}}
}

func says(body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(body)) }
}

func status(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
}

// TestCollect: what a service answers decides what is known of it.
func TestCollect(t *testing.T) {
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		state  State
		reason string
	}{
		"a document": {says(document("/x")), Present, ""},
		"nothing":    {status(404), Without, ""},
		"garbage":    {says("<html>"), LeftOut, "it is not valid JSON"},
		"no body":    {says(""), LeftOut, "it is empty"},
		"an error":   {status(503), LeftOut, "it answers 503"},
		"elsewhere":  {status(304), LeftOut, "it answers 304"},
		"compressed": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "br")
			_, _ = w.Write([]byte("x"))
		}, LeftOut, "it is compressed, which was not asked for"},
		"too much": {func(w http.ResponseWriter, _ *http.Request) {
			for piece := []byte(strings.Repeat(" ", 1<<16)); ; {
				if _, err := w.Write(piece); err != nil {
					return
				}
			}
		}, LeftOut, "it is longer than 4 MiB"},
		"too slow": {func(w http.ResponseWriter, r *http.Request) {
			_, _ = w.Write([]byte("{"))
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		}, LeftOut, "no whole answer within 1s"},
		"cut": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			_, _ = w.Write([]byte("{"))
		}, LeftOut, "it can't be asked"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var c0 Collector
			begun := time.Now()
			found, _ := c0.Collect([]Source{serve(t, c.answer).source("s")})
			if took := time.Since(begun); took > 3*Patience {
				t.Errorf("it took %v", took)
			}
			if len(found) != 1 || found[0].State != c.state || found[0].Reason != c.reason || (found[0].Document != nil) != (c.state == Present) {
				t.Errorf("%+v, want %s %q", found, c.state, c.reason)
			}
		})
	}
}

// TestKept: a service is asked once in a while, by one of those who want it; what it said
// last stays while it fails, and no longer than it is the one that is asked.
func TestKept(t *testing.T) {
	s := serve(t, says(document("/x")))
	c := &Collector{fresh: time.Hour}
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() { c.Collect([]Source{s.source("s")}) })
	}
	all.Wait()
	_, first := c.Collect([]Source{s.source("s")})
	if n := s.asked.Load(); n != 1 {
		t.Errorf("it was asked %d times, want once", n)
	}

	c.fresh = time.Nanosecond
	c.entries["s"].due = time.Time{}
	if _, again := c.Collect([]Source{s.source("s")}); again != first || s.asked.Load() != 2 {
		t.Errorf("the same document makes generation %d of %d, asked %d times", again, first, s.asked.Load())
	}
	for _, step := range []struct {
		answer http.HandlerFunc
		state  State
		path   string
	}{
		{status(500), Stale, "/x"},
		{says("garbage"), Stale, "/x"},
		{says(document("/y")), Present, "/y"},
		{status(500), Stale, "/y"},
		{status(404), Without, ""},
		{status(500), LeftOut, ""},
	} {
		s.answer.Store(step.answer)
		found, _ := c.Collect([]Source{s.source("s")})
		path := ""
		if d := found[0].Document; d != nil {
			path = d.all[0].path
		}
		if found[0].State != step.state || path != step.path || found[0].Since.IsZero() == (step.state == Stale) {
			t.Errorf("%+v of %q, want %s of %q", found[0], path, step.state, step.path)
		}
	}

	s.answer.Store(says(document("/x")))
	c.Collect([]Source{s.source("s")})
	gone := s.source("s")
	gone.Key = "another"
	s.answer.Store(status(500))
	if found, _ := c.Collect([]Source{gone}); found[0].State != LeftOut {
		t.Errorf("what another service said stays: %+v", found[0])
	}
	if found, _ := c.Collect(nil); len(found) != 0 || len(c.entries) != 0 {
		t.Errorf("a service that is gone stays: %+v", c.entries)
	}
	if found, _ := c.Collect([]Source{{Name: "none"}}); found[0].State != Without {
		t.Errorf("a service that is not asked: %+v", found[0])
	}
}

// TestTotal: all documents together have a bound, and one that gets another has not less.
func TestTotal(t *testing.T) {
	a, b := serve(t, says(document("/x"))), serve(t, says(document("/y")))
	c := &Collector{fresh: time.Nanosecond, total: len(document("/x")) + 10}
	c.Collect([]Source{a.source("a")})
	found, _ := c.Collect([]Source{a.source("a"), b.source("b")})
	if found[0].State != Present || found[1].State != LeftOut || !strings.Contains(found[1].Reason, "with it all documents are longer than") {
		t.Errorf("%+v", found)
	}
	a.answer.Store(says(document("/z")))
	if found, _ := c.Collect([]Source{a.source("a"), b.source("b")}); found[0].State != Present || found[0].Document.all[0].path != "/z" {
		t.Errorf("%+v", found[0])
	}
}

// TestParallel: one that is dead costs its own time, not that of each other's too.
func TestParallel(t *testing.T) {
	var sources []Source
	for range 5 {
		s := serve(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
		sources = append(sources, s.source(s.URL))
	}
	sources = append(sources, serve(t, says(document("/x"))).source("alive"))
	begun := time.Now()
	found, _ := (&Collector{}).Collect(sources)
	if took := time.Since(begun); took < Patience/2 || took > 3*Patience {
		t.Errorf("it took %v", took)
	}
	if found[5].State != Present || found[0].Reason != errPatience.Error() {
		t.Errorf("%+v", found)
	}
}
