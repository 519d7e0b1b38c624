package gateway

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/earshot-mq/earshot/gateway/openapi"
	"github.com/earshot-mq/earshot/gateway/upstream"
	"github.com/earshot-mq/earshot/internal/queue"
)

// backend is what a route needs of its upstream. Package upstream has the one for HTTP.
type backend interface {
	// Do sends r and returns the final answer; the interim ones go to inform before. Its
	// errors are *upstream.Error, or the error of r's context.
	Do(r *http.Request, inform upstream.Inform) (*http.Response, error)
	// Run does what has to be done beside requests, until ctx is done.
	Run(ctx context.Context) error
	// SetReplicas says what the replicas of a found upstream are.
	SetReplicas(all []netip.AddrPort)
	// State is what is known of the replicas.
	State() upstream.State
	// Close closes what is idle. What is in flight goes on.
	Close()
}

// Options tunes a Gateway. Every zero field means its default.
type Options struct {
	Table  *Table       // default: no routes, until Swap
	Expose bool         // marks stay on the answers that have one; default they are taken off
	Debug  bool         // problem documents say more: addresses, routes; never where strangers read them
	Logger *slog.Logger // default: discard

	Resolver *net.Resolver // of upstreams' names; default net.DefaultResolver
}

// Gateway passes requests on to upstreams. It is an http.Handler.
type Gateway struct {
	expose   bool
	debug    bool
	log      *slog.Logger
	resolver *net.Resolver
	now      atomic.Pointer[snapshot]
	swapped  chan struct{} // tells Run; holds one
	missing  sync.Map      // of missingPart, *atomic.Uint64

	documents openapi.Collector
	merging   sync.Mutex // guards merged
	merged    *merged    // the last one

	swap sync.Mutex // one Swap at a time
}

// snapshot is a table with its upstreams. It never changes.
type snapshot struct {
	table    *Table
	backends map[string]backend // by name
}

// New makes a Gateway.
func New(o Options) (*Gateway, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	g := &Gateway{expose: o.Expose, debug: o.Debug, log: o.Logger, resolver: o.Resolver, swapped: make(chan struct{}, 1)}
	if o.Table == nil {
		t, err := NewTable(Config{})
		if err != nil {
			return nil, err
		}
		o.Table = t
	}
	if err := g.Swap(o.Table); err != nil {
		return nil, err
	}
	return g, nil
}

// Swap makes t the table of all requests that begin from now on; those that have begun
// end with the one before. On an error nothing has changed.
func (g *Gateway) Swap(t *Table) error {
	g.swap.Lock()
	defer g.swap.Unlock()
	if t == nil {
		return errors.New("gateway: swap: no table")
	}
	before := g.now.Load()
	next := &snapshot{table: t, backends: make(map[string]backend, len(t.upstreams))}
	for name, u := range t.upstreams {
		if u.folder != nil {
			continue
		}
		b, err := g.backend(before, name, u)
		if err != nil {
			return err
		}
		next.backends[name] = b
	}
	g.now.Store(next)
	for name, u := range t.upstreams {
		if u.found {
			next.backends[name].SetReplicas(u.replicas)
		}
	}
	queue.Signal(g.swapped)
	if before == nil {
		return nil
	}
	for name, b := range before.backends {
		if next.backends[name] != b {
			b.Close()
		}
	}
	return nil
}

// backend is the one that s has, if it is the same, or a new one.
func (g *Gateway) backend(s *snapshot, name string, u target) (backend, error) {
	if s != nil && s.backends[name] != nil && s.table.upstreams[name].same(u) {
		return s.backends[name], nil
	}
	u.options.Logger, u.options.Resolver = g.log, g.resolver
	if u.handler != nil {
		return upstream.NewLocal(name, u.handler, u.options), nil
	}
	b, err := upstream.NewHTTP(name, u.origins, u.options)
	if err == nil && u.found {
		b.SetReplicas(u.replicas)
	}
	return b, err
}

// same tells whether two upstreams can share replicas and connections, or are one handler, as
// far as handlers can be compared: what runs in it is waited for by who has it at the end.
func (u target) same(o target) bool {
	if (u.handler != nil || o.handler != nil) && !(reflect.ValueOf(u.handler).Comparable() && u.handler == o.handler) {
		return false
	}
	return slices.Equal(u.origins, o.origins) && u.options == o.options && u.found == o.found
}

// Run follows the upstreams' names and asks their replicas' checks until ctx is done,
// those of the present table. Without it a name is resolved only when a request finds no
// replica. It fails if a handler in this process has not returned a second after that. One Run
// at a time.
func (g *Gateway) Run(ctx context.Context) (err error) {
	running := map[backend]context.CancelFunc{}
	var all sync.WaitGroup
	var mu sync.Mutex // guards err
	for {
		now := g.now.Load().backends
		for b, stop := range running {
			if !slices.Contains(slices.Collect(maps.Values(now)), b) {
				stop()
				delete(running, b)
			}
		}
		for _, b := range now {
			if running[b] == nil {
				runs, stop := context.WithCancel(ctx)
				running[b] = stop
				all.Go(func() {
					if failed := b.Run(runs); ctx.Err() != nil { // of a table before this one requests may go on
						mu.Lock()
						defer mu.Unlock()
						err = errors.Join(err, failed)
					}
				})
			}
		}
		select {
		case <-ctx.Done():
			all.Wait()
			return err
		case <-g.swapped:
		}
	}
}

// Close closes the idle connections to the upstreams. What is in flight goes on, so it
// comes after the server has stopped.
func (g *Gateway) Close() {
	for _, b := range g.now.Load().backends {
		b.Close()
	}
}
