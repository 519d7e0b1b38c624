package zmq

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/earshot-mq/earshot/internal/testenv"
)

// A peer that takes nothing is given up when it is time, while another that does stays, and is
// back when it takes again. So is a peer whose network is gone.
func TestPeerThatIsGone(t *testing.T) {
	testenv.Need(t, "ss")
	here, there := testenv.NewNetns(t), testenv.NewNetns(t)
	here.Link(there, "v0", "10.9.0.1/24", "10.9.0.2/24")
	in := func(n *testenv.Netns) (c *Context) {
		n.Do(func() { // libzmq's thread is of the namespace in which the first socket is made
			var err error
			if c, err = NewContext(); err != nil {
				t.Fatal(err)
			}
			s, err := c.Dealer(Options{})
			if err = errors.Join(err, s.Close()); err != nil {
				t.Fatal(err)
			}
		})
		t.Cleanup(func() {
			if err := c.Close(); err != nil {
				t.Error(err)
			}
		})
		return c
	}
	local, far := in(here), in(there)
	var pub *Socket
	here.Do(func() {
		pub = must(t)(local.XPub("tcp://10.9.0.1:4445", Options{SendHWM: 1000, Unacknowledged: 2 * time.Second}))
	})
	connections := func() int {
		return strings.Count(here.Run("ss", "-Htn", "state", "established", "sport = :4445"), "10.9.0.2")
	}
	connect := func(topic string) *Socket {
		s := must(t)(far.Sub(Options{RecvHWM: 1}))
		if err := errors.Join(s.Subscribe(topic), s.Connect("tcp://10.9.0.1:4445")); err != nil {
			t.Fatal(err)
		}
		recv(t, pub)
		return s
	}
	body := make([]byte, 64<<10)
	flood := func(topic string) {
		for range 200 {
			if err := pub.Send([]byte(topic), body); err != nil {
				t.Fatal(err)
			}
		}
	}
	taker, stalled := connect("a/"), connect("b/")
	if n := connections(); n != 2 {
		t.Fatalf("%d connections, want 2", n)
	}
	flood("b/")
	taken := func() {
		if err := pub.Send([]byte("a/"), body); err != nil {
			t.Fatal(err)
		}
		recv(t, taker)
	}
	testenv.Wait(t, "the stalled peer to be given up", testenv.Patience, func() bool { taken(); return connections() == 1 })
	testenv.Wait(t, "it to connect anew when it goes on", testenv.Patience, func() bool {
		if _, err := stalled.Recv(); err != nil && !errors.Is(err, ErrAgain) {
			t.Fatal(err)
		}
		m, err := pub.RecvFrame()
		return err == nil && string(m) == "\x01b/"
	})

	there.Rule("INPUT", "--protocol", "tcp", "--source-port", "4445", "--jump", "DROP")
	flood("a/")
	flood("b/")
	testenv.Wait(t, "the peers that are gone to be given up", testenv.Patience, func() bool { return connections() == 0 })
}
