package feed

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/earshot-mq/earshot/internal/journal"
	"github.com/earshot-mq/earshot/internal/testenv"
	"github.com/earshot-mq/earshot/internal/zmq"
	"github.com/earshot-mq/earshot/publisher/record"
)

// shelf is a Source of one run, in memory.
type shelf struct {
	mu      sync.Mutex
	entries []journal.Entry
	ended   bool
	roster  uint64
	reads   int
	err     error         // what Read fails with
	behind  int           // reads that find nothing yet
	gone    uint64        // the highest number that was dropped
	hold    chan struct{} // Read waits for its end; nil: it does not
}

// count is how often it was read.
func (s *shelf) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reads
}

func (s *shelf) put(n int) journal.Entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	first := uint64(1)
	if k := len(s.entries); k > 0 {
		first = s.entries[k-1].Last + 1
	}
	var lines []byte
	for i := range n {
		lines = fmt.Appendf(lines, "{\"specversion\":\"1.0\",\"id\":\"%s/%d\"}\n", testRun, first+uint64(i))
	}
	raw := journal.AppendBatch(nil, testRun, first, n, lines)
	e := journal.Entry{Kind: journal.KindBatch, Run: testRun, First: first, Last: first + uint64(n) - 1, Service: "downcase", Lines: raw[len(raw)-len(lines):], Raw: raw}
	s.entries = append(s.entries, e)
	return e
}

func (s *shelf) Offers() ([]Offer, uint64) {
	o, ok := s.Offer(testRun)
	s.mu.Lock()
	defer s.mu.Unlock()
	if !ok {
		return nil, s.roster
	}
	return []Offer{o}, s.roster
}

func (s *shelf) Offer(run record.Run) (Offer, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := len(s.entries)
	if run != testRun || k == 0 {
		return Offer{}, false
	}
	return Offer{
		Stream: run.Stream, EpochS: run.Epoch.String(), Run: run, Service: "downcase", Oldest: 1,
		Last: s.entries[k-1].Last, Given: s.entries[k-1].Last, Ended: s.ended,
	}, true
}

func (s *shelf) Read(dst []byte, _ record.Run, from uint64, limit int) ([]byte, uint64, error) {
	s.mu.Lock()
	s.reads++
	hold := s.hold
	s.mu.Unlock()
	if hold != nil {
		<-hold
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	next := from
	switch {
	case s.err != nil:
		return dst, from, s.err
	case s.behind > 0:
		s.behind--
		return dst, from, nil
	case from <= s.gone:
		return dst, from, &journal.Hole{Run: testRun, From: from, To: s.gone}
	}
	for _, e := range s.entries {
		if e.Last >= next && len(dst) < limit {
			dst, next = append(dst, e.Raw...), e.Last+1
		}
	}
	return dst, next, nil
}

// ear collects what a Follower hears.
type ear struct {
	mu     sync.Mutex
	events []Event
}

func (e *ear) sink(ev Event) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.events = append(e.events, ev)
	return true
}

func (e *ear) count(kind EventKind) (n int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, ev := range e.events {
		if ev.Kind == kind {
			n++
		}
	}
	return n
}

// records is how many records came in events of a kind.
func (e *ear) records(kind EventKind) (n uint64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, ev := range e.events {
		for i := range ev.Entries {
			if ev.Kind == kind {
				n += ev.Entries[i].Count()
			}
		}
	}
	return n
}

func newContext(t *testing.T) *zmq.Context {
	t.Helper()
	c, err := zmq.NewContext()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// background runs f until the test, or stop, ends it.
func background(t *testing.T, f func(context.Context) error) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return stop
}

func serve(t *testing.T, c *zmq.Context, src Source, o ServerOptions) (*Server, func()) {
	t.Helper()
	if o.Record == "" {
		o.Record, o.Replay = "tcp://127.0.0.1:0", "tcp://127.0.0.1:0"
	}
	s, err := NewServer(c, src, o)
	if err != nil {
		t.Fatal(err)
	}
	return s, background(t, s.Run)
}

func follow(t *testing.T, c *zmq.Context, o FollowerOptions) (*Follower, *ear) {
	t.Helper()
	e := &ear{}
	o.Sink = e.sink
	f, err := NewFollower(c, o)
	if err != nil {
		t.Fatal(err)
	}
	background(t, f.Run)
	return f, e
}

func TestFetchGoesOnAndStops(t *testing.T) {
	c, src := newContext(t), &shelf{}
	s, _ := serve(t, c, src, ServerOptions{Instance: "a", Commits: journal.OpenCommits(t.TempDir()+"/cursors", time.Now())})
	for range 10 {
		src.put(5)
	}
	_, at, _ := s.Endpoints()
	f, e := follow(t, c, FollowerOptions{Endpoint: at, Store: "0000000000001", Name: "main"})
	testenv.Wait(t, "welcome", testenv.Patience, func() bool { return e.count(EventWelcome) == 1 })
	f.Fetch(testRun, 21, 1<<20)
	testenv.Wait(t, "what there is", testenv.Patience, func() bool { return e.records(EventData) == 30 })
	s.Hand([]journal.Entry{src.put(5)})
	testenv.Wait(t, "what came later", testenv.Patience, func() bool { return e.records(EventData) == 35 && e.records(EventLive) == 5 })
	f.Stop(testRun)
	f.Commit([]journal.StoreRun{{Stream: testRun.Stream, Epoch: testRun.Epoch.String(), Next: 40}})
	testenv.Wait(t, "the commit", testenv.Patience, func() bool { return len(s.o.Commits.List()) == 1 })
	s.Hand([]journal.Entry{src.put(5)})
	testenv.Wait(t, "the next live batch", testenv.Patience, func() bool { return e.records(EventLive) == 10 })
	if n := e.records(EventData); n != 35 {
		t.Errorf("after STOP came %d more", n-35)
	}
	if next, _ := s.o.Commits.Committed(testRun); next != 40 {
		t.Errorf("committed %d", next)
	}
}

func TestCreditBoundsWhatIsSent(t *testing.T) {
	c, src := newContext(t), &shelf{}
	s, _ := serve(t, c, src, ServerOptions{Instance: "a"})
	for range 100 {
		src.put(100)
	}
	_, at, _ := s.Endpoints()
	f, e := follow(t, c, FollowerOptions{Endpoint: at})
	testenv.Wait(t, "welcome", testenv.Patience, func() bool { return e.count(EventWelcome) == 1 })
	f.Fetch(testRun, 1, 10_000)
	testenv.Wait(t, "the first credit", testenv.Patience, func() bool { return e.records(EventData) >= 100 })
	testenv.Wait(t, "two HEADs without credit", testenv.Patience, func() bool { return e.count(EventHead) >= 4 })
	if n := e.records(EventData); n > 400 {
		t.Errorf("%d records for 10,000 bytes of credit", n)
	}
	f.Credit(testRun, 1<<30)
	testenv.Wait(t, "all", testenv.Patience, func() bool { return e.records(EventData) == 10_000 })
}

// TestFirstDataIsShort: a slow line is not to be silent for long.
func TestFirstDataIsShort(t *testing.T) {
	c, src := newContext(t), &shelf{}
	s, _ := serve(t, c, src, ServerOptions{Instance: "a"})
	for range 300 {
		src.put(100)
	}
	_, at, _ := s.Endpoints()
	f, e := follow(t, c, FollowerOptions{Endpoint: at})
	testenv.Wait(t, "welcome", testenv.Patience, func() bool { return e.count(EventWelcome) == 1 })
	f.Fetch(testRun, 1, 1<<30)
	testenv.Wait(t, "all", testenv.Patience, func() bool { return e.records(EventData) == 30_000 })
	e.mu.Lock()
	defer e.mu.Unlock()
	limit, longest := dataFirst, 0
	for _, ev := range e.events {
		if ev.Kind != EventData {
			continue
		}
		if ev.Bytes > limit+len(src.entries[0].Raw)*2 {
			t.Errorf("%d bytes after one of %d: it may be twice as long", ev.Bytes, longest)
		}
		limit, longest = 2*limit, max(longest, ev.Bytes)
	}
	if longest < dataLimit {
		t.Errorf("the longest has %d bytes, want %d", longest, dataLimit)
	}
}

func TestEndOfAnEndedRun(t *testing.T) {
	c, src := newContext(t), &shelf{}
	src.put(5)
	src.ended = true
	s, _ := serve(t, c, src, ServerOptions{Instance: "a"})
	_, at, _ := s.Endpoints()
	f, e := follow(t, c, FollowerOptions{Endpoint: at})
	testenv.Wait(t, "welcome", testenv.Patience, func() bool { return e.count(EventWelcome) == 1 })
	f.Fetch(testRun, 3, 1<<20)
	f.Fetch(record.Run{Stream: testRun.Stream, Epoch: 1}, 1, 1<<20)
	testenv.Wait(t, "both ends", testenv.Patience, func() bool { return e.count(EventEnd) == 2 })
	for _, ev := range e.events {
		if ev.Kind == EventEnd && ev.Run == testRun && (ev.Last != 5 || ev.Given != 5) {
			t.Errorf("end %+v", ev)
		}
	}
}

// TestPublisherRestarts takes the publisher away and brings another up on its ports: the
// Follower finds it by itself, and says HELLO to it.
func TestPublisherRestarts(t *testing.T) {
	c, src := newContext(t), &shelf{}
	src.put(5)
	s, stop := serve(t, c, src, ServerOptions{Instance: "a"})
	_, at, replay := s.Endpoints()
	_, e := follow(t, c, FollowerOptions{Endpoint: at})
	testenv.Wait(t, "welcome", testenv.Patience, func() bool { return e.count(EventWelcome) == 1 })
	stop()
	testenv.Wait(t, "silence", testenv.Patience, func() bool { return e.count(EventSilent) == 1 })
	serve(t, c, src, ServerOptions{Instance: "b", Record: at, Replay: replay})
	testenv.Wait(t, "the second welcome", testenv.Patience, func() bool { return e.count(EventWelcome) == 2 })
}

// TestPublisherRestartsElsewhere: one that comes back within three seconds, with the same
// instance and roster, and another port of replay, is greeted there.
func TestPublisherRestartsElsewhere(t *testing.T) {
	c, src := newContext(t), &shelf{}
	src.put(1)
	s, stop := serve(t, c, src, ServerOptions{Instance: "a"})
	_, at, _ := s.Endpoints()
	f, e := follow(t, c, FollowerOptions{Endpoint: at})
	testenv.Wait(t, "welcome", testenv.Patience, func() bool { return e.count(EventWelcome) == 1 })
	stop()
	testenv.Wait(t, "port given back", testenv.Patience, func() bool {
		l, err := net.Listen("tcp", strings.TrimPrefix(at, "tcp://"))
		return err == nil && l.Close() == nil
	})
	serve(t, c, src, ServerOptions{Instance: "a", Record: at, Replay: "tcp://127.0.0.1:0"})
	testenv.Wait(t, "second welcome", testenv.Patience, func() bool { return e.count(EventWelcome) == 2 })
	f.Fetch(testRun, 1, 1<<20)
	testenv.Wait(t, "what there is", testenv.Patience, func() bool { return e.records(EventData) == 1 })
	if n := e.count(EventSilent); n != 0 {
		t.Errorf("it was silent %d times: this test shows nothing", n)
	}
}

// TestReplayThatCantBeRead: the journal is asked again once a second, not without pause, and
// goes on when it can be read.
func TestReplayThatCantBeRead(t *testing.T) {
	c, src := newContext(t), &shelf{err: errors.New("input/output error")}
	src.put(5)
	s, _ := serve(t, c, src, ServerOptions{Instance: "a"})
	_, at, _ := s.Endpoints()
	f, e := follow(t, c, FollowerOptions{Endpoint: at})
	testenv.Wait(t, "welcome", testenv.Patience, func() bool { return e.count(EventWelcome) == 1 })
	f.Fetch(testRun, 1, 1<<20)
	testenv.Wait(t, "a second read", testenv.Patience, func() bool { return src.count() >= 2 })
	heads := e.count(EventHead)
	testenv.Wait(t, "two HEADs", testenv.Patience, func() bool { return e.count(EventHead) >= heads+4 }) // of both sockets
	if n := src.count(); n > 10 {
		t.Errorf("%d reads in some three seconds", n)
	}
	src.mu.Lock()
	src.err = nil
	src.mu.Unlock()
	testenv.Wait(t, "what there is", testenv.Patience, func() bool { return e.records(EventData) == 5 })
}

// TestNothingGathersForWhoIsAway: what is said to a publisher that was never there, or is
// gone, is void and not kept.
func TestNothingGathersForWhoIsAway(t *testing.T) {
	c, src := newContext(t), &shelf{}
	s, stop := serve(t, c, src, ServerOptions{Instance: "a"})
	_, at, _ := s.Endpoints()
	gone, e := follow(t, c, FollowerOptions{Endpoint: at, Store: "0000000000001"})
	testenv.Wait(t, "welcome", testenv.Patience, func() bool { return e.count(EventWelcome) == 1 })
	stop()
	never, _ := follow(t, c, FollowerOptions{Endpoint: "tcp://127.0.0.1:1", Store: "0000000000001"})
	for name, f := range map[string]*Follower{"was never there": never, "is gone": gone} {
		for range 100 {
			f.Commit([]journal.StoreRun{{Stream: testRun.Stream, Epoch: testRun.Epoch.String(), Next: 40}})
		}
		testenv.Wait(t, "end of what is said to who "+name, testenv.Patience, func() bool { return f.cmds.Len() == 0 })
	}
}

// dealer is a socket of somebody who asks a replay himself.
func dealer(t *testing.T, c *zmq.Context, replay string) *zmq.Socket {
	t.Helper()
	d, err := c.Dealer(zmq.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	if err := d.Connect(replay); err != nil {
		t.Fatal(err)
	}
	return d
}

// TestReplayRefuses speaks the protocol wrongly, as a client of another version may.
func TestReplayRefuses(t *testing.T) {
	c, src := newContext(t), &shelf{}
	src.put(1)
	commits := journal.OpenCommits(t.TempDir()+"/cursors", time.Now())
	s, _ := serve(t, c, src, ServerOptions{Instance: "a", Commits: commits})
	if err := commits.Commit("0000000000009", "main", testRun, 1, 2, time.Now()); err != nil {
		t.Fatal(err)
	}
	_, _, replay := s.Endpoints()
	for name, say := range map[string][2]string{
		"a later version":   {verbHello, `{"v":2,"store":"0000000000001"}`},
		"no HELLO":          {verbFetch, `{"v":1,"stream":"q7k3v9x2m1t8w","epoch":"19a8f3c2e4b00d17","from":1,"credit":1}`},
		"no JSON":           {verbHello, `x`},
		"a name that is in": {verbHello, `{"v":1,"store":"0000000000001","name":"main"}`},
	} {
		t.Run(name, func(t *testing.T) {
			d := dealer(t, c, replay)
			testenv.Wait(t, "connection", testenv.Patience, func() bool { return d.Send([]byte(say[0]), []byte(say[1])) == nil })
			var m [][]byte
			testenv.Wait(t, "answer", testenv.Patience, func() (ok bool) {
				got, err := d.Recv()
				m = got
				return err == nil
			})
			var r refuse
			if string(m[0]) != verbRefuse || json.Unmarshal(m[1], &r) != nil || r.Reason == "" {
				t.Errorf("answer %q", m)
			}
			if strings.Contains(name, "version") && !strings.Contains(r.Reason, "version 2") {
				t.Errorf("reason %q does not name the version", r.Reason)
			}
		})
	}
}

func TestFollowerWantsAnEndpoint(t *testing.T) {
	for _, at := range []string{"", "127.0.0.1:4445", "tcp://127.0.0.1", "ipc://x"} {
		if _, err := NewFollower(nil, FollowerOptions{Endpoint: at}); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("%q", at)) {
			t.Errorf("NewFollower of %q: %v", at, err)
		}
	}
}

// A peer that takes nothing stops nobody: the other has all of the live feed.
func TestAStalledPeer(t *testing.T) {
	c := newContext(t)
	shelf := &shelf{}
	s, _ := serve(t, c, shelf, ServerOptions{Memory: 1})
	_, at, _ := s.Endpoints()
	stalled, err := c.Sub(zmq.Options{RecvHWM: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := stalled.Close(); err != nil {
			t.Error(err)
		}
	}()
	if err := errors.Join(stalled.Subscribe(""), stalled.Connect(at)); err != nil {
		t.Fatal(err)
	}
	_, healthy := follow(t, c, FollowerOptions{Endpoint: at})
	testenv.Wait(t, "connections", testenv.Patience, func() bool { return healthy.count(EventHead) > 0 })
	sent := uint64(0)
	for sent < 400_000 { // some 30 MB, more than the kernel takes for the stalled one
		e := shelf.put(1000)
		sent = e.Last
		s.Hand([]journal.Entry{e})
		testenv.Wait(t, "live records", testenv.Patience, func() bool { return healthy.records(EventLive) == sent })
	}
	if s.Stats.Stalls.Load() == 0 {
		t.Error("nobody stalled: this test shows nothing")
	}
}

// TestFeedIsLeftAndJoined: whoever has left a feed hears HEAD alone, as often as ever.
func TestFeedIsLeftAndJoined(t *testing.T) {
	t.Parallel()
	for _, services := range [][]string{nil, {"downcase"}} {
		c, src := newContext(t), &shelf{}
		s, _ := serve(t, c, src, ServerOptions{Instance: "a"})
		_, at, _ := s.Endpoints()
		f, e := follow(t, c, FollowerOptions{Endpoint: at, Services: services})
		lives := func() bool {
			heads, before := e.count(EventHead), e.records(EventLive)
			s.Hand([]journal.Entry{src.put(1)})
			testenv.Wait(t, "HEAD behind a record", testenv.Patience, func() bool { return e.count(EventHead) >= heads+2 })
			return e.records(EventLive) > before
		}
		testenv.Wait(t, "the feed", testenv.Patience, lives)
		f.Live(false)
		f.Live(false)
		testenv.Wait(t, "no feed", testenv.Patience, func() bool { return !lives() })
		f.Live(true)
		testenv.Wait(t, "the feed again", testenv.Patience, lives)
	}
}
