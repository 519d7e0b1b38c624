package upstream

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"
)

// replica is one address of an upstream, with connections and a state of its own.
type replica struct {
	u         *HTTP
	source    *source
	addr      netip.AddrPort
	transport *http.Transport
	inFlight  atomic.Int64
	health    health
}

func newReplica(u *HTTP, s *source, at netip.AddrPort) *replica {
	r := &replica{u: u, source: s, addr: at}
	r.health.out.Store(u.question != nil) // until it has passed its check
	r.transport = &http.Transport{
		DialContext:            r.dial,
		DialTLSContext:         r.dialTLS,
		DisableCompression:     true, // a body passes as it is
		MaxIdleConnsPerHost:    u.o.MaxIdle,
		IdleConnTimeout:        u.o.Keep,
		ExpectContinueTimeout:  continueWait,
		MaxResponseHeaderBytes: maxHeader,
		Protocols:              new(http.Protocols),
	}
	r.transport.Protocols.SetHTTP1(true)
	return r
}

// String is the replica's address.
func (r *replica) String() string {
	if r.u.local != nil {
		return "this process"
	}
	return r.addr.String()
}

func (r *replica) dial(ctx context.Context, network, _ string) (net.Conn, error) {
	c, err := r.connect(ctx, network)
	if err != nil {
		return nil, err
	}
	return newConn(c, true), nil
}

func (r *replica) connect(ctx context.Context, network string) (net.Conn, error) {
	limit := r.u.o.Dial
	if r.u.hurried && r.u.others(r) {
		limit = quickDial
	}
	d := net.Dialer{Timeout: limit}
	c, err := d.DialContext(ctx, network, r.addr.String())
	if err != nil {
		return nil, r.u.failed(Dial, limit, err)
	}
	return c, nil
}

// others tells whether another replica than r is in. The address of a machine that is
// gone takes a connection's whole time: nothing there refuses it.
func (u *HTTP) others(r *replica) bool {
	return slices.ContainsFunc(*u.replicas.Load(), func(o *replica) bool { return o != r && !o.health.out.Load() })
}

func (r *replica) dialTLS(ctx context.Context, network, _ string) (net.Conn, error) {
	c, err := r.connect(ctx, network)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, r.u.o.TLS)
	defer cancel()
	t := tls.Client(c, r.source.tls)
	if err := t.HandshakeContext(ctx); err != nil {
		return nil, errors.Join(r.u.failed(TLS, r.u.o.TLS, err), quiet(c.Close()))
	}
	return newConn(t, false), nil
}

// quiet leaves out that a connection was closed before.
func quiet(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// failed makes an Error of what a dialler or a resolver says.
func (u *HTTP) failed(stage Stage, limit time.Duration, err error) *Error {
	e := &Error{Upstream: u.name, Stage: stage, Err: err}
	var n net.Error
	if errors.Is(err, context.DeadlineExceeded) || errors.As(err, &n) && n.Timeout() {
		e.Limit = limit
	}
	return e
}
