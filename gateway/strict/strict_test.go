package strict

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

// messages are requests, each on a connection of its own; good tells whether they pass.
var messages = map[string]struct {
	in   string
	good bool
}{
	"GET":                 {"GET / HTTP/1.1\r\nHost: a\r\n\r\n", true},
	"two":                 {"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /b HTTP/1.0\r\n\r\n", true},
	"empty lines between": {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx\r\n\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", false},
	"CRLF between":        {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", true},
	"body like a head":    {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 7\r\n\r\nA B: c\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", true},
	"second is bad":       {"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nA B: c\r\n\r\n", false},
	"after a body, bad":   {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcGET / HTTP/1.1\nA: c\r\n\r\n", false},
	"chunks":              {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n00A;n=\"v\"\r\n0123456789\r\n0\r\nT: v\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", true},
	"trailer is bad":      {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nT v: w\r\n\r\n", false},
	"after chunks, bad":   {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET / HTTP/1.1\r\n b\r\n\r\n", false},
	"upgrade":             {"GET / HTTP/1.1\r\nHost: a\r\nConnection: a, Upgrade\r\nUpgrade: WebSocket\r\n\r\n\x00\nA B: c\n\n", true},
	"upgrade, no token":   {"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n\x00\nA B: c\n\n", false},
	"upgrade with body":   {"POST / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 1\r\n\r\nxGET /\r\n\r\n", false},
	"h2c is no upgrade":   {"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\nA B: c\r\n\r\n", false},
	"long line":           {"GET /" + strings.Repeat("a", maxLine+1) + " HTTP/1.1\r\n", false},
	"value with tab":      {"GET / HTTP/1.1\r\nHost: a\r\nA: \tb\tc\t\r\n\r\n", true},
	"value with UTF-8":    {"GET / HTTP/1.1\r\nHost: a\r\nA: ä\r\n\r\n", true},
	"value with DEL":      {"GET / HTTP/1.1\r\nHost: a\r\nA: \x7f\r\n\r\n", false},
	"target with UTF-8":   {"GET /ä?ä HTTP/1.1\r\nHost: a\r\n\r\n", true},
	"target with DEL":     {"GET /\x7f HTTP/1.1\r\nHost: a\r\n\r\n", false},
	"CR CR LF":            {"GET / HTTP/1.1\r\nHost: a\r\r\n\r\n", false},
	"chunk CR CR LF":      {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\r\nx\r\n0\r\n\r\n", false},
	"half":                {"GET / HTTP/1.1\r\nHost: a", true},
}

// TestScan reads each message as a whole and byte by byte: where a read ends must not
// matter.
func TestScan(t *testing.T) {
	for name, c := range messages {
		t.Run(name, func(t *testing.T) {
			whole := newRequests()
			n, err := whole.scan([]byte(c.in))
			single := newRequests()
			var m int
			var serr error
			for ; m < len(c.in) && serr == nil; m++ {
				var used int
				if used, serr = single.scan([]byte{c.in[m]}); used == 0 && serr == nil {
					t.Fatalf("nothing of %q is used at %d", c.in[m], m)
				}
			}
			if serr != nil {
				m--
			}
			if (err == nil) != c.good || (serr == nil) != c.good {
				t.Errorf("whole: %v, byte by byte: %v, want good %v", err, serr, c.good)
			}
			if err != nil && !errors.Is(err, ErrMalformed) {
				t.Errorf("%v does not wrap ErrMalformed", err)
			}
			if name != "long line" && n != m {
				t.Errorf("whole: bad at %d, byte by byte: at %d", n, m)
			}
		})
	}
}

// TestResponses: what passes for an answer, and where its head ends.
func TestResponses(t *testing.T) {
	for name, c := range map[string]struct {
		in   string
		head int // length of the head; below zero: refused
	}{
		"plain":              {"HTTP/1.1 200 OK\r\nA: b\r\n\r\nbody", 25},
		"interim":            {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\nbody", 44},
		"switch":             {"HTTP/1.1 101 Switching Protocols\r\n\r\n\x00", 36},
		"bare LF and fold":   {"HTTP/1.1 200 OK\nA: b\n c\n\nbody", 25},
		"length and coding":  {"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", -1},
		"two lengths":        {"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n", -1},
		"coding in HTTP/1.0": {"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", -1},
		"space in a name":    {"HTTP/1.1 200 OK\r\nA b: c\r\n\r\n", -1},
		"second head is bad": {"HTTP/1.1 103 E\r\nA: b\r\n\r\nHTTP/1.1 200 OK\r\nA b: c\r\n\r\n", -1},
	} {
		t.Run(name, func(t *testing.T) {
			h := NewResponse()
			n, err := h.Scan([]byte(c.in))
			if c.head < 0 != (err != nil) || err == nil && n != c.head {
				t.Errorf("Scan = %d, %v; want %d", n, err, c.head)
			}
			if m, err := h.Scan([]byte("more\n\n")); c.head >= 0 && (m != 0 || err != nil) {
				t.Errorf("behind the head: %d, %v", m, err)
			}
			h.Reset()
			if n, err := h.Scan([]byte("HTTP/1.1 204 No\r\n\r\n")); n != 19 || err != nil {
				t.Errorf("the next: %d, %v", n, err)
			}
		})
	}
}

// TestListener: a server answers 400 to what is refused, and its owner is told.
func TestListener(t *testing.T) {
	refused := make(chan error, 1)
	addr := serve(t, Options{Refused: func(from net.Addr, err error) {
		if from == nil {
			t.Error("refused from nowhere")
		}
		refused <- err
	}})
	c := dial(t, addr)
	if _, err := io.WriteString(c, "GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\nA: b\nC: d\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(c)
	if err != nil {
		t.Fatal(err)
	}
	if s := string(got); !strings.Contains(s, "\r\n\r\n/1HTTP/1.1 400 Bad Request\r\n") || strings.Contains(s, "/2") {
		t.Errorf("the client got %q", s)
	}
	if err := <-refused; !errors.Is(err, ErrMalformed) {
		t.Errorf("refused for %v", err)
	}
}

// TestBodyIdle: the rest of a body that nobody wants is not waited for without end.
func TestBodyIdle(t *testing.T) {
	addr := serve(t, Options{BodyIdle: 100 * time.Millisecond})
	c := dial(t, addr)
	if _, err := io.WriteString(c, "POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc"); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(c); err != nil || !strings.HasSuffix(string(got), "/1") {
		t.Errorf("%q, %v", got, err)
	}
}

// serve echoes paths.
func serve(t *testing.T, o Options) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{ReadHeaderTimeout: time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.URL.Path)
	})}
	done := make(chan error, 1)
	go func() { done <- s.Serve(NewListener(l, o)) }()
	t.Cleanup(func() {
		if err := errors.Join(s.Close(), <-done); !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	return l.Addr().String()
}

func dial(t *testing.T, addr string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return c
}

// TestScanDoesNotAllocate: it is done for each request.
func TestScanDoesNotAllocate(t *testing.T) {
	r := newRequests()
	in := []byte(messages["chunks"].in)
	if n := testing.AllocsPerRun(100, func() { _, _ = r.scan(in) }); n > 0 {
		t.Errorf("scan makes %v allocations", n)
	}
}

// FuzzRequests holds the scanner against net/http: of what the scanner lets pass,
// net/http must see the same requests with the same bodies, and the scanner must stand
// at the same place.
func FuzzRequests(f *testing.F) {
	for _, c := range messages {
		if len(c.in) < 1000 {
			f.Add([]byte(c.in))
		}
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		whole := newRequests()
		n, err := whole.scan(in)
		if err != nil && !errors.Is(err, ErrMalformed) {
			t.Fatalf("%v does not wrap ErrMalformed", err)
		}
		if n > len(in) || err == nil && n != len(in) {
			t.Fatalf("scan = %d of %d, %v", n, len(in), err)
		}
		parts := newRequests()
		var at int
		var perr error
		half := iotest.HalfReader(bytes.NewReader(in))
		for buf := make([]byte, 7); perr == nil; {
			m, rerr := half.Read(buf)
			var used int
			used, perr = parts.scan(buf[:m])
			at += used
			if rerr != nil {
				break
			}
		}
		if (perr == nil) != (err == nil) || at != n && len(in) < maxLine {
			t.Fatalf("whole: %d, %v; in parts: %d, %v", n, err, at, perr)
		}
		if err == nil {
			compare(t, in, whole)
		}
	})
}

// compare reads in, which the scanner has let pass, with net/http.
func compare(t *testing.T, in []byte, r *requests) {
	t.Helper()
	buf := bufio.NewReader(bytes.NewReader(in))
	for {
		for { // net/http's server skips them after a POST, its reader does not
			b, err := buf.Peek(2)
			if err != nil || string(b) != "\r\n" {
				break
			}
			_, _ = buf.Discard(2)
		}
		if _, err := buf.Peek(1); err != nil {
			if r.part != inHead || r.head.begun {
				t.Fatalf("net/http is at the end of a request, the scanner at part %d of %q", r.part, in)
			}
			return
		}
		req, err := http.ReadRequest(buf)
		if err != nil {
			return // net/http refuses more
		}
		if len(req.TransferEncoding) > 0 && req.Header.Get("Content-Length") != "" || len(req.TransferEncoding) > 0 && !req.ProtoAtLeast(1, 1) {
			t.Fatalf("%q passed", in)
		}
		if _, err := io.Copy(io.Discard, req.Body); err != nil {
			return
		}
		if req.Header.Get("Upgrade") != "" {
			return
		}
	}
}
