package upstream

import (
	"errors"
	"io"
	"time"
)

// errStale ends the reading of a request for a dead connection before it has begun.
var errStale = errors.New("the kept connection is dead")

// errUnwanted ends the reading of a body that the upstream does not want.
var errUnwanted = errors.New("the upstream has answered without the body")

// requestBody is a request's body as the transport reads it. While it waits for the
// client, the upstream's time stands still.
type requestBody struct {
	io.ReadCloser
	x *exchange
}

func (b *requestBody) Read(p []byte) (int, error) {
	if b.x.stale.Load() {
		return 0, errStale
	}
	if b.x.expects && !b.x.took.Load() && b.x.answered() {
		// The upstream was asked whether it wants the body, and has answered without it.
		// The transport reads it all the same, to keep the connection, and the client would
		// be told to go on. An error would close the connection that the answer comes from.
		<-b.x.ctx.Done()
		return 0, errUnwanted
	}
	b.x.took.Store(true)
	if b.x.left.Load() {
		return 0, errStale
	}
	b.x.watch.pause(Send)
	n, err := b.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		b.x.ours.Store(true)
	}
	b.x.watch.follow(Send, Send, b.x.u.o.BodyIdle)
	return n, err
}

// Close does nothing: whoever made the request closes its body, and may send it again.
func (b *requestBody) Close() error { return nil }

// answerBody is an answer's body with a limit for each piece of it.
type answerBody struct {
	body io.ReadCloser
	x    *exchange
	idle time.Duration
}

// Ready tells whether some of the body is here already.
func (b *answerBody) Ready() bool {
	if r, ok := b.body.(*answerReader); ok {
		return r.w.ready()
	}
	c := b.x.conn.Load()
	return c != nil && c.ready()
}

// Read returns io.EOF only at the end of a whole body, as far as that can be told: one
// that ends with its connection has no other end.
func (b *answerBody) Read(p []byte) (int, error) {
	b.x.watch.enter(Body, b.idle)
	n, err := b.body.Read(p)
	b.x.watch.pause(Body)
	if err != nil && err != io.EOF { //nolint:errorlint // an EOF that somebody has wrapped is no end
		err = b.x.fail(err)
		var e *Error
		if errors.As(err, &e) {
			b.x.u.count(e)
		}
	}
	return n, err
}

// Close ends the exchange. A connection whose answer was not read to its end is closed.
func (b *answerBody) Close() error {
	err := b.body.Close()
	b.x.end()
	return err
}

// Tunnel is the connection to an upstream after it has switched protocols.
type Tunnel struct {
	io.ReadWriteCloser
	conn *conn
	x    *exchange
}

// CloseWrite says to the upstream that nothing more will come; what it says is still
// read.
func (t *Tunnel) CloseWrite() error {
	if t.conn == nil {
		return errors.ErrUnsupported
	}
	return t.conn.CloseWrite()
}

// Close closes the connection.
func (t *Tunnel) Close() error {
	err := t.ReadWriteCloser.Close()
	t.x.end()
	return quiet(err)
}
