package e2e_test

import (
	"io"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/earshot-mq/earshot/internal/testenv"
	"github.com/earshot-mq/earshot/publisher"
	"github.com/earshot-mq/earshot/subscriber"
)

// slowLine has all who connect to the endpoints that pass gives share a line of so many bytes
// a second from the publisher to the subscriber.
type slowLine struct {
	t    *testing.T
	rate int64
	mu   sync.Mutex
}

func (l *slowLine) pass(endpoint string) string {
	l.t.Helper()
	at, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { _ = at.Close() })
	go func() {
		for {
			near, err := at.Accept()
			if err != nil {
				return // closed
			}
			far, err := net.Dial("tcp", strings.TrimPrefix(endpoint, "tcp://"))
			if err != nil {
				_ = near.Close()
				continue
			}
			_ = far.(*net.TCPConn).SetReadBuffer(64 << 10)
			go func() {
				_, _ = io.Copy(far, near)
				_ = far.Close()
			}()
			go func() {
				l.carry(near, far)
				_ = near.Close()
			}()
		}
	}()
	return "tcp://" + at.Addr().String()
}

func (l *slowLine) carry(to, from net.Conn) {
	b := make([]byte, 16<<10)
	for {
		n, err := from.Read(b)
		l.mu.Lock()
		time.Sleep(time.Duration(n) * time.Second / time.Duration(l.rate)) // as long as the line takes
		l.mu.Unlock()
		if _, werr := to.Write(b[:n]); err != nil || werr != nil {
			return
		}
	}
}

// TestLineSlowerThanTheFeed: a subscriber behind a line that carries less than is published
// leaves the feed, so that FETCH has the line to itself, and follows it again when it has all.
func TestLineSlowerThanTheFeed(t *testing.T) {
	t.Parallel()
	c := zmqContext(t)
	p := newPublisher(t, c, publisher.Options{})
	_, feed, replay := p.Endpoints()
	run(t, p.Run)
	line := &slowLine{t: t, rate: 2 << 20}
	sub, st := newSubscriber(t, c, filepath.Join(t.TempDir(), "store"), subscriber.Options{Connect: []string{line.pass(feed)}, Advertise: line.pass(replay)})
	r := run(t, sub.Run)
	s := stream(t, p, "downcase")
	many(t, s, 500)
	testenv.Wait(t, "the first records", testenv.Patience, func() bool { return sub.Stats.Records.Load() == 500 })
	begun := time.Now()
	const (
		burst = 70_000          // 27 MB
		busy  = 4 * time.Minute // what takes half a minute where nothing else runs
	)
	published := uint64(500)
	testenv.Wait(t, "the feed to be left", busy, func() bool {
		if published < sub.Stats.Records.Load()+burst/2 { // at first, and where a burst takes longer than the line
			many(t, s, burst)
			published += burst
		}
		return sub.Stats.Left.Load() == 1
	})
	left, wanted, last := time.Since(begun), published, time.Now()
	testenv.Wait(t, "all records", busy, func() bool {
		if sub.Stats.Records.Load() < wanted && time.Since(last) >= 100*time.Millisecond { // the feed would take its part of the line
			many(t, s, 10)
			published, last = published+10, time.Now()
		}
		return sub.Stats.Records.Load() >= published
	})
	t.Logf("left after %v, all there after %v; %d records came early", left.Round(time.Second), time.Since(begun).Round(100*time.Millisecond), sub.Stats.Early.Load())
	testenv.Wait(t, "the feed to be joined", busy, func() bool { return sub.Stats.Left.Load() == 0 })
	many(t, s, 500)
	testenv.Wait(t, "the last records", testenv.Patience, func() bool { return sub.Stats.Records.Load() == published+500 })
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	got, lost := stored(t, st)
	for run, numbers := range got {
		inOrder(t, run, numbers, int(published+500))
	}
	if len(got) != 1 || lost != 0 {
		t.Errorf("%d runs, %d lost", len(got), lost)
	}
	if err := st.Close(); err != nil {
		t.Error(err)
	}
}
