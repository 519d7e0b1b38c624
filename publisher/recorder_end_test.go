package publisher

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/earshot-mq/earshot/internal/testenv"
	"github.com/earshot-mq/earshot/publisher/record"
)

func text(n int) []byte { return bytes.Repeat([]byte("0123456789abcde\n"), n/16+1)[:n] }

// writes answers with n bytes of text, in pieces.
func writes(n int, length bool) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		if length {
			w.Header().Set("Content-Length", strconv.Itoa(n))
		}
		for b := text(n); len(b) > 0; {
			m, _ := w.Write(b[:min(len(b), 5000)])
			b = b[m:]
		}
	}
}

func flushes(h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		h(w, r)
		w.(http.Flusher).Flush()
	}
}

func TestEndWaitsForRecord(t *testing.T) {
	status := func(code int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
	}
	for name, c := range map[string]struct {
		h      http.HandlerFunc
		method string
		size   int
		early  int // bytes that come before the record; -1: not even the header
	}{
		"small":                  {h: writes(28, false), size: 28, early: -1},
		"small, announced":       {h: writes(28, true), size: 28, early: -1},
		"nothing":                {h: func(http.ResponseWriter, *http.Request) {}, early: -1},
		"as large as the buffer": {h: writes(64<<10, false), size: 64 << 10, early: -1},
		"one byte more":          {h: writes(64<<10+1, false), size: 64<<10 + 1, early: 64<<10 + 1},
		"large":                  {h: flushes(writes(300_000, false)), size: 300_000, early: 300_000},
		"large, announced":       {h: flushes(writes(300_000, true)), size: 300_000, early: 299_999},
		"flushed":                {h: flushes(writes(28, false)), size: 28, early: 28},
		"flushed, announced":     {h: flushes(writes(28, true)), size: 28, early: 27},
		"flushed, nothing":       {h: flushes(func(http.ResponseWriter, *http.Request) {}), early: 0},
		"flushed, length 0":      {h: flushes(writes(0, true)), early: -1},
		"HEAD":                   {h: writes(28, false), method: "HEAD", early: -1},
		"HEAD, large":            {h: writes(300_000, true), method: "HEAD", early: -1},
		"HEAD, flushed":          {h: flushes(writes(28, true)), method: "HEAD", early: -1},
		"204":                    {h: status(204), early: -1},
		"204, flushed":           {h: flushes(status(204)), early: -1},
		"304":                    {h: flushes(status(304)), early: -1},
		"sendfile": {h: func(w http.ResponseWriter, r *http.Request) {
			http.ServeContent(w, r, "a.txt", time.Time{}, bytes.NewReader(text(300_000)))
		}, size: 300_000, early: 64 << 10},
	} {
		for _, protocol := range protocols {
			t.Run(name+" "+protocol, func(t *testing.T) {
				t.Parallel()
				s := &fakeSink{gate: make(chan struct{}), entered: make(chan struct{}, 9)}
				srv := serveRecorded(t, protocol, s, RecorderOptions{}, c.h)
				a := ask(t, srv, c.method, "/")
				receive(t, s.entered, "Publish")
				if c.early >= 0 {
					// net/http itself keeps up to a few KiB without a Flush.
					testenv.Wait(t, "early bytes", patience, func() bool { return a.bytes.Load() >= int64(min(c.early, 60_000)) })
				}
				a.stays(t)
				if n := a.bytes.Load(); n > int64(max(c.early, 0)) && name != "sendfile" || n >= int64(c.size) && c.early < c.size && c.size > 0 {
					t.Errorf("%d bytes came before the record, want at most %d", n, c.early)
				}
				if c.early < 0 && len(a.header) > 0 {
					t.Error("the header came before the record")
				}
				close(s.gate)
				receive(t, a.done, "the end of the answer")
				if a.err != nil || !bytes.Equal(a.body, text(c.size)) {
					t.Errorf("answer: %d bytes, %v; want %d", len(a.body), a.err, c.size)
				}
				resp := <-a.header
				if want := map[bool]string{true: testRun.String() + "/1", false: testRun.String()}[c.early < 0]; resp.Header.Get(MarkHeader) != want {
					t.Errorf("mark %q, want %q", resp.Header.Get(MarkHeader), want)
				}
				r := s.only(t)
				if r.HTTP.Bytes != int64(c.size) || r.HTTP.Aborted || r.HTTP.Status != resp.StatusCode {
					t.Errorf("record: %d bytes, aborted %v, status %d; want %d, false, %d", r.HTTP.Bytes, r.HTTP.Aborted, r.HTTP.Status, c.size, resp.StatusCode)
				}
				if c.size > 0 && (!bytes.Equal(r.HTTP.Body, text(min(c.size, record.MaxBody))) || r.HTTP.Truncated != (c.size > record.MaxBody)) {
					t.Errorf("record's body: %d bytes, truncated %v", len(r.HTTP.Body), r.HTTP.Truncated)
				}
				testenv.Wait(t, "the reservation to be released", patience, func() bool { return s.reserved.Load() == 0 })
			})
		}
	}
}

// A handler that goes on after a HEAD's Flush must not keep its client waiting.
func TestFlushedHeaderDoesNotWaitForHandler(t *testing.T) {
	for _, protocol := range protocols {
		t.Run(protocol, func(t *testing.T) {
			s, leave := &fakeSink{}, make(chan struct{})
			defer close(leave)
			srv := serveRecorded(t, protocol, s, RecorderOptions{}, func(w http.ResponseWriter, r *http.Request) {
				w.WriteHeader(http.StatusAccepted)
				w.(http.Flusher).Flush()
				<-leave
			})
			a := ask(t, srv, "HEAD", "/")
			receive(t, a.done, "the answer")
			if a.err != nil || s.only(t).HTTP.Status != 202 {
				t.Errorf("answer %v, record %+v", a.err, s.all())
			}
		})
	}
}

func TestHTTP10(t *testing.T) {
	for name, c := range map[string]struct {
		h          http.HandlerFunc
		size       int
		length     bool
		early      bool
		keep, text bool
	}{
		"small":         {h: writes(28, false), size: 28, length: true},
		"flushed":       {h: flushes(writes(28, false)), size: 28, length: true},
		"100 KiB":       {h: flushes(writes(100<<10, false)), size: 100 << 10, length: true},
		"1 MiB":         {h: writes(1<<20, false), size: 1 << 20, length: true},
		"beyond 1 MiB":  {h: writes(1<<20+1, false), size: 1<<20 + 1, early: true},
		"2 MiB, length": {h: writes(2<<20, true), size: 2 << 20, length: true, early: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &fakeSink{gate: make(chan struct{}), entered: make(chan struct{}, 9)}
			srv := serveRecorded(t, "HTTP/1.1", s, RecorderOptions{}, c.h)
			conn := dial(t, srv, "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
			in := bufio.NewReader(conn)
			if c.early { // the buffers of TCP don't hold it
				if _, err := in.Peek(1); err != nil {
					t.Fatal(err)
				}
			} else {
				receive(t, s.entered, "Publish")
				if err := conn.SetReadDeadline(time.Now().Add(30 * time.Millisecond)); err != nil {
					t.Fatal(err)
				}
				if _, err := in.Peek(1); err == nil {
					t.Error("something came before the record")
				}
				_ = conn.SetReadDeadline(time.Now().Add(patience))
			}
			go func() {
				if c.early {
					<-s.entered
				}
				close(s.gate)
			}()
			resp, err := http.ReadResponse(in, nil)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(resp.Body)
			if err != nil || !bytes.Equal(body, text(c.size)) {
				t.Errorf("body: %d bytes, %v; want %d", len(body), err, c.size)
			}
			if (resp.ContentLength == int64(c.size)) != c.length {
				t.Errorf("Content-Length %d; want it: %v", resp.ContentLength, c.length)
			}
			if r := s.only(t); r.HTTP.Bytes != int64(c.size) {
				t.Errorf("record: %d bytes, want %d", r.HTTP.Bytes, c.size)
			}
		})
	}
}

func TestPanic(t *testing.T) {
	type want struct {
		status  int // of the record
		body    string
		aborted bool // the client sees no whole answer
		bytes   int64
		none    bool
	}
	say := func(s string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X-Said", "yes")
			w.Header().Set("Content-Type", "text/plain")
			_, _ = io.WriteString(w, s)
		}
	}
	then := func(h http.HandlerFunc, cause any) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) { h(w, r); panic(cause) }
	}
	nothing := func(http.ResponseWriter, *http.Request) {}
	const failed = "The service failed"
	for name, c := range map[string]struct {
		h    http.HandlerFunc
		want want
	}{
		"at once":             {then(nothing, "boom"), want{status: 500, body: failed}},
		"an error":            {then(nothing, errors.New("boom")), want{status: 500, body: failed}},
		"after a small body":  {then(say("half"), "boom"), want{status: 500, body: failed}},
		"after a Flush":       {then(flushes(say("half")), "boom"), want{status: 200, aborted: true, bytes: 4}},
		"after a large body":  {then(writes(70_000, false), "boom"), want{status: 200, aborted: true, bytes: 70_000}},
		"announced":           {then(flushes(writes(28, true)), "boom"), want{status: 200, aborted: true, bytes: 27}},
		"abort":               {then(nothing, http.ErrAbortHandler), want{status: 0, aborted: true}},
		"abort, small body":   {then(say("half"), http.ErrAbortHandler), want{status: 0, aborted: true}},
		"abort after a Flush": {then(flushes(say("half")), http.ErrAbortHandler), want{status: 200, aborted: true, bytes: 4}},
		"bad status":          {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(42) }, want{status: 500, body: failed}},
		"passed on":           {func(w http.ResponseWriter, r *http.Request) { FromContext(r.Context()).PassOn(); panic("boom") }, want{status: 500, body: failed}},
		"skipped":             {func(w http.ResponseWriter, r *http.Request) { FromContext(r.Context()).Skip(); panic("boom") }, want{status: 500, body: failed, none: true}},
	} {
		for _, protocol := range protocols {
			t.Run(name+" "+protocol, func(t *testing.T) {
				t.Parallel()
				s := &fakeSink{}
				srv := serveRecorded(t, protocol, s, RecorderOptions{}, c.h)
				srv.Config.ErrorLog = nil
				a := ask(t, srv, "GET", "/")
				receive(t, a.done, "the end")
				if (a.err != nil) != c.want.aborted {
					t.Fatalf("answer: %v; want it broken: %v", a.err, c.want.aborted)
				}
				if !c.want.aborted {
					resp := <-a.header
					if resp.StatusCode != 500 || !strings.Contains(string(a.body), c.want.body) || resp.Header.Get("X-Said") != "" ||
						resp.Header.Get("Content-Type") != "application/problem+json" {
						t.Errorf("answer: %d %v %s", resp.StatusCode, resp.Header, a.body)
					}
				}
				if testenv.Wait(t, "release", patience, func() bool { return s.reserved.Load() == 0 }); c.want.none {
					if rs := s.all(); len(rs) > 0 {
						t.Errorf("recorded: %+v", rs)
					}
					return
				}
				r := s.only(t)
				if h := r.HTTP; h.Status != c.want.status || h.Aborted != c.want.aborted || c.want.aborted && h.Bytes != c.want.bytes {
					t.Errorf("record: status %d, aborted %v, bytes %d; want %+v", h.Status, h.Aborted, h.Bytes, c.want)
				}
				if !c.want.aborted && (r.HTTP.BodyKind != record.BodyJSON || string(r.HTTP.Body) != string(a.body)) {
					t.Errorf("record's body: %s, want %s", r.HTTP.Body, a.body)
				}
			})
		}
	}
}

func TestBrokenOff(t *testing.T) {
	for name, c := range map[string]struct {
		h     http.HandlerFunc
		bytes int64
	}{
		"length not met": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			_, _ = w.Write(text(40))
		}, 40},
		"length not met, flushed": {flushes(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			_, _ = w.Write(text(40))
		}), 40},
		"one write too long": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "10")
			_, _ = w.Write(text(5))
			if n, err := w.Write(text(20)); n != 0 || !errors.Is(err, http.ErrContentLength) {
				panic(err)
			}
		}, 5},
	} {
		for _, protocol := range protocols {
			t.Run(name+" "+protocol, func(t *testing.T) {
				s := &fakeSink{}
				a := ask(t, serveRecorded(t, protocol, s, RecorderOptions{}, c.h), "GET", "/")
				if receive(t, a.done, "the end"); a.err == nil {
					t.Errorf("the client got a whole answer: %q", a.body)
				}
				if r := s.only(t); !r.HTTP.Aborted || r.HTTP.Bytes != c.bytes {
					t.Errorf("record: aborted %v, %d bytes; want true, %d", r.HTTP.Aborted, r.HTTP.Bytes, c.bytes)
				}
			})
		}
	}
}

func TestClientGone(t *testing.T) {
	for _, protocol := range protocols {
		t.Run(protocol, func(t *testing.T) {
			s, flushed := &fakeSink{}, make(chan struct{})
			srv := serveRecorded(t, protocol, s, RecorderOptions{}, func(w http.ResponseWriter, r *http.Request) {
				_, _ = w.Write(text(1000))
				w.(http.Flusher).Flush()
				close(flushed)
				<-r.Context().Done()
				_, _ = w.Write(text(1000))
			})
			resp, err := srv.Client().Get(srv.URL)
			if err != nil {
				t.Fatal(err)
			}
			<-flushed
			resp.Body.Close()
			if r := s.only(t); !r.HTTP.Aborted || r.HTTP.Bytes < 1000 || r.HTTP.Status != 200 {
				t.Errorf("record: %+v; want it aborted", r.HTTP)
			}
		})
	}
}

// An answer that was buffered is sent to whoever still listens: a client that has closed
// only its own half gets it whole.
func TestHalfClosedClientGetsAnswer(t *testing.T) {
	s := &fakeSink{}
	srv := serveRecorded(t, "HTTP/1.1", s, RecorderOptions{}, func(w http.ResponseWriter, r *http.Request) {
		<-r.Context().Done() // net/http takes a half-closed client for one that is gone
		_, _ = io.WriteString(w, "hello")
	})
	c := dial(t, srv, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	if err := c.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	if body, err := io.ReadAll(resp.Body); err != nil || string(body) != "hello" {
		t.Errorf("answer %q, %v", body, err)
	}
	if r := s.only(t); r.HTTP.Aborted || r.HTTP.Bytes != 5 {
		t.Errorf("record: %+v; want a whole one", r.HTTP)
	}
}

func TestPublishFails(t *testing.T) {
	s := &fakeSink{fail: ErrClosed}
	a := ask(t, serveRecorded(t, "HTTP/1.1", s, RecorderOptions{}, writes(28, false)), "GET", "/")
	receive(t, a.done, "the answer")
	if a.err != nil || len(a.body) != 28 {
		t.Fatalf("answer: %q, %v; want it all the same", a.body, a.err)
	}
	if h := (<-a.header).Header; h.Get(MarkHeader) != "" {
		t.Errorf("an answer that is not recorded has the mark %q", h.Get(MarkHeader))
	}
}

func TestRefused(t *testing.T) {
	for name, full := range map[string]error{"full": ErrFull, "stopped": ErrClosed} {
		t.Run(name, func(t *testing.T) {
			called := false
			s := &fakeSink{full: full}
			a := ask(t, serveRecorded(t, "HTTP/1.1", s, RecorderOptions{
				Skip: func(r *http.Request) bool { return r.URL.Path == "/livez" },
			}, func(http.ResponseWriter, *http.Request) { called = true }), "GET", "/")
			receive(t, a.done, "the answer")
			if a.err != nil {
				t.Fatal(a.err)
			}
			resp := <-a.header
			if resp.StatusCode != 503 || resp.Header.Get("Retry-After") == "" || resp.Header.Get("Content-Type") != "application/problem+json" ||
				resp.Header.Get(MarkHeader) != "" || !strings.Contains(string(a.body), resp.Header.Get(headerRequestID)) {
				t.Errorf("answer: %d %v %s", resp.StatusCode, resp.Header, a.body)
			}
			if called || len(s.all()) > 0 {
				t.Errorf("handler called: %v, records: %v", called, s.all())
			}
		})
	}
}

func TestSkipNeedsNoRoom(t *testing.T) {
	s := &fakeSink{full: ErrFull}
	srv := serveRecorded(t, "HTTP/1.1", s, RecorderOptions{Skip: func(r *http.Request) bool { return r.URL.Path == "/livez" }},
		func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") })
	a := ask(t, srv, "GET", "/livez")
	if receive(t, a.done, "the answer"); a.err != nil || string(a.body) != "ok" {
		t.Errorf("answer %q, %v", a.body, a.err)
	}
}

// A 500 keeps what was set above the recorder, and nothing of what the handler had set.
func TestPanicKeepsFieldsFromAbove(t *testing.T) {
	s := &fakeSink{}
	h := recorder(t, s, RecorderOptions{}).Wrap(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Set-Cookie", "a=1")
		w.Header().Del("Vary")
		panic("boom")
	}))
	srv := serve(t, "HTTP/1.1", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Vary", "Accept")
		h.ServeHTTP(w, r)
	}))
	a := ask(t, srv, "GET", "/")
	receive(t, a.done, "the answer")
	if h := (<-a.header).Header; h.Get("Vary") != "Accept" || h.Get("Set-Cookie") != "" {
		t.Errorf("header %v", h)
	}
}

// A handler that ends its goroutine leaves a line too.
func TestGoexit(t *testing.T) {
	s := &fakeSink{}
	a := ask(t, serveRecorded(t, "HTTP/1.1", s, RecorderOptions{}, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write(text(10))
		w.(http.Flusher).Flush()
		runtime.Goexit()
	}), "GET", "/")
	receive(t, a.done, "the end")
	if r := s.only(t); !r.HTTP.Aborted || r.HTTP.Bytes != 10 || a.err == nil {
		t.Errorf("record: %+v, answer %v", r.HTTP, a.err)
	}
}
