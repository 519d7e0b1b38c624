package zmq

import (
	"errors"

	zmq4 "github.com/pebbe/zmq4"
	"golang.org/x/sys/unix"
)

// loop is a wire within one thread. It has no I/O thread and no port.
type loop struct {
	c       *Context
	in, out *zmq4.Socket
	fd      int
}

func newLoop() (*loop, error) {
	c, err := NewContext()
	if err != nil {
		return nil, err
	}
	l := &loop{c: c}
	if err := l.open(); err != nil {
		return nil, errors.Join(err, l.close())
	}
	c.c.SetRetryAfterEINTR(false)
	return l, nil
}

func (l *loop) open() error {
	err := l.c.c.SetIoThreads(0)
	for _, s := range []**zmq4.Socket{&l.in, &l.out} {
		if err != nil {
			return err
		}
		*s, err = l.c.c.NewSocket(zmq4.PAIR)
	}
	if err != nil {
		return err
	}
	if l.fd, err = l.in.GetFd(); err != nil {
		return err
	}
	const address = "inproc://check"
	return errors.Join(l.in.Bind(address), l.out.Connect(address))
}

// Send sends a message; one that EINTR broke off has sent nothing.
func (l *loop) Send() error {
	for {
		if _, err := l.out.SendBytes([]byte{1}, zmq4.DONTWAIT); !interrupted(err) {
			return err
		}
	}
}

func (l *loop) Recv() error {
	_, err := l.in.RecvBytes(zmq4.DONTWAIT)
	return err
}

func (l *loop) Pending() (bool, error) {
	for {
		p := []unix.PollFd{{Fd: int32(l.fd), Events: unix.POLLIN}}
		if n, err := unix.Poll(p, 0); !errors.Is(err, unix.EINTR) {
			return n > 0, err
		}
	}
}

func (l *loop) close() error {
	l.c.c.SetRetryAfterEINTR(true)
	var errs []error
	for _, s := range []*zmq4.Socket{l.in, l.out} {
		if s != nil {
			errs = append(errs, s.Close())
		}
	}
	return errors.Join(append(errs, l.c.Close())...)
}
