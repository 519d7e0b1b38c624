package feed

import (
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/earshot-mq/earshot/internal/drill"
	"github.com/earshot-mq/earshot/internal/testenv"
	"github.com/earshot-mq/earshot/internal/zmq"
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

// TestHalfOpenReplay: so is one of replay alone, while the feed is heard, when replay owes
// what was fetched.
func TestHalfOpenReplay(t *testing.T) {
	c, src := newContext(t), &shelf{}
	src.put(1)
	s, _ := serve(t, c, src, ServerOptions{Instance: "a"})
	_, at, replay := s.Endpoints()
	n, replayAt := wall(t, replay)
	f, e := follow(t, c, FollowerOptions{Endpoint: at, Advertised: replayAt})
	testenv.Wait(t, "welcome", testenv.Patience, func() bool { return e.count(EventWelcome) == 1 })
	f.Fetch(testRun, 1, 1<<20)
	testenv.Wait(t, "what there is", testenv.Patience, func() bool { return e.records(EventData) == 1 })
	for i := 1; i < 3; i++ { // while something is fetched, and when it is asked for
		n.Swallow(false)
		f.Fetch(testRun, 1, 1<<20)
		testenv.Wait(t, "another welcome", testenv.Patience, func() bool { return e.count(EventWelcome) == i+1 })
		f.Fetch(testRun, 1, 1<<20)
		testenv.Wait(t, "what there is, again", testenv.Patience, func() bool { return e.records(EventData) == uint64(i)+1 })
		f.Stop(testRun)
	}
	if e.count(EventReset) != 3 || e.count(EventSilent) != 0 {
		t.Errorf("%d times everything fetched was void, want 3, and %d times the feed was silent", e.count(EventReset), e.count(EventSilent))
	}
	heads := e.count(EventHead)
	testenv.Wait(t, "HEADs of five seconds", testenv.Patience, func() bool { return e.count(EventHead) >= heads+5 })
	if n := f.Stats.Reconnects.Load(); n != 2 {
		t.Errorf("%d connections made anew, want 2: none while nothing is owed", n)
	}
}

// TestSlowConnection: where the first HEAD of a connection takes two seconds and more, it is
// waited for after a silence as it is at first.
func TestSlowConnection(t *testing.T) {
	c, src := newContext(t), &shelf{}
	src.put(1)
	s, _ := serve(t, c, src, ServerOptions{Instance: "a"})
	_, at, replay := s.Endpoints()
	n, feedAt := wall(t, at)
	n.Delay(400 * time.Millisecond)
	_, e := follow(t, c, FollowerOptions{Endpoint: feedAt, Advertised: replay})
	for i := range 2 {
		testenv.Wait(t, "welcome", 2*testenv.Patience, func() bool { return e.count(EventWelcome) == i+1 })
		n.Swallow(false)
	}
}

// TestIdleReplayIsGreeted: a COMMIT has no answer, so replay that has said nothing for long is
// greeted.
func TestIdleReplayIsGreeted(t *testing.T) {
	e, now := &ear{}, time.Now()
	f := &Follower{o: FollowerOptions{Sink: e.sink}, dealer: &zmq.Socket{}, replayAt: "tcp://127.0.0.1:4446", hello: helloDone, owes: now}
	for after, resets := range map[time.Duration]int{replayIdle: 0, replayIdle + time.Second: 1} {
		e.events, f.hello = nil, helloDone
		if err := f.watchReplay(now.Add(after)); err != nil || e.count(EventReset) != resets || (f.hello == helloDue) != (resets > 0) {
			t.Errorf("after %v: %v, %d resets, hello %d", after, err, e.count(EventReset), f.hello)
		}
	}
}

// TestSilentPublisherHasNoReplay: nobody connects to the replay of a publisher that is silent:
// it may be one of many that are gone for good. HEAD tells where it is then.
func TestSilentPublisherHasNoReplay(t *testing.T) {
	c := newContext(t)
	s, _ := serve(t, c, &shelf{}, ServerOptions{Instance: "a"})
	_, at, _ := s.Endpoints()
	feedWall, feedAt := wall(t, at)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var accepted, open atomic.Int64
	var all sync.WaitGroup
	t.Cleanup(all.Wait)
	t.Cleanup(func() { _ = l.Close() })
	all.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			accepted.Add(1)
			open.Add(1)
			all.Go(func() {
				_, _ = io.Copy(io.Discard, conn)
				open.Add(-1)
				_ = conn.Close()
			})
		}
	})
	f, e := follow(t, c, FollowerOptions{Endpoint: feedAt, Advertised: "tcp://" + l.Addr().String()})
	testenv.Wait(t, "a connection to replay", testenv.Patience, func() bool { return open.Load() == 1 })
	feedWall.Swallow(true)
	testenv.Wait(t, "silence", testenv.Patience, func() bool { return e.count(EventSilent) == 1 })
	looks := func(more uint64) {
		t.Helper()
		before := f.Stats.Reconnects.Load()
		testenv.Wait(t, "a further look for the feed", 2*testenv.Patience, func() bool { return f.Stats.Reconnects.Load() >= before+more })
	}
	looks(2) // silence is told and the first is counted before replay is given up; until then libzmq connects to it
	testenv.Wait(t, "no connection to replay", testenv.Patience, func() bool { return open.Load() == 0 })
	n := accepted.Load()
	looks(1)
	if now := accepted.Load(); now != n {
		t.Errorf("%d connections to the replay of a publisher that is silent", now-n)
	}
	feedWall.Heal()
	testenv.Wait(t, "a connection to replay, again", testenv.Patience, func() bool { return open.Load() == 1 })
}
