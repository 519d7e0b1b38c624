package gateway

import (
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"

	"github.com/earshot-mq/earshot/gateway/upstream"
)

// backend is what a route needs of its upstream. Package upstream has the one for HTTP.
type backend interface {
	// Do sends r and returns the final answer; the interim ones go to inform before. Its
	// errors are *upstream.Error, or the error of r's context.
	Do(r *http.Request, inform upstream.Inform) (*http.Response, error)
	// Origin is the host and port that are asked.
	Origin() string
	// Close closes what is idle. What is in flight goes on.
	Close()
}

// Options tunes a Gateway. Every zero field means its default.
type Options struct {
	Table  *Table       // default: no routes, until Swap
	Expose bool         // marks stay on the answers that have one; default they are taken off
	Debug  bool         // problem documents say more: addresses, routes; never where strangers read them
	Logger *slog.Logger // default: discard
}

// Gateway passes requests on to upstreams. It is an http.Handler.
type Gateway struct {
	expose bool
	debug  bool
	log    *slog.Logger
	now    atomic.Pointer[snapshot]

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
	g := &Gateway{expose: o.Expose, debug: o.Debug, log: o.Logger}
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
		b, err := before.backend(name, u)
		if err != nil {
			return err
		}
		next.backends[name] = b
	}
	g.now.Store(next)
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
func (s *snapshot) backend(name string, u target) (backend, error) {
	if s != nil && s.backends[name] != nil && s.table.upstreams[name].same(u) {
		return s.backends[name], nil
	}
	return upstream.NewHTTP(name, u.origin, u.options)
}

// same tells whether two upstreams can share connections.
func (u target) same(o target) bool { return u.origin == o.origin && u.options == o.options }

// Close closes the idle connections to the upstreams. What is in flight goes on, so it
// comes after the server has stopped.
func (g *Gateway) Close() {
	for _, b := range g.now.Load().backends {
		b.Close()
	}
}
