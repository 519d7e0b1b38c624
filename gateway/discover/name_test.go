package discover_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/earshot-mq/earshot/gateway/discover"
	"github.com/earshot-mq/earshot/gateway/discover/dnstest"
)

// later is longer than the pause between two lookups.
const later = 300 * time.Millisecond

func text(addrs []netip.Addr) string { return fmt.Sprint(addrs) }

// TestName asks one name through what may happen to it: each step is an answer and what
// is known after it.
func TestName(t *testing.T) {
	t.Parallel()
	dns := dnstest.New(t)
	n := discover.NewName("downcase", discover.Options{Resolver: dns.Resolver()})
	var notFound *net.DNSError
	for _, s := range []struct {
		name    string
		addrs   []string
		a, aaaa bool // that fail
		want    string
		ok      bool
	}{
		{"no such name", nil, false, false, "[]", false},
		{"one", []string{"192.0.2.1"}, false, false, "[192.0.2.1]", true},
		{"three", []string{"192.0.2.3", "192.0.2.1", "192.0.2.2"}, false, false, "[192.0.2.1 192.0.2.2 192.0.2.3]", true},
		{"twice", []string{"192.0.2.1", "192.0.2.1", "2001:db8::1"}, false, false, "[192.0.2.1 2001:db8::1]", true},
		{"no answer for A", []string{"2001:db8::2"}, true, false, "[192.0.2.1 2001:db8::2]", true},
		{"no answer for AAAA", []string{"192.0.2.4"}, false, true, "[192.0.2.4 2001:db8::2]", true},
		{"no answer at all", []string{"192.0.2.5"}, true, true, "[192.0.2.4 2001:db8::2]", false},
		{"gone", nil, false, false, "[192.0.2.4 2001:db8::2]", false},
		{"back", []string{"2001:db8::3"}, false, false, "[2001:db8::3]", true},
	} {
		dns.Set("downcase", s.addrs...)
		dns.Fail(s.a, s.aaaa)
		err := n.Refresh(t.Context())
		if got := text(n.Addrs()); got != s.want || (err == nil) != s.ok || (n.Err() == nil) != s.ok {
			t.Errorf("%s: %s, %v, Err %v; want %s, success %v", s.name, got, err, n.Err(), s.want, s.ok)
		}
		if missing := len(s.addrs) == 0; missing != (errors.As(err, &notFound) && notFound.IsNotFound) {
			t.Errorf("%s: not found is %v: %v", s.name, !missing, err)
		}
		time.Sleep(later) // what was just asked is not asked again
	}
}

// TestRefreshTogether: those who come during a lookup or just after it share it.
func TestRefreshTogether(t *testing.T) {
	t.Parallel()
	dns := dnstest.New(t)
	dns.Set("downcase", "192.0.2.1")
	n := discover.NewName("downcase", discover.Options{Resolver: dns.Resolver()})
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			if err := n.Refresh(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if got := dns.Asked(); got != 2 {
		t.Errorf("%d questions, want one for A and one for AAAA", got)
	}
}

// TestRefreshCancelled: whoever gives up says nothing of the name to the others.
func TestRefreshCancelled(t *testing.T) {
	t.Parallel()
	dns := dnstest.New(t)
	dns.Set("downcase", "192.0.2.1")
	n := discover.NewName("downcase", discover.Options{Resolver: dns.Resolver()})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := n.Refresh(ctx); !errors.Is(err, context.Canceled) || n.Err() != nil {
		t.Errorf("Refresh = %v, Err = %v; want context.Canceled and nil", err, n.Err())
	}
	if err := n.Refresh(t.Context()); err != nil || text(n.Addrs()) != "[192.0.2.1]" {
		t.Errorf("then %v, %v", n.Addrs(), err)
	}
}

// TestRun asks by itself, and at once when told.
func TestRun(t *testing.T) {
	t.Parallel()
	dns := dnstest.New(t)
	dns.Set("downcase", "192.0.2.1")
	for name, c := range map[string]struct {
		every time.Duration
		again bool
	}{
		"by itself": {every: 300 * time.Millisecond},
		"told":      {every: time.Hour, again: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := discover.NewName("downcase", discover.Options{Resolver: dns.Resolver(), Every: c.every})
			ctx, cancel := context.WithCancel(t.Context())
			asked := make(chan struct{})
			var done sync.WaitGroup
			done.Go(func() {
				n.Run(ctx, func() {
					select {
					case asked <- struct{}{}:
					case <-ctx.Done():
					}
				})
			})
			<-asked
			before := time.Now()
			if c.again {
				time.Sleep(later) // what was just asked is not asked again
				n.Again()
			}
			select {
			case <-asked:
				if took := time.Since(before); !c.again && took < 150*time.Millisecond {
					t.Errorf("asked again after %v", took)
				}
			case <-time.After(10 * time.Second):
				t.Error("not asked again")
			}
			cancel()
			done.Wait()
		})
	}
}
