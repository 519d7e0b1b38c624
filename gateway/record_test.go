package gateway

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/earshot-mq/earshot/internal/testenv"
	"github.com/earshot-mq/earshot/publisher"
	"github.com/earshot-mq/earshot/publisher/record"
)

// journal is where a test's recorder publishes to.
type journal struct {
	run     record.Run
	mu      sync.Mutex
	records []record.Record
}

func (j *journal) Mark() string { return j.run.String() }

func (*journal) Reserve(context.Context) (func(), error) { return func() {}, nil }

func (j *journal) Publish(_ context.Context, rs ...*record.Record) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, r := range rs {
		r.ID = record.ID{Run: j.run, Seq: uint64(len(j.records) + 1)}
		kept := *r
		kept.HTTP.Body = bytes.Clone(r.HTTP.Body)
		j.records = append(j.records, kept)
	}
	return nil
}

func (j *journal) all() []record.Record {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.records)
}

// wait waits until n records are there, and fails if there are more.
func (j *journal) wait(t *testing.T, n int) []record.Record {
	t.Helper()
	testenv.Wait(t, "records", testenv.Patience, func() bool { return len(j.all()) >= n })
	all := j.all()
	if len(all) != n {
		t.Fatalf("%d records, want %d: %+v", len(all), n, all)
	}
	return all
}

func (j *journal) wrap(t *testing.T, o publisher.RecorderOptions) func(http.Handler) http.Handler {
	t.Helper()
	rec, err := publisher.NewRecorder(j, o)
	if err != nil {
		t.Fatal(err)
	}
	return rec.Wrap
}

// recorded opens a gateway with a recorder around it, as the outermost one has it.
func recorded(t *testing.T, text string, expose bool) (*door, *journal) {
	t.Helper()
	j := &journal{run: record.Run{Stream: "gggggggggggg0", Epoch: 1}}
	return open(t, text, Options{Expose: expose}, j.wrap(t, publisher.RecorderOptions{Conceal: !expose})), j
}

// service is an upstream that records its own answers.
func service(t *testing.T, h http.HandlerFunc) (addr string, j *journal) {
	t.Helper()
	j = &journal{run: record.Run{Stream: "ssssssssssss0", Epoch: 2}}
	o := publisher.RecorderOptions{Trusted: tableOf(t, "trusted: [127.0.0.1]").Trusted()}
	return serve(t, j.wrap(t, o)(h), false), j
}

// TestOneRecord: whoever makes an answer records it, and nobody else does.
func TestOneRecord(t *testing.T) {
	hello := func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/large":
			_, _ = io.WriteString(w, strings.Repeat("x", 100_000))
		case "/events":
			w.Header().Set("Content-Type", "text/event-stream")
			_, _ = io.WriteString(w, "data: a\n\n")
		default:
			_, _ = io.WriteString(w, "hello")
		}
	}
	for name, c := range map[string]struct {
		more     string
		expose   bool
		gateway  int
		markFrom string
	}{
		"a service of our own":     {gateway: 0},
		"and the mark is exposed":  {expose: true, gateway: 0, markFrom: "ssssssssssss0/"},
		"its mark is not trusted":  {more: "    records: gateway\n", gateway: 1},
		"not trusted, and exposed": {more: "    records: gateway\n", expose: true, gateway: 1, markFrom: "gggggggggggg0/"},
	} {
		for _, path := range []string{"/", "/large", "/events"} {
			t.Run(name+path, func(t *testing.T) {
				addr, theirs := service(t, hello)
				d, ours := recorded(t, one(addr, c.more), c.expose)
				client := dial(t, d.addr)
				client.say("GET " + path + " HTTP/1.1\r\n" + host + "\r\n")
				a, _ := client.answer("GET")
				s := theirs.wait(t, 1)[0]
				ours.wait(t, c.gateway)
				if mark := a.Header.Get("Earshot-Record"); (mark == "") != (c.markFrom == "") || !strings.HasPrefix(mark, c.markFrom) {
					t.Errorf("the mark is %q, want one of %q", mark, c.markFrom)
				}
				if id := a.Header["X-Request-Id"]; len(id) != 1 || id[0] != s.HTTP.Request {
					t.Errorf("request id %q, the record has %q", id, s.HTTP.Request)
				}
				if c.gateway == 1 && ours.all()[0].HTTP.Request != s.HTTP.Request {
					t.Errorf("the two records have two request ids")
				}
				if s.HTTP.Client != "127.0.0.1" {
					t.Errorf("the service knows the client as %q", s.HTTP.Client)
				}
			})
		}
	}
}

// TestForeignRecords: what the gateway's own record says of somebody else's answer.
func TestForeignRecords(t *testing.T) {
	addr := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("X-Request-Id", "theirs")
		w.WriteHeader(http.StatusCreated)
		_, _ = io.WriteString(w, strings.Repeat("0123456789", 1000))
	}), false)
	for name, c := range map[string]struct {
		more, route string
		body        int
	}{
		"no body":             {"", "", 0},
		"some body":           {"    body: 4KiB\n", "", 4096},
		"the route says more": {"    body: 4KiB\n", "    body: 8KiB\n", 8192},
		"the route says none": {"    body: 4KiB\n", "    body: 0\n", 0},
	} {
		t.Run(name, func(t *testing.T) {
			d, ours := recorded(t, strings.Replace(one(addr, c.more), "/*", "/x/{id}", 1)+c.route, false)
			a, body := get(t, "http://"+d.addr+"/x/1?a=b")
			if a.StatusCode != 201 || len(body) != 10_000 || a.Header.Get("X-Request-Id") == "theirs" {
				t.Fatalf("%s, %d bytes, id %s", a.Status, len(body), a.Header.Get("X-Request-Id"))
			}
			r := ours.wait(t, 1)[0]
			if r.Subject != "/x/{id}" || r.HTTP.Path != "/x/1" || r.HTTP.Query != "a=b" || r.HTTP.Status != 201 || r.HTTP.Upstream != "back" ||
				r.HTTP.Bytes != 10_000 || r.HTTP.MediaType != "text/plain" || r.HTTP.Error != "" || r.HTTP.Aborted || r.HTTP.Request != a.Header.Get("X-Request-Id") {
				t.Errorf("%+v", r)
			}
			if n := len(r.HTTP.Body); n > c.body || n < c.body-1100 {
				t.Errorf("%d bytes of the body, want %d", n, c.body)
			}
		})
	}
}

// TestOwnRecords: what the gateway answers by itself, and what broke off.
func TestOwnRecords(t *testing.T) {
	cut := func(t *testing.T) string {
		return onceServer(t, func(c *peer) {
			c.say("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + strings.Repeat("x", 80_000))
		}).addr
	}
	for name, c := range map[string]struct {
		addr   func(*testing.T) string
		target string
		want   record.HTTP
		route  string
		body   string
	}{
		"no route": {refused, "/y", record.HTTP{Status: 404}, "", `"no route leads there"`},
		"refused":  {refused, "/x/a", record.HTTP{Status: 502, Upstream: "back", Error: "dial: connection refused"}, "shop.example/x/*", `upstream \"back\" failed`},
		"bad path": {refused, "/x/../y", record.HTTP{Status: 400}, "", `dot segment`},
		"cut":      {cut, "/x/a", record.HTTP{Status: 200, Upstream: "back", Error: "body: it closed the connection before its answer was whole", Aborted: true}, "shop.example/x/*", ""},
	} {
		t.Run(name, func(t *testing.T) {
			text := strings.Replace(one(c.addr(t), ""), "- path: /*", "- host: shop.example\n    path: /x/*", 1)
			d, ours := recorded(t, text, false)
			client := dial(t, d.addr)
			client.say("GET " + c.target + " HTTP/1.1\r\n" + host + "\r\n")
			a, body := client.answer("GET")
			r := ours.wait(t, 1)[0]
			if r.Subject != c.route || r.HTTP.Status != c.want.Status || r.HTTP.Upstream != c.want.Upstream || r.HTTP.Error != c.want.Error || r.HTTP.Aborted != c.want.Aborted {
				t.Errorf("%+v", r)
			}
			if !strings.Contains(string(r.HTTP.Body), c.body) {
				t.Errorf("the record's body is %q", r.HTTP.Body)
			}
			if a.StatusCode != c.want.Status || c.want.Aborted != strings.Contains(body, "unexpected EOF") {
				t.Errorf("the client got %s %.100q", a.Status, body)
			}
			if !c.want.Aborted {
				readDocument(t, a, body)
			}
		})
	}
}

// TestClientLeftRecord: the record says that it was the client.
func TestClientLeftRecord(t *testing.T) {
	b := onceServer(t, func(c *peer) { _, _ = io.Copy(io.Discard, c.r) })
	d, ours := recorded(t, one(b.addr, ""), false)
	c := dial(t, d.addr)
	c.say("GET / HTTP/1.1\r\n" + host + "\r\n")
	testenv.Wait(t, "the upstream is asked", testenv.Patience, func() bool { return len(b.heads()) == 1 })
	_ = c.Close()
	if r := ours.wait(t, 1)[0]; !r.HTTP.Aborted || r.HTTP.Error != "the client went away" || r.HTTP.Upstream != "back" {
		t.Errorf("%+v", r)
	}
}

// TestTunnelRecords: a tunnel has its line when it ends, from the gateway or from the
// service that has marked it.
func TestTunnelRecords(t *testing.T) {
	for name, c := range map[string]struct {
		mark string
		want int
	}{"foreign": {"", 1}, "a service's": {"Earshot-Record: s/1\r\n", 0}} {
		t.Run(name, func(t *testing.T) {
			b := onceServer(t, func(p *peer) {
				p.say(strings.Replace(switched, "\r\n\r\n", "\r\n"+c.mark+"\r\n", 1))
				_, _ = io.Copy(p.Conn, p.r)
			})
			d, ours := recorded(t, one(b.addr, ""), true)
			client := dial(t, d.addr)
			client.say(upgrade + "early")
			a, err := http.ReadResponse(client.r, nil)
			if err != nil || a.StatusCode != 101 || a.Header.Get("X-Request-Id") == "" || a.Header.Get("Earshot-Record") == "" {
				t.Fatalf("%+v %v", a, err)
			}
			client.say(" late")
			if err := client.Conn.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
				t.Fatal(err)
			}
			if got := client.rest(); got != "early late" {
				t.Errorf("the echo is %q", got)
			}
			if c.want == 0 {
				time.Sleep(20 * time.Millisecond) // a second line would be late
			}
			for _, r := range ours.wait(t, c.want) {
				if r.HTTP.Status != 101 || r.HTTP.Upstream != "back" || r.HTTP.Aborted || r.Subject != "/*" {
					t.Errorf("%+v", r)
				}
			}
		})
	}
}

// TestEventsThroughRecorder: recording delays no event.
func TestEventsThroughRecorder(t *testing.T) {
	for name, mark := range map[string]string{"own": "", "passed on": "Earshot-Record: s/1\r\n"} {
		t.Run(name, func(t *testing.T) {
			next := make(chan struct{})
			b := onceServer(t, func(c *peer) {
				c.say("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n" + mark + "\r\n")
				for range 3 {
					<-next
					c.say("data: a\n\n")
				}
			})
			d, _ := recorded(t, one(b.addr, ""), false)
			c := dial(t, d.addr)
			c.say("GET / HTTP/1.1\r\n" + host + "\r\n")
			a, err := http.ReadResponse(c.r, nil)
			if err != nil {
				t.Fatal(err)
			}
			for range 3 {
				next <- struct{}{}
				got := make([]byte, 9)
				if _, err := io.ReadFull(a.Body, got); err != nil || string(got) != "data: a\n\n" {
					t.Fatalf("%q %v", got, err)
				}
			}
		})
	}
}

// TestInterimThroughRecorder: 100 and 103 pass the recorder.
func TestInterimThroughRecorder(t *testing.T) {
	b := onceServer(t, func(c *peer) {
		c.say("HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n")
		_, _ = io.CopyN(io.Discard, c.r, 4)
		c.say("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
	})
	d, ours := recorded(t, one(b.addr, ""), false)
	c := dial(t, d.addr)
	c.say("POST / HTTP/1.1\r\n" + host + "Expect: 100-continue\r\nContent-Length: 4\r\nConnection: close\r\n\r\n")
	for _, want := range []string{"HTTP/1.1 103 Early Hints\r\n", "Link: a\r\n", "\r\n", "HTTP/1.1 100 Continue\r\n", "\r\n"} {
		if line, err := c.r.ReadString('\n'); err != nil || line != want {
			t.Fatalf("%q %v, want %q", line, err, want)
		}
	}
	c.say("body")
	if got := c.rest(); !strings.HasPrefix(got, "HTTP/1.1 200 OK\r\n") || strings.Contains(got, "Link") {
		t.Errorf("%q", got)
	}
	if r := ours.wait(t, 1)[0]; r.HTTP.Status != 200 {
		t.Errorf("%+v", r)
	}
}
