package strict

import (
	"errors"
	"io"
	"net"
)

// NewListener returns l with connections whose reading fails where a request is
// ambiguous: net/http answers 400 and closes. refused, if it is not nil, is told of each
// such request; it must not wait. The connections are of HTTP/1 in plain text: HTTP/2 is
// not known to them.
//
// What follows a request without a body and with "Connection: upgrade" and "Upgrade:
// websocket" is not judged, so its connection must not be used for another request when
// the answer is not 101.
func NewListener(l net.Listener, refused func(from net.Addr, err error)) net.Listener {
	if refused == nil {
		refused = func(net.Addr, error) {}
	}
	return &listener{l, refused}
}

type listener struct {
	net.Listener
	refused func(net.Addr, error)
}

// Accept waits for the next connection.
func (l *listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &conn{Conn: c, requests: newRequests(), refused: l.refused}, nil
}

// conn is a connection that a server reads requests from. One goroutine reads at a time,
// as net/http does.
type conn struct {
	net.Conn
	requests *requests
	refused  func(net.Addr, error)
	bad      error
}

func (c *conn) Read(p []byte) (int, error) {
	if c.bad != nil {
		return 0, c.bad
	}
	n, err := c.Conn.Read(p)
	good, bad := c.requests.scan(p[:n])
	if bad == nil {
		return n, err
	}
	c.bad = bad
	c.refused(c.RemoteAddr(), bad)
	if good > 0 {
		return good, nil
	}
	return 0, bad
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
