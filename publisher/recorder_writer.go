package publisher

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
)

// errReturned is what a writer says that its handler has leaked.
var errReturned = errors.New("publisher: the handler has returned")

// A writer shows of a response what the writer below has, or one that it unwraps to, and
// no more: whoever asks for a http.Hijacker or a http.Flusher must find the truth.
// Nothing that is below may be reached around the recorder, as http.ResponseController
// would do by Unwrap, so what is found anywhere is shown here.
type (
	plainWriter  struct{ p *response }
	flushWriter  struct{ plainWriter }
	hijackWriter struct{ flushWriter } // HTTP/1
	pushWriter   struct{ flushWriter } // HTTP/2
	fullWriter   struct{ hijackWriter }
)

// writer is the response as its handler gets it.
func (p *response) writer() http.ResponseWriter {
	w := plainWriter{p}
	flush := has[http.Flusher](p.under) || has[interface{ FlushError() error }](p.under)
	hijack := has[http.Hijacker](p.under)
	push := has[http.Pusher](p.under)
	switch {
	case hijack && push:
		return fullWriter{hijackWriter{flushWriter{w}}}
	case hijack:
		return hijackWriter{flushWriter{w}}
	case push:
		return pushWriter{flushWriter{w}}
	case flush:
		return flushWriter{w}
	}
	return w
}

// has tells whether w, or what it unwraps to, is a T.
func has[T any](w http.ResponseWriter) bool {
	_, ok := as[T](w)
	return ok
}

func as[T any](w http.ResponseWriter) (t T, ok bool) {
	for {
		if t, ok = w.(T); ok {
			return t, true
		}
		u, unwraps := w.(interface{ Unwrap() http.ResponseWriter })
		if !unwraps {
			return t, false
		}
		w = u.Unwrap()
	}
}

func (w plainWriter) Header() http.Header                   { return w.p.under.Header() }
func (w plainWriter) WriteHeader(status int)                { w.p.writeHeader(status) }
func (w plainWriter) Write(b []byte) (int, error)           { return put(w.p, b) }
func (w plainWriter) WriteString(s string) (int, error)     { return put(w.p, s) }
func (w plainWriter) ReadFrom(src io.Reader) (int64, error) { return w.p.readFrom(src) }
func (w plainWriter) Unwrap() http.ResponseWriter           { return w.p.under }

// CloseNotify is there for gin, whose Stream asks for it.
func (w plainWriter) CloseNotify() <-chan bool {
	//nolint:staticcheck // deprecated, but net/http and gin still have it
	if n, ok := as[http.CloseNotifier](w.p.under); ok {
		return n.CloseNotify()
	}
	return make(chan bool)
}

func (w flushWriter) FlushError() error { return w.p.flush() }
func (w flushWriter) Flush()            { _ = w.p.flush() } // as http.Flusher has it: no error

func (w hijackWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) { return w.p.hijack() }

func (w pushWriter) Push(target string, o *http.PushOptions) error { return w.p.push(target, o) }
func (w fullWriter) Push(target string, o *http.PushOptions) error { return w.p.push(target, o) }

func (p *response) push(target string, o *http.PushOptions) error {
	pusher, ok := as[http.Pusher](p.under)
	if !ok {
		return http.ErrNotSupported
	}
	return pusher.Push(target, o)
}
