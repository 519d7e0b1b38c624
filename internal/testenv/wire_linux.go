package testenv

import (
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Wire joins two namespaces by a slow line: each packet arrives after delay and up to jitter
// more, so that one may overtake another. It is a pair of tun interfaces with this process
// between them, since few kernels have tc's netem, and it is up until the test ends. Where
// there is no /dev/net/tun it is Missing.
type Wire struct {
	mu            sync.Mutex
	delay, jitter time.Duration
}

// NewWire joins a and b by interfaces of this name with these addresses, as Netns.Link does.
func NewWire(t testing.TB, a, b *Netns, name, addr, peer string, delay, jitter time.Duration) *Wire {
	t.Helper()
	w := &Wire{delay: delay, jitter: jitter}
	ends := []*os.File{a.tun(name, addr), b.tun(name, peer)}
	var all sync.WaitGroup
	for i, from := range ends {
		all.Go(func() { w.carry(from, ends[1-i]) })
	}
	t.Cleanup(func() {
		for _, end := range ends {
			_ = end.Close()
		}
		all.Wait()
	})
	return w
}

// Set changes how slow the line is, for the packets that come now.
func (w *Wire) Set(delay, jitter time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.delay, w.jitter = delay, jitter
}

func (w *Wire) carry(from, to *os.File) {
	for {
		buf := make([]byte, 2<<10)
		n, err := from.Read(buf)
		if err != nil {
			return // closed
		}
		w.mu.Lock()
		after := w.delay
		if w.jitter > 0 {
			after += rand.N(w.jitter)
		}
		w.mu.Unlock()
		time.AfterFunc(after, func() { _, _ = to.Write(buf[:n]) }) // or the line is down
	}
}

// tun makes an interface whose packets are read and written here.
func (n *Netns) tun(name, addr string) (f *os.File) {
	n.t.Helper()
	var err error
	n.Do(func() {
		var fd int
		if fd, err = unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0); err != nil {
			return
		}
		var request *unix.Ifreq
		if request, err = unix.NewIfreq(name); err == nil {
			request.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
			err = unix.IoctlIfreq(fd, unix.TUNSETIFF, request)
		}
		f = os.NewFile(uintptr(fd), name)
	})
	if err != nil {
		Missing(n.t, fmt.Sprintf("no tun interface can be made: %v", err))
	}
	n.Run("ip", "addr", "add", addr, "dev", name)
	n.Run("ip", "link", "set", name, "up")
	return f
}
