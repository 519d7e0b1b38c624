package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/earshot-mq/earshot/internal/testenv"
	"github.com/earshot-mq/earshot/internal/zmq"
	"github.com/earshot-mq/earshot/publisher"
	"github.com/earshot-mq/earshot/publisher/record"
	"github.com/earshot-mq/earshot/subscriber"
	"github.com/earshot-mq/earshot/subscriber/store"
)

// many publishes n records in calls of 500, as fast as it can.
func many(t *testing.T, s *publisher.Stream, n int) {
	t.Helper()
	for n > 0 {
		rs := make([]*record.Record, min(n, 500))
		for i := range rs {
			rs[i] = downcased("HELLO")
		}
		if err := s.Publish(context.Background(), rs...); err != nil {
			t.Error(err)
			return
		}
		n -= len(rs)
	}
}

// TestBurst publishes far above every high-water mark to two subscribers that are live, from
// callers that wait for nothing, until the feed has lost something for each of them. A third
// peer takes nothing, so that the feed does not wait for the two either: where it does, a
// flood stays on it.
func TestBurst(t *testing.T) {
	const each, callers, least, most = 50_000, 4, 100_000, 4_000_000
	c := zmqContext(t)
	p := newPublisher(t, c, publisher.Options{Memory: 1 << 20, Peers: 1000}) // the least queues
	_, feed, _ := p.Endpoints()
	run(t, p.Run)
	n := 1000
	s := stream(t, p, "downcase")
	many(t, s, n)
	type follower struct {
		*subscriber.Subscriber
		before uint64 // what joining took
	}
	lost := func(f *subscriber.Subscriber) uint64 { return f.Stats.Early.Load() + f.Stats.Repairs.Load() }
	var subs []follower
	for i := range 2 {
		sub, st := newSubscriber(t, c, filepath.Join(t.TempDir(), fmt.Sprint("store", i)), subscriber.Options{Connect: []string{feed}})
		r := run(t, sub.Run)
		t.Cleanup(func() {
			if err := r.stop(); err != nil {
				t.Error(err)
			}
			got, gaps := stored(t, st)
			for run, numbers := range got {
				inOrder(t, run, numbers, n)
			}
			if len(got) != 1 || gaps != 0 {
				t.Errorf("%d runs, %d lost", len(got), gaps)
			}
			if err := st.Close(); err != nil {
				t.Error(err)
			}
		})
		// Live: a record that is published now comes without a fetch.
		testenv.Wait(t, "a live record", testenv.Patience, func() bool {
			before := lost(sub)
			many(t, s, 1)
			n++
			testenv.Wait(t, "all records", testenv.Patience, func() bool { return sub.Stats.Records.Load() == uint64(n) })
			return lost(sub) == before
		})
		subs = append(subs, follower{sub, lost(sub)})
	}
	stalled, err := c.Sub(zmq.Options{RecvHWM: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := stalled.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := errors.Join(stalled.Subscribe(""), stalled.Connect(feed)); err != nil {
		t.Fatal(err)
	}
	overflowed := func() bool {
		return !slices.ContainsFunc(subs, func(f follower) bool { return lost(f.Subscriber) == f.before })
	}
	for n < least || n < most && !overflowed() {
		var wait sync.WaitGroup
		for range callers {
			wait.Go(func() { many(t, s, each/callers) })
		}
		wait.Wait()
		n += each
	}
	for _, f := range subs {
		testenv.Wait(t, "all records", 60*time.Second, func() bool { return f.Stats.Records.Load() == uint64(n) })
		t.Logf("of %d: repairs %d, early %d, duplicates %d", n, f.Stats.Repairs.Load(), f.Stats.Early.Load(), f.Stats.Duplicates.Load())
	}
	if !overflowed() {
		t.Error("the feed has lost nothing: this test shows nothing")
	}
}

// TestTrimmedJournalIsAGap lets a journal run past its bound before its first subscriber
// comes back.
func TestTrimmedJournalIsAGap(t *testing.T) {
	c := zmqContext(t)
	p := newPublisher(t, c, publisher.Options{MaxBytes: 4 << 20})
	_, feed, _ := p.Endpoints()
	run(t, p.Run)
	s := stream(t, p, "downcase")
	dir := filepath.Join(t.TempDir(), "store")
	sub, st := newSubscriber(t, c, dir, subscriber.Options{Connect: []string{feed}})
	first := run(t, sub.Run)
	many(t, s, 1000)
	testenv.Wait(t, "a commit of the first records", 20*time.Second, func() bool {
		all := p.Cursors()
		return len(all) == 1 && len(all[0].Runs) == 1 && all[0].Runs[0].Next == 1001
	})
	if err := first.stop(); err != nil {
		t.Fatal(err)
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	const more = 40_000 // some 15 MB
	many(t, s, more)
	testenv.Wait(t, "the bound", 20*time.Second, func() bool { return p.JournalBytes() < 5<<20 })
	sub, st = newSubscriber(t, c, dir, subscriber.Options{Connect: []string{feed}})
	second := run(t, sub.Run)
	testenv.Wait(t, "the rest and the gap", 20*time.Second, func() bool { return sub.Stats.Records.Load()+sub.Stats.Lost.Load() == more })
	if err := second.stop(); err != nil {
		t.Fatal(err)
	}
	got, lost := stored(t, st)
	if len(got) != 1 {
		t.Errorf("%d runs, want the one", len(got))
	}
	for run, numbers := range got {
		if len(numbers)+int(lost) != 1000+more || lost == 0 || lost != p.Dropped() {
			t.Errorf("%s: %d records and %d lost of %d; the publisher counts %d", run, len(numbers), lost, 1000+more, p.Dropped())
		}
	}
	if err := st.Close(); err != nil {
		t.Error(err)
	}
}

// TestWholeRunsPastTheBoundAreGaps lets whole openings of a publisher come and go past the
// bound while its one subscriber is away: each number of each of them is a record or in a gap.
func TestWholeRunsPastTheBoundAreGaps(t *testing.T) {
	c := zmqContext(t)
	o := publisher.Options{Dir: filepath.Join(t.TempDir(), "journals"), MaxBytes: 4 << 20}
	given := map[record.Run]int{}
	opening := func(n int, meanwhile func(p *publisher.Publisher, feed string)) {
		t.Helper()
		p := newPublisher(t, c, o)
		_, o.Record, o.Replay = p.Endpoints()
		r := run(t, p.Run)
		s := stream(t, p, "downcase")
		many(t, s, n)
		offers, _ := p.Offers()
		given[offers[len(offers)-1].Run] = n // the newest
		if n > 20_000 {
			testenv.Wait(t, "the bound", 20*time.Second, func() bool { return p.JournalBytes() < 5<<20 })
		}
		meanwhile(p, o.Record)
		if err := r.stop(); err != nil {
			t.Fatal(err)
		}
	}
	dir := filepath.Join(t.TempDir(), "store")
	follow := func(feed string, until func(*subscriber.Subscriber) bool) {
		t.Helper()
		sub, st := newSubscriber(t, c, dir, subscriber.Options{Connect: []string{feed}})
		r := run(t, sub.Run)
		testenv.Wait(t, "what the publisher has, and what is gone", 30*time.Second, func() bool { return until(sub) })
		if err := r.stop(); err != nil {
			t.Fatal(err)
		}
		if err := st.Close(); err != nil {
			t.Fatal(err)
		}
	}
	opening(1000, func(p *publisher.Publisher, feed string) {
		follow(feed, func(s *subscriber.Subscriber) bool {
			all := p.Cursors()
			return s.Stats.Records.Load() == 1000 && len(all) == 1 && all[0].Runs[0].Next == 1001
		})
	})
	away := func(*publisher.Publisher, string) {}
	opening(30_000, away) // some 11 MB
	opening(30_000, away)
	opening(30_000, func(_ *publisher.Publisher, feed string) {
		follow(feed, func(s *subscriber.Subscriber) bool { return s.Stats.Records.Load()+s.Stats.Lost.Load() == 90_000 })
	})
	st, err := store.Open(dir, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	got, lost := stored(t, st)
	records := 0
	for run, n := range given {
		if c, ok := st.Cursor(run); !ok || c.Next != uint64(n)+1 {
			t.Errorf("of %s the store tells of the numbers below %d, want %d", run, c.Next, n+1)
		}
		records += len(got[run])
	}
	if records+int(lost) != 91_000 || lost < 60_000 {
		t.Errorf("%d records and %d lost of 91,000", records, lost)
	}
	if err := st.Close(); err != nil {
		t.Error(err)
	}
}

// TestAdoption leaves a replica's journal behind, as a volume whose container is gone,
// and starts another replica beside it.
func TestAdoption(t *testing.T) {
	c := zmqContext(t)
	dir := filepath.Join(t.TempDir(), "journals")
	a := newPublisher(t, c, publisher.Options{Dir: dir})
	b := newPublisher(t, c, publisher.Options{Dir: dir})
	ra, rb := run(t, a.Run), run(t, b.Run)
	many(t, stream(t, a, "downcase"), 100)
	many(t, stream(t, b, "downcase"), 200)
	for _, r := range []*running{ra, rb} {
		if err := r.stop(); err != nil {
			t.Fatal(err)
		}
	}
	p := newPublisher(t, c, publisher.Options{Dir: dir})
	_, feed, _ := p.Endpoints()
	run(t, p.Run)
	many(t, stream(t, p, "downcase"), 50)
	sub, st := newSubscriber(t, c, filepath.Join(t.TempDir(), "store"), subscriber.Options{Connect: []string{feed}})
	r := run(t, sub.Run)
	testenv.Wait(t, "all three runs", 20*time.Second, func() bool { return sub.Stats.Records.Load() == 350 })
	testenv.Wait(t, "the drained journal is removed", 20*time.Second, func() bool {
		entries, err := os.ReadDir(dir)
		return err == nil && len(entries) == 1
	})
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	got, lost := stored(t, st)
	if len(got) != 3 || lost != 0 {
		t.Errorf("%d runs, %d lost", len(got), lost)
	}
	for run, numbers := range got {
		inOrder(t, run, numbers, len(numbers))
	}
	if err := st.Close(); err != nil {
		t.Error(err)
	}
}

// TestPolicyRefuse fills a journal that must keep what the store "main" has not
// committed, and empties it by starting that store.
func TestPolicyRefuse(t *testing.T) {
	c := zmqContext(t)
	p := newPublisher(t, c, publisher.Options{MaxBytes: 4 << 20, Policy: publisher.Refuse, Required: []string{"main"}})
	_, feed, _ := p.Endpoints()
	run(t, p.Run)
	s := stream(t, p, "downcase")
	n := 0
	for ; n < 100_000; n += 500 {
		release, err := s.Reserve(t.Context())
		if err != nil {
			if !strings.Contains(err.Error(), "past its bound") {
				t.Fatal(err)
			}
			break
		}
		many(t, s, 500)
		release()
	}
	if n == 100_000 || p.Dropped() > 0 {
		t.Fatalf("%d records taken, %d dropped", n, p.Dropped())
	}
	sub, st := newSubscriber(t, c, filepath.Join(t.TempDir(), "store"), subscriber.Options{Connect: []string{feed}, Name: "main"})
	r := run(t, sub.Run)
	testenv.Wait(t, "room again", 30*time.Second, func() bool {
		release, err := s.Reserve(t.Context())
		if err != nil {
			return false
		}
		release()
		return true
	})
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	got, lost := stored(t, st)
	for run, numbers := range got {
		inOrder(t, run, numbers, n)
	}
	if len(got) != 1 || lost > 0 {
		t.Errorf("%d runs, %d lost", len(got), lost)
	}
	if err := st.Close(); err != nil {
		t.Error(err)
	}
}

// TestDeadStoreBesideALiveOne lets one of two stores go for good: past the bound the oldest
// is dropped, the one that lives notices nothing, and the other, should it return, has the
// exact count of what it lost.
func TestDeadStoreBesideALiveOne(t *testing.T) {
	c := zmqContext(t)
	p := newPublisher(t, c, publisher.Options{MaxBytes: 4 << 20})
	_, feed, _ := p.Endpoints()
	run(t, p.Run)
	s := stream(t, p, "downcase")
	type follower struct {
		*subscriber.Subscriber
		st *store.Store
		r  *running
	}
	follow := func(dir string) follower {
		t.Helper()
		sub, st := newSubscriber(t, c, dir, subscriber.Options{Connect: []string{feed}})
		return follower{sub, st, run(t, sub.Run)}
	}
	leave := func(f follower) (numbers int, lost uint64) {
		t.Helper()
		if err := f.r.stop(); err != nil {
			t.Fatal(err)
		}
		got, lost := stored(t, f.st)
		for _, n := range got {
			numbers += len(n)
		}
		if err := f.st.Close(); err != nil {
			t.Fatal(err)
		}
		return numbers, lost
	}
	dir := filepath.Join(t.TempDir(), "dead")
	live, dead := follow(filepath.Join(t.TempDir(), "live")), follow(dir)
	many(t, s, 1000)
	testenv.Wait(t, "a commit of both", testenv.Patience, func() bool {
		all := p.Cursors()
		return len(all) == 2 && len(all[0].Runs) == 1 && all[0].Runs[0].Next == 1001 && len(all[1].Runs) == 1 && all[1].Runs[0].Next == 1001
	})
	leave(dead)
	const more = 40_000 // some 15 MB
	for n := uint64(1000); n < 1000+more; n += 2000 {
		many(t, s, 2000)
		testenv.Wait(t, "the live one", testenv.Patience, func() bool { return live.Stats.Records.Load() == n+2000 })
	}
	testenv.Wait(t, "the bound", testenv.Patience, func() bool { return p.JournalBytes() < 5<<20 })
	dead = follow(dir)
	testenv.Wait(t, "the rest and the gap", testenv.Patience, func() bool { return dead.Stats.Records.Load()+dead.Stats.Lost.Load() == more })
	if n, lost := leave(dead); n+int(lost) != 1000+more || lost == 0 || lost != p.Dropped() {
		t.Errorf("the one that was away has %d records and %d lost of %d; the publisher counts %d", n, lost, 1000+more, p.Dropped())
	}
	if n, lost := leave(live); n != 1000+more || lost != 0 {
		t.Errorf("the one that lives has %d records and %d lost of %d", n, lost, 1000+more)
	}
}
