package gateway

import (
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/earshot-mq/earshot/gateway/upstream"
)

// tunnel connects client and upstream after a 101, until both have ended, one has failed
// or nothing has moved for too long.
func (c *call) tunnel(answer *http.Response) {
	remote, ok := answer.Body.(*upstream.Tunnel)
	if !ok || !isWebSocket(c.r) {
		_ = answer.Body.Close() // there is nobody to tell
		c.failed(&upstream.Error{Upstream: c.route.Upstream, Stage: upstream.Header, Err: errors.New("not a WebSocket")})
		return
	}
	c.patience()
	h := http.Header{}
	c.copyHeader(h, answer)
	client, buffered, err := c.control.Hijack()
	if err != nil {
		_ = remote.Close()
		c.failed(&upstream.Error{Upstream: c.route.Upstream, Stage: upstream.Header, Err: err})
		return
	}
	// What the recorder says of the answer stands in the writer's header by now.
	for name, values := range c.w.Header() {
		h[name] = values
	}
	h["Connection"], h["Upgrade"] = []string{"Upgrade"}, []string{"websocket"}
	p := &pipe{client: client, remote: remote}
	defer p.close()
	head := http.Response{StatusCode: http.StatusSwitchingProtocols, ProtoMajor: 1, ProtoMinor: 1, Header: h}
	if err := errors.Join(head.Write(buffered), buffered.Flush()); err != nil {
		return
	}
	_ = client.SetDeadline(time.Time{})
	early := make([]byte, buffered.Reader.Buffered())
	if _, err := io.ReadFull(buffered.Reader, early); err != nil {
		return
	}
	p.run(early, c.target.stream)
}

// pipe is two connections that say to each other what they hear.
type pipe struct {
	client net.Conn
	remote *upstream.Tunnel
	once   sync.Once
}

// run returns when both directions have ended. early is what the client has said before.
func (p *pipe) run(early []byte, idle time.Duration) {
	if _, err := p.remote.Write(early); err != nil {
		return
	}
	timer := time.AfterFunc(idle, p.close)
	defer timer.Stop()
	moved := func() { timer.Reset(idle) }
	var up sync.WaitGroup
	up.Go(func() { p.copy(p.remote, p.client, moved) })
	p.copy(p.client, p.remote, moved)
	up.Wait()
}

// copy goes on until from ends, which to is told, or until something fails, which ends
// both directions.
func (p *pipe) copy(to io.Writer, from io.Reader, moved func()) {
	buffer := buffers.Get().(*[bufferSize]byte)
	defer buffers.Put(buffer)
	for {
		n, err := from.Read(buffer[:])
		moved()
		if n > 0 {
			if _, werr := to.Write(buffer[:n]); werr != nil {
				p.close()
				return
			}
			moved()
		}
		if err == io.EOF && halfClose(to) == nil {
			return
		}
		if err != nil {
			p.close()
			return
		}
	}
}

// halfClose says that nothing more will come. Whoever can't be told that hears on.
func halfClose(w io.Writer) error {
	c, ok := w.(interface{ CloseWrite() error })
	if !ok {
		return nil
	}
	if err := c.CloseWrite(); !errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	return nil
}

// close ends both directions. The record of the answer is made here, so it comes first.
func (p *pipe) close() {
	p.once.Do(func() { _ = errors.Join(p.client.Close(), p.remote.Close()) }) // there is nobody to tell
}
