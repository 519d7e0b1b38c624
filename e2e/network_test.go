package e2e_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/earshot-mq/earshot/internal/drill"
	"github.com/earshot-mq/earshot/internal/testenv"
)

// either is the first in the long form of the tests, the second else.
func either[T any](long, short T) T {
	if testenv.Long {
		return long
	}
	return short
}

// The publishers' and the subscriber's ends of the cable, and of the other subscriber's.
const (
	cable, publisherAt, subscriberAt = "cable", "10.1.1.1", "10.1.1.2"
	other, otherAt, healthyAt        = "other", "10.1.2.1", "10.1.2.2"
)

// world is a service and a gateway before it in one namespace, and their subscriber in
// another, with a cable between them. A second subscriber may have a cable of its own.
type world struct {
	t                *testing.T
	here, there      *testenv.Netns // the publishers, the subscriber
	service, gateway *instance
	sub              *instance
	healthy          *instance    // or nil
	client           *http.Client // beside the publishers
	a                *answers
	stop             func()
	took             []time.Duration // to be live again
}

// newWorld makes a world; start starts it.
func newWorld(t *testing.T) *world {
	t.Helper()
	t.Parallel()
	w := &world{t: t, here: testenv.NewNetns(t), there: testenv.NewNetns(t), a: &answers{}}
	w.client = &http.Client{Timeout: 10 * time.Second, Transport: w.here.Client().Transport}
	w.here.Link(w.there, cable, publisherAt+"/24", subscriberAt+"/24")
	w.service = newInstance(t, []string{"service", "downcase"})
	w.gateway = newInstance(t, []string{"gateway"}, "--config", filepath.Join(t.TempDir(), "earshot.yaml"))
	w.service.in(w.here, publisherAt)
	w.gateway.in(w.here, publisherAt)
	w.sub = w.subscriber(w.there, w.service.feed, w.gateway.feed)
	return w
}

// in has an instance run in a namespace, and its feeds reached at an address of there.
func (i *instance) in(n *testenv.Netns, addr string) {
	i.net = n
	for k, arg := range i.args {
		i.args[k] = strings.Replace(arg, "tcp://127.0.0.1:", "tcp://0.0.0.0:", 1)
	}
	i.feed = strings.Replace(i.feed, "127.0.0.1", addr, 1)
}

// subscriber is one in a namespace.
func (w *world) subscriber(n *testenv.Netns, feeds ...string) *instance {
	sub := newInstance(w.t, []string{"subscriber"}, "--connect", strings.Join(feeds, ","), "--subscriber-format", "json")
	sub.in(n, "")
	return sub
}

// beside adds a subscriber whose cable stays whole.
func (w *world) beside() {
	n := testenv.NewNetns(w.t)
	w.here.Link(n, other, otherAt+"/24", healthyAt+"/24")
	at := func(i *instance) string { return strings.Replace(i.feed, publisherAt, otherAt, 1) }
	w.healthy = w.subscriber(n, at(w.service), at(w.gateway))
}

// start starts all, and a load of some hundred requests each second: every other answer is
// the service's, and the gateway records the rest.
func (w *world) start() {
	w.t.Helper()
	config := fmt.Sprintf("upstreams:\n  downcase:\n    url: %s\n    timeouts: {dial: 1s, response-header: 2s}\nroutes:\n  - path: /downcase/*\n    upstream: downcase\n", w.service.http)
	if err := os.WriteFile(w.gateway.args[slices.Index(w.gateway.args, "--config")+1], []byte(config), 0o600); err != nil {
		w.t.Fatal(err)
	}
	w.service.start()
	w.gateway.start()
	for _, path := range []string{"/downcase/", "/probe"} {
		w.id(path) // each has a run, and HELLO is said once
	}
	w.sub.start()
	if w.healthy != nil {
		w.healthy.start()
	}
	stop := make(chan struct{})
	var clients sync.WaitGroup
	for c := range 4 {
		clients.Go(func() {
			pace := time.NewTicker(20 * time.Millisecond)
			defer pace.Stop()
			w.a.Loop(w.client, stop, func(n int) (string, string) {
				<-pace.C
				return w.gateway.http + fmt.Sprintf([]string{"/downcase/?param=WORD-%d-%d", "/nothing/%d/%d"}[n%2], c, n), ""
			})
		})
	}
	w.stop = sync.OnceFunc(func() {
		close(stop)
		clients.Wait()
	})
	w.t.Cleanup(w.stop)
	w.probe(w.sub)
	if w.healthy != nil {
		w.probe(w.healthy)
	}
}

// ask is a whole answer of the gateway, sooner or later.
func (w *world) ask(path string) (got drill.Answer) {
	w.t.Helper()
	testenv.Wait(w.t, "answer of "+path, testenv.Patience, func() (whole bool) {
		got, whole = w.a.Ask(w.client, w.gateway.http+path, "")
		return whole
	})
	return got
}

// id is that of the record of an answer of the gateway.
func (w *world) id(path string) (id string) { return w.ask(path).Record }

// probe makes a request of the service and one of the gateway, and waits until the lines of
// both are in a subscriber's log, behind those of all answers before.
func (w *world) probe(sub *instance) time.Duration {
	w.t.Helper()
	begun := time.Now()
	for _, path := range []string{"/downcase/?param=PROBE", "/probe"} {
		id := w.id(path)
		testenv.Wait(w.t, "a line of "+path, testenv.Patience, func() bool { return sub.has(w.t, id) })
	}
	return time.Since(begun)
}

// has tells whether an id is among the last lines of a subscriber's log.
func (i *instance) has(t *testing.T, id string) bool {
	f, err := os.Open(filepath.Join(i.data, "logs", "subscriber.log"))
	if err != nil {
		return false
	}
	defer f.Close()
	if _, err := f.Seek(-1<<20, io.SeekEnd); err != nil { // or from the beginning
		_, _ = f.Seek(0, io.SeekStart)
	}
	text, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Contains(text, []byte(`"`+id+`"`))
}

// through has a fault last for a while, and asks that the subscriber notices; then it is
// healed.
func (w *world) through(lasts time.Duration, heal func()) {
	w.t.Helper()
	id := w.id("/downcase/?param=UNHEARD")
	time.Sleep(lasts) // is the fault
	w.unheard(id)
	heal()
	w.live()
}

// unheard asks that the subscriber does not have the line of an answer that was given during
// a fault.
func (w *world) unheard(id string) {
	w.t.Helper()
	if w.sub.has(w.t, id) {
		w.t.Error("the subscriber noticed nothing: this shows nothing")
	}
}

// live is told that the fault is over, waits until the subscriber is live again, and notes
// how long that took.
func (w *world) live() {
	w.t.Helper()
	w.took = append(w.took, w.probe(w.sub))
}

// cut has nothing pass on the cable, in either direction, and nobody is told.
func (w *world) cut() (heal func()) {
	a := w.here.Rule("INPUT", "--in-interface", cable, "--jump", "DROP")
	b := w.there.Rule("INPUT", "--in-interface", cable, "--jump", "DROP")
	return func() { removed(a, b) }
}

// block has packets like these be dropped at both ends of the cable; a match of one port is
// the publisher's.
func (w *world) block(ports ...string) (heal func()) {
	var rules []*testenv.Rule
	for _, port := range ports {
		rules = append(rules, w.here.Rule("INPUT", "--in-interface", cable, "--protocol", "tcp", "--dport", port, "--jump", "DROP"),
			w.there.Rule("INPUT", "--in-interface", cable, "--protocol", "tcp", "--sport", port, "--jump", "DROP"))
	}
	return func() { removed(rules...) }
}

func removed(rules ...*testenv.Rule) {
	for _, r := range rules {
		r.Remove()
	}
}

// acted waits until one of some rules was for a packet: without that a fault shows nothing.
func (w *world) acted(what string, rules ...*testenv.Rule) {
	w.t.Helper()
	n := 0
	testenv.Wait(w.t, "packet "+what, testenv.Patience, func() bool {
		for _, r := range rules {
			n += r.Packets()
		}
		return n > 0
	})
	w.t.Logf("%d packets %s", n, what)
}

// swallow drops the packets of the connections that the subscriber has now to these ports of
// the publishers; those that are made later pass. swallowed asks that it did, of each port.
func (w *world) swallow(ports ...string) (swallowed func()) {
	w.t.Helper()
	rules := map[string][]*testenv.Rule{}
	for _, port := range ports {
		var m [][]string
		testenv.Wait(w.t, "connection to port "+port, testenv.Patience, func() bool {
			all := w.there.Run("ss", "--no-header", "--tcp", "--numeric", "state", "established")
			m = regexp.MustCompile(`:(\d+)\s+\S*:`+port+`\b`).FindAllStringSubmatch(all, -1)
			return len(m) > 0
		})
		for _, local := range m {
			rules[port] = append(rules[port], w.here.Rule("INPUT", "--in-interface", cable, "--protocol", "tcp", "--sport", local[1], "--jump", "DROP"),
				w.there.Rule("INPUT", "--in-interface", cable, "--protocol", "tcp", "--dport", local[1], "--jump", "DROP"))
		}
	}
	return func() {
		w.t.Helper()
		for _, port := range ports {
			w.acted("swallowed of port "+port, rules[port]...)
		}
	}
}

// silences is how often the subscriber has given a publisher up as silent.
func (w *world) silences() int { return strings.Count(w.sub.String(), "publisher silent") }

// port is that of an endpoint.
func port(endpoint string) string { return endpoint[strings.LastIndexByte(endpoint, ':')+1:] }

// replayPort is the port of an instance's replay.
func (i *instance) replayPort() string {
	return port(i.args[slices.Index(i.args, "--feed-replay")+1])
}

// kill ends an instance at once and starts it again.
func (i *instance) restart() {
	i.t.Helper()
	_ = i.signal(syscall.SIGKILL)
	i.start()
}

// end ends the load and judges.
func (w *world) end() {
	w.t.Helper()
	w.stop()
	subs := []*instance{w.sub}
	if w.healthy != nil {
		subs = append(subs, w.healthy)
	}
	for _, s := range subs {
		w.a.logged(w.t, 60*time.Second, func() map[string]int { return logIDs(w.t, filepath.Join(s.data, "logs")) })
	}
	w.gateway.stop()
	w.service.stop()
	for _, s := range subs {
		s.stop()
		oracle(w.t, w.a, filepath.Join(s.data, "store"), filepath.Join(s.data, "logs"))
	}
	w.report("the fault")
}

// report tells how long it took to be live again after what.
func (w *world) report(what string) {
	w.t.Helper()
	if len(w.took) > 0 {
		slices.Sort(w.took)
		w.t.Logf("live again %v after %s, the median of %v", w.took[len(w.took)/2].Round(time.Millisecond), what, w.took)
	}
	w.took = nil
}

// watch probes a healthy subscriber again and again, until done is called: it is not to
// notice what happens to the other.
func (w *world) watch() (done func()) {
	for _, p := range []*instance{w.service, w.gateway} {
		testenv.Wait(w.t, "commit of both subscribers", testenv.Patience, func() bool { return len(p.stores()) == 2 })
	}
	// What the feed drops shows by what comes after it. A repair alone does not: a WELCOME may be
	// faster than the feed.
	const early, repairs = "earshot_store_early_records_total", "earshot_store_repairs_total"
	before, fetched := w.healthy.metric(early), w.healthy.metric(repairs)
	stop, stopped := make(chan struct{}), make(chan struct{})
	var worst time.Duration
	go func() {
		defer close(stopped)
		for {
			begun := time.Now()
			got, _ := w.a.Ask(w.client, w.gateway.http+"/downcase/?param=LAG", "")
			for !w.healthy.has(w.t, got.Record) && time.Since(begun) < testenv.Patience {
				time.Sleep(2 * time.Millisecond) // until its log has the line
			}
			worst = max(worst, time.Since(begun))
			select {
			case <-stop:
				return
			case <-time.After(50 * time.Millisecond):
			}
		}
	}()
	return func() {
		w.t.Helper()
		close(stop)
		<-stopped
		w.t.Logf("the healthy subscriber was at most %v behind and had %v repairs", worst.Round(time.Millisecond), w.healthy.metric(repairs)-fetched)
		now := w.healthy.metric(early)
		if worst > testenv.Patience || now != before || strings.Contains(w.healthy.String(), "publisher silent") {
			w.t.Errorf("the healthy subscriber was %v behind and has lost %v from the feed, %v before", worst, now, before)
		}
	}
}

// TestNetworkCut drops all packets for a while, again and again.
func TestNetworkCut(t *testing.T) {
	w := newWorld(t)
	w.beside()
	w.start()
	done := w.watch()
	for _, row := range []struct {
		lasts       time.Duration
		long, short int // how often
	}{{time.Second, 7, 1}, {5 * time.Second, 5, 1}, {20 * time.Second, 5, 0}, {60 * time.Second, 3, 0}} {
		for range either(row.long, row.short) {
			w.through(row.lasts, w.cut())
		}
		w.report(row.lasts.String())
	}
	done()
	w.end()
}
