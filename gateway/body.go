package gateway

import (
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"syscall"
	"time"
)

// errOver ends the reading of a request's body for an answer that is complete.
var errOver = errors.New("gateway: the answer is complete")

// requestBody is a request's body as the upstream's connection reads it, maybe longer
// than the handler runs. A nil one is no body.
type requestBody struct {
	c       *call
	body    io.ReadCloser
	expects bool          // the client waits for 100 before it sends
	done    chan struct{} // closed by release

	mu   sync.Mutex // guards what follows, and deadlines of the connection
	over bool
	err  error // why reading ended; io.EOF is its end
}

func newRequestBody(c *call) *requestBody {
	return &requestBody{
		c: c, body: c.r.Body, done: make(chan struct{}),
		expects: c.r.ProtoAtLeast(1, 1) && hasToken(c.r.Header["Expect"], "100-continue"),
	}
}

// Read reads from the client, which must not pause for longer than its limit.
func (b *requestBody) Read(p []byte) (int, error) {
	if b.expects && !b.c.goOn() {
		// The answer came just before, without the body. An error now would close the
		// connection from which it is read.
		<-b.done
	}
	if !b.deadline(time.Now().Add(b.c.now.table.clientIdle)) {
		return 0, errOver
	}
	n, err := b.body.Read(p)
	if err == nil {
		return n, nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err == nil && !b.over {
		b.err = err
		_ = b.c.control.SetReadDeadline(time.Time{}) // whoever has no deadlines needs none taken away
	}
	return n, err
}

// deadline sets the time for the next read, unless the connection is no longer ours.
func (b *requestBody) deadline(t time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.over {
		return false
	}
	_ = b.c.control.SetReadDeadline(t) // a writer without deadlines has its own limits
	return true
}

// Close does nothing: net/http closes the body.
func (b *requestBody) Close() error { return nil }

// linger is how long net/http may wait, after the answer, for the rest of a request that
// nobody wants: closing at once would reset the connection, and the answer with it.
const linger = 2 * time.Second

// release ends the reading.
func (b *requestBody) release() {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.over {
		return
	}
	b.over = true
	close(b.done)
	if b.err == nil {
		_ = b.c.control.SetReadDeadline(time.Now().Add(linger)) // a writer without deadlines has its own limits
	}
}

// failure is why the client's body could not be read, nil if it could.
func (b *requestBody) failure() error {
	if b == nil {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err == io.EOF { //nolint:errorlint // an EOF that somebody has wrapped is no end
		return nil
	}
	return b.err
}

// unread tells whether there is more of it.
func (b *requestBody) unread() bool {
	if b == nil {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.err == nil
}

// isGone tells whether reading failed because the client has left.
func isGone(err error) bool {
	return errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, http.ErrBodyReadAfterClose)
}

// goOn lets the client send its body: 100 Continue, once. It reports false when the
// final answer has come before.
func (c *call) goOn() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.continued && c.final {
		return false
	}
	if !c.continued {
		c.continued = true
		c.w.WriteHeader(http.StatusContinue)
	}
	return true
}

// inform passes an interim answer on, if this client can take it.
func (c *call) inform(status int, h http.Header) error {
	if status == http.StatusContinue {
		if c.body != nil && c.body.expects {
			c.goOn()
		}
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.final || !c.r.ProtoAtLeast(1, 1) {
		return nil
	}
	own := c.w.Header()
	before := own.Clone()
	for name, values := range endToEnd(h, nil) {
		own[name] = values
	}
	c.w.WriteHeader(status)
	clear(own)
	for name, values := range before {
		own[name] = values
	}
	return nil
}
