package feed

import (
	"testing"
	"time"

	"github.com/earshot-mq/earshot/internal/journal"
	"github.com/earshot-mq/earshot/internal/queue"
	"github.com/earshot-mq/earshot/internal/testenv"
	"github.com/earshot-mq/earshot/internal/zmq"
	"github.com/earshot-mq/earshot/publisher/record"
)

// fetching has a Follower that was welcomed by a Server of src.
func fetching(t *testing.T, src Source) (*Server, *Follower, *ear) {
	t.Helper()
	c := newContext(t)
	s, _ := serve(t, c, src, ServerOptions{Instance: "a"})
	_, at, _ := s.Endpoints()
	f, e := follow(t, c, FollowerOptions{Endpoint: at})
	testenv.Wait(t, "welcome", testenv.Patience, func() bool { return e.count(EventWelcome) == 1 })
	return s, f, e
}

// TestEndComesBehindTheRecords: a run that has ended, and of which a read gave nothing yet,
// is read again before its end is told.
func TestEndComesBehindTheRecords(t *testing.T) {
	src := &shelf{ended: true, behind: 1}
	src.put(5)
	_, f, e := fetching(t, src)
	f.Fetch(testRun, 1, 1<<20)
	testenv.Wait(t, "end", testenv.Patience, func() bool { return e.count(EventEnd) == 1 })
	if n := e.records(EventData); n != 5 {
		t.Errorf("%d records before the end, want 5", n)
	}
}

// TestReadOfAnEarlierFetch: what was read for a FETCH that is void by then is not sent.
func TestReadOfAnEarlierFetch(t *testing.T) {
	src := &shelf{hold: make(chan struct{})}
	for range 5 {
		src.put(1)
	}
	s, f, e := fetching(t, src)
	f.Fetch(testRun, 1, 1<<20)
	testenv.Wait(t, "read", testenv.Patience, func() bool { return src.count() == 1 })
	f.Fetch(testRun, 4, 1<<20)
	testenv.Wait(t, "second FETCH", testenv.Patience, func() bool { return s.Stats.Fetches.Load() == 2 })
	close(src.hold)
	testenv.Wait(t, "what the second asked for", testenv.Patience, func() bool { return e.records(EventData) >= 2 })
	heads := e.count(EventHead)
	testenv.Wait(t, "HEAD behind it", testenv.Patience, func() bool { return e.count(EventHead) > heads+1 })
	if n := e.records(EventData); n != 2 {
		t.Errorf("%d records came, want the 2 from number 4 on", n)
	}
}

// TestTrimIsToldOnce: behind numbers that are gone the FETCH goes on.
func TestTrimIsToldOnce(t *testing.T) {
	src := &shelf{gone: 3}
	for range 5 {
		src.put(1)
	}
	_, f, e := fetching(t, src)
	f.Fetch(testRun, 1, 1<<20)
	testenv.Wait(t, "the rest", testenv.Patience, func() bool { return e.records(EventData) == 2 })
	e.mu.Lock()
	defer e.mu.Unlock()
	trims := 0
	for _, ev := range e.events {
		if ev.Kind == EventTrim {
			if trims++; ev.First != 1 || ev.Last != 3 || ev.Reason != "dropped" {
				t.Errorf("TRIM of %d to %d: %s", ev.First, ev.Last, ev.Reason)
			}
		}
	}
	if trims != 1 {
		t.Errorf("%d TRIMs, want 1", trims)
	}
}

// TestIdleSessionIsForgotten, but not one that fetches: it is told each second.
func TestIdleSessionIsForgotten(t *testing.T) {
	s, err := NewServer(newContext(t), &shelf{}, ServerOptions{Record: "tcp://127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	now := time.Now()
	for id, heard := range map[string]time.Time{"idle": now.Add(-sessionIdle - time.Second), "there": now.Add(-sessionIdle)} {
		s.replayer.sessions[id] = &session{id: []byte(id), heard: heard}
	}
	s.replayer.beat(now)
	if len(s.replayer.sessions) != 1 || s.replayer.sessions["there"] == nil {
		t.Errorf("%d sessions are left, want the one that was heard", len(s.replayer.sessions))
	}
}

// TestHead: what HEAD says is what was sent on the feed's socket, and how the publisher is.
func TestHead(t *testing.T) {
	src := &shelf{}
	src.put(5)
	degraded := false
	s, err := NewServer(newContext(t), src, ServerOptions{Record: "tcp://127.0.0.1:0", Degraded: func() bool { return degraded }})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if h := s.head(map[record.Run]uint64{}); len(h.Runs) != 0 || h.State != StateLive {
		t.Errorf("before anything was sent: %+v", h)
	}
	if h := s.head(map[record.Run]uint64{testRun: 3}); len(h.Runs) != 1 || h.Runs[0].Last != 3 {
		t.Errorf("3 of 5 sent: %+v", h)
	}
	if h := s.head(nil); len(h.Runs) != 1 || h.Runs[0].Last != 5 {
		t.Errorf("on replay's socket: %+v", h)
	}
	degraded = true
	if h := s.head(nil); h.State != StateDegraded {
		t.Errorf("degraded: %s", h.State)
	}
	s.Ended()
	if h := s.head(nil); h.State != StateEnded {
		t.Errorf("stopping: %s", h.State)
	}
}

// TestRosterMakesAWelcome: when other runs are there than WELCOME listed, HELLO is said again.
// The end of a flood that finds the queue full is known from HEAD alone, since nothing
// follows that would show the hole.
func TestHeadTellsOfWhatFoundTheQueueFull(t *testing.T) {
	c, src := newContext(t), &shelf{}
	s, err := NewServer(c, src, ServerOptions{Record: "tcp://127.0.0.1:0", Replay: "tcp://127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	s.recordQ = queue.New[journal.Entry](1) // which takes one batch
	s.listening.Store(true)
	s.Hand([]journal.Entry{src.put(3), src.put(4)})
	background(t, s.Run)
	_, feed, _ := s.Endpoints()
	_, e := follow(t, c, FollowerOptions{Endpoint: feed})
	testenv.Wait(t, "a HEAD that tells of all", 5*time.Second, func() bool {
		e.mu.Lock()
		defer e.mu.Unlock()
		for _, ev := range e.events {
			if ev.Kind == EventHead && ev.Live && len(ev.Offers) == 1 && ev.Offers[0].Last == 7 {
				return true
			}
		}
		return false
	})
}

func TestRosterMakesAWelcome(t *testing.T) {
	src := &shelf{}
	src.put(1)
	_, _, e := fetching(t, src)
	src.mu.Lock()
	src.roster++
	src.mu.Unlock()
	testenv.Wait(t, "second welcome", testenv.Patience, func() bool { return e.count(EventWelcome) == 2 })
	if e.count(EventReset) != 2 {
		t.Errorf("%d resets, want one before each HELLO", e.count(EventReset))
	}
}

// TestServicesAreWholeNames: who wants one service gets no other whose name only begins so.
func TestServicesAreWholeNames(t *testing.T) {
	c, src := newContext(t), &shelf{}
	s, _ := serve(t, c, src, ServerOptions{Instance: "a"})
	_, at, _ := s.Endpoints()
	_, e := follow(t, c, FollowerOptions{Endpoint: at, Services: []string{"downcase"}})
	testenv.Wait(t, "connection", testenv.Patience, func() bool { return e.count(EventHead) > 0 })
	for _, service := range []string{"downcase2", "down", "gateway", "downcase"} {
		entry := src.put(1)
		entry.Service = service
		s.Hand([]journal.Entry{entry})
	}
	testenv.Wait(t, "the last record", testenv.Patience, func() bool { return e.records(EventLive) > 0 })
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, ev := range e.events {
		for i := range ev.Entries {
			if ev.Entries[i].Service != "downcase" {
				t.Errorf("a record of %s came", ev.Entries[i].Service)
			}
		}
	}
}

// TestTextIsRenderedForListeners only: while nobody subscribes nothing is queued.
func TestTextIsRenderedForListeners(t *testing.T) {
	c, src := newContext(t), &shelf{}
	s, _ := serve(t, c, src, ServerOptions{Text: "tcp://127.0.0.1:0", Record: "tcp://127.0.0.1:0"})
	s.Hand([]journal.Entry{src.put(1)})
	if n := s.textQ.Len(); n != 0 {
		t.Errorf("%d batches wait for nobody", n)
	}
	at, _, _ := s.Endpoints()
	sub, err := c.Sub(zmq.Options{})
	if err != nil {
		t.Fatal(err)
	}
	err = sub.Subscribe("")
	if err == nil {
		err = sub.Connect(at)
	}
	if err != nil {
		t.Fatal(err)
	}
	testenv.Wait(t, "listener", testenv.Patience, s.Stats.TextListening.Load)
	if err := sub.Close(); err != nil {
		t.Fatal(err)
	}
	testenv.Wait(t, "end of the listener", testenv.Patience, func() bool { return !s.Stats.TextListening.Load() })
}
