// Package zmq is the only door to libzmq: a context, four kinds of sockets with the
// options that Earshot needs, and a way to wait for one without a parked thread.
//
// # Concurrency
//
// A libzmq socket is not thread-safe, and two goroutines on one abort the process.
// One goroutine owns a Socket: it alone calls its methods, Close among them. Ready is a
// channel that the owner may select on together with others.
//
// # Delivery
//
// That of libzmq: a PUB socket drops silently for a peer whose queue is full, a SUB
// socket never drops but stops reading, and then its publisher drops.
//
// # Errors
//
// ErrAgain: nothing to receive, or no room to send. ErrUnreachable: the peer of a
// ROUTER is gone. ErrInUse: another process has the port. All others wrap libzmq's.
package zmq

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"time"

	zmq4 "github.com/pebbe/zmq4"
	"golang.org/x/sys/unix"

	"github.com/earshot-mq/earshot/internal/queue"
)

// The errors that callers branch on.
var (
	ErrAgain       = errors.New("would block")
	ErrUnreachable = errors.New("peer unreachable")
	ErrInUse       = errors.New("address already in use")
	ErrClosed      = errors.New("context closed")
)

// Context owns libzmq's I/O thread. A process has one: key handling of 4.3.4 is not
// safe with more, and authentication handlers belong to a context.
type Context struct{ c *zmq4.Context }

// NewContext makes the context.
func NewContext() (*Context, error) {
	keepHeap()
	c, err := zmq4.NewContext()
	if err != nil {
		return nil, fmt.Errorf("zmq: new context: %w", err)
	}
	if err := errors.Join(c.SetBlocky(false), c.SetIpv6(true)); err != nil {
		return nil, fmt.Errorf("zmq: set up context: %w", errors.Join(err, c.Term()))
	}
	return &Context{c}, nil
}

// Close ends the context; every socket has to be closed before.
func (c *Context) Close() error {
	if err := c.c.Term(); err != nil {
		return fmt.Errorf("zmq: end context: %w", err)
	}
	return nil
}

// Version is libzmq's.
func Version() string {
	major, minor, patch := zmq4.Version()
	return fmt.Sprintf("%d.%d.%d", major, minor, patch)
}

// HasCurve tells whether libzmq was built with CURVE, which encrypts.
func HasCurve() bool { return zmq4.HasCurve() }

// Options tunes a socket. A zero field is libzmq's default, but for LINGER, which is
// always 0: what nobody has taken when a socket closes is fetched from a journal.
type Options struct {
	SendHWM    int           // messages queued for one peer; -1 is no limit
	RecvHWM    int           // messages queued from one peer; -1 is no limit
	MaxMessage int64         // bytes; a peer that sends more is disconnected
	Linger     time.Duration // how long Close's context waits to send the rest; default 0

	// A connection on which nothing of what was sent has been acknowledged for so long, or the
	// peer has taken nothing, is given up; TCP alone takes a quarter of an hour for a peer that
	// is gone. Whole milliseconds. Source: ZMQ_TCP_MAXRT in zmq_setsockopt(3),
	// TCP_USER_TIMEOUT in tcp(7).
	Unacknowledged time.Duration
}

// Socket is one libzmq socket. See the package's documentation for who may call it.
type Socket struct {
	s        *zmq4.Socket
	t        *transfer
	endpoint string

	ready  chan struct{}
	rearm  chan struct{}
	closed chan struct{}
	poll   *os.File
	done   sync.WaitGroup
}

const (
	connectTimeout   = 900 * time.Millisecond
	handshakeTimeout = 2 * time.Second
	reconnectMin     = 100 * time.Millisecond
	reconnectMax     = 500 * time.Millisecond // and up to reconnectMin more, by chance
	backlog          = 1024
)

// XPub binds a feed's socket; it never blocks. It passes up every subscription, and an
// end only when nobody is left who wants that prefix. (With ZMQ_XPUB_VERBOSER 4.3.4
// keeps some ends to itself when a peer comes back quickly, so nothing can be counted.)
func (c *Context) XPub(endpoint string, o Options) (*Socket, error) {
	s, err := c.socket(zmq4.XPUB, o, func(s *zmq4.Socket) error { return s.SetXpubVerbose(1) })
	if err != nil {
		return nil, err
	}
	return s.bind(endpoint)
}

// Router binds a replay socket. A send to a peer that is gone is ErrUnreachable.
func (c *Context) Router(endpoint string, o Options) (*Socket, error) {
	s, err := c.socket(zmq4.ROUTER, o, func(s *zmq4.Socket) error { return s.SetRouterMandatory(1) })
	if err != nil {
		return nil, err
	}
	return s.bind(endpoint)
}

// Sub makes a subscriber's socket, not connected yet. Its subscriptions are messages
// too, so its own send queue has no limit. It never gets ZMQ_HEARTBEAT_IVL: with a
// finite RCVHWM and a stalled reader that aborts the process (libzmq #3937).
func (c *Context) Sub(o Options) (*Socket, error) {
	o.SendHWM = -1
	return c.socket(zmq4.SUB, o, nil)
}

// Dealer makes a replay client's socket, not connected yet. It queues nothing for a
// peer that is not there.
func (c *Context) Dealer(o Options) (*Socket, error) {
	return c.socket(zmq4.DEALER, o, func(s *zmq4.Socket) error { return s.SetImmediate(true) })
}

func (c *Context) socket(t zmq4.Type, o Options, more func(*zmq4.Socket) error) (*Socket, error) {
	s, err := c.c.NewSocket(t)
	if err != nil {
		return nil, fmt.Errorf("zmq: new %s socket: %w", t, err)
	}
	errs := []error{
		s.SetLinger(o.Linger), s.SetIpv6(true), s.SetConnectTimeout(connectTimeout),
		s.SetHandshakeIvl(handshakeTimeout), s.SetReconnectIvl(reconnectMin), s.SetReconnectIvlMax(reconnectMax),
		s.SetBacklog(backlog), s.SetTcpKeepalive(1), s.SetTcpKeepaliveIdle(30), s.SetTcpKeepaliveIntvl(5), s.SetTcpKeepaliveCnt(6),
	}
	if o.SendHWM != 0 {
		errs = append(errs, s.SetSndhwm(max(o.SendHWM, 0)))
	}
	if o.RecvHWM != 0 {
		errs = append(errs, s.SetRcvhwm(max(o.RecvHWM, 0)))
	}
	if o.MaxMessage > 0 {
		errs = append(errs, s.SetMaxmsgsize(o.MaxMessage))
	}
	if o.Unacknowledged > 0 {
		errs = append(errs, s.SetTcpMaxrt(o.Unacknowledged))
	}
	if more != nil {
		errs = append(errs, more(s))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("zmq: set up %s socket: %w", t, errors.Join(err, s.Close()))
	}
	transfer, err := newTransfer(s)
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return &Socket{s: s, t: transfer, closed: make(chan struct{})}, nil
}

// bind takes "tcp://host:port"; port 0 is any free one.
func (s *Socket) bind(endpoint string) (*Socket, error) {
	if err := s.s.Bind(wildcard(endpoint)); err != nil {
		if errors.Is(err, zmq4.Errno(syscall.EADDRINUSE)) {
			err = ErrInUse
		}
		return nil, errors.Join(fmt.Errorf("zmq: bind %s: %w", endpoint, err), s.s.Close())
	}
	actual, err := s.s.GetLastEndpoint()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("zmq: endpoint of %s: %w", endpoint, err), s.s.Close())
	}
	// With IPv6 on, libzmq writes an IPv4 address as the mapped one.
	s.endpoint = mapped.ReplaceAllString(strings.TrimRight(actual, "\x00"), "$1")
	return s, nil
}

var mapped = regexp.MustCompile(`\[::ffff:([0-9.]+)\]`)

// wildcard writes port 0 as libzmq wants it.
func wildcard(endpoint string) string {
	if strings.HasSuffix(endpoint, ":0") {
		return strings.TrimSuffix(endpoint, "0") + "*"
	}
	return endpoint
}

// Endpoint is where the socket is bound, with the port that it really got.
func (s *Socket) Endpoint() string { return s.endpoint }

// Connect connects to an endpoint, in the background and again whenever it breaks.
func (s *Socket) Connect(endpoint string) error {
	if err := s.s.Connect(endpoint); err != nil {
		return fmt.Errorf("zmq: connect %s: %w", endpoint, err)
	}
	return nil
}

// Reconnect drops the connection to an endpoint, with what is queued, and makes a new
// one: the cure of a half-open connection, which libzmq does not see.
func (s *Socket) Reconnect(endpoint string) error {
	if err := s.s.Disconnect(endpoint); err != nil && !errors.Is(err, zmq4.Errno(syscall.ENOENT)) {
		return fmt.Errorf("zmq: disconnect %s: %w", endpoint, err)
	}
	return s.Connect(endpoint)
}

// Subscribe adds a prefix of topics to a SUB socket.
func (s *Socket) Subscribe(prefix string) error {
	if err := s.s.SetSubscribe(prefix); err != nil {
		return fmt.Errorf("zmq: subscribe %q: %w", prefix, err)
	}
	return nil
}

// Unsubscribe takes back one Subscribe of that prefix. What is on its way still comes.
func (s *Socket) Unsubscribe(prefix string) error {
	if err := s.s.SetUnsubscribe(prefix); err != nil {
		return fmt.Errorf("zmq: unsubscribe %q: %w", prefix, err)
	}
	return nil
}

// Lossy chooses what an XPUB socket does for a peer whose queue is full: drop the message
// for that peer, or refuse it for all with ErrAgain. The default is to drop. Source:
// ZMQ_XPUB_NODROP in zmq_setsockopt(3).
func (s *Socket) Lossy(drop bool) error {
	if err := s.s.SetXpubNodrop(!drop); err != nil {
		return fmt.Errorf("zmq: set XPUB_NODROP: %w", err)
	}
	return nil
}

// RecvFrame gives the next frame, or ErrAgain, for sockets whose messages have one.
func (s *Socket) RecvFrame() ([]byte, error) {
	frame, err := s.s.RecvBytes(zmq4.DONTWAIT)
	return frame, s.wrap("receive", err)
}

// Send sends a message of these frames. It copies them, and never waits: ErrAgain
// says that there is no room.
func (s *Socket) Send(frames ...[]byte) error {
	if len(frames) == 2 {
		return s.wrap("send", s.t.send2(frames[0], frames[1]))
	}
	for i, f := range frames {
		flags := zmq4.DONTWAIT
		if i+1 < len(frames) {
			flags |= zmq4.SNDMORE
		}
		if _, err := s.s.SendBytes(f, flags); err != nil {
			return s.wrap("send", err)
		}
	}
	return nil
}

func (s *Socket) wrap(what string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, zmq4.Errno(syscall.EAGAIN)):
		return ErrAgain
	case errors.Is(err, zmq4.Errno(syscall.EHOSTUNREACH)):
		return ErrUnreachable
	case errors.Is(err, zmq4.ETERM):
		return ErrClosed
	}
	return fmt.Errorf("zmq: %s: %w", what, err)
}

// Watch makes Ready work. It starts a goroutine, which Close ends.
func (s *Socket) Watch() error {
	fd, err := s.s.GetFd()
	if err != nil {
		return fmt.Errorf("zmq: file descriptor: %w", err)
	}
	// A duplicate, since closing the os.File must not close libzmq's own.
	dup, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("zmq: duplicate file descriptor: %w", err)
	}
	if err := unix.SetNonblock(dup, true); err != nil {
		return fmt.Errorf("zmq: file descriptor: %w", errors.Join(err, unix.Close(dup)))
	}
	s.poll = os.NewFile(uintptr(dup), "zmq")
	conn, err := s.poll.SyscallConn()
	if err != nil {
		return fmt.Errorf("zmq: file descriptor: %w", errors.Join(err, s.poll.Close()))
	}
	s.ready, s.rearm = make(chan struct{}), make(chan struct{}, 1)
	s.done.Go(func() { s.watch(conn) })
	return nil
}

// Ready gets a value when there may be something to receive. The owner then receives
// until ErrAgain, and calls Rearm. Sending may use up the signal, so the owner receives
// until ErrAgain after sending, too. Source: ZMQ_FD in zmq_getsockopt(3).
func (s *Socket) Ready() <-chan struct{} { return s.ready }

// Rearm makes Ready fire again.
func (s *Socket) Rearm() { queue.Signal(s.rearm) }

func (s *Socket) watch(conn syscall.RawConn) {
	for {
		err := conn.Read(func(fd uintptr) bool {
			p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
			n, err := unix.Poll(p, 0)
			return n > 0 || err != nil && !errors.Is(err, unix.EINTR)
		})
		if err != nil {
			return // closed
		}
		select {
		case s.ready <- struct{}{}:
		case <-s.closed:
			return
		}
		select {
		case <-s.rearm:
		case <-s.closed:
			return
		}
	}
}

// Close closes the socket; what is queued is dropped.
func (s *Socket) Close() error {
	close(s.closed)
	var err error
	if s.poll != nil {
		err = s.poll.Close()
		s.done.Wait()
	}
	if err := errors.Join(err, s.s.Close()); err != nil {
		return fmt.Errorf("zmq: close: %w", err)
	}
	return nil
}
