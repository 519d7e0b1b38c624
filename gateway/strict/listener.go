package strict

import (
	"errors"
	"io"
	"net"
	"sync/atomic"
	"time"
)

// Options tunes a listener. Every zero field means its default.
type Options struct {
	// BodyIdle is how long a read in the middle of a request's body waits when the server
	// has set no deadline, which net/http does when it drops the rest of a body. Default
	// 1 min.
	BodyIdle time.Duration
	// Refused is told of each request that is refused; it must not wait. Default nobody.
	Refused func(from net.Addr, err error)
}

// NewListener returns l with connections whose reading fails where a request is
// ambiguous: net/http answers 400 and closes. The connections are of HTTP/1 in plain text:
// HTTP/2 is not known to them.
//
// What follows a request without a body and with "Connection: upgrade" and "Upgrade:
// websocket" is not judged, so its connection must not be used for another request when
// the answer is not 101.
func NewListener(l net.Listener, o Options) net.Listener {
	if o.BodyIdle == 0 {
		o.BodyIdle = time.Minute
	}
	if o.Refused == nil {
		o.Refused = func(net.Addr, error) {}
	}
	return &listener{l, o}
}

type listener struct {
	net.Listener
	o Options
}

// Accept waits for the next connection.
func (l *listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &conn{Conn: c, requests: newRequests(), o: &l.o}, nil
}

// conn is a connection that a server reads requests from. One goroutine reads at a time,
// as net/http does.
type conn struct {
	net.Conn
	requests *requests
	o        *Options
	bad      error
	limited  atomic.Bool // the server has set a deadline for reading
}

func (c *conn) Read(p []byte) (int, error) {
	if c.bad != nil {
		return 0, c.bad
	}
	if c.requests.inside() && !c.limited.Load() {
		if err := c.Conn.SetReadDeadline(time.Now().Add(c.o.BodyIdle)); err != nil {
			return 0, err
		}
	}
	n, err := c.Conn.Read(p)
	good, bad := c.requests.scan(p[:n])
	if bad == nil {
		return n, err
	}
	c.bad = bad
	c.o.Refused(c.RemoteAddr(), bad)
	if good > 0 {
		return good, nil
	}
	return 0, bad
}

// SetReadDeadline notes whether the server has a limit of its own.
func (c *conn) SetReadDeadline(t time.Time) error {
	c.limited.Store(!t.IsZero())
	return c.Conn.SetReadDeadline(t)
}

// SetDeadline does the same for both ways.
func (c *conn) SetDeadline(t time.Time) error {
	c.limited.Store(!t.IsZero())
	return c.Conn.SetDeadline(t)
}

// ReadFrom keeps the kernel's way from a file to the connection.
func (c *conn) ReadFrom(r io.Reader) (int64, error) {
	if rf, ok := c.Conn.(io.ReaderFrom); ok {
		return rf.ReadFrom(r)
	}
	return io.Copy(struct{ io.Writer }{c.Conn}, r)
}

// CloseWrite says to the client that nothing more will come.
func (c *conn) CloseWrite() error {
	if w, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return w.CloseWrite()
	}
	return errors.ErrUnsupported
}
