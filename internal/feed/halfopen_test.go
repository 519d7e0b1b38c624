package feed

import (
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/earshot-mq/earshot/internal/testenv"
)

// wall passes connections on until it is told to swallow: then nothing passes on those that
// there are, and nobody is told, as when a firewall forgets them.
type wall struct {
	net.Listener
	to        string
	swallowed atomic.Pointer[atomic.Bool] // of the connections that are made now

	mu    sync.Mutex
	conns []net.Conn
}

func newWall(t *testing.T, to string) *wall {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wall{Listener: l, to: strings.TrimPrefix(to, "tcp://")}
	w.swallowed.Store(&atomic.Bool{})
	var pipes sync.WaitGroup
	pipes.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			d, err := net.Dial("tcp", w.to)
			if err != nil {
				c.Close()
				continue
			}
			w.mu.Lock()
			w.conns = append(w.conns, c, d)
			w.mu.Unlock()
			swallowed := w.swallowed.Load()
			pipes.Go(func() { pass(d, c, swallowed) })
			pipes.Go(func() { pass(c, d, swallowed) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		w.mu.Lock()
		for _, c := range w.conns {
			c.Close()
		}
		w.mu.Unlock()
		pipes.Wait()
	})
	return w
}

func pass(to io.Writer, from io.Reader, swallowed *atomic.Bool) {
	buf := make([]byte, 4<<10)
	for {
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		if !swallowed.Load() {
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
	}
}

// swallow keeps what there is from passing; connections made later pass.
func (w *wall) swallow() { w.swallowed.Swap(&atomic.Bool{}).Store(true) }

// TestHalfOpenConnection: a connection on which nothing passes any more, and of which nobody
// is told, is found by its silence, and another is made.
func TestHalfOpenConnection(t *testing.T) {
	c, src := newContext(t), &shelf{}
	src.put(1)
	s, _ := serve(t, c, src, ServerOptions{Instance: "a"})
	_, at, replay := s.Endpoints()
	feedWall, replayWall := newWall(t, at), newWall(t, replay)
	f, e := follow(t, c, FollowerOptions{Endpoint: "tcp://" + feedWall.Addr().String(), Advertised: "tcp://" + replayWall.Addr().String()})
	testenv.Wait(t, "welcome", testenv.Patience, func() bool { return e.count(EventWelcome) == 1 })
	feedWall.swallow()
	replayWall.swallow()
	testenv.Wait(t, "silence", testenv.Patience, func() bool { return e.count(EventSilent) == 1 })
	testenv.Wait(t, "second welcome", testenv.Patience, func() bool { return e.count(EventWelcome) == 2 })
	if f.Stats.Reconnects.Load() == 0 {
		t.Error("it was heard without another connection: this test shows nothing")
	}
}
