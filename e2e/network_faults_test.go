package e2e_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/earshot-mq/earshot/internal/testenv"
)

// TestNetworkHalfOpen has the network forget connections: their packets are dropped, others
// pass, and nobody is told.
func TestNetworkHalfOpen(t *testing.T) {
	t.Parallel()
	t.Run("publisher restarted meanwhile", func(t *testing.T) {
		w := newWorld(t)
		w.start()
		for range either(5, 1) {
			before := w.silences()
			swallowed := w.swallow(port(w.service.feed), w.service.replayPort(), port(w.gateway.feed))
			w.service.restart()
			w.live()
			swallowed()
			w.silent(before, 2)
		}
		w.end()
	})
	t.Run("link made anew", func(t *testing.T) {
		w := newWorld(t)
		w.start()
		for range either(5, 1) {
			w.there.Run("ip", "link", "del", cable)
			w.service.restart() // what its kernel has to say of the old one is said when there is a link again
			w.unheard(w.id("/downcase/?param=UNHEARD"))
			w.here.Link(w.there, cable, publisherAt+"/24", subscriberAt+"/24")
			w.live()
		}
		w.end()
	})
	t.Run("replay only", func(t *testing.T) {
		w := newWorld(t)
		w.start()
		for range either(5, 1) {
			swallowed := w.swallow(w.service.replayPort(), w.gateway.replayPort())
			w.reset(port(w.service.feed), port(w.gateway.feed))() // the feed is to have a hole
			w.live()
			swallowed()
		}
		w.end()
	})
	t.Run("commits only", func(t *testing.T) {
		w := newWorld(t)
		w.start()
		for range either(5, 1) {
			swallowed := w.swallow(w.service.replayPort())
			before, begun := w.service.committed(), time.Now()
			testenv.Wait(t, "the commits that the network has swallowed", time.Minute, func() bool { return w.service.committed() > before+100 })
			t.Logf("committed again after %v", time.Since(begun).Round(time.Millisecond))
			swallowed()
		}
		w.end()
	})
}

// silent asks that the subscriber has found by itself that so many publishers are not heard:
// nobody told it.
func (w *world) silent(before, n int) {
	w.t.Helper()
	testenv.Wait(w.t, "silence", testenv.Patience, func() bool { return w.silences() >= before+n })
}

// reset answers each packet that comes for one of these ports with a reset, and some have
// come for each feed when it returns.
func (w *world) reset(ports ...string) (heal func()) {
	w.t.Helper()
	var rules []*testenv.Rule
	for _, port := range ports {
		rules = append(rules, w.here.Rule("INPUT", "--in-interface", cable, "--protocol", "tcp", "--dport", port, "--jump", "REJECT", "--reject-with", "tcp-reset"))
	}
	time.Sleep(300 * time.Millisecond) // is the fault
	for i, port := range ports {
		if port != w.service.replayPort() && port != w.gateway.replayPort() { // those may have nothing to say
			w.acted("for port "+port+" reset", rules[i])
		}
	}
	return func() { removed(rules...) }
}

// TestNetworkResets resets connections again and again.
func TestNetworkResets(t *testing.T) {
	w := newWorld(t)
	w.start()
	for range either(30, 4) {
		w.reset(port(w.service.feed), w.service.replayPort(), port(w.gateway.feed), w.gateway.replayPort())()
		w.live()
	}
	w.end()
}

// TestNetworkLoss drops packets by chance, in both directions.
func TestNetworkLoss(t *testing.T) {
	w := newWorld(t)
	w.start()
	for _, share := range []string{"0.05", "0.20"} {
		var rules []*testenv.Rule
		for _, n := range []*testenv.Netns{w.here, w.there} {
			rules = append(rules, n.Rule("INPUT", "--in-interface", cable, "--match", "statistic", "--mode", "random", "--probability", share, "--jump", "DROP"))
		}
		for range either(20, 1) {
			w.a.more(t, 150)
			t.Logf("share %s lost: a line came after %v", share, w.probe(w.sub).Round(time.Millisecond))
		}
		for _, r := range rules { // in each direction
			w.acted("of "+share+" lost", r)
		}
		removed(rules...)
		w.live()
	}
	w.end()
}

// TestNetworkFlaps has the link go down and up.
func TestNetworkFlaps(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, seed))
	w := newWorld(t)
	w.start()
	for range either(3, 1) {
		for range either(50, 5) {
			for _, state := range []string{"down", "up"} {
				w.here.Run("ip", "link", "set", cable, state)
				time.Sleep(200*time.Millisecond + time.Duration(r.Int64N(int64(500*time.Millisecond)))) // is the fault
			}
		}
		w.live()
	}
	w.end()
}

// TestNetworkMTU drops the packets above a size, and tells nobody, as where a tunnel has a
// smaller MTU and ICMP is filtered: what is short passes.
func TestNetworkMTU(t *testing.T) {
	w := newWorld(t)
	w.beside()
	w.start()
	done := w.watch()
	for range either(5, 1) {
		heal := w.there.Rule("INPUT", "--in-interface", cable, "--match", "length", "--length", "700:", "--jump", "DROP").Remove
		w.reset(port(w.service.feed), port(w.gateway.feed))() // the feed is to have a hole, or nothing is long
		w.through(either(20*time.Second, 5*time.Second), heal)
	}
	done()
	w.end()
}

// TestNetworkPorts cuts one port of the publishers only.
func TestNetworkPorts(t *testing.T) {
	t.Parallel()
	for name, ports := range map[string]func(i *instance) string{
		"feed":   func(i *instance) string { return port(i.feed) },
		"replay": func(i *instance) string { return i.replayPort() },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.start()
			for range either(5, 1) {
				heal := w.block(ports(w.service), ports(w.gateway))
				if name == "replay" {
					w.reset(port(w.service.feed), port(w.gateway.feed))() // or it is not needed
					w.through(either(20*time.Second, 5*time.Second), heal)
					continue
				}
				before := w.silences()
				testenv.Wait(t, "silence", testenv.Patience, func() bool { return w.silences() == before+2 })
				heal() // what was being fetched came all the time
				w.live()
			}
			w.end()
		})
	}
}

// TestNetworkSlow has a line with delay and jitter: long, and cut in addition.
func TestNetworkSlow(t *testing.T) {
	w := newWorld(t)
	w.there.Run("ip", "link", "del", cable)
	line := testenv.NewWire(t, w.here, w.there, cable, publisherAt+"/24", subscriberAt+"/24", 40*time.Millisecond, 40*time.Millisecond)
	w.start()
	const ms = time.Millisecond
	for _, delay := range either([]time.Duration{100 * ms, 300 * ms}, []time.Duration{200 * ms}) {
		line.Set(delay, delay/5)
		for range either(5, 1) {
			w.a.more(t, 150)
			t.Logf("a delay of %v: a line came after %v", delay, w.probe(w.sub).Round(time.Millisecond))
			w.through(5*time.Second, w.cut())
		}
	}
	w.end()
}

// TestNetworkAddress has the publishers come up at another address, under the same name.
func TestNetworkAddress(t *testing.T) {
	w := newWorld(t)
	hosts := filepath.Join(t.TempDir(), "hosts")
	tell := func(addr string) {
		if err := os.WriteFile(hosts, []byte("127.0.0.1 localhost\n"+addr+" publisher\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	tell(publisherAt)
	named := func(i *instance) string { return strings.Replace(i.feed, publisherAt, "publisher", 1) }
	w.sub = w.subscriber(w.there, named(w.service), named(w.gateway))
	w.sub.exec = []string{testenv.Need(t, "unshare"), "--mount", "sh", "-c", `mount --bind "$0" /etc/hosts && exec "$@"`, hosts}
	w.start()
	for n := range either(5, 1) {
		addr := fmt.Sprintf("10.1.1.%d", 10+n)
		_ = w.service.signal(syscall.SIGKILL)
		_ = w.gateway.signal(syscall.SIGKILL)
		w.here.Link(w.there, cable, addr+"/24", subscriberAt+"/24")
		w.service.start()
		w.gateway.start()
		tell(addr)
		w.live()
	}
	w.end()
}

// TestNetworkGateway cuts the gateway off from its service: its answers of 502 and 504 are
// records as all others are.
func TestNetworkGateway(t *testing.T) {
	const serviceAt, feedAt = "10.1.2.2", "10.1.3.1"
	w := newWorld(t)
	far := testenv.NewNetns(t)
	w.here.Link(far, "back", "10.1.2.1/24", serviceAt+"/24")
	far.Link(w.there, "feed", feedAt+"/24", "10.1.3.2/24")
	w.service.net = far
	w.service.feed = strings.Replace(w.service.feed, publisherAt, feedAt, 1)
	w.service.args = append(w.service.args, "--http-listen", "0.0.0.0:"+port(w.service.http))
	w.service.http = "http://" + serviceAt + ":" + port(w.service.http)
	w.sub = w.subscriber(w.there, w.service.feed, w.gateway.feed)
	w.start()
	until := func(what, body string) {
		begun := time.Now()
		testenv.Wait(t, what, testenv.Patience, func() bool {
			return strings.Contains(w.ask("/downcase/?param=WHO").Body, body)
		})
		t.Logf("%s after %v", what, time.Since(begun).Round(time.Millisecond))
	}
	for range either(5, 1) {
		for _, jump := range [][]string{{"DROP"}, {"REJECT", "--reject-with", "tcp-reset"}} {
			heal := far.Rule(append([]string{"INPUT", "--in-interface", "back", "--protocol", "tcp", "--jump"}, jump...)...).Remove
			until("an answer of the gateway", `"status":50`)
			time.Sleep(either(20*time.Second, 2*time.Second)) // is the fault
			heal()
			until("an answer of the service", "lower case of WHO")
			w.live()
		}
	}
	w.end()
}
