package feed

import (
	"strings"
	"testing"

	"github.com/earshot-mq/earshot/internal/drill"
	"github.com/earshot-mq/earshot/internal/testenv"
)

// wall is a network through which an endpoint is reached at another one.
func wall(t *testing.T, endpoint string) (n *drill.Net, at string) {
	t.Helper()
	n = drill.NewNet()
	t.Cleanup(n.Close)
	a, err := n.Pass("127.0.0.1:0", strings.TrimPrefix(endpoint, "tcp://"))
	if err != nil {
		t.Fatal(err)
	}
	return n, "tcp://" + a
}

// TestHalfOpenConnection: a connection on which nothing passes any more, and of which nobody
// is told, is found by its silence, and another is made.
func TestHalfOpenConnection(t *testing.T) {
	c, src := newContext(t), &shelf{}
	src.put(1)
	s, _ := serve(t, c, src, ServerOptions{Instance: "a"})
	_, at, replay := s.Endpoints()
	feedWall, feedAt := wall(t, at)
	replayWall, replayAt := wall(t, replay)
	f, e := follow(t, c, FollowerOptions{Endpoint: feedAt, Advertised: replayAt})
	testenv.Wait(t, "welcome", testenv.Patience, func() bool { return e.count(EventWelcome) == 1 })
	feedWall.Swallow(false)
	replayWall.Swallow(false)
	testenv.Wait(t, "silence", testenv.Patience, func() bool { return e.count(EventSilent) == 1 })
	testenv.Wait(t, "second welcome", testenv.Patience, func() bool { return e.count(EventWelcome) == 2 })
	if f.Stats.Reconnects.Load() == 0 {
		t.Error("it was heard without another connection: this test shows nothing")
	}
}
