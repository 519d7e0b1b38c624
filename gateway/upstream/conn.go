package upstream

import (
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/earshot-mq/earshot/gateway/strict"
)

// conn is a connection to an upstream, below net/http's transport. It sees what the
// transport hides: a header that two readers could read in two ways, an answer that
// comes before the request is through, and that a kept connection is dead.
type conn struct {
	net.Conn
	plain bool // the bytes are those on the wire

	touched atomic.Bool  // something of the present request may have been written
	wrote   atomic.Bool  // and was
	heard   atomic.Bool  // something of its answer
	deaf    atomic.Bool  // the upstream reads no more, but may have answered
	until   atomic.Int64 // Unix nanoseconds; then the upstream closes the idle connection; 0: not known

	mu   sync.Mutex // guards what follows: begin may come while the transport waits in Read
	head *strict.Head
	bad  error // what head found
	more bool  // bytes of the body came with the header
}

func newConn(c net.Conn, plain bool) *conn {
	return &conn{Conn: c, plain: plain, head: strict.NewResponse()}
}

// begin prepares for the next request. It reports whether the connection can be used.
func (c *conn) begin(now time.Time) bool {
	if c.wrote.Load() && (c.deaf.Load() || c.late(now) || closed(c.Conn)) {
		return false
	}
	c.touched.Store(false)
	c.wrote.Store(false)
	c.heard.Store(false)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.head.Reset()
	c.more = false
	return true
}

// late tells whether the upstream closes the connection about now.
func (c *conn) late(now time.Time) bool {
	until := c.until.Load()
	return until > 0 && now.UnixNano() > until
}

// Read hands on what is unambiguous. What comes before the bad byte is handed on too:
// the transport would repeat a request to which no byte of an answer has come.
func (c *conn) Read(p []byte) (int, error) {
	c.mu.Lock()
	bad := c.bad
	c.mu.Unlock()
	if bad != nil {
		return 0, bad
	}
	n, err := c.Conn.Read(p)
	if n == 0 {
		return n, err
	}
	c.heard.Store(true)
	c.mu.Lock()
	defer c.mu.Unlock()
	used, bad := c.head.Scan(p[:n])
	if bad != nil {
		c.bad = bad
		return used, nil
	}
	c.more = c.more || used < n
	return n, err
}

// Write pretends success once the upstream takes nothing more of a request that it has
// got in part: its answer to that part, 413 for one, lies in the receive buffer, and the
// transport would not read it after an error.
func (c *conn) Write(p []byte) (int, error) {
	if c.deaf.Load() {
		return len(p), nil
	}
	c.touched.Store(true)
	n, err := c.Conn.Write(p)
	if err != nil && c.wrote.Load() && (errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET)) {
		c.deaf.Store(true)
		return len(p), nil
	}
	if n > 0 {
		c.wrote.Store(true)
	}
	return n, err
}

// ready tells whether some of the body came with the header.
func (c *conn) ready() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.more
}

// answered tells whether the header of the final answer is here.
func (c *conn) answered() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.head.Done()
}

// CloseWrite says to the upstream that nothing more will come.
func (c *conn) CloseWrite() error {
	if w, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return w.CloseWrite()
	}
	return errors.ErrUnsupported
}
