package drill

import (
	"fmt"
	"net"
	"sync"
	"time"
)

// Net is a network between a subscriber and its publishers: TCP connections passed on from
// one address to another, which can be cut, swallowed, stalled and delayed.
type Net struct {
	mu        sync.Mutex
	listeners []net.Listener
	links     map[*link]struct{}
	state     state
	healed    chan struct{} // closed when what is stalled goes on
	closed    bool

	wait sync.WaitGroup
}

// state is what befalls the connections.
type state struct {
	refuse  bool // new ones are reset
	swallow bool // new ones are swallowed: nothing passes on them, ever
	stall   bool // nobody reads
	delay   time.Duration
}

// link is one connection, both ends.
type link struct {
	near, far net.Conn
	dead      bool // swallowed
}

// forgotten is how long a connection that was swallowed is left to the one that doesn't
// know; after it the far end is told.
const forgotten = 10 * time.Second

// NewNet makes a network without addresses.
func NewNet() *Net { return &Net{links: map[*link]struct{}{}, healed: make(chan struct{})} }

// Pass passes connections to one address on to another, and tells the first: its port may
// have been 0.
func (n *Net) Pass(from, to string) (at string, err error) {
	l, err := net.Listen("tcp", from)
	if err != nil {
		return "", fmt.Errorf("drill: %w", err)
	}
	n.mu.Lock()
	n.listeners = append(n.listeners, l)
	n.mu.Unlock()
	n.wait.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			n.wait.Go(func() { n.carry(c, to) })
		}
	})
	return l.Addr().String(), nil
}

// carry passes one connection on until one end, or the network, ends it.
func (n *Net) carry(near net.Conn, to string) {
	if n.now().refuse {
		reset(near)
		return
	}
	far, err := net.DialTimeout("tcp", to, 5*time.Second)
	if err != nil {
		reset(near) // as a port where nobody listens
		return
	}
	l := &link{near: near, far: far}
	n.mu.Lock()
	if n.closed {
		n.mu.Unlock()
		reset(near)
		reset(far)
		return
	}
	l.dead = n.state.swallow
	n.links[l] = struct{}{}
	n.mu.Unlock()
	var both sync.WaitGroup
	both.Go(func() { n.pass(l, far, near) })
	both.Go(func() { n.pass(l, near, far) })
	both.Wait()
	reset(near)
	reset(far)
	n.mu.Lock()
	delete(n.links, l)
	n.mu.Unlock()
}

// pass moves bytes one way.
func (n *Net) pass(l *link, to, from net.Conn) {
	buf := make([]byte, 16<<10)
	for {
		k, err := from.Read(buf)
		n.mu.Lock()
		dead, st, healed := l.dead, n.state, n.healed
		n.mu.Unlock()
		switch {
		case err != nil && dead:
			time.AfterFunc(forgotten, func() { reset(to) }) // the other end is not told
			return
		case err != nil:
			_ = to.Close()
			return
		case dead:
			continue
		}
		if st.delay > 0 {
			time.Sleep(st.delay)
		}
		if st.stall {
			<-healed
		}
		if _, err := to.Write(buf[:k]); err != nil {
			_ = from.Close()
			return
		}
	}
}

func (n *Net) now() state {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.state
}

// Cut resets all connections; with refuse, new ones too until Heal.
func (n *Net) Cut(refuse bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.state.refuse = refuse
	for l := range n.links {
		reset(l.near)
		reset(l.far)
	}
}

// Swallow lets nothing pass any more on the connections that there are, and nobody is told,
// as when a firewall forgets them; with all, on new ones neither until Heal.
func (n *Net) Swallow(all bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.state.swallow = all
	for l := range n.links {
		l.dead = true
	}
}

// Stall lets nothing pass until Heal; nothing is lost.
func (n *Net) Stall() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.state.stall = true
}

// Delay has what passes come later, until Heal.
func (n *Net) Delay(d time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.state.delay = d
}

// Heal lets everything pass again, but for the connections that were swallowed.
func (n *Net) Heal() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.state = state{}
	close(n.healed)
	n.healed = make(chan struct{})
}

// Close ends all connections.
func (n *Net) Close() {
	n.Heal()
	n.mu.Lock()
	n.closed = true
	for _, l := range n.listeners {
		_ = l.Close()
	}
	for l := range n.links {
		reset(l.near)
		reset(l.far)
	}
	n.mu.Unlock()
	n.wait.Wait()
}

// reset closes a connection so that the peer is told by RST.
func reset(c net.Conn) {
	if t, ok := c.(*net.TCPConn); ok {
		_ = t.SetLinger(0)
	}
	_ = c.Close()
}
