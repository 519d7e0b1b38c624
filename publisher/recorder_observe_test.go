package publisher

import (
	"io"
	"net/http"
	"sync"
	"testing"

	"github.com/earshot-mq/earshot/internal/testenv"
)

// TestObserve: each answer is observed once, whatever becomes of it, and after its record.
func TestObserve(t *testing.T) {
	for name, c := range map[string]struct {
		h    http.HandlerFunc
		full error
		want Observation
	}{
		"plain":    {h: func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") }, want: Observation{Route: "/x", Status: 200}},
		"not ours": {h: func(_ http.ResponseWriter, r *http.Request) { FromContext(r.Context()).PassOn() }, want: Observation{Route: "/x", Status: 200}},
		"panic":    {h: func(http.ResponseWriter, *http.Request) { panic("no") }, want: Observation{Route: "/x", Status: 500}},
		"abort":    {h: func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, want: Observation{Route: "/x"}},
		"stream": {h: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			_, _ = io.WriteString(w, "data: x\n\n")
			w.(http.Flusher).Flush()
		}, want: Observation{Route: "/x", Status: 200, Stream: true}},
		"taken over": {h: func(w http.ResponseWriter, _ *http.Request) {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err == nil {
				_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\n\r\n")
				_ = conn.Close()
			}
		}, want: Observation{Route: "/x", Status: 101, Stream: true}},
		"refused": {full: ErrFull, want: Observation{Status: 503}},
	} {
		t.Run(name, func(t *testing.T) {
			s := &fakeSink{full: c.full}
			var mu sync.Mutex
			var got []Observation
			srv := serveRecorded(t, "HTTP/1.1", s, RecorderOptions{Observe: func(o Observation) {
				mu.Lock()
				defer mu.Unlock()
				if o.Took <= 0 {
					t.Errorf("took %v", o.Took)
				}
				o.Took = 0
				got = append(got, o)
			}}, func(w http.ResponseWriter, r *http.Request) {
				FromContext(r.Context()).SetRoute("/x")
				c.h(w, r)
			})
			if resp, err := srv.Client().Get(srv.URL); err == nil {
				_, _ = io.Copy(io.Discard, resp.Body)
				_ = resp.Body.Close()
			}
			testenv.Wait(t, "the observation", patience, func() bool {
				mu.Lock()
				defer mu.Unlock()
				return len(got) > 0
			})
			mu.Lock()
			defer mu.Unlock()
			if len(got) != 1 || got[0] != c.want {
				t.Errorf("%+v, want %+v", got, c.want)
			}
		})
	}
}
