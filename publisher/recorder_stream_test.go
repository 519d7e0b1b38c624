package publisher

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/websocket"

	"github.com/earshot-mq/earshot/internal/testenv"
)

// events sends an event for each token of next and ends when that is closed.
func events(next <-chan struct{}) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
		w.WriteHeader(http.StatusOK)
		w.(http.Flusher).Flush()
		for n := 0; ; n++ {
			select {
			case _, ok := <-next:
				if !ok {
					return
				}
			case <-r.Context().Done():
				return
			}
			fmt.Fprintf(w, "data: %d\n\n", n)
			w.(http.Flusher).Flush()
		}
	}
}

// Each event has to arrive before the next is sent, and all of them while no record can
// be published.
func TestEventsAreNotDelayed(t *testing.T) {
	for _, protocol := range append(protocols, "HTTP/1.0") {
		t.Run(protocol, func(t *testing.T) {
			s, next := &fakeSink{gate: make(chan struct{})}, make(chan struct{})
			srv := serveRecorded(t, protocol, s, RecorderOptions{OpenAfter: time.Hour}, events(next))
			var body io.Reader
			if protocol == "HTTP/1.0" {
				resp, err := http.ReadResponse(bufio.NewReader(dial(t, srv, "GET / HTTP/1.0\r\n\r\n")), nil)
				if err != nil {
					t.Fatal(err)
				}
				body = resp.Body
			} else {
				a := ask(t, srv, "GET", "/")
				resp := receive(t, a.header, "the header")
				if got := resp.Header.Get(MarkHeader); got != testRun.String() {
					t.Errorf("mark %q, want %q", got, testRun)
				}
				r, w := io.Pipe()
				body = r
				go func() { // what a has read so far
					var at int64
					for {
						if n := a.bytes.Load(); n > at {
							_, _ = w.Write(a.body[at:n])
							at = n
						}
						select {
						case <-a.done:
							w.Close()
							return
						case <-time.After(100 * time.Microsecond):
						}
					}
				}()
			}
			in := bufio.NewScanner(body)
			for n := range 20 {
				sent := time.Now()
				next <- struct{}{}
				if !in.Scan() || in.Text() != fmt.Sprintf("data: %d", n) || !in.Scan() {
					t.Fatalf("event %d: %q, %v", n, in.Text(), in.Err())
				}
				if d := time.Since(sent); d > time.Second {
					t.Errorf("event %d took %v", n, d)
				}
			}
			close(next)
			close(s.gate)
			r := s.only(t)
			if h := r.HTTP; h.Open || h.MediaType != "text/event-stream" || h.Body != nil || h.Bytes == 0 || h.Aborted {
				t.Errorf("record: %+v", h)
			}
		})
	}
}

func TestLongStreamHasTwoLines(t *testing.T) {
	for _, protocol := range protocols {
		t.Run(protocol, func(t *testing.T) {
			s, next := &fakeSink{}, make(chan struct{})
			srv := serveRecorded(t, protocol, s, RecorderOptions{OpenAfter: 20 * time.Millisecond}, func(w http.ResponseWriter, r *http.Request) {
				FromContext(r.Context()).SetRoute("/events")
				events(next)(w, r)
			})
			a := ask(t, srv, "GET", "/?token=x")
			next <- struct{}{}
			first := s.wait(t, 1)[0]
			if h := first.HTTP; !h.Open || h.Status != 200 || first.Subject != "/events" || h.Bytes != 9 || h.Query != "token=REDACTED" || h.Duration < 20*time.Millisecond {
				t.Errorf("first line: %+v %+v", first, h)
			}
			close(next)
			receive(t, a.done, "the end")
			rs := s.wait(t, 2)
			if h := rs[1].HTTP; h.Open || h.Request != first.HTTP.Request || h.Query != "token=REDACTED" || len(rs) != 2 {
				t.Errorf("last line: %+v", h)
			}
			testenv.Wait(t, "release", patience, func() bool { return s.reserved.Load() == 0 })
		})
	}
}

// A timer that fires while the last line is published must find that it comes too late.
func TestTimerAfterEnd(t *testing.T) {
	s, streams := &fakeSink{}, make(chan *response, 1)
	srv := serveRecorded(t, "HTTP/1.1", s, RecorderOptions{OpenAfter: time.Hour}, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", eventStream)
		w.(http.Flusher).Flush()
		streams <- w.(hijackWriter).p
	})
	receive(t, ask(t, srv, "GET", "/").done, "the end")
	(<-streams).stillOpen()
	if r := s.only(t); r.HTTP.Open {
		t.Errorf("record: %+v", r.HTTP)
	}
}

// However the timer and the end meet, there is one last line and nothing after it.
func TestTimerAndEndDoNotRace(t *testing.T) {
	s := &fakeSink{}
	srv := serveRecorded(t, "HTTP/1.1", s, RecorderOptions{OpenAfter: 300 * time.Microsecond}, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", eventStream)
		for end := time.Now().Add(300 * time.Microsecond); time.Now().Before(end); {
			_, _ = io.WriteString(w, "data\n\n")
			w.(http.Flusher).Flush()
		}
	})
	const n = 200
	var clients sync.WaitGroup
	for range 4 {
		clients.Go(func() {
			for range n / 4 {
				resp, err := srv.Client().Get(srv.URL)
				if err != nil {
					t.Error(err)
					return
				}
				_, _ = io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
			}
		})
	}
	clients.Wait()
	srv.Close()
	time.Sleep(2 * time.Millisecond) // a timer that fires after the end would have by now
	ended := map[string]bool{}
	for _, r := range s.all() {
		if ended[r.HTTP.Request] {
			t.Errorf("a line after the last one: %+v", r.HTTP)
		}
		ended[r.HTTP.Request] = !r.HTTP.Open
	}
	if len(ended) != n {
		t.Errorf("%d exchanges, want %d", len(ended), n)
	}
	for id, ok := range ended {
		if !ok {
			t.Errorf("%s has no last line", id)
		}
	}
}

func TestWebSocket(t *testing.T) {
	s := &fakeSink{gate: make(chan struct{})}
	srv := serveRecorded(t, "HTTP/1.1", s, RecorderOptions{OpenAfter: time.Hour}, func(w http.ResponseWriter, r *http.Request) {
		FromContext(r.Context()).SetRoute("/ws")
		websocket.Handler(func(ws *websocket.Conn) { _, _ = io.Copy(ws, ws) }).ServeHTTP(w, r)
	})
	ws, err := websocket.Dial("ws"+strings.TrimPrefix(srv.URL, "http")+"/", "", srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	for n := range 20 { // each comes back before the next is sent, and no record is published
		sent, want := time.Now(), fmt.Sprintf("message %d", n)
		if _, err := io.WriteString(ws, want); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 100)
		m, err := ws.Read(buf)
		if err != nil || string(buf[:m]) != want {
			t.Fatalf("got %q, %v; want %q", buf[:m], err, want)
		}
		if d := time.Since(sent); d > time.Second {
			t.Errorf("message %d took %v", n, d)
		}
	}
	close(s.gate)
	ws.Close()
	r := s.only(t)
	if h := r.HTTP; h.Status != 101 || h.Bytes < 20*12 || h.Open || r.Subject != "/ws" {
		t.Errorf("record: %+v", h)
	}
	testenv.Wait(t, "release", patience, func() bool { return s.reserved.Load() == 0 })
}

func TestHijack(t *testing.T) {
	hijacked := func(t *testing.T, w http.ResponseWriter) (net.Conn, *bufio.ReadWriter) {
		c, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
		}
		return c, rw
	}
	for name, c := range map[string]struct {
		h       func(t *testing.T, w http.ResponseWriter)
		want    string // what the client sees, or the end of it
		status  int
		bytes   int64
		aborted bool
	}{
		"raw answer": {func(t *testing.T, w http.ResponseWriter) {
			c, rw := hijacked(t, w)
			_, _ = rw.WriteString("HTTP/1.1 202 Accepted\r\nA: b\r\nearshot-record: forged\r\nX-Request-Id: forged\r\n\r\nEarshot-Record: no field\r\n")
			_ = rw.Flush()
			c.Close()
			c.Close()
		}, "\r\nA: b\r\n\r\nEarshot-Record: no field\r\n", 202, 103, false},
		"head in parts": {func(t *testing.T, w http.ResponseWriter) {
			c, _ := hijacked(t, w)
			for _, part := range []string{"HTTP/1.1 202 Acc", "epted\r\n\r\n", "hi"} {
				if n, err := io.WriteString(c, part); n != len(part) || err != nil {
					t.Errorf("wrote %d of %q, %v", n, part, err)
				}
			}
			c.Close()
		}, "HTTP/1.1 202 Accepted\r\n\r\nhi", 202, 27, false},
		"own protocol": {func(t *testing.T, w http.ResponseWriter) {
			c, _ := hijacked(t, w)
			_, _ = c.Write([]byte("hello, this is no HTTP"))
			c.Close()
		}, "hello, this is no HTTP", 101, 22, false},
		"header first": {func(t *testing.T, w http.ResponseWriter) {
			w.Header().Set("Upgrade", "x")
			w.Header().Set("Connection", "Upgrade")
			w.WriteHeader(http.StatusSwitchingProtocols)
			c, _ := hijacked(t, w)
			_, _ = io.Copy(c, strings.NewReader("hi"))
			c.Close()
		}, "\r\n\r\nhi", 101, 2, false},
		"half closed": {func(t *testing.T, w http.ResponseWriter) {
			c, _ := hijacked(t, w)
			_, _ = io.WriteString(c, "hi")
			if err := c.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
				t.Error(err)
			}
			c.Close()
		}, "hi", 101, 2, false},
		"panic": {func(t *testing.T, w http.ResponseWriter) {
			c, _ := hijacked(t, w)
			_, _ = io.WriteString(c, "hi")
			go func() { // nobody else closes it
				testenv.Wait(t, "the recorder to see the panic", patience, c.(halfCloser).broken.Load)
				c.Close()
			}()
			panic("boom")
		}, "hi", 101, 2, true},
	} {
		t.Run(name, func(t *testing.T) {
			s := &fakeSink{}
			srv := serveRecorded(t, "HTTP/1.1", s, RecorderOptions{}, func(w http.ResponseWriter, _ *http.Request) { c.h(t, w) })
			got, err := io.ReadAll(dial(t, srv, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"))
			if err != nil || !strings.HasSuffix(string(got), c.want) {
				t.Errorf("client got %q, %v; want %q", got, err, c.want)
			}
			r := s.only(t)
			if name == "header first" || name == "raw answer" {
				resp, err := http.ReadResponse(bufio.NewReader(strings.NewReader(string(got))), nil)
				if err != nil || len(resp.Header[MarkHeader]) != 1 || resp.Header.Get(MarkHeader) != testRun.String() ||
					len(resp.Header[headerRequestID]) != 1 || resp.Header.Get(headerRequestID) != r.HTTP.Request {
					t.Errorf("client got %q, %v; want it with one mark and one id", got, err)
				}
			}
			if h := r.HTTP; h.Status != c.status || h.Bytes != c.bytes || h.Aborted != c.aborted {
				t.Errorf("record: status %d, %d bytes, aborted %v; want %d, %d, %v", h.Status, h.Bytes, h.Aborted, c.status, c.bytes, c.aborted)
			}
			testenv.Wait(t, "release", patience, func() bool { return s.reserved.Load() == 0 })
		})
	}
}

func TestHijackedWriterIsDead(t *testing.T) {
	s := &fakeSink{}
	srv := serveRecorded(t, "HTTP/1.1", s, RecorderOptions{}, func(w http.ResponseWriter, _ *http.Request) {
		c, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		if _, err := w.Write([]byte("x")); !errors.Is(err, http.ErrHijacked) {
			t.Errorf("Write = %v", err)
		}
		if err := w.(interface{ FlushError() error }).FlushError(); !errors.Is(err, http.ErrHijacked) {
			t.Errorf("FlushError = %v", err)
		}
		if _, _, err := w.(http.Hijacker).Hijack(); !errors.Is(err, http.ErrHijacked) {
			t.Errorf("Hijack = %v", err)
		}
		w.WriteHeader(500)
	})
	_, _ = io.ReadAll(dial(t, srv, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"))
	s.only(t)
}

func TestCutEndsStreams(t *testing.T) {
	for _, kind := range []string{"HTTP/1.1", "HTTP/2.0", "hijacked", "writes on"} {
		t.Run(kind, func(t *testing.T) {
			s, began := &fakeSink{}, make(chan struct{})
			rec := recorder(t, s, RecorderOptions{})
			protocol := map[bool]string{true: "HTTP/2.0", false: "HTTP/1.1"}[kind == "HTTP/2.0"]
			srv := serve(t, protocol, rec.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				switch {
				case r.URL.Path == "/plain":
					_, _ = io.WriteString(w, "fine")
				case kind == "hijacked":
					c, _, err := http.NewResponseController(w).Hijack()
					if err != nil {
						t.Error(err)
					}
					close(began)
					_, _ = io.Copy(io.Discard, c)
				default:
					w.Header().Set("Content-Type", eventStream)
					w.(http.Flusher).Flush()
					close(began)
					if kind != "writes on" {
						<-r.Context().Done()
						return
					}
					for { // a handler that looks at nothing but what Write says
						if _, err := io.WriteString(w, "data\n\n"); err != nil {
							return
						}
					}
				}
			})))
			if kind == "hijacked" {
				dial(t, srv, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
			} else {
				ask(t, srv, "GET", "/")
			}
			receive(t, began, "the stream")
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			if err := rec.Cut(ctx); err != nil {
				t.Fatal(err)
			}
			if r := s.only(t); !r.HTTP.Aborted {
				t.Errorf("record: %+v; want it aborted", r.HTTP)
			}
			a := ask(t, srv, "GET", "/plain")
			if receive(t, a.done, "another answer"); a.err != nil || string(a.body) != "fine" {
				t.Errorf("after Cut: %q, %v", a.body, a.err)
			}
			if err := rec.Cut(ctx); err != nil {
				t.Errorf("second Cut: %v", err)
			}
		})
	}
}

func TestCutTellsWhatIsLeft(t *testing.T) {
	s, began, leave := &fakeSink{}, make(chan struct{}), make(chan struct{})
	rec := recorder(t, s, RecorderOptions{})
	srv := serve(t, "HTTP/1.1", rec.Wrap(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", eventStream)
		w.(http.Flusher).Flush()
		close(began)
		<-leave // deaf
	})))
	ask(t, srv, "GET", "/")
	receive(t, began, "the stream")
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := rec.Cut(ctx); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "1 streams") {
		t.Errorf("Cut = %v, want one stream left", err)
	}
	close(leave)
	s.only(t)
}

func TestStreamAfterCut(t *testing.T) {
	for _, protocol := range protocols {
		t.Run(protocol, func(t *testing.T) {
			s := &fakeSink{}
			rec := recorder(t, s, RecorderOptions{})
			if err := rec.Cut(t.Context()); err != nil {
				t.Fatal(err)
			}
			srv := serve(t, protocol, rec.Wrap(events(nil)))
			a := ask(t, srv, "GET", "/")
			receive(t, a.done, "the end")
			if r := s.only(t); !r.HTTP.Aborted {
				t.Errorf("record: %+v", r.HTTP)
			}
		})
	}
}

// Without room for a second line a stream has only its last one.
func TestOpenLineNeedsRoom(t *testing.T) {
	s, next := &fakeSink{}, make(chan struct{})
	full := &fullAfterFirst{fakeSink: s, asked: make(chan struct{}, 9)}
	srv := serve(t, "HTTP/1.1", recorder(t, full, RecorderOptions{OpenAfter: time.Millisecond}).Wrap(events(next)))
	a := ask(t, srv, "GET", "/")
	receive(t, full.asked, "the request's reservation")
	receive(t, full.asked, "the timer's reservation")
	close(next)
	receive(t, a.done, "the end")
	if r := s.only(t); r.HTTP.Open {
		t.Errorf("record: %+v", r.HTTP)
	}
}

// fullAfterFirst has room for one record.
type fullAfterFirst struct {
	*fakeSink
	asked chan struct{}
}

func (s *fullAfterFirst) Reserve(ctx context.Context) (func(), error) {
	defer func() { s.asked <- struct{}{} }()
	if s.taken.Load() > 0 {
		return nil, ErrFull
	}
	return s.fakeSink.Reserve(ctx)
}
