package feed

import (
	"os"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/earshot-mq/earshot/internal/testenv"
	"github.com/earshot-mq/earshot/internal/zmq"
)

// TestTimeUntilAPeerIsGone: how long TCP waits for a peer that acknowledges nothing, at each
// end of each connection, as PROTOCOL.md 5 and 6 say.
func TestTimeUntilAPeerIsGone(t *testing.T) {
	c := newContext(t)
	s, _ := serve(t, c, &shelf{}, ServerOptions{Instance: "a", Text: "tcp://127.0.0.1:0", Record: "tcp://127.0.0.1:0", Replay: "tcp://127.0.0.1:0"})
	text, rec, replay := s.Endpoints()
	_, e := follow(t, c, FollowerOptions{Endpoint: rec})
	testenv.Wait(t, "welcome", testenv.Patience, func() bool { return e.count(EventWelcome) == 1 })
	listener, err := c.Sub(zmq.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	if err := listener.Connect(text); err != nil {
		t.Fatal(err)
	}
	for _, want := range []struct {
		what     string
		endpoint string
		ours     bool // the publisher's end
		time     time.Duration
	}{
		{"record feed", rec, true, peerGone},
		{"replay", replay, true, peerGone},
		{"replay, the subscriber", replay, false, unacknowledged},
		{"text feed", text, true, 0}, // nobody could repair what its queue had
	} {
		var got []time.Duration
		testenv.Wait(t, "connection of the "+want.what, testenv.Patience, func() bool {
			got = userTimeouts(t, port(want.endpoint), want.ours)
			return len(got) > 0
		})
		if len(got) != 1 || got[0] != want.time {
			t.Errorf("%s: TCP_USER_TIMEOUT is %v, want %v", want.what, got, want.time)
		}
	}
}

// userTimeouts is TCP_USER_TIMEOUT of this process's connections that have a port at their
// own end, or at the other.
func userTimeouts(t *testing.T, port int, own bool) (all []time.Duration) {
	t.Helper()
	files, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	portOf := func(a unix.Sockaddr, err error) int {
		switch a := a.(type) {
		case *unix.SockaddrInet4:
			return a.Port
		case *unix.SockaddrInet6:
			return a.Port
		}
		return 0
	}
	for _, f := range files {
		fd, err := strconv.Atoi(f.Name())
		if err != nil {
			t.Fatal(err)
		}
		here, there := portOf(unix.Getsockname(fd)), portOf(unix.Getpeername(fd))
		if there == 0 || own && here != port || !own && there != port {
			continue
		}
		ms, err := unix.GetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT)
		if err == nil {
			all = append(all, time.Duration(ms)*time.Millisecond)
		}
	}
	return all
}
