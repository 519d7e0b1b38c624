package gateway

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/earshot-mq/earshot/internal/testenv"
	"github.com/earshot-mq/earshot/publisher"
	"github.com/earshot-mq/earshot/publisher/record"
)

// TestLocalHandler: a service in the gateway's process records its own answers and
// believes what the gateway says of the client; what the service leaves out, and what has no
// route, is the gateway's.
func TestLocalHandler(t *testing.T) {
	began, goOn := make(chan string, 8), make(chan struct{})
	mux := http.NewServeMux()
	mux.HandleFunc("/s/slow", func(w http.ResponseWriter, _ *http.Request) {
		began <- "slow"
		<-goOn
		_, _ = io.WriteString(w, "slow")
	})
	mux.HandleFunc("/s/aside", func(w http.ResponseWriter, r *http.Request) {
		publisher.FromContext(r.Context()).Skip() // of its own exchange, which there is none of
		_, _ = io.WriteString(w, "aside")
	})
	mux.HandleFunc("/s/", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "quick") })
	theirs := &journal{run: record.Run{Stream: "ssssssssssss0", Epoch: 2}}
	aside := func(r *http.Request) bool { return r.URL.Path == "/s/aside" }
	wrap := theirs.wrap(t, publisher.RecorderOptions{Trusted: tableOf(t, "trusted: [127.0.0.1]").Trusted(), Skip: aside})
	table := func(path string) *Table {
		made, err := NewTable(Config{
			Upstreams: map[string]UpstreamConfig{"s": {Handler: wrap(mux)}},
			Routes:    []RouteConfig{{Path: path, Upstream: "s"}},
		})
		if err != nil {
			t.Fatal(err)
		}
		return made
	}
	ours := &journal{run: record.Run{Stream: "gggggggggggg0", Epoch: 1}}
	g, err := New(Options{Table: table("/s/*"), Logger: slog.New(slog.NewTextHandler(t.Output(), nil))})
	if err != nil {
		t.Fatal(err)
	}
	at := "http://" + serve(t, ours.wrap(t, publisher.RecorderOptions{Conceal: true})(g), true)

	slow := make(chan string, 1)
	go func() {
		_, body := get(t, at+"/s/slow")
		slow <- body
	}()
	testenv.Wait(t, "the handler", testenv.Patience, func() bool { return len(began) > 0 })
	for range 3 { // the file is read again, meanwhile
		if err := g.Swap(table("/s/*")); err != nil {
			t.Fatal(err)
		}
		if _, body := get(t, at+"/s/quick"); body != "quick" {
			t.Fatalf("it answers %q", body)
		}
	}
	if got := g.State(); got != "ok" {
		t.Errorf("the gateway is %q", got)
	}
	close(goOn)
	select {
	case body := <-slow:
		if body != "slow" {
			t.Errorf("what was in flight ends with %q", body)
		}
	case <-time.After(testenv.Patience):
		t.Fatal("what was in flight does not end")
	}
	for _, r := range theirs.wait(t, 4) {
		if r.HTTP.Client != "127.0.0.1" || r.HTTP.Status != 200 || !strings.HasPrefix(r.HTTP.Path, "/s/") {
			t.Errorf("the service's record is %+v", r.HTTP)
		}
	}
	if n := len(ours.all()); n != 0 {
		t.Errorf("the gateway has %d records of what the service has", n)
	}
	get(t, at+"/s/aside")
	get(t, at+"/elsewhere")
	if all := ours.wait(t, 2); all[0].HTTP.Path != "/s/aside" || all[0].HTTP.Status != 200 || all[1].HTTP.Status != 404 {
		t.Errorf("the gateway's records are %+v", all)
	}
	theirs.wait(t, 4)
}

// TestLocalUnread: a handler need not read the request's body, and the client's connection can
// be used again, as with a service that has a server.
func TestLocalUnread(t *testing.T) {
	table, err := NewTable(Config{
		Upstreams: map[string]UpstreamConfig{"s": {Handler: http.NotFoundHandler()}},
		Routes:    []RouteConfig{{Path: "/*", Upstream: "s"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	g, err := New(Options{Table: table, Logger: slog.New(slog.NewTextHandler(t.Output(), nil))})
	if err != nil {
		t.Fatal(err)
	}
	at := serve(t, g, true)
	for name, request := range map[string]string{
		"length":  "Content-Length: 5\r\n\r\nhello",
		"chunked": "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
		"large":   "Content-Length: 200000\r\n\r\n" + strings.Repeat("x", 200000),
	} {
		t.Run(name, func(t *testing.T) {
			c := dial(t, at)
			for range 5 {
				c.say("POST / HTTP/1.1\r\nHost: a\r\n" + request)
				if a, body := c.answer(http.MethodPost); a.StatusCode != 404 || body != "404 page not found\n" || a.Close {
					t.Fatalf("%s %q, close %v", a.Status, body, a.Close)
				}
			}
		})
	}
	t.Run("not asked for", func(t *testing.T) {
		c := dial(t, at)
		c.say("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
		if a, _ := c.answer(http.MethodPost); a.StatusCode != 404 {
			t.Errorf("%s", a.Status)
		}
	})
}

// kept is a handler that can be compared.
type kept struct{ http.Handler }

// TestLocalSwap: what is asked of a handler is waited for at the end although the file was read
// again since, and what is known of it stays.
func TestLocalSwap(t *testing.T) {
	began, goOn := make(chan struct{}), make(chan struct{})
	h := &kept{http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(began)
		<-r.Context().Done()
		<-goOn // its record is on its way
	})}
	table := func() *Table {
		made, err := NewTable(Config{
			Upstreams: map[string]UpstreamConfig{"s": {Handler: h}},
			Routes:    []RouteConfig{{Path: "/*", Upstream: "s"}},
		})
		if err != nil {
			t.Fatal(err)
		}
		return made
	}
	g, err := New(Options{Table: table()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ran := make(chan struct{})
	go func() {
		defer close(ran)
		_ = g.Run(ctx)
	}()
	asked, leave := context.WithCancel(t.Context())
	gone := make(chan any)
	go func() {
		defer func() { gone <- recover() }()
		g.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(asked, http.MethodGet, "/", nil))
	}()
	<-began
	before := g.now.Load().backends["s"]
	if err := g.Swap(table()); err != nil {
		t.Fatal(err)
	}
	if g.now.Load().backends["s"] != before {
		t.Error("the same handler is another upstream")
	}
	leave()
	<-gone
	stop()
	select {
	case <-ran:
		t.Error("Run ends while the handler runs")
	case <-time.After(200 * time.Millisecond):
	}
	close(goOn)
	<-ran
}

// TestLocalConfig: a handler has no address, and none of what is said of one.
func TestLocalConfig(t *testing.T) {
	h := http.NotFoundHandler()
	with := func(u UpstreamConfig) Config { return Config{Upstreams: map[string]UpstreamConfig{"s": u}} }
	_, err := NewTable(with(UpstreamConfig{Handler: h, Static: ".", URL: "http://a:1", Health: &HealthConfig{Path: "/"}, Timeouts: TimeoutsConfig{Header: time.Second}}))
	for _, want := range []string{"url: is not for a handler in this process", "static: is not for a handler in this process", "health: is not for a handler in this process"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the error is %v, want %q", err, want)
		}
	}
	if err != nil && strings.Contains(err.Error(), "timeouts") {
		t.Errorf("it has no limits: %v", err)
	}
	before, after := with(UpstreamConfig{Handler: h}), with(UpstreamConfig{Handler: h})
	if all := before.Changes(&after); len(all.Changed) > 0 {
		t.Errorf("changed: %v", all.Changed)
	}
}
