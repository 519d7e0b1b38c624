package publisher

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
)

// hijack gives the connection to the handler.
func (p *response) hijack() (net.Conn, *bufio.ReadWriter, error) {
	switch p.phase {
	case hijacked:
		return nil, nil, http.ErrHijacked
	case over:
		return nil, nil, errReturned
	}
	if p.status != 0 {
		if err := p.leave(); err != nil {
			return nil, nil, err
		}
	}
	conn, rw, err := http.NewResponseController(p.under).Hijack()
	if err != nil {
		return nil, nil, err
	}
	p.phase = hijacked
	p.giveBack()
	how := p.exchange.handled()
	if how != recorded {
		p.giveUp()
		return conn, rw, nil
	}
	// For a handler that writes the header itself, from Header.
	h := p.under.Header()
	p.mark(h, how)
	h.Set(headerRequestID, p.exchange.id)

	c := &hijackedConn{Conn: conn, p: p}
	c.code.Store(int32(p.status))
	p.line.Lock()
	p.conn, p.stream = c, true
	p.line.Unlock()
	p.beginStream()
	if rw.Writer.Buffered() > 0 {
		if err := rw.Writer.Flush(); err != nil {
			return nil, nil, err
		}
	}
	rw.Writer.Reset(c)
	if w, ok := conn.(closeWriter); ok {
		return halfCloser{c, w}, rw, nil
	}
	return c, rw, nil
}

// hijackedConn is a connection that its handler has taken over. Its closing is the end
// of the exchange and waits for the record.
type hijackedConn struct {
	net.Conn
	p       *response
	written atomic.Int64 // bytes, the head of an answer included
	code    atomic.Int32 // status; 0 until it is said
	broken  atomic.Bool  // a write failed, or the recorder cut the stream
	once    sync.Once
}

// closeWriter is a connection that can be closed one way.
type closeWriter interface{ CloseWrite() error }

// halfCloser is a hijackedConn over such a connection.
type halfCloser struct {
	*hijackedConn
	closeWriter
}

// NetConn is the connection itself. What is written to it is not counted, and its
// closing makes no record.
func (c *hijackedConn) NetConn() net.Conn { return c.Conn }

func (c *hijackedConn) Write(b []byte) (int, error) {
	if c.code.Load() == 0 {
		c.code.CompareAndSwap(0, statusIn(b))
	}
	n, err := c.Conn.Write(b)
	return n, c.wrote(int64(n), err)
}

// ReadFrom keeps the kernel's way from one connection to another.
func (c *hijackedConn) ReadFrom(src io.Reader) (int64, error) {
	if rf, ok := c.Conn.(io.ReaderFrom); ok && c.code.Load() != 0 {
		n, err := rf.ReadFrom(src)
		c.written.Add(n)
		return n, err
	}
	return io.Copy(struct{ io.Writer }{c}, src)
}

// WriteTo does the same the other way.
func (c *hijackedConn) WriteTo(dst io.Writer) (int64, error) { return io.Copy(dst, c.Conn) }

func (c *hijackedConn) wrote(n int64, err error) error {
	c.written.Add(n)
	if err != nil {
		c.broken.Store(true)
	}
	return err
}

// Close publishes the record and closes the connection.
func (c *hijackedConn) Close() error {
	c.once.Do(func() {
		c.p.publish(c.broken.Load())
		c.p.giveUp()
	})
	return c.Conn.Close()
}

// status is the status of what the handler wrote; a handler that wrote none has switched
// protocols in its own way.
func (c *hijackedConn) status() int {
	if code := c.code.Load(); code > 0 {
		return int(code)
	}
	return http.StatusSwitchingProtocols
}

// statusIn is the status in a head of HTTP/1 at the start of b, or -1.
func statusIn(b []byte) int32 {
	const prefix = "HTTP/1."
	if !bytes.HasPrefix(b, []byte(prefix)) || len(b) < len("HTTP/1.1 200") {
		return -1
	}
	code, err := strconv.ParseUint(string(b[9:12]), 10, 16)
	if err != nil {
		return -1
	}
	return int32(code)
}
