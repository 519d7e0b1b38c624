package subscriber

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/earshot-mq/earshot/internal/feed"
	"github.com/earshot-mq/earshot/internal/journal"
	"github.com/earshot-mq/earshot/internal/testenv"
	"github.com/earshot-mq/earshot/publisher/record"
	"github.com/earshot-mq/earshot/subscriber/store"
)

// newSubscriber makes a Subscriber that is not run: a test takes its steps. f is a publisher
// that is never connected.
func newSubscriber(t *testing.T, dir string, o Options) (s *Subscriber, f *feed.Follower) {
	t.Helper()
	return newSubscriberOf(t, dir, store.Options{}, o)
}

// newSubscriberOf is newSubscriber with the options of the store.
func newSubscriberOf(t *testing.T, dir string, so store.Options, o Options) (s *Subscriber, f *feed.Follower) {
	t.Helper()
	st, err := store.Open(dir, so)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	if s, err = New(nil, st, o); err != nil {
		t.Fatal(err)
	}
	if f, err = feed.NewFollower(nil, feed.FollowerOptions{Endpoint: "tcp://127.0.0.1:1"}); err != nil {
		t.Fatal(err)
	}
	return s, f
}

// hear has the writer take an event.
func (s *Subscriber) hear(ev feed.Event, now time.Time) {
	for i := range ev.Entries {
		ev.Bytes += len(ev.Entries[i].Raw)
	}
	s.inbox.put(ev)
	s.step(now)
}

// has is what the store has, as numbers of each run's service: "1-5 gap 6-7 8-8".
func (s *Subscriber) has(t *testing.T, of func(record.Run) bool) string {
	t.Helper()
	var all []string
	r := s.store.Reader(1)
	defer r.Close()
	err := r.Read(func(e *journal.Entry, _ uint64) error {
		if of(e.Run) {
			all = append(all, map[journal.Kind]string{journal.KindGap: "gap "}[e.Kind]+fmt.Sprintf("%d-%d", e.First, e.Last))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(all, " ")
}

// large is a batch of one record that is no less than a segment's tail on a disk.
func large(n uint64) []journal.Entry {
	line := fmt.Appendf(nil, "{\"id\":%d,\"x\":\"%s\"}\n", n, bytes.Repeat([]byte("x"), 128<<10))
	raw := journal.AppendBatch(nil, testRun, n, 1, line)
	return []journal.Entry{{Kind: journal.KindBatch, Run: testRun, First: n, Last: n, Lines: raw[len(raw)-len(line):], Raw: raw}}
}

// TestFullStore fills the disk of a store: it goes back to what it has, takes in what
// publishers say of themselves, asks for nothing, and goes on when there is room. Of a
// foreign socket it has a line for what it could not keep.
func TestFullStore(t *testing.T) {
	d := testenv.NewDisk(t, "tmpfs", 16)
	s, f := newSubscriber(t, filepath.Join(d.Path, "store"), Options{Plain: []string{"tcp://127.0.0.1:4444"}})
	now := time.Now()
	p := s.plain[0]
	say := func(text string) {
		p.put([][]byte{[]byte(text)}, len(text))
		s.step(now)
	}
	say("one")
	s.hear(feed.Event{Kind: feed.EventWelcome, From: f, Offers: offer(1, 3)}, now)
	s.hear(feed.Event{Kind: feed.EventData, From: f, Entries: entry(1, 3)}, now)
	d.Fill(0)
	n := uint64(4)
	for ; !s.Stats.Full.Load() && n < 1000; n++ {
		s.hear(feed.Event{Kind: feed.EventLive, From: f, Entries: large(n)}, now)
	}
	if state, err := s.State(); err == nil || !strings.HasPrefix(state, "degraded: the store can't be written; ") || !strings.Contains(state, "no space left") {
		t.Fatalf("State = %q, %v after %d records on a full disk", state, err, n)
	}
	c, _ := s.store.Cursor(testRun)
	r := s.tracker.runs[testRun]
	if r.next != c.Next || s.Stats.Records.Load() != c.Next { // and one of the foreign socket
		t.Errorf("the tracker is at %d with %d records counted, the store at %d", r.next, s.Stats.Records.Load(), c.Next)
	}
	say("two") // forgotten, with a number
	s.hear(feed.Event{Kind: feed.EventSilent, From: f}, now)
	if r.sources[f].away.IsZero() {
		t.Error("a full store did not hear that its publisher is silent")
	}
	s.hear(feed.Event{Kind: feed.EventWelcome, From: f, Offers: offer(1, n-1)}, now)
	if r.from != nil {
		t.Error("a full store asks for more")
	}
	d.Free()
	now = now.Add(fullRetry)
	say("three")
	if s.Stats.Full.Load() || r.from == nil {
		t.Errorf("with room again: full %v, asks %v", s.Stats.Full.Load(), r.from != nil)
	}
	for ; c.Next < n; c.Next++ {
		s.hear(feed.Event{Kind: feed.EventData, From: f, Entries: large(c.Next)}, now)
	}
	want := "1-3"
	for i := uint64(4); i < n; i++ {
		want += fmt.Sprintf(" %d-%d", i, i)
	}
	if got := s.has(t, func(r record.Run) bool { return r == testRun }); got != want {
		t.Errorf("the store has %s, want %s", got, want)
	}
	if got, want := s.has(t, func(r record.Run) bool { return r == p.id }), "1-1 gap 2-2 3-3"; got != want {
		t.Errorf("of the foreign socket the store has %s, want %s", got, want)
	}
}

// TestFullStoreInAFlood: more than one append waits when the disk is full. The first failure
// ends it, and what was behind is not appended in another's place.
func TestFullStoreInAFlood(t *testing.T) {
	d := testenv.NewDisk(t, "tmpfs", 16)
	s, f := newSubscriber(t, filepath.Join(d.Path, "store"), Options{})
	now := time.Now()
	s.hear(feed.Event{Kind: feed.EventWelcome, From: f, Offers: offer(1, 3)}, now)
	s.hear(feed.Event{Kind: feed.EventData, From: f, Entries: entry(1, 3)}, now)
	d.Fill(0)
	const last = 64 // 8 MiB
	for n := uint64(4); n <= last; n++ {
		e := large(n)
		s.inbox.put(feed.Event{Kind: feed.EventLive, From: f, Entries: e, Bytes: len(e[0].Raw)})
	}
	s.step(now)
	c, _ := s.store.Cursor(testRun)
	if got := s.Stats.AppendErrors.Load(); got != 1 || c.Next != s.tracker.runs[testRun].next || c.Next > last {
		t.Fatalf("%d appends failed, the store is at %d, the tracker at %d", got, c.Next, s.tracker.runs[testRun].next)
	}
	d.Free()
	now = now.Add(fullRetry)
	s.hear(feed.Event{Kind: feed.EventHead, From: f, Offers: offer(1, last), Live: true}, now)
	want := "1-3"
	for n := uint64(4); n <= last; n++ {
		if n >= c.Next {
			s.hear(feed.Event{Kind: feed.EventData, From: f, Entries: large(n)}, now)
		}
		want += fmt.Sprintf(" %d-%d", n, n)
	}
	if got := s.has(t, func(record.Run) bool { return true }); got != want {
		t.Errorf("the store has %s, want %s", got, want)
	}
}

// TestPlainLossIsAGap: what a foreign socket says while the inbox is full, and what is in an
// append that fails, has its number in the gap before the next message.
func TestPlainLossIsAGap(t *testing.T) {
	s, _ := newSubscriber(t, t.TempDir(), Options{Plain: []string{"tcp://127.0.0.1:4444"}})
	p := s.plain[0]
	put := func(size int) { p.put([][]byte{[]byte("x")}, size) }
	put(1)
	s.step(time.Now())
	put(inboxLive)
	put(1)
	put(1)
	if n := s.inbox.Drops.Load(); n != 2 {
		t.Errorf("%d messages found the inbox full, want 2", n)
	}
	s.step(time.Now())
	lost := p.entries(s.store, [][]byte{[]byte("lost")}, time.Now()) // appended by nobody
	if line := string(lost[len(lost)-1].Lines); !strings.Contains(line, `{"frames":["lost"],"endpoint":"tcp://127.0.0.1:4444"}`) {
		t.Errorf("the record is %s", line)
	}
	p.rewind(s.store)
	put(1)
	s.step(time.Now())
	if got, want := s.has(t, func(record.Run) bool { return true }), "1-1 gap 2-3 4-4 gap 5-5 6-6"; got != want {
		t.Errorf("the store has %s, want %s", got, want)
	}
}

func TestPlainTwice(t *testing.T) {
	st, err := store.Open(t.TempDir(), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	for _, c := range [][]string{{"tcp://a:1", "tcp://a:1"}, {"tcp://a_b:1", "tcp://A-b:1"}} {
		_, err := New(nil, st, Options{Plain: c})
		if err == nil || !strings.Contains(err.Error(), c[0]) || !strings.Contains(err.Error(), c[1]) {
			t.Errorf("New with %v = %v, want an error with both", c, err)
		}
	}
	if _, err := New(nil, st, Options{Plain: []string{"a:1"}}); err == nil || !strings.Contains(err.Error(), `"a:1"`) {
		t.Errorf("New = %v, want an error that names the endpoint", err)
	}
}

// TestCommitFollowsTheFsync: nothing is committed that is not durable, and what was stored
// before a failure is committed after it. A publisher that says WELCOME is told again.
func TestCommitFollowsTheFsync(t *testing.T) {
	s, f := newSubscriber(t, t.TempDir(), Options{Logger: slog.New(slog.DiscardHandler)})
	broken := errors.New("input/output error")
	s.durable = func() error { return broken }
	now := time.Now()
	s.hear(feed.Event{Kind: feed.EventWelcome, From: f, Offers: offer(1, 3)}, now)
	s.hear(feed.Event{Kind: feed.EventData, From: f, Entries: entry(1, 3)}, now)
	commits := func(when string, want uint64) {
		t.Helper()
		s.sync(true)
		if got := s.Stats.Commits.Load(); got != want {
			t.Errorf("%s there are %d commits, want %d", when, got, want)
		}
	}
	commits("while nothing is durable", 0)
	if n := s.Stats.SyncErrors.Load(); n != 1 {
		t.Errorf("%d failures are counted, want 1", n)
	}
	s.durable = s.store.Sync
	commits("when it is", 1)
	commits("without anything new", 1)
	s.hear(feed.Event{Kind: feed.EventWelcome, From: f, Offers: offer(1, 3)}, now)
	commits("after another WELCOME", 2)
	if s.hear(feed.Event{Kind: feed.EventLive, From: f, Entries: entry(4, 4)}, now); s.Stats.Records.Load() != 4 {
		t.Errorf("%d records", s.Stats.Records.Load())
	}
	s.sync(false)
	commits("after a sync without one", 3)
}

// TestInboxIsBounded: live batches beyond the bound are dropped, nothing else is.
func TestInboxIsBounded(t *testing.T) {
	s, f := newSubscriber(t, t.TempDir(), Options{})
	for _, c := range []struct {
		kind feed.EventKind
		want bool
	}{{feed.EventLive, true}, {feed.EventLive, false}, {feed.EventData, true}, {feed.EventSilent, true}} {
		if got := s.inbox.put(feed.Event{Kind: c.kind, From: f, Bytes: inboxLive}); got != c.want {
			t.Errorf("put of kind %d = %v, want %v", c.kind, got, c.want)
		}
	}
}
