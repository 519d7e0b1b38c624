package upstream

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
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/earshot-mq/earshot/gateway/strict"
	"github.com/earshot-mq/earshot/internal/queue"
)

// server hands each of its connections to a script.
func server(t *testing.T, script func(n int, c net.Conn, r *bufio.Reader)) (origin string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	var open sync.Map
	all.Go(func() {
		for n := 0; ; n++ {
			c, err := l.Accept()
			if err != nil {
				return
			}
			open.Store(c, true)
			all.Go(func() {
				defer func() { _ = c.Close() }()
				script(n, c, bufio.NewReader(c))
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		open.Range(func(c, _ any) bool { _ = c.(net.Conn).Close(); return true })
		all.Wait()
	})
	return "http://" + l.Addr().String()
}

// answering answers each request with the number of its connection.
func answering(header string) func(int, net.Conn, *bufio.Reader) {
	return func(n int, c net.Conn, r *bufio.Reader) {
		for {
			req, err := http.ReadRequest(r)
			if err != nil {
				return
			}
			body, err := io.ReadAll(req.Body)
			if err != nil {
				return
			}
			text := fmt.Sprintf("%d %s", n, body)
			_, _ = fmt.Fprintf(c, "HTTP/1.1 200 OK\r\n%sContent-Length: %d\r\n\r\n%s", header, len(text), text)
		}
	}
}

func newUpstream(t *testing.T, origin string, o Options) *HTTP {
	t.Helper()
	u, err := NewHTTP("back", []string{origin}, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(u.Close)
	return u
}

func request(t *testing.T, method, body string) *http.Request {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, method, "/", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	if body != "" {
		r.Body, r.ContentLength = io.NopCloser(strings.NewReader(body)), int64(len(body))
	}
	return r
}

func do(t *testing.T, u *HTTP, r *http.Request) string {
	t.Helper()
	a, err := u.Do(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = a.Body.Close() }()
	b, err := io.ReadAll(a.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestKeepsConnections, and not those of which the upstream says that it closes them
// about now: a POST goes over a new one then, with its whole body.
func TestKeepsConnections(t *testing.T) {
	for name, c := range map[string]struct{ header, want string }{
		"kept":          {"", "0 body"},
		"for long":      {"Keep-Alive: max=5, timeout=60\r\n", "0 body"},
		"about to end":  {"Keep-Alive: timeout=1\r\n", "1 body"},
		"not at all":    {"Connection: close\r\n", "1 body"},
		"what is that?": {"Keep-Alive: timeout=x, y\r\n", "0 body"},
	} {
		t.Run(name, func(t *testing.T) {
			u := newUpstream(t, server(t, answering(c.header)), Options{})
			if got := do(t, u, request(t, "POST", "body")); got != "0 body" {
				t.Fatalf("first: %q", got)
			}
			if got := do(t, u, request(t, "POST", "body")); got != c.want {
				t.Errorf("second: %q, want %q", got, c.want)
			}
			if got := do(t, u, request(t, "POST", "")); c.want == "0 body" && got != "0 " {
				t.Errorf("third, without a body: %q", got)
			}
		})
	}
}

// TestBegin: a kept connection that its peer has closed, or on which it has spoken out
// of turn, is of no more use.
func TestBegin(t *testing.T) {
	for name, c := range map[string]struct {
		peer func(net.Conn)
		want bool
	}{
		"nothing": {func(net.Conn) {}, true},
		"closed":  {func(c net.Conn) { _ = c.Close() }, false},
		"half":    {func(c net.Conn) { _ = c.(*net.TCPConn).CloseWrite() }, false},
		"reset":   {func(c net.Conn) { _ = c.(*net.TCPConn).SetLinger(0); _ = c.Close() }, false},
		"spoken":  {func(c net.Conn) { _, _ = io.WriteString(c, "HTTP/1.1 408 Request Timeout\r\n\r\n") }, false},
	} {
		t.Run(name, func(t *testing.T) {
			peers := make(chan net.Conn, 1)
			done := make(chan struct{})
			origin := server(t, func(_ int, c net.Conn, _ *bufio.Reader) { peers <- c; <-done })
			defer close(done)
			under, err := net.Dial("tcp", strings.TrimPrefix(origin, "http://"))
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = under.Close() }()
			kept := newConn(under, true)
			if !kept.begin(time.Now()) {
				t.Fatal("a new connection is refused")
			}
			if _, err := io.WriteString(kept, "x"); err != nil {
				t.Fatal(err)
			}
			peer := <-peers
			if _, err := io.ReadFull(peer, make([]byte, 1)); err != nil {
				t.Fatal(err)
			}
			c.peer(peer)
			if got := kept.begin(time.Now()); got != c.want {
				t.Errorf("begin = %v, want %v", got, c.want)
			}
		})
	}
}

// TestDeafUpstream: what an upstream says before it stops to read is heard; a request of
// which nothing was taken is not lied about.
func TestDeafUpstream(t *testing.T) {
	client, peer := net.Pipe()
	defer func() { _ = peer.Close() }()
	c := newConn(&failing{Conn: client, err: syscall.EPIPE}, true)
	if _, err := c.Write([]byte("a")); !errors.Is(err, syscall.EPIPE) {
		t.Errorf("nothing was written, and Write = %v", err)
	}
	go func() { _, _ = io.ReadFull(peer, make([]byte, 1)) }()
	f := &failing{Conn: client}
	c = newConn(f, true)
	if _, err := c.Write([]byte("a")); err != nil {
		t.Fatal(err)
	}
	f.err = syscall.ECONNRESET
	for range 2 {
		if n, err := c.Write([]byte("bc")); n != 2 || err != nil {
			t.Errorf("Write = %d, %v; the answer would not be read", n, err)
		}
	}
	if c.begin(time.Now()) {
		t.Error("the connection is used again")
	}
	f.err = errors.New("another")
	c = newConn(f, true)
	c.wrote.Store(true)
	if _, err := c.Write([]byte("a")); err == nil {
		t.Error("an error of another kind is hidden")
	}
}

type failing struct {
	net.Conn
	err error
}

func (f *failing) Write(p []byte) (int, error) {
	if f.err != nil {
		return 0, f.err
	}
	return f.Conn.Write(p)
}

// TestUnwantedBody: a client that waits for leave to send its body is not asked for it
// when the answer is here without it.
func TestUnwantedBody(t *testing.T) {
	for range 30 {
		u := newUpstream(t, server(t, func(_ int, c net.Conn, r *bufio.Reader) {
			_, _ = http.ReadRequest(r)
			_, _ = io.WriteString(c, "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno")
			_, _ = r.ReadByte()
		}), Options{})
		r := request(t, "POST", "")
		body := &counting{}
		r.Body, r.ContentLength = body, 4
		r.Header.Set("Expect", "100-continue")
		if got := do(t, u, r); got != "no" {
			t.Errorf("the answer is %q", got)
		}
		if n := body.reads.Load(); n > 0 {
			t.Fatalf("the body was read %d times", n)
		}
	}
}

type counting struct{ reads atomic.Int32 }

func (c *counting) Read([]byte) (int, error) { c.reads.Add(1); return 0, io.EOF }
func (*counting) Close() error               { return nil }

// TestReady tells whether a body has begun to come with its header.
func TestReady(t *testing.T) {
	for name, c := range map[string]struct {
		out  string
		want bool
	}{
		"with the header": {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n", true},
		"later":           {"HTTP/1.1 103 E\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", false},
	} {
		t.Run(name, func(t *testing.T) {
			done := make(chan struct{})
			u := newUpstream(t, server(t, func(_ int, conn net.Conn, r *bufio.Reader) {
				_, _ = http.ReadRequest(r)
				_, _ = io.WriteString(conn, c.out)
				<-done
			}), Options{})
			defer close(done)
			a, err := u.Do(request(t, "GET", ""), nil)
			if err != nil {
				t.Fatal(err)
			}
			if got := a.Body.(interface{ Ready() bool }).Ready(); got != c.want {
				t.Errorf("Ready = %v, want %v", got, c.want)
			}
			_ = a.Body.Close()
		})
	}
}

// TestInformError: whoever can't pass an interim answer on ends the exchange.
func TestInformError(t *testing.T) {
	u := newUpstream(t, server(t, func(_ int, c net.Conn, r *bufio.Reader) {
		_, _ = http.ReadRequest(r)
		_, _ = io.WriteString(c, "HTTP/1.1 103 E\r\nLink: a\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
	}), Options{})
	no := errors.New("no")
	_, err := u.Do(request(t, "GET", ""), func(status int, h http.Header) error {
		if status != 103 || h.Get("Link") != "a" {
			t.Errorf("%d %v", status, h)
		}
		return no
	})
	var e *Error
	if !errors.Is(err, no) || !errors.As(err, &e) || e.Stage != Header {
		t.Errorf("Do = %v", err)
	}
}

// TestCancel: the caller's reason is not taken for the upstream's.
func TestCancel(t *testing.T) {
	var got atomic.Int32
	came := make(chan struct{}, 1)
	u := newUpstream(t, server(t, func(_ int, _ net.Conn, r *bufio.Reader) {
		_, _ = http.ReadRequest(r)
		got.Add(1)
		queue.Signal(came)
		_, _ = r.ReadByte()
	}), Options{})
	ctx, cancel := context.WithCancel(t.Context())
	r := request(t, "GET", "").WithContext(ctx)
	go func() {
		defer cancel()
		select {
		case <-came:
		case <-time.After(5 * time.Second):
			t.Error("the request has not come")
		}
	}()
	_, err := u.Do(r, nil)
	var e *Error
	if !errors.Is(err, context.Canceled) || errors.As(err, &e) {
		t.Errorf("Do = %v, want context.Canceled alone", err)
	}
}

func TestParseOrigin(t *testing.T) {
	for in, good := range map[string]bool{
		"http://a": true, "http://a:80/": true, "https://[::1]:443": true,
		"": false, "a": false, "a:80": false, "http://": false, "http://:80": false, "http://a/b": false, "http://a?": false, "http://a#b": false,
		"ftp://a": false, "http:a": false, "http://a:b": false, "http://u@a": false, "http://u:secret@a": false, "http://u:secret@a:x": false,
	} {
		u, err := ParseOrigin(in)
		if (err == nil) != good {
			t.Errorf("ParseOrigin(%q) = %v, %v", in, u, err)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("ParseOrigin(%q) = %v", in, err)
		}
	}
}

// TestReasons are the words for causes that are hard to bring about.
func TestReasons(t *testing.T) {
	for name, c := range map[string]struct {
		e    Error
		want string
	}{
		"unreachable": {Error{Stage: Dial, Err: syscall.EHOSTUNREACH}, "no route to it"},
		"dial":        {Error{Stage: Dial, Err: syscall.EACCES}, "no connection"},
		"handshake":   {Error{Stage: TLS, Err: io.EOF}, "no TLS handshake"},
		"send":        {Error{Stage: Send, Err: syscall.EPIPE}, "it closed the connection before its answer was whole"},
		"grammar":     {Error{Stage: Header, Err: strict.ErrMalformed}, "its answer is not valid HTTP"},
		"stopped":     {Error{Stage: Body, Limit: time.Second}, "nothing more of its answer within 1s"},
	} {
		if got := c.e.Reason(); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func ExampleHTTP_Do() {
	u, err := NewHTTP("downcase", []string{"http://127.0.0.1:1"}, Options{Dial: time.Second})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer u.Close()
	r, err := http.NewRequest(http.MethodGet, "/downcase/?param=HELLO", http.NoBody)
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = u.Do(r, nil)
	var e *Error
	if errors.As(err, &e) {
		fmt.Println(e.Upstream, e.Stage, e.Reason())
	}
	// Output: downcase dial connection refused
}
