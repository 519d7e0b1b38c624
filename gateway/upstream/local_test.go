package upstream

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/earshot-mq/earshot/internal/testenv"
)

// heard is what a client gets of an exchange.
type heard struct {
	Interim []string
	Status  int
	Header  http.Header
	Length  int64
	Body    string
	Trailer http.Header
	Failed  string // stage and cause
}

// hear does a request and hears all of the answer.
func hear(u *HTTP, r *http.Request) (h heard) {
	fail := func(err error) heard {
		var e *Error
		if !errors.As(err, &e) {
			h.Failed = err.Error()
			return h
		}
		h.Failed = fmt.Sprint(e.Stage, ": ", e.Reason())
		return h
	}
	a, err := u.Do(r, func(status int, f http.Header) error {
		h.Interim = append(h.Interim, fmt.Sprint(status, f["Link"]))
		return nil
	})
	if err != nil {
		return fail(err)
	}
	defer func() { _ = a.Body.Close() }()
	h.Status, h.Header, h.Length = a.StatusCode, a.Header, a.ContentLength
	b, err := io.ReadAll(a.Body)
	h.Body, h.Trailer = string(b), a.Trailer
	if err != nil {
		return fail(err)
	}
	return h
}

// same makes of an answer that came over a connection what a local one is: the connection's
// own fields are away, and the length of a body is known as soon as the handler has returned. sent
// tells whether the request had a body.
func (h heard) same(l heard, sent bool) heard {
	for _, name := range []string{"Date", "Connection", "Trailer"} {
		delete(h.Header, name)
	}
	if h.Failed != "" && l.Failed != "" && h.Status == 0 && sent { // while it was sent or behind it: that is chance
		h.Failed = l.Failed
	}
	if v, ok := h.Header["Content-Length"]; ok && v == nil { // the transport's, of a HEAD's answer without one
		delete(h.Header, "Content-Length")
	}
	if h.Length == -1 && (h.Status == http.StatusNoContent || h.Status == http.StatusNotModified) {
		h.Length = 0
	}
	if length := l.Header["Content-Length"]; h.Length == -1 && len(length) > 0 {
		h.Length, h.Header["Content-Length"] = l.Length, length
	}
	return h
}

// TestLocal: a handler answers as it does behind a real server.
func TestLocal(t *testing.T) {
	large := strings.Repeat("0123456789abcdef", 3*localBuffer/16)
	handlers := map[string]http.HandlerFunc{
		"nothing": func(http.ResponseWriter, *http.Request) {},
		"text":    func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") },
		"sniffed": func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>") },
		"no type": func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["Content-Type"] = nil
			_, _ = w.Write([]byte("x"))
		},
		"encoded": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "br")
			_, _ = w.Write([]byte("x"))
		},
		"no content": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(204)
			_, err := w.Write([]byte("x"))
			refused(err)
		},
		"unchanged": func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Etag", `"1"`); w.WriteHeader(304) },
		"teapot": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(418)
			w.WriteHeader(200)
			_, _ = w.Write([]byte("tea"))
		},
		"late field": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Add("X-A", "1")
			w.WriteHeader(200)
			w.Header().Add("X-A", "2")
			w.Header().Set("X-B", "2")
		},
		"announced": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "5")
			_, _ = io.WriteString(w, "hello")
			if _, err := io.WriteString(w, "!"); !errors.Is(err, http.ErrContentLength) {
				panic(err)
			}
		},
		"too short": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "9")
			_, _ = io.WriteString(w, "hello")
		},
		"no length": func(w http.ResponseWriter, r *http.Request) {
			if r.Method != http.MethodHead { // net/http sends it
				w.Header().Set("Content-Length", "x")
			}
			_, _ = io.WriteString(w, "hello")
		},
		"medium": func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, large[:5000]) },
		"large":  func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, large) },
		"in bits": func(w http.ResponseWriter, _ *http.Request) {
			for i := range 2000 {
				_, _ = fmt.Fprintf(w, "%d %s\n", i, large[:i%97])
				if i%10 == 0 {
					w.(http.Flusher).Flush()
				}
			}
		},
		"flushed first": func(w http.ResponseWriter, _ *http.Request) {
			_ = http.NewResponseController(w).Flush()
			_, _ = io.WriteString(w, "hello")
		},
		"trailers": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Trailer", "X-Sum, X-None")
			_, _ = io.WriteString(w, "hello")
			w.Header().Set("X-Sum", "1")
			w.Header().Set("X-Other", "2")
		},
		"no such field": func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["No Name"] = []string{"1"}
			_, _ = io.WriteString(w, "hello")
		},
		"odd fields": func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["X-A"] = []string{" 1\r\nX-C: 1 ", "2"}
			w.Header()["x-a"] = []string{"3"}
			w.Header()["earshot-record"] = []string{"4"}
			_, _ = io.WriteString(w, "hello")
		},
		"no such value": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-A", "1\x002")
			_, _ = io.WriteString(w, "hello")
		},
		"fields of no body": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/css")
			w.Header().Set("Content-Length", "5")
			w.WriteHeader(304)
		},
		"chunked by itself": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Transfer-Encoding", "chunked")
			_, _ = io.WriteString(w, "hello")
		},
		"trailers and a length": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Trailer", "X-Sum")
			w.Header().Set("Content-Length", "5")
			_, _ = io.WriteString(w, "hello")
			w.Header().Set("X-Sum", "1")
		},
		"early trailers": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set(http.TrailerPrefix+"X-Sum", "1")
			_, _ = io.WriteString(w, "hello")
		},
		"late trailers": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "hello")
			w.(http.Flusher).Flush()
			w.Header().Set(http.TrailerPrefix+"X-Late", "3")
		},
		"early hints": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Link", "</x>")
			w.WriteHeader(103)
			w.Header().Set("Link", "</y>")
			w.WriteHeader(103)
			_, _ = io.WriteString(w, "hello")
		},
		"panics":     func(http.ResponseWriter, *http.Request) { panic("no") },
		"aborts":     func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"bad status": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(99) },
		"breaks off": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "hel")
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		},
		"request": func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			_, _ = fmt.Fprintf(w, "%s %s %q %q %s %d %q %s %v %v %v\n", r.Method, r.RequestURI, r.URL.Path, r.URL.RawPath, r.URL.RawQuery,
				r.ContentLength, r.TransferEncoding, r.Proto, r.URL.IsAbs(), len(body), err)
			_ = r.Header.Write(w)
		},
		"host": func(w http.ResponseWriter, r *http.Request) { _, _ = fmt.Fprintf(w, "%v", r.Host == "given.example") },
	}
	requests := map[string]func(*http.Request){
		"GET":  func(*http.Request) {},
		"HEAD": func(r *http.Request) { r.Method = "HEAD" },
		"POST": func(r *http.Request) {
			r.Method, r.Body, r.ContentLength = "POST", io.NopCloser(strings.NewReader("body")), 4
			r.Header.Set("Idempotency-Key", "k")
			r.Header.Set("User-Agent", "")
		},
		"empty": func(r *http.Request) { r.Method, r.Body = "POST", http.NoBody },
		"chunked": func(r *http.Request) {
			r.Method, r.Body, r.ContentLength = "PUT", io.NopCloser(io.LimitReader(endless{}, 20_000)), -1
			r.Header.Set("User-Agent", "me")
		},
		"path": func(r *http.Request) {
			r.URL.Path, r.URL.RawPath, r.URL.RawQuery = "/a b/c/d", "/a%20b/c%2Fd", "q=%20&r"
			r.Header["X-Twice"] = []string{"1", "2"}
		},
	}
	log := slog.New(slog.DiscardHandler)
	for name, handler := range handlers {
		// What a server has not read of a request it may answer with a reset, which takes its answer
		// back; TestLocalReadsLate has what is left of a request.
		h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if len(r.TransferEncoding) > 0 && name != "request" {
				_, _ = io.Copy(io.Discard, r.Body)
			}
			handler(w, r)
		})
		t.Run(name, func(t *testing.T) {
			s := httptest.NewUnstartedServer(h)
			s.Config.ErrorLog = slog.NewLogLogger(log.Handler(), slog.LevelDebug)
			s.Config.SetKeepAlivesEnabled(false) // what breaks one answer off must not be met by the next request
			s.Start()
			defer s.Close()
			far := newUpstream(t, s.URL, Options{})
			near := NewLocal("back", h, Options{Logger: log})
			for how, change := range requests {
				ask := func(u *HTTP) heard {
					r := request(t, "GET", "")
					r.Host = "given.example"
					r.Header.Set("User-Agent", "")
					change(r)
					return hear(u, r)
				}
				local := ask(near)
				want := ask(far).same(local, how == "POST" || how == "chunked")
				delete(local.Header, "Trailer")
				if local.Body != "" && local.Failed == "" && local.Length >= 0 && local.Length != int64(len(local.Body)) {
					t.Errorf("%s: a body of %d bytes has the length %d", how, len(local.Body), local.Length)
				}
				if !reflect.DeepEqual(local, want) {
					t.Errorf("%s: the answer is\n%+v\nand behind a server it is\n%+v", how, cut(local), cut(want))
				}
			}
		})
	}
}

// TestLocalReadsLate: what is left of a request when its answer leaves is read as a server
// reads it, unless the handler wants it, or it is long.
func TestLocalReadsLate(t *testing.T) {
	for name, full := range map[string]bool{"one way": false, "both ways": true} {
		h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if full {
				_ = http.NewResponseController(w).EnableFullDuplex()
			}
			_ = http.NewResponseController(w).Flush()
			body, err := io.ReadAll(r.Body)
			_, _ = fmt.Fprint(w, len(body), err)
		})
		s := httptest.NewServer(h)
		defer s.Close()
		for _, size := range []int64{5, 200_000, 2_000_000} {
			ask := func(u *HTTP) string {
				r := request(t, "PUT", "")
				r.Body, r.ContentLength = io.NopCloser(io.LimitReader(endless{}, size)), size
				return hear(u, r).Body
			}
			if got, want := ask(NewLocal("back", h, Options{})), ask(newUpstream(t, s.URL, Options{})); got != want {
				t.Errorf("%s, %d bytes: the handler reads %q, and behind a server %q", name, size, got, want)
			}
		}
	}
}

// refused panics unless a body was refused.
func refused(err error) {
	if !errors.Is(err, http.ErrBodyNotAllowed) {
		panic(err)
	}
}

func cut(h heard) heard {
	h.Body = h.Body[:min(len(h.Body), 300)]
	return h
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return copy(p, bytes.Repeat([]byte("x"), len(p))), nil }

func receive[T any](t *testing.T, c <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(10 * time.Second):
		t.Fatal("nothing has come")
	}
	return v
}

// TestLocalContext: a handler has nothing of its client's context but the end.
func TestLocalContext(t *testing.T) {
	type key struct{}
	began, ended := make(chan *http.Request), make(chan error, 1)
	u := NewLocal("back", http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		began <- r
		<-r.Context().Done()
		ended <- r.Context().Err()
	}), Options{})
	ctx, cancel := context.WithCancel(context.WithValue(t.Context(), key{}, "client"))
	answered := make(chan error, 1)
	go func() {
		_, err := u.Do(request(t, "GET", "").WithContext(ctx), nil)
		answered <- err
	}()
	r := receive(t, began)
	if v := r.Context().Value(key{}); v != nil {
		t.Errorf("the handler sees %v of the client's context", v)
	}
	if r.RemoteAddr != LocalAddr {
		t.Errorf("it is asked from %s", r.RemoteAddr)
	}
	if got := u.State().Replicas; len(got) != 1 || got[0].InFlight != 1 || !got[0].In || got[0].Addr != "this process" {
		t.Errorf("the state is %+v", got)
	}
	cancel()
	if err := receive(t, answered); !errors.Is(err, context.Canceled) {
		t.Errorf("the client gets %v", err)
	}
	if err := receive(t, ended); !errors.Is(err, context.Canceled) {
		t.Errorf("the handler gets %v", err)
	}
}

// TestLocalLimits: each stage has its time, and who exceeds it is told.
func TestLocalLimits(t *testing.T) {
	const limit = 50 * time.Millisecond
	for name, c := range map[string]struct {
		o    Options
		h    http.HandlerFunc
		body io.Reader
		want string
	}{
		"no answer": {Options{Header: limit}, func(_ http.ResponseWriter, r *http.Request) {
			<-r.Context().Done()
		}, nil, "response-header: no answer within 50ms"},
		"no answer to a body": {Options{Header: limit}, func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			<-r.Context().Done()
		}, strings.NewReader("body"), "response-header: no answer within 50ms"},
		"body not wanted": {Options{BodyIdle: limit}, func(_ http.ResponseWriter, r *http.Request) {
			<-r.Context().Done()
		}, strings.NewReader("body"), "send: it took nothing of the request within 50ms"},
		"half a body": {Options{BodyIdle: limit}, func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, "hel")
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		}, nil, "body: nothing more of its answer within 50ms"},
	} {
		t.Run(name, func(t *testing.T) {
			u := NewLocal("back", c.h, c.o)
			r := request(t, "POST", "")
			if c.body != nil {
				r.Body, r.ContentLength = io.NopCloser(c.body), -1
			}
			if got := hear(u, r); got.Failed != c.want {
				t.Errorf("failed with %q, want %q", got.Failed, c.want)
			}
			if n := u.State().Failures; n != 1 {
				t.Errorf("%d failures are counted", n)
			}
			stop, cancel := context.WithCancel(t.Context())
			cancel()
			if err := u.Run(stop); err != nil || u.local.running.Load() != 0 {
				t.Errorf("Run = %v, and %d handlers run", err, u.local.running.Load())
			}
		})
	}
}

// TestLocalToldToEnd: a handler that returns because it is told that the exchange has ended has
// not brought its answer to an end.
func TestLocalToldToEnd(t *testing.T) {
	for name, h := range map[string]http.HandlerFunc{
		"header": func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		"body": func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, "hel")
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		},
	} {
		t.Run(name, func(t *testing.T) {
			for range 100 {
				u := NewLocal("back", h, Options{Header: time.Millisecond, BodyIdle: time.Millisecond})
				if got := hear(u, request(t, "GET", "")); got.Failed == "" {
					t.Fatalf("it hears %+v", got)
				}
			}
		})
	}
	t.Run("total", func(t *testing.T) {
		u := NewLocal("back", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, "hello")
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		}), Options{})
		ctx, cancel := context.WithCancelCause(t.Context())
		a, err := u.Do(request(t, "GET", "").WithContext(ctx), nil)
		if err != nil {
			t.Fatal(err)
		}
		cancel(&Error{Stage: Total, Limit: time.Second, Err: context.DeadlineExceeded})
		for u.local.running.Load() > 0 {
			runtime.Gosched()
		}
		b, err := io.ReadAll(a.Body)
		var e *Error
		if !errors.As(err, &e) || e.Stage != Total {
			t.Errorf("the body is %q, %v", b, err)
		}
	})
}

// TestLocalSlowClient: a client that is slow, not the upstream, has all the time.
func TestLocalSlowClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := NewLocal("back", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			b, err := io.ReadAll(r.Body)
			_, _ = fmt.Fprint(w, string(b), err)
		}), Options{Header: time.Second, BodyIdle: time.Second})
		r := request(t, "POST", "")
		r.Body, r.ContentLength = io.NopCloser(&slow{left: 3}), -1
		if got := hear(u, r); got.Body != "xxx<nil>" {
			t.Errorf("it hears %+v", got)
		}
	})
}

// slow gives a byte each two seconds, by the clock of synctest.
type slow struct{ left int }

func (s *slow) Read(p []byte) (int, error) {
	<-time.After(2 * time.Second)
	if s.left--; s.left < 0 {
		return 0, io.EOF
	}
	p[0] = 'x'
	return 1, nil
}

// TestLocalPressure: what nobody reads yet is bounded, and whoever reads no more ends the
// handler's writing.
func TestLocalPressure(t *testing.T) {
	wrote, ended := make(chan int, 100), make(chan error, 1)
	piece := make([]byte, localBuffer/4)
	u := NewLocal("back", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for n := 1; ; n++ {
			if _, err := w.Write(piece); err != nil {
				ended <- err
				return
			}
			wrote <- n
		}
	}), Options{})
	a, err := u.Do(request(t, "GET", ""), nil)
	if err != nil {
		t.Fatal(err)
	}
	for range 4 {
		receive(t, wrote)
	}
	for range 1000 { // it has every chance to write more
		runtime.Gosched()
	}
	if len(wrote) > 0 {
		t.Error("more is written than is held")
	}
	if _, err := io.ReadFull(a.Body, make([]byte, len(piece)+1)); err != nil {
		t.Fatal(err)
	}
	receive(t, wrote)
	if err := a.Body.Close(); err != nil {
		t.Fatal(err)
	}
	if err := receive(t, ended); !errors.Is(err, errDropped) {
		t.Errorf("the handler gets %v", err)
	}
}

// TestLocalMemory: of a long answer whose reader is never quite through no more is held than of a
// short one.
func TestLocalMemory(t *testing.T) {
	u := NewLocal("back", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for range 200 {
			_, _ = w.Write(make([]byte, localBuffer/2))
		}
	}), Options{})
	a, err := u.Do(request(t, "GET", ""), nil)
	if err != nil {
		t.Fatal(err)
	}
	w := a.Body.(*answerBody).body.(*answerReader).w
	piece, total, most := make([]byte, localBuffer/4), 0, 0
	for {
		n, err := io.ReadFull(a.Body, piece)
		if total += n; err != nil {
			break
		}
		for range 100 { // the handler has every chance to write more
			runtime.Gosched()
		}
		w.mu.Lock()
		most = max(most, cap(w.body))
		w.mu.Unlock()
	}
	if total != 100*localBuffer || most > 4*localBuffer {
		t.Errorf("of %d bytes %d are held at once", total, most)
	}
}

// TestLocalForm: the files of a form are removed when the handler has returned.
func TestLocalForm(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	u := NewLocal("back", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		err := r.ParseMultipartForm(10)
		all, _ := os.ReadDir(dir)
		_, _ = fmt.Fprint(w, len(all), err)
	}), Options{})
	body, contentType := testenv.Form(t)
	r := request(t, "POST", "")
	r.Header.Set("Content-Type", contentType)
	r.Body, r.ContentLength = io.NopCloser(body), int64(body.Len())
	if got := hear(u, r); got.Body != "1 <nil>" {
		t.Fatalf("the handler says %+v", got)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := u.Run(ctx); err != nil { // waits for it
		t.Fatal(err)
	}
	if all, err := os.ReadDir(dir); err != nil || len(all) > 0 {
		t.Errorf("files are left: %v, %v", all, err)
	}
}

// TestLocalGoesOn: a handler whose answer is whole may do something more, and nobody waits for
// it or tells it to end.
func TestLocalGoesOn(t *testing.T) {
	for name, answer := range map[string]http.HandlerFunc{
		"no body": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) },
		"length": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "5")
			_, _ = io.WriteString(w, "hello")
		},
	} {
		goOn, ended := make(chan struct{}), make(chan error, 1)
		h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			answer(w, r)
			_ = http.NewResponseController(w).Flush()
			<-goOn
			select {
			case <-r.Context().Done():
			case <-time.After(50 * time.Millisecond):
			}
			ended <- r.Context().Err()
		})
		s := httptest.NewServer(h)
		defer s.Close()
		for where, u := range map[string]*HTTP{"local": NewLocal("back", h, Options{}), "behind a server": newUpstream(t, s.URL, Options{})} {
			got := make(chan heard, 1)
			go func() { got <- hear(u, request(t, "GET", "")) }()
			select {
			case h := <-got:
				if h.Failed != "" {
					t.Errorf("%s, %s: it hears %+v", name, where, h)
				}
			case <-time.After(2 * time.Second):
				t.Errorf("%s, %s: the answer does not end", name, where)
			}
			goOn <- struct{}{}
			if err := receive(t, ended); err != nil {
				t.Errorf("%s, %s: the handler is told %v", name, where, err)
			}
		}
	}
}

// TestLocalMany: answers do not mix, whoever is cut off.
func TestLocalMany(t *testing.T) {
	u := NewLocal("back", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, _ := io.ReadAll(r.Body)
		w.Header().Set("X-Id", string(id))
		for range 20 {
			_, _ = w.Write(bytes.Repeat(id, 1000))
		}
	}), Options{})
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for n := range 50 {
				id := fmt.Sprintf("%d-%d,", i, n)
				a, err := u.Do(request(t, "POST", id), nil)
				if err != nil {
					t.Error(err)
					return
				}
				var b bytes.Buffer
				if n%3 == 0 {
					_, err = io.CopyN(&b, a.Body, 5000)
				} else {
					_, err = b.ReadFrom(a.Body)
				}
				if err != nil || strings.ReplaceAll(b.String(), id, "") != id[:b.Len()%len(id)] || a.Header.Get("X-Id") != id {
					t.Errorf("%s: %d bytes, %v", id, b.Len(), err)
				}
				_ = a.Body.Close()
			}
		})
	}
	all.Wait()
}

// TestLocalStays: a handler that does not return although its client has gone is told of at the
// end, which does not wait for it.
func TestLocalStays(t *testing.T) {
	leave := make(chan struct{})
	defer close(leave)
	u := NewLocal("back", http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-leave }), Options{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, _ = u.Do(request(t, "GET", "").WithContext(ctx), nil)
	if err := u.Run(ctx); err == nil || !strings.Contains(err.Error(), "1 requests have not ended") {
		t.Errorf("Run = %v", err)
	}
}

// TestLocalLeaked: what a handler has leaked writes nothing when it has returned.
func TestLocalLeaked(t *testing.T) {
	var leaked http.ResponseWriter
	u := NewLocal("back", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		leaked = w
		_, _ = io.WriteString(w, "hello")
	}), Options{})
	a, err := u.Do(request(t, "GET", ""), nil)
	if err != nil {
		t.Fatal(err)
	}
	stop, cancel := context.WithCancel(t.Context())
	cancel()
	if err := u.Run(stop); err != nil { // it has returned
		t.Fatal(err)
	}
	if n, err := leaked.Write([]byte("more")); n != 0 || err == nil {
		t.Errorf("Write = %d, %v", n, err)
	}
	if b, err := io.ReadAll(a.Body); string(b) != "hello" || err != nil {
		t.Errorf("the body is %q, %v", b, err)
	}
}
