//go:build unix

package upstream

import (
	"net"
	"syscall"
)

// closed tells whether the peer has closed c, or has said something that nobody asked
// for. It does not wait. The transport learns the same a little later from its reader,
// and that little is when a request is lost on a dead connection.
func closed(c net.Conn) bool {
	under := c
	if t, ok := c.(interface{ NetConn() net.Conn }); ok {
		under = t.NetConn()
	}
	s, ok := under.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return true
	}
	dead := false
	// Not raw.Read: that waits for the transport's own reader.
	err = raw.Control(func(fd uintptr) {
		var b [1]byte
		n, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		switch {
		case err == syscall.EAGAIN, err == syscall.EINTR:
		case err != nil:
			dead = true
		default:
			dead = n == 0 || under == c // TLS may have something to say between requests
		}
	})
	return dead || err != nil
}
