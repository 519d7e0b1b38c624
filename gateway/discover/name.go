package discover

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/earshot-mq/earshot/internal/queue"
)

// Defaults of Options.
const (
	DefaultEvery   = 5 * time.Second
	DefaultTimeout = 3 * time.Second
)

// pause is the least time between two lookups of one name: requests to a replica that
// is down ask for one each.
const pause = 250 * time.Millisecond

// Options tunes a Name. Every zero field means its default. It is comparable.
type Options struct {
	Resolver *net.Resolver // default net.DefaultResolver
	Every    time.Duration // between two lookups; default 5 s, spread from 3 s to 8 s
	Timeout  time.Duration // of one lookup; default 3 s
}

// Name is a host name and the addresses behind it.
type Name struct {
	host string
	o    Options
	kick chan struct{} // of Again; holds one

	mu     sync.Mutex    // guards what follows
	asking chan struct{} // closed when the lookup that is going on has ended
	ended  time.Time     // of the last lookup
	err    error         // of the last lookup
	v4, v6 []netip.Addr  // as last answered, sorted
}

// NewName makes a Name of a host. Nothing is asked yet.
func NewName(host string, o Options) *Name {
	if o.Resolver == nil {
		o.Resolver = net.DefaultResolver
	}
	if o.Every <= 0 {
		o.Every = DefaultEvery
	}
	if o.Timeout <= 0 {
		o.Timeout = DefaultTimeout
	}
	return &Name{host: host, o: o, kick: make(chan struct{}, 1)}
}

// Host is the name.
func (n *Name) Host() string { return n.host }

// Addrs are the addresses known, IPv4 before IPv6, each sorted.
func (n *Name) Addrs() []netip.Addr {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Concat(n.v4, n.v6)
}

// Err is why the last lookup failed, nil if it did not.
func (n *Name) Err() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.err
}

// Again lets Run ask at once. It does not wait.
func (n *Name) Again() { queue.Signal(n.kick) }

// Run asks again and again until ctx is done. It calls asked after each lookup.
func (n *Name) Run(ctx context.Context, asked func()) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-n.kick:
		}
		_ = n.Refresh(ctx) // it is kept
		if ctx.Err() != nil {
			return
		}
		asked()
		timer.Reset(n.wait())
	}
}

// wait is the time to the next lookup: from two to five thirds of Every, so that many
// processes do not ask in step.
func (n *Name) wait() time.Duration {
	return n.o.Every*2/3 + rand.N(n.o.Every+1)
}

// Refresh asks for the addresses now, unless that was done a moment ago. The error is
// that of the lookup, or of ctx.
func (n *Name) Refresh(ctx context.Context) error {
	for {
		n.mu.Lock()
		if !n.ended.IsZero() && time.Since(n.ended) < pause {
			defer n.mu.Unlock()
			return n.err
		}
		other := n.asking
		if other == nil {
			n.asking = make(chan struct{})
			n.mu.Unlock()
			return n.ask(ctx)
		}
		n.mu.Unlock()
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-other:
		}
	}
}

// ask asks for both families at once and keeps what is answered. A lookup that its
// caller has ended says nothing of the name.
func (n *Name) ask(ctx context.Context) error {
	limited, cancel := context.WithTimeout(ctx, n.o.Timeout)
	defer cancel()
	var v4, v6 []netip.Addr
	var err4, err6 error
	var both sync.WaitGroup
	both.Go(func() { v4, err4 = n.family(limited, "ip4") })
	both.Go(func() { v6, err6 = n.family(limited, "ip6") })
	both.Wait()

	n.mu.Lock()
	defer n.mu.Unlock()
	close(n.asking)
	n.asking = nil
	if ctx.Err() != nil {
		return ctx.Err()
	}
	n.ended = time.Now()
	n.err = errors.Join(temporary(err4), temporary(err6))
	if now4, now6 := answered(n.v4, v4, err4), answered(n.v6, v6, err6); len(now4)+len(now6) > 0 {
		n.v4, n.v6 = now4, now6
		if err4 == nil || err6 == nil {
			n.err = nil
		}
	} else if n.err == nil {
		n.err = err4 // there is no such name; what is known stays
	}
	return n.err
}

// answered is what is known of a family after a lookup.
func answered(known, now []netip.Addr, err error) []netip.Addr {
	if temporary(err) != nil {
		return known
	}
	return now
}

func (n *Name) family(ctx context.Context, network string) ([]netip.Addr, error) {
	addrs, err := n.o.Resolver.LookupNetIP(ctx, network, n.host)
	for i, a := range addrs {
		addrs[i] = a.Unmap()
	}
	slices.SortFunc(addrs, netip.Addr.Compare)
	return slices.Compact(addrs), err
}

func isNotFound(err error) bool {
	var dns *net.DNSError
	var addr *net.AddrError // "no suitable address": of the other family only
	return errors.As(err, &dns) && dns.IsNotFound || errors.As(err, &addr)
}

func temporary(err error) error {
	if isNotFound(err) {
		return nil
	}
	return err
}
