package gateway

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/earshot-mq/earshot/gateway/strict"
	"github.com/earshot-mq/earshot/internal/config"
)

// patience is how long a test waits for what has to come.
const patienceInTests = 10 * time.Second

// door is a gateway on a real port.
type door struct {
	*Gateway
	addr string
}

// open serves a gateway with the configuration text on a port of its own. wrap, if not
// nil, stands around it.
func open(t *testing.T, text string, o Options, wrap func(http.Handler) http.Handler) *door {
	t.Helper()
	o.Table = tableOf(t, text)
	o.Logger = slog.New(slog.NewTextHandler(t.Output(), nil))
	g, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	var h http.Handler = g
	if wrap != nil {
		h = wrap(g)
	}
	return &door{g, serve(t, h, true)}
}

func tableOf(t *testing.T, text string) *Table {
	t.Helper()
	var c Config
	if err := config.Decode("gateway.yaml", []byte(text), &c); err != nil {
		t.Fatal(err)
	}
	table, err := NewTable(c)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

// serve serves h on a port of its own until the test ends.
func serve(t *testing.T, h http.Handler, isStrict bool) (addr string) {
	t.Helper()
	l := listen(t)
	addr = l.Addr().String()
	if isStrict {
		l = strict.NewListener(l, strict.Options{})
	}
	s := &http.Server{
		Handler: h, ReadHeaderTimeout: 5 * time.Second, MaxHeaderBytes: 16 << 10,
		ErrorLog: slog.NewLogLogger(slog.NewTextHandler(t.Output(), nil), slog.LevelDebug),
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	}()
	t.Cleanup(func() {
		_ = s.Close()
		<-done
	})
	return addr
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// raw is a server of bytes: it hands each connection to a script.
type raw struct {
	addr string
	mu   sync.Mutex
	head []string // of each request, as it came
}

// backend runs script for each connection. It ends when script does.
func rawServer(t *testing.T, script func(n int, c *peer)) *raw {
	t.Helper()
	l := listen(t)
	s := &raw{addr: l.Addr().String()}
	var conns sync.WaitGroup
	var open sync.Map
	done := make(chan struct{})
	go func() {
		defer close(done)
		for n := 0; ; n++ {
			c, err := l.Accept()
			if err != nil {
				return
			}
			open.Store(c, true)
			conns.Go(func() {
				defer func() { _ = c.Close() }()
				script(n, &peer{Conn: c, r: bufio.NewReader(c), t: t, s: s})
			})
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-done
		open.Range(func(c, _ any) bool { _ = c.(net.Conn).Close(); return true })
		conns.Wait()
	})
	return s
}

// heads are the heads of the requests so far.
func (s *raw) heads() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.head...)
}

// peer is one end of a connection in a script.
type peer struct {
	net.Conn
	r *bufio.Reader
	t *testing.T
	s *raw
}

// readHead reads a head as it is; "" at the end of the connection.
func (p *peer) readHead() string {
	var b strings.Builder
	for {
		line, err := p.r.ReadString('\n')
		b.WriteString(line)
		if err != nil {
			return ""
		}
		if line == "\r\n" {
			break
		}
	}
	if p.s != nil {
		p.s.mu.Lock()
		p.s.head = append(p.s.head, b.String())
		p.s.mu.Unlock()
	}
	return b.String()
}

// readRequest reads head and body of a request as net/http does, and notes the head.
func (p *peer) readRequest() (*http.Request, []byte) {
	head := p.readHead()
	if head == "" {
		return nil, nil
	}
	r, err := http.ReadRequest(bufio.NewReader(io.MultiReader(strings.NewReader(head), p.r)))
	if err != nil {
		p.t.Errorf("the backend got what is no request: %v\n%s", err, head)
		return nil, nil
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return r, body
	}
	return r, body
}

func (p *peer) say(s string) { _, _ = io.WriteString(p.Conn, s) }

// dial opens a connection to the gateway.
func dial(t *testing.T, addr string) *peer {
	t.Helper()
	c, err := net.DialTimeout("tcp", addr, patienceInTests)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(patienceInTests)); err != nil {
		t.Fatal(err)
	}
	return &peer{Conn: c, r: bufio.NewReader(c), t: t}
}

// answer reads one answer to a request of this method.
func (p *peer) answer(method string) (*http.Response, string) {
	p.t.Helper()
	a, err := http.ReadResponse(p.r, &http.Request{Method: method})
	if err != nil {
		p.t.Fatalf("no answer: %v", err)
	}
	body, err := io.ReadAll(a.Body)
	if err != nil {
		return a, string(body) + "<" + err.Error() + ">"
	}
	return a, string(body)
}

// rest is all that still comes.
func (p *peer) rest() string {
	b, err := io.ReadAll(p.r)
	if err != nil {
		return string(b) + "<" + err.Error() + ">"
	}
	return string(b)
}

// one is a configuration of one upstream under all paths.
func one(addr, more string) string {
	return "upstreams:\n  back:\n    url: http://" + addr + "\n" + more + "routes:\n  - path: /*\n    upstream: back\n"
}

func get(t *testing.T, url string) (*http.Response, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patienceInTests)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	a, err := http.DefaultTransport.(*http.Transport).Clone().RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = a.Body.Close() }()
	b, err := io.ReadAll(a.Body)
	if err != nil {
		t.Fatal(err)
	}
	return a, string(b)
}
