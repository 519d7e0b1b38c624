package gateway

import (
	"encoding/json"
	"encoding/pem"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/earshot-mq/earshot/internal/testenv"
)

// document is a problem document as a client reads it.
type document struct {
	Type, Title, Detail, Instance, Upstream, Stage, Debug, Part, Reason string
	Status                                                              int
}

func readDocument(t *testing.T, a *http.Response, body string) document {
	t.Helper()
	var d document
	if a.Header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("the type is %q", a.Header.Get("Content-Type"))
	}
	if err := json.Unmarshal([]byte(body), &d); err != nil {
		t.Fatalf("%v: %s", err, body)
	}
	if d.Status != a.StatusCode || d.Instance == "" || d.Instance != a.Header.Get("X-Request-Id") || d.Title != http.StatusText(d.Status) || d.Type != "about:blank" {
		t.Errorf("%d, request %q: %+v", a.StatusCode, a.Header.Get("X-Request-Id"), d)
	}
	return d
}

// refused is an address where nothing listens.
func refused(t *testing.T) string {
	l := listen(t)
	_ = l.Close()
	return l.Addr().String()
}

// TestFailures: what the client is told says which upstream and why, and no address.
func TestFailures(t *testing.T) {
	t.Parallel()
	answers := func(out string) func(*testing.T) string {
		return func(t *testing.T) string {
			return onceServer(t, func(c *peer) { c.say(out) }).addr
		}
	}
	silent := func(t *testing.T) string {
		return onceServer(t, func(c *peer) { _, _ = io.Copy(io.Discard, c.r) }).addr
	}
	plain := func(t *testing.T) string {
		return rawServer(t, func(_ int, c *peer) {
			c.say("HTTP/1.1 400 Bad Request\r\n\r\n")
			_, _ = io.Copy(io.Discard, c.r)
		}).addr
	}
	for name, c := range map[string]struct {
		addr   func(*testing.T) string
		scheme string
		more   string
		status int
		stage  string
		detail string
	}{
		"refused":       {addr: refused, status: 502, stage: "dial", detail: `upstream "back" failed: connection refused`},
		"no such name":  {addr: func(*testing.T) string { return "no-such-name.invalid:1" }, status: 502, stage: "dial", detail: `upstream "back" failed: its name is not known`},
		"dial too slow": {addr: full, more: "dial: 50ms", status: 504, stage: "dial", detail: `upstream "back" was too slow: no connection within 50ms`},
		"no TLS":        {addr: plain, scheme: "https", status: 502, stage: "tls", detail: `upstream "back" failed: it does not speak TLS`},
		"foreign CA":    {addr: tlsServer, scheme: "https", status: 502, stage: "tls", detail: `upstream "back" failed: its certificate is not signed by a known authority`},
		"TLS too slow":  {addr: func(t *testing.T) string { return listen(t).Addr().String() }, scheme: "https", more: "tls: 50ms", status: 504, stage: "tls", detail: `upstream "back" was too slow: no TLS handshake within 50ms`},
		"no answer":     {addr: silent, more: "response-header: 50ms", status: 504, stage: "response-header", detail: `upstream "back" was too slow: no answer within 50ms`},
		"half a header": {addr: func(t *testing.T) string {
			return onceServer(t, func(c *peer) { c.say("HTTP/1.1 200 OK\r\nA:"); _, _ = io.Copy(io.Discard, c.r) }).addr
		}, more: "response-header: 50ms", status: 504, stage: "response-header", detail: `upstream "back" was too slow: no answer within 50ms`},
		"interim for ever":   {addr: func(t *testing.T) string { return onceServer(t, interim).addr }, more: "response-header: 100ms", status: 504, stage: "response-header", detail: `upstream "back" was too slow: no answer within 100ms`},
		"total":              {addr: silent, more: "total: 50ms", status: 504, stage: "total", detail: `upstream "back" was too slow: no whole answer within 50ms`},
		"closes":             {addr: answers(""), status: 502, stage: "response-header", detail: `upstream "back" failed: it closed the connection before its answer was whole`},
		"closes in header":   {addr: answers("HTTP/1.1 200 OK\r\nA: b"), status: 502, stage: "response-header", detail: `upstream "back" failed: it closed the connection before its answer was whole`},
		"not HTTP":           {addr: answers("SSH-2.0-OpenSSH_9.2\r\n"), status: 502, stage: "response-header", detail: `upstream "back" failed: its answer is not valid HTTP`},
		"status 000":         {addr: answers("HTTP/1.1 000 No\r\nContent-Length: 0\r\n\r\n"), status: 502, stage: "response-header", detail: `upstream "back" failed: its answer is not valid HTTP`},
		"length and coding":  {addr: answers("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), status: 502, stage: "response-header", detail: `upstream "back" failed: its answer is not valid HTTP`},
		"two lengths":        {addr: answers("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef"), status: 502, stage: "response-header", detail: `upstream "back" failed: its answer is not valid HTTP`},
		"space in a name":    {addr: answers("HTTP/1.1 200 OK\r\nA B: c\r\nContent-Length: 0\r\n\r\n"), status: 502, stage: "response-header", detail: `upstream "back" failed: its answer is not valid HTTP`},
		"space before colon": {addr: answers("HTTP/1.1 200 OK\r\nContent-Length : 5\r\n\r\nabcde"), status: 502, stage: "response-header", detail: `upstream "back" failed: its answer is not valid HTTP`},
		"header too long":    {addr: answers("HTTP/1.1 200 OK\r\nA: " + strings.Repeat("a", 70<<10) + "\r\n\r\n"), status: 502, stage: "response-header", detail: `upstream "back" failed: its answer is not valid HTTP`},
		"switches unasked":   {addr: answers("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"), status: 502, stage: "response-header", detail: `upstream "back" failed: its answer is not valid HTTP`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if c.scheme == "" {
				c.scheme = "http"
			}
			addr := c.addr(t)
			text := strings.Replace(one(addr, "    timeouts: {"+c.more+"}\n"), "http://", c.scheme+"://", 1)
			for _, debug := range []bool{false, true} {
				d := open(t, text, Options{Debug: debug}, nil)
				a, body := get(t, "http://"+d.addr+"/x")
				if a.StatusCode != c.status {
					t.Fatalf("%s %s, want %d", a.Status, body, c.status)
				}
				doc := readDocument(t, a, body)
				if doc.Detail != c.detail || doc.Upstream != "back" || doc.Stage != c.stage {
					t.Errorf("%+v\nwant %q at stage %s", doc, c.detail, c.stage)
				}
				if told := strings.Contains(body, addr) || doc.Debug != ""; told && !debug || debug && doc.Debug == "" {
					t.Errorf("debug %v: %s", debug, body)
				}
			}
		})
	}
}

// full is the address of a listener whose queue is full, so that nobody gets in.
func full(t *testing.T) string {
	t.Helper()
	addr := mute(t)
	for {
		c, err := net.DialTimeout("tcp", addr, 200*time.Millisecond)
		if err != nil {
			return addr
		}
		t.Cleanup(func() { _ = c.Close() })
	}
}

// mute is the address of a socket that listens with the shortest queue and accepts
// nothing.
func mute(t *testing.T) string {
	t.Helper()
	l := shortListener(t)
	t.Cleanup(func() { _ = l.Close() })
	return l.Addr().String()
}

// interim says for a while that it is at work.
func interim(c *peer) {
	for range 100 {
		if _, err := io.WriteString(c.Conn, "HTTP/1.1 102 Processing\r\n\r\n"); err != nil {
			return
		}
		time.Sleep(10 * time.Millisecond) // a second of them, in all
	}
}

func tlsServer(t *testing.T) string {
	t.Helper()
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "over TLS") }))
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // the handshake is to fail
	s.StartTLS()
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

// TestTLS goes to an upstream whose authority is given, and over HTTP/1.1.
func TestTLS(t *testing.T) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.Proto+" "+r.Host)
	}))
	s.EnableHTTP2 = true
	s.StartTLS()
	t.Cleanup(s.Close)
	file := filepath.Join(t.TempDir(), "ca.pem")
	b := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
	text := strings.Replace(one(s.Listener.Addr().String(), "    ca: "+file+"\n    host: upstream\n"), "http://", "https://", 1)
	d := open(t, text, Options{}, nil)
	for range 3 { // kept connections too
		if a, body := get(t, "http://"+d.addr+"/"); a.StatusCode != 200 || body != "HTTP/1.1 "+s.Listener.Addr().String() {
			t.Errorf("%s %q", a.Status, body)
		}
	}
}

// TestBodyStops: an answer that stops is cut after its limit, at its own for streams.
func TestBodyStops(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ header, limits string }{
		"body":          {"Content-Length: 100\r\n", "body-idle: 300ms"},
		"chunked":       {"Transfer-Encoding: chunked\r\n", "body-idle: 300ms"},
		"stream":        {"Content-Type: text/event-stream\r\n", "body-idle: 1m, stream-idle: 300ms"},
		"total":         {"Content-Length: 100\r\n", "total: 300ms"},
		"total, chunks": {"Transfer-Encoding: chunked\r\n", "total: 300ms"},
	} {
		t.Run(name, func(t *testing.T) {
			left := make(chan struct{})
			b := onceServer(t, func(p *peer) {
				p.say("HTTP/1.1 200 OK\r\n" + c.header + "\r\n3\r\nabc\r\n")
				_, _ = io.Copy(io.Discard, p.r)
				close(left)
			})
			d := open(t, one(b.addr, "    timeouts: {"+c.limits+"}\n"), Options{}, nil)
			client := dial(t, d.addr)
			client.say("GET / HTTP/1.1\r\n" + host + "\r\n")
			a, err := http.ReadResponse(client.r, nil)
			if err == nil { // otherwise it is cut before anything has left
				if body, err := io.ReadAll(a.Body); err == nil {
					t.Errorf("%q looks whole", body)
				}
			}
			<-left
		})
	}
}

// TestStreamsHaveNoTotal: a stream outlives the limit of the whole exchange.
func TestStreamsHaveNoTotal(t *testing.T) {
	b := onceServer(t, func(p *peer) {
		p.say("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
		time.Sleep(500 * time.Millisecond) // longer than the limit
		p.say("3\r\nabc\r\n0\r\n\r\n")
	})
	d := open(t, one(b.addr, "    timeouts: {total: 300ms}\n"), Options{}, nil)
	if _, body := get(t, "http://"+d.addr+"/"); body != "abc" {
		t.Errorf("the stream was %q", body)
	}
}

// TestUploadStops tells who stopped: the client gets 408, a deaf upstream 504.
func TestUploadStops(t *testing.T) {
	t.Parallel()
	t.Run("client", func(t *testing.T) {
		left := make(chan struct{})
		b := onceServer(t, func(c *peer) { _, _ = io.Copy(io.Discard, c.r); close(left) })
		d := open(t, "client-idle: 500ms\n"+one(b.addr, "    timeouts: {body-idle: 200ms}\n"), Options{}, nil)
		c := dial(t, d.addr)
		c.say("POST / HTTP/1.1\r\n" + host + "Content-Length: 10\r\n\r\nabc")
		a, body := c.answer("POST")
		if doc := readDocument(t, a, body); doc.Status != 408 || doc.Detail != "nothing of the body within 500ms" || !a.Close {
			t.Errorf("%+v, close %v", doc, a.Close)
		}
		<-left
	})
	t.Run("upstream", func(t *testing.T) {
		done := make(chan struct{})
		b := onceServer(t, func(*peer) { <-done })
		defer close(done)
		d := open(t, one(b.addr, "    timeouts: {body-idle: 200ms}\n"), Options{}, nil)
		c := dial(t, d.addr)
		c.say("POST / HTTP/1.1\r\n" + host + "Content-Length: 100000000\r\n\r\n")
		go func() { _, _ = io.CopyN(c.Conn, zeros{}, 100000000) }()
		a, body := c.answer("POST")
		if doc := readDocument(t, a, body); doc.Status != 504 || doc.Stage != "send" || doc.Detail != `upstream "back" was too slow: it took nothing of the request within 200ms` {
			t.Errorf("%+v", doc)
		}
		_ = c.Close()
	})
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// TestClientTakesNothing: an answer that the client does not read is given up.
func TestClientTakesNothing(t *testing.T) {
	t.Parallel()
	left := make(chan struct{})
	b := onceServer(t, func(c *peer) {
		c.say("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
		_, _ = io.CopyN(c.Conn, zeros{}, 1000000000)
		close(left)
	})
	d := open(t, "client-idle: 100ms\n"+one(b.addr, ""), Options{}, nil)
	c := dial(t, d.addr)
	c.say("GET / HTTP/1.1\r\n" + host + "\r\n")
	select {
	case <-left:
	case <-time.After(patienceInTests):
		t.Error("the upstream is still writing")
	}
}

// TestMalformedBody: the upstream never takes what it got for the whole request.
func TestMalformedBody(t *testing.T) {
	end := make(chan string, 1)
	b := onceServer(t, func(c *peer) {
		got, _ := io.ReadAll(c.r)
		end <- string(got)
	})
	d := open(t, one(b.addr, ""), Options{}, nil)
	c := dial(t, d.addr)
	c.say("POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
	testenv.Wait(t, "the upstream has the request", testenv.Patience, func() bool { return len(b.heads()) == 1 })
	c.say("3\nabc\r\n0\r\n\r\n")
	a, body := c.answer("POST")
	if doc := readDocument(t, a, body); doc.Status != 400 || !a.Close {
		t.Errorf("%+v, close %v", doc, a.Close)
	}
	if got := <-end; strings.Contains(got, "0\r\n\r\n") {
		t.Errorf("the upstream got %q", got)
	}
}

// TestUnrouted: 404 and 405 say no more than they must.
func TestUnrouted(t *testing.T) {
	const text = "upstreams: {back: {url: 'http://127.0.0.1:1'}}\nroutes:\n- {path: /products/{id}, methods: [GET], upstream: back}\n"
	text2 := strings.ReplaceAll(text, "/products/{id}", "'/products/{id}'")
	d := open(t, text2, Options{}, nil)
	a, body := get(t, "http://"+d.addr+"/product/1")
	if doc := readDocument(t, a, body); doc.Status != 404 || doc.Detail != "no route leads there" || strings.Contains(body, "products") {
		t.Errorf("%s", body)
	}
	c := dial(t, d.addr)
	c.say("DELETE /products/1 HTTP/1.1\r\n" + host + "\r\n")
	a, body = c.answer("DELETE")
	if doc := readDocument(t, a, body); doc.Status != 405 || a.Header.Get("Allow") != "GET, HEAD" || doc.Detail != "DELETE is not allowed here; allowed: GET, HEAD" {
		t.Errorf("%s, allow %q", body, a.Header.Get("Allow"))
	}
	d = open(t, text2, Options{Debug: true}, nil)
	a, body = get(t, "http://"+d.addr+"/product/1")
	if doc := readDocument(t, a, body); doc.Debug != `GET /products/{id}: segment 1 is "product", not "products"` {
		t.Errorf("%s", body)
	}
}

// TestRetries: a request is sent again only when that can't do anything twice.
func TestRetries(t *testing.T) {
	const reset = "a connection that dies after the request was read"
	for name, c := range map[string]struct {
		in     string
		status int
		tries  int32
	}{
		"GET":                {"GET / HTTP/1.1\r\n" + host + "\r\n", 200, 2},
		"POST":               {"POST / HTTP/1.1\r\n" + host + "Content-Length: 3\r\n\r\nabc", 502, 1},
		"POST without body":  {"POST / HTTP/1.1\r\n" + host + "Content-Length: 0\r\n\r\n", 502, 1},
		"POST that says so":  {"POST / HTTP/1.1\r\n" + host + "Idempotency-Key: a\r\nContent-Length: 0\r\n\r\n", 502, 1},
		"DELETE with a body": {"DELETE / HTTP/1.1\r\n" + host + "Content-Length: 3\r\n\r\nabc", 502, 1},
	} {
		t.Run(name, func(t *testing.T) {
			var tries atomic.Int32
			b := rawServer(t, func(n int, p *peer) {
				for i := 0; ; i++ {
					r, _ := p.readRequest()
					if r == nil {
						return
					}
					if r.URL.Path == "/" {
						tries.Add(1)
						if n == 0 {
							return // reset
						}
					}
					p.say("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
				}
			})
			d := open(t, one(b.addr, ""), Options{}, nil)
			client := dial(t, d.addr)
			client.say("GET /warm HTTP/1.1\r\n" + host + "\r\n")
			client.answer("GET")
			client.say(c.in)
			a, body := client.answer("POST")
			if a.StatusCode != c.status || tries.Load() != c.tries {
				t.Errorf("%s: %s %s after %d tries, want %d after %d", reset, a.Status, body, tries.Load(), c.status, c.tries)
			}
			if h := strings.Join(b.heads(), ""); name == "POST that says so" && !strings.Contains(strings.ToLower(h), "idempotency-key: a\r\n") {
				t.Errorf("the key is lost:\n%s", h)
			}
		})
	}
}

// TestDeadKeptConnection: when the upstream has closed a kept connection, a POST with a
// body gets there over a new one, each time.
func TestDeadKeptConnection(t *testing.T) {
	closed := make(chan struct{})
	b := rawServer(t, func(_ int, p *peer) {
		if r, _ := p.readRequest(); r != nil {
			p.say("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
			_ = p.Close()
			closed <- struct{}{}
		}
	})
	d := open(t, one(b.addr, ""), Options{}, nil)
	client := dial(t, d.addr)
	for i := range 300 {
		client.say("POST / HTTP/1.1\r\n" + host + "Content-Length: 3\r\n\r\nabc")
		if a, body := client.answer("POST"); a.StatusCode != 200 {
			t.Fatalf("request %d: %s %s", i, a.Status, body)
		}
		<-closed
	}
	if n := len(b.heads()); n != 300 {
		t.Errorf("the upstream got %d requests, want 300", n)
	}
}
