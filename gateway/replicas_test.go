package gateway

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/earshot-mq/earshot/gateway/discover/dnstest"
	"github.com/earshot-mq/earshot/internal/testenv"
)

// numbers are the values of the metrics now.
func (d *door) numbers() map[string]float64 {
	all := map[string]float64{}
	for _, m := range d.Metrics() {
		m.Each(func(v float64, labels ...string) {
			all[m.Name+" "+strings.Join(labels, " ")] = v
		})
	}
	return all
}

// run lets the gateway follow its upstreams until the test ends.
func (d *door) run(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var done sync.WaitGroup
	done.Go(func() {
		if err := d.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() { cancel(); done.Wait() })
}

// TestReplicas: several URLs share the requests; the one that is down is shown, and
// costs no request; when all are down the client is told which upstream it is.
func TestReplicas(t *testing.T) {
	a, b := named(t, "a"), named(t, "b")
	text := func(second string) string {
		return fmt.Sprintf("upstreams: {back: {urls: ['http://%s', 'http://%s'], balance: round-robin}}\nroutes: [{path: /*, upstream: back}]\n", a.addr, second)
	}
	d := open(t, text(b.addr), Options{}, nil)
	for range 10 {
		get(t, "http://"+d.addr+"/")
	}
	if x, y := len(a.heads()), len(b.heads()); x != 5 || y != 5 {
		t.Errorf("asked %d and %d times, want 5 each", x, y)
	}
	gone := refused(t)
	if err := d.Swap(tableOf(t, text(gone))); err != nil {
		t.Fatal(err)
	}
	for range 10 {
		if r, body := get(t, "http://"+d.addr+"/"); r.StatusCode != 200 || !strings.HasPrefix(body, "a ") {
			t.Errorf("%s %s", r.Status, body)
		}
	}
	n := d.numbers()
	for name, want := range map[string]float64{
		"earshot_upstream_failures_total back":                       0,
		"earshot_upstream_retries_total back":                        1,
		"earshot_upstream_replica_in back " + a.addr:                 1,
		"earshot_upstream_replica_in back " + gone:                   0,
		"earshot_upstream_replica_ejections_total back " + gone:      1,
		"earshot_upstream_replica_requests_in_flight back " + a.addr: 0,
		"earshot_upstream_replica_requests_in_flight back " + gone:   0,
		"earshot_upstream_replica_ejections_total back " + a.addr:    0,
	} {
		if got, ok := n[name]; !ok || got != want {
			t.Errorf("%s = %v, want %v", name, got, want)
		}
	}
	if s := d.State(); s != "ok" {
		t.Errorf("State = %q", s)
	}
	if err := d.Swap(tableOf(t, strings.Replace(text(gone), a.addr, refused(t), 1))); err != nil {
		t.Fatal(err)
	}
	r, body := get(t, "http://"+d.addr+"/")
	if doc := readDocument(t, r, body); doc.Status != 502 || doc.Detail != `upstream "back" failed: connection refused` {
		t.Errorf("%+v", doc)
	}
	if s := d.State(); s != "degraded: no replica of back" {
		t.Errorf("State = %q", s)
	}
}

// TestFollowedNames: a name without an address is a problem of its upstream alone; a
// table that was swapped in is followed like the first, and what it does not change
// keeps its state.
func TestFollowedNames(t *testing.T) {
	b := named(t, "b")
	_, port, _ := strings.Cut(b.addr, ":")
	dns := dnstest.New(t)
	text := func(name string) string {
		return fmt.Sprintf("upstreams:\n  back: {url: 'http://%s', resolve: 300ms}\n  other: {url: 'http://later:%s', resolve: 300ms}\n"+
			"routes:\n- {path: /*, upstream: back}\n- {path: /other, upstream: other}\n", name+":"+port, port)
	}
	d := open(t, text("first"), Options{Resolver: dns.Resolver()}, nil)
	d.run(t)
	r, body := get(t, "http://"+d.addr+"/")
	if doc := readDocument(t, r, body); doc.Status != 502 || doc.Detail != `upstream "back" failed: its name is not known` || strings.Contains(body, "first") {
		t.Errorf("%s", body)
	}
	dns.Set("later", "127.0.0.1")
	testenv.Wait(t, "the other upstream is there", testenv.Patience, func() bool {
		r, _ := get(t, "http://"+d.addr+"/other")
		return r.StatusCode == 200
	})
	if err := d.Swap(tableOf(t, text("second"))); err != nil {
		t.Fatal(err)
	}
	dns.Set("second", "127.0.0.1")
	testenv.Wait(t, "the new name is followed", testenv.Patience, func() bool { return d.State() == "ok" })
	if r, body := get(t, "http://"+d.addr+"/"); r.StatusCode != 200 {
		t.Errorf("%s %s", r.Status, body)
	}
	if n := d.numbers(); n["earshot_upstream_replica_in other 127.0.0.1:"+port] != 1 || len(n) != 2*2+3*2 {
		t.Errorf("%v", n)
	}
}

// TestOneLineWhileDown: the log has one line for an upstream that is down, however many
// requests meet it.
func TestOneLineWhileDown(t *testing.T) {
	var log locked
	table := tableOf(t, one(refused(t), ""))
	g, err := New(Options{Table: table, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	addr := serve(t, g, true)
	for range 20 {
		if r, body := get(t, "http://"+addr+"/"); r.StatusCode != 502 {
			t.Errorf("%s %s", r.Status, body)
		}
	}
	if text := log.text(); strings.Count(text, "\n") != 1 {
		t.Errorf("want one line:\n%s", text)
	}
}

// locked keeps what many write.
type locked struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *locked) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// TestSilentReplica: a machine that is gone, so that nothing refuses its connections,
// costs one request a second and the others nothing.
func TestSilentReplica(t *testing.T) {
	t.Parallel()
	b := named(t, "b")
	d := open(t, fmt.Sprintf("upstreams: {back: {urls: ['http://%s', 'http://%s'], balance: round-robin}}\nroutes: [{path: /*, upstream: back}]\n", full(t), b.addr), Options{}, nil)
	for i := range 5 {
		began := time.Now()
		r, body := get(t, "http://"+d.addr+"/")
		if took := time.Since(began); r.StatusCode != 200 || took > 2500*time.Millisecond || i > 0 && took > 900*time.Millisecond {
			t.Errorf("request %d: %s %s after %v", i, r.Status, body, took)
		}
	}
}
