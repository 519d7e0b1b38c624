package process

import (
	"errors"
	"io"
	"maps"
	"net"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
)

type connKey struct{}

// listener wraps the connections that it accepts and remembers them.
type listener struct {
	net.Listener
	own func(status int) // told of answers without a handler; may be nil

	mu    sync.Mutex
	conns map[*conn]struct{}
}

func (l *listener) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c := &conn{Conn: nc, of: l}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.conns == nil {
		l.conns = map[*conn]struct{}{}
	}
	l.conns[c] = struct{}{}
	return c, nil
}

func (l *listener) forget(c *conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.conns, c)
}

// closeFresh closes the connections that have not sent anything yet.
func (l *listener) closeFresh() {
	for _, c := range l.open() {
		if !c.heard.Load() {
			_ = c.Close() // nothing was said on it
		}
	}
}

// closeAll closes all connections, those too that were hijacked.
func (l *listener) closeAll() (err error) {
	for _, c := range l.open() {
		if e := c.Close(); !errors.Is(e, net.ErrClosed) {
			err = errors.Join(err, e)
		}
	}
	return err
}

func (l *listener) open() []*conn {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Collect(maps.Keys(l.conns))
}

// conn sees which answers go out without a handler. It keeps the ways by which net/http
// sends files without copying them.
type conn struct {
	net.Conn
	of       *listener
	heard    atomic.Bool // something was read
	handled  atomic.Bool // the request has reached a handler
	answered atomic.Bool // the request has begun to be answered without one
}

// next makes ready for the next request.
func (c *conn) next() {
	c.answered.Store(false)
	c.handled.Store(false)
}

func (c *conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 && !c.heard.Load() {
		c.heard.Store(true)
	}
	return n, err
}

func (c *conn) Write(p []byte) (int, error) {
	if !c.handled.Load() && !c.answered.Swap(true) && c.of.own != nil {
		c.of.own(statusOf(p)) // now: net/http waits for 500 ms before it closes
	}
	return c.Conn.Write(p)
}

// statusOf reads the status out of "HTTP/1.1 431 …"; what is none of that is 400.
func statusOf(p []byte) int {
	const at = len("HTTP/1.1 ")
	if len(p) >= at+3 {
		if n, err := strconv.Atoi(string(p[at : at+3])); err == nil && n >= 100 {
			return n
		}
	}
	return 400
}

// Close closes the connection and is no longer remembered.
func (c *conn) Close() error {
	c.of.forget(c)
	return c.Conn.Close()
}

// ReadFrom lets the kernel copy from a file or another socket.
func (c *conn) ReadFrom(r io.Reader) (int64, error) {
	if rf, ok := c.Conn.(io.ReaderFrom); ok {
		return rf.ReadFrom(r)
	}
	return io.Copy(struct{ io.Writer }{c}, r)
}

// CloseWrite lets a peer read the last answer before the connection is closed.
func (c *conn) CloseWrite() error {
	if cw, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return cw.CloseWrite()
	}
	return nil
}

// NetConn returns the connection below, for those who set options of it.
func (c *conn) NetConn() net.Conn { return c.Conn }
