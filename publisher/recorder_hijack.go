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
	if p.exchange.handled() != recorded {
		p.giveUp()
		return conn, rw, nil
	}
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
	if c.code.Load() == 0 && c.code.CompareAndSwap(0, statusIn(b)) && c.code.Load() > 0 {
		return c.writeHead(b)
	}
	n, err := c.Conn.Write(b)
	return n, c.wrote(int64(n), err)
}

// writeHead writes b, which begins with the head of an answer that the handler has made
// itself, with the mark in it: else a gateway would record the same exchange again.
func (c *hijackedConn) writeHead(b []byte) (int, error) {
	marked := c.p.markHead(b)
	n, err := c.Conn.Write(marked)
	if n = min(n, len(b)); err == nil {
		n = len(b)
	}
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

// markHead is b with the mark and the request id behind its status line, in place of what
// the handler may have there.
func (p *response) markHead(b []byte) []byte {
	h := http.Header{headerRequestID: {p.exchange.id}}
	p.mark(h, recorded)
	var out bytes.Buffer
	for first := true; ; first = false {
		line, rest, ok := bytes.Cut(b, []byte("\r\n"))
		if !ok || len(line) == 0 {
			break // the end of the head, or of what of it is here
		}
		b = rest
		name, _, _ := bytes.Cut(line, []byte(":"))
		if !bytes.EqualFold(name, []byte(MarkHeader)) && !bytes.EqualFold(name, []byte(headerRequestID)) {
			out.Write(line)
			out.WriteString("\r\n")
		}
		if first {
			_ = h.Write(&out) // a bytes.Buffer takes all
		}
	}
	out.Write(b)
	return out.Bytes()
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
