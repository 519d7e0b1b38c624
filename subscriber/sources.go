package subscriber

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/earshot-mq/earshot/internal/docker"
	"github.com/earshot-mq/earshot/internal/feed"
	"github.com/earshot-mq/earshot/internal/queue"
)

// sources are the publishers that are followed. A host's name is looked up again and
// again, and each of its addresses is a publisher of its own: so the replicas of a
// service that is scaled are all heard. So are those that labels of containers name.
type sources struct {
	endpoints []string
	follow    func(endpoint string) (*feed.Follower, error)
	gone      func(f *feed.Follower) // after the last word of a publisher that is not followed any more
	lookup    func(ctx context.Context, host string) ([]netip.Addr, error)
	o         *Options

	mu        sync.Mutex            // guards what follows
	following map[string]*following // by endpoint
	found     []string              // endpoints, in the labels of containers
	news      chan struct{}         // of found; holds one

	run sync.WaitGroup
	err chan error // of followers
}

// following is one publisher.
type following struct {
	f      *feed.Follower
	began  time.Time
	cancel context.CancelFunc
}

const (
	lookupEvery = 4 * time.Second // and up to half of it more
	lookupWait  = 2 * time.Second
	heardWithin = 3 * time.Second
	silentAfter = 10 * time.Second // a publisher that is not heard is a trouble
)

func newSources(o *Options, follow func(string) (*feed.Follower, error), gone func(*feed.Follower)) (*sources, error) {
	s := &sources{
		endpoints: o.Connect, follow: follow, gone: gone, o: o,
		following: map[string]*following{}, news: make(chan struct{}, 1), err: make(chan error, 1),
		lookup: func(ctx context.Context, host string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		},
	}
	for _, endpoint := range o.Connect {
		if _, err := follow(endpoint); err != nil { // only its form is judged
			return nil, fmt.Errorf("subscriber: %w", err)
		}
	}
	return s, nil
}

// follow until ctx is done.
func (s *sources) serve(ctx context.Context) {
	defer s.run.Wait()
	for {
		s.update(ctx)
		select {
		case <-ctx.Done():
			return
		case <-s.news:
		case <-time.After(lookupEvery + rand.N(lookupEvery/2)):
		}
	}
}

// find says which publishers the labels of containers name now.
func (s *sources) find(all []docker.Member) {
	var found []string
	for _, m := range all {
		if m.Labels.Feed != 0 && m.Addr.IsValid() {
			found = append(found, "tcp://"+netip.AddrPortFrom(m.Addr, m.Labels.Feed).String())
		}
	}
	slices.Sort(found)
	found = slices.Compact(found)
	s.mu.Lock()
	same := slices.Equal(s.found, found)
	s.found = found
	s.mu.Unlock()
	if same {
		return // each news has all names looked up
	}
	queue.Signal(s.news)
}

// update follows what is new, and leaves what is named no longer and not heard either: a
// publisher that stops leaves its name, or its container the list, before it has said all.
// What containers say comes first: a name server can be slow.
func (s *sources) update(ctx context.Context) {
	named, sure := map[string]bool{}, true
	s.mu.Lock()
	found := s.found
	s.mu.Unlock()
	for _, at := range found {
		named[at] = true
		s.add(ctx, at)
	}
	for _, endpoint := range s.endpoints {
		all, err := s.resolve(ctx, endpoint)
		if err != nil {
			sure = false
			s.o.Logger.Debug("name not looked up", "endpoint", endpoint, "error", err)
		}
		for _, at := range all {
			named[at] = true
			s.add(ctx, at)
		}
	}
	if !sure || ctx.Err() != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for at, f := range s.following {
		if !named[at] && !f.heard(time.Now()) {
			s.o.Logger.Info("publisher not followed any more: nothing names it", "endpoint", at)
			f.cancel()
			delete(s.following, at)
		}
	}
}

func (f *following) heard(now time.Time) bool {
	return now.UnixNano()-f.f.Stats.Heard.Load() < int64(heardWithin)
}

// resolve gives the endpoints that an endpoint stands for: itself, when its host is an
// address or localhost, which libzmq looks up. A name that has addresses of both families
// has the same publishers by both, so the family with more of them is taken. A name that
// nobody knows stands for none.
func (s *sources) resolve(ctx context.Context, endpoint string) ([]string, error) {
	host, port, err := net.SplitHostPort(strings.TrimPrefix(endpoint, "tcp://"))
	if err != nil {
		return nil, err
	}
	if _, err := netip.ParseAddr(host); err == nil || host == "localhost" {
		return []string{endpoint}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, lookupWait)
	defer cancel()
	addrs, err := s.lookup(ctx, host)
	var unknown *net.DNSError
	if errors.As(err, &unknown) && unknown.IsNotFound {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var four, six []string
	for _, a := range addrs {
		if a = a.Unmap(); a.Is4() {
			four = append(four, "tcp://"+net.JoinHostPort(a.String(), port))
		} else {
			six = append(six, "tcp://"+net.JoinHostPort(a.String(), port))
		}
	}
	if len(six) > len(four) {
		return six, nil
	}
	return four, nil
}

func (s *sources) add(ctx context.Context, endpoint string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.following[endpoint] != nil || ctx.Err() != nil {
		return
	}
	f, err := s.follow(endpoint)
	if err != nil {
		s.o.Logger.Error("publisher not followed", "endpoint", endpoint, "error", err)
		return
	}
	if !slices.Contains(s.endpoints, endpoint) {
		s.o.Logger.Info("publisher found", "endpoint", endpoint)
	}
	ctx, cancel := context.WithCancel(ctx)
	s.following[endpoint] = &following{f, time.Now(), cancel}
	s.run.Go(func() {
		defer cancel()
		if err := f.Run(ctx); err != nil {
			select {
			case s.err <- err:
			default: // one is enough to stop for
			}
		}
		s.gone(f)
	})
}

// heard counts the publishers that are heard.
func (s *sources) heard(now time.Time) (n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.following {
		if f.heard(now) {
			n++
		}
	}
	return n
}

// silence is a publisher that is not heard.
type silence struct {
	endpoint string
	since    time.Duration
}

// silent lists the publishers that have not been heard for long, by endpoint.
func (s *sources) silent(now time.Time) (all []silence) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for at, f := range s.following {
		last := f.began
		if heard := f.f.Stats.Heard.Load(); heard > 0 {
			last = time.Unix(0, heard)
		}
		if since := now.Sub(last); since > silentAfter {
			all = append(all, silence{at, since})
		}
	}
	slices.SortFunc(all, func(a, b silence) int { return strings.Compare(a.endpoint, b.endpoint) })
	return all
}

// labelled counts the publishers that labels name.
func (s *sources) labelled() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.found)
}

// all lists the publishers that are followed.
func (s *sources) all() (fs []*feed.Follower) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.following {
		fs = append(fs, f.f)
	}
	return fs
}
