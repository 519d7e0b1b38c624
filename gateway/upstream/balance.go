package upstream

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/earshot-mq/earshot/internal/queue"
)

// errNoReplica is of an upstream whose names have no address.
var errNoReplica = errors.New("it has no replica")

// choose returns a replica that is not among the tried ones, or nil. When it knows of
// none it asks once more for the addresses.
func (u *HTTP) choose(ctx context.Context, tried []*replica) (*replica, error) {
	if r := u.pick(tried); r != nil {
		return r, nil
	}
	err := u.Resolve(ctx)
	if r := u.pick(tried); r != nil {
		return r, nil
	}
	if err == nil {
		err = u.failed(Dial, 0, errNoReplica)
	}
	return nil, err
}

// pick chooses among the replicas that are in and not tried; if there is none, among all
// that are not tried.
func (u *HTTP) pick(tried []*replica) *replica {
	var room [16]*replica
	now := time.Now()
	all := *u.replicas.Load()
	able := room[:0]
	for _, r := range all {
		if r.health.usable(now) && !slices.Contains(tried, r) {
			able = append(able, r)
		}
	}
	if len(able) == 0 {
		for _, r := range all {
			if !slices.Contains(tried, r) {
				able = append(able, r)
			}
		}
	}
	if len(able) == 0 {
		return nil
	}
	r := u.among(able)
	r.health.take(now)
	return r
}

// among chooses by the upstream's rule.
func (u *HTTP) among(able []*replica) *replica {
	n := len(able)
	if n == 1 {
		return able[0]
	}
	if u.o.Balance == RoundRobin {
		return able[int((u.turn.Add(1)-1)%uint64(n))]
	}
	i := rand.IntN(n)
	j := (i + 1 + rand.IntN(n-1)) % n // any but i
	if able[j].inFlight.Load() < able[i].inFlight.Load() {
		return able[j]
	}
	return able[i]
}

// Resolve asks for the addresses of all names at once. It fails if one does.
func (u *HTTP) Resolve(ctx context.Context) error {
	limited, cancel := context.WithTimeout(ctx, u.o.Dial)
	defer cancel()
	errs := make([]error, len(u.sources))
	var all sync.WaitGroup
	for i, s := range u.sources {
		if s.name != nil {
			all.Go(func() { errs[i] = s.name.Refresh(limited) })
		}
	}
	all.Wait()
	u.renew()
	for _, err := range errs {
		if err != nil {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return u.failed(Dial, u.o.Dial, err)
		}
	}
	return nil
}

// again lets the names be asked at once, since a replica may have moved.
func (u *HTTP) again() {
	for _, s := range u.sources {
		if s.name != nil {
			s.name.Again()
		}
	}
}

// renew makes the replicas those of the addresses that are known now. Who stays keeps
// connections and state; who has gone gets no further request, and ends those that it
// has.
func (u *HTTP) renew() {
	u.mu.Lock()
	defer u.mu.Unlock()
	before := *u.replicas.Load()
	var next []*replica
	for _, s := range u.sources {
		u.tellLookup(s)
		for _, at := range s.addrs() {
			if find(next, nil, at) != nil {
				continue // of another name too
			}
			r := find(before, s, at)
			if r == nil {
				r = newReplica(u, s, at)
			}
			next = append(next, r)
		}
	}
	if slices.Equal(before, next) {
		return
	}
	u.replicas.Store(&next)
	for _, r := range before {
		if !slices.Contains(next, r) {
			r.transport.CloseIdleConnections()
		}
	}
	if u.told != nil || slices.ContainsFunc(u.sources, func(s *source) bool { return s.name != nil }) {
		u.trouble.log.Info("replicas", "now", texts(next), "before", texts(before))
	}
	queue.Signal(u.news)
}

func texts(all []*replica) []string {
	out := make([]string, len(all))
	for i, r := range all {
		out[i] = r.String()
	}
	return out
}

// tellLookup tells the log once that the lookups of a name fail, and that they do no
// more. It is called with mu held.
func (u *HTTP) tellLookup(s *source) {
	if s.name == nil {
		return
	}
	err := s.name.Err()
	switch {
	case err != nil && !s.failed:
		u.trouble.log.Warn("name has no answer", "name", s.name.Host(), "error", err, "known", len(s.name.Addrs()))
	case err == nil && s.failed:
		u.trouble.log.Info("name has an answer again", "name", s.name.Host())
	}
	s.failed = err != nil
}

// addrs is called with mu held.
func (s *source) addrs() []netip.AddrPort {
	switch {
	case s.addr.IsValid():
		return []netip.AddrPort{netip.AddrPortFrom(s.addr, s.port)}
	case s.name == nil:
		return s.told
	}
	known := s.name.Addrs()
	all := make([]netip.AddrPort, len(known))
	for i, addr := range known {
		all[i] = netip.AddrPortFrom(addr, s.port)
	}
	return all
}

// SetReplicas says what the replicas of an upstream without origins are. Who stays keeps
// connections and state; who has gone gets no further request, and ends those that it
// has.
func (u *HTTP) SetReplicas(all []netip.AddrPort) {
	u.mu.Lock()
	u.told.told = slices.Clone(all)
	u.mu.Unlock()
	u.renew()
}

// find finds the replica at an address, of one source or, if s is nil, of any.
func find(all []*replica, s *source, at netip.AddrPort) *replica {
	for _, r := range all {
		if r.addr == at && (s == nil || r.source == s) {
			return r
		}
	}
	return nil
}

// Run follows the names and asks the replicas' checks until ctx is done. Without it a
// name is resolved when a request finds no replica, and no check is made. That of NewLocal
// waits, at most a second, for the handler to return, and fails if it has not.
func (u *HTTP) Run(ctx context.Context) error {
	if u.local != nil {
		if err := u.local.run(ctx); err != nil {
			return fmt.Errorf("upstream %q: %w", u.name, err)
		}
		return nil
	}
	var all sync.WaitGroup
	for _, s := range u.sources {
		if s.name != nil {
			all.Go(func() { s.name.Run(ctx, u.renew) })
		}
	}
	if u.question != nil {
		all.Go(func() { u.check(ctx) })
	}
	all.Wait()
	return nil
}

// Close closes the connections that are idle. Exchanges go on, and their connections are
// not kept.
func (u *HTTP) Close() {
	for _, r := range *u.replicas.Load() {
		r.transport.CloseIdleConnections()
	}
}
