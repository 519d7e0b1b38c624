package e2e_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/earshot-mq/earshot/internal/testenv"
	"github.com/earshot-mq/earshot/publisher"
	"github.com/earshot-mq/earshot/publisher/record"
	"github.com/earshot-mq/earshot/subscriber"
)

// TestCopiedVolume copies a journal while its publisher writes it, and runs a publisher on
// the copy too: they have the same streams, no number has two contents, and both are stored.
func TestCopiedVolume(t *testing.T) {
	c := zmqContext(t)
	dir := filepath.Join(t.TempDir(), "journals")
	a := newPublisher(t, c, publisher.Options{Dir: dir})
	run(t, a.Run)
	sa := stream(t, a, "downcase")
	many(t, sa, 1000)
	twin := filepath.Join(t.TempDir(), "journals")
	if err := os.CopyFS(twin, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	b := newPublisher(t, c, publisher.Options{Dir: twin})
	run(t, b.Run)
	sb := stream(t, b, "downcase")
	_, feedA, _ := a.Endpoints()
	_, feedB, _ := b.Endpoints()
	// The one that follows the copy first hears there that the first run has ended.
	sub, st := newSubscriber(t, c, filepath.Join(t.TempDir(), "store"), subscriber.Options{Connect: []string{feedB, feedA}})
	r := run(t, sub.Run)
	many(t, sa, 1000)
	many(t, sb, 1000)
	testenv.Wait(t, "the records of both", testenv.Patience, func() bool { return sub.Stats.Records.Load() == 3000 })
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	got, lost := stored(t, st)
	if len(got) != 2 || lost != 0 {
		t.Errorf("%d runs, %d lost", len(got), lost)
	}
	streams := map[string]bool{}
	for run, numbers := range got {
		streams[run.Stream] = true
		inOrder(t, run, numbers, len(numbers))
	}
	if len(streams) != 1 {
		t.Errorf("%d streams, want the one of both", len(streams))
	}
	if err := st.Close(); err != nil {
		t.Error(err)
	}
}

// TestWipedJournal removes a journal while its publisher is stopped and a store has not all
// of it: nobody can tell of what was in it, so that nothing is claimed, and a new journal's
// streams are stored as ever.
func TestWipedJournal(t *testing.T) {
	c := zmqContext(t)
	o := publisher.Options{Dir: filepath.Join(t.TempDir(), "journals")}
	p := newPublisher(t, c, o)
	_, feed, _ := p.Endpoints()
	first := run(t, p.Run)
	many(t, stream(t, p, "downcase"), 500)
	dir := filepath.Join(t.TempDir(), "store")
	follow := func(until func(*subscriber.Subscriber) bool) map[record.Run][]uint64 {
		t.Helper()
		sub, st := newSubscriber(t, c, dir, subscriber.Options{Connect: []string{feed}})
		r := run(t, sub.Run)
		testenv.Wait(t, "the records", testenv.Patience, func() bool { return until(sub) })
		if err := r.stop(); err != nil {
			t.Fatal(err)
		}
		got, lost := stored(t, st)
		if lost != 0 {
			t.Errorf("%d declared lost: nobody has said so", lost)
		}
		if err := st.Close(); err != nil {
			t.Fatal(err)
		}
		return got
	}
	follow(func(s *subscriber.Subscriber) bool { return s.Stats.Records.Load() == 500 })
	many(t, stream(t, p, "downcase"), 200) // never fetched
	if err := first.stop(); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(o.Dir); err != nil {
		t.Fatal(err)
	}
	p = newPublisher(t, c, o)
	_, feed, _ = p.Endpoints()
	run(t, p.Run)
	many(t, stream(t, p, "downcase"), 300)
	got := follow(func(s *subscriber.Subscriber) bool { return s.Stats.Records.Load() == 300 })
	counts := map[int]bool{}
	for run, numbers := range got {
		inOrder(t, run, numbers, len(numbers))
		counts[len(numbers)] = true
	}
	if len(got) != 2 || !counts[500] || !counts[300] {
		t.Errorf("%v", counts)
	}
}

// TestStoreFromABackup puts back a store of before: everything is fetched again from a
// journal that has it, and of what is gone there the gap has the exact count.
func TestStoreFromABackup(t *testing.T) {
	for name, more := range map[string]int{"all is there": 2000, "much is gone": 40_000} {
		t.Run(name, func(t *testing.T) {
			c := zmqContext(t)
			p := newPublisher(t, c, publisher.Options{MaxBytes: 4 << 20})
			_, feed, _ := p.Endpoints()
			run(t, p.Run)
			s := stream(t, p, "downcase")
			dir := filepath.Join(t.TempDir(), "store")
			follow := func(dir string, n uint64) (got map[record.Run][]uint64, lost uint64) {
				t.Helper()
				sub, st := newSubscriber(t, c, dir, subscriber.Options{Connect: []string{feed}})
				r := run(t, sub.Run)
				testenv.Wait(t, "the records", testenv.Patience, func() bool { return sub.Stats.Records.Load()+sub.Stats.Lost.Load() == n })
				if err := r.stop(); err != nil {
					t.Fatal(err)
				}
				got, lost = stored(t, st)
				if err := st.Close(); err != nil {
					t.Fatal(err)
				}
				return got, lost
			}
			many(t, s, 1000)
			follow(dir, 1000)
			backup := filepath.Join(t.TempDir(), "backup")
			if err := os.CopyFS(backup, os.DirFS(dir)); err != nil {
				t.Fatal(err)
			}
			many(t, s, more/2)
			follow(dir, uint64(more/2))
			many(t, s, more/2)
			testenv.Wait(t, "the bound", testenv.Patience, func() bool { return p.JournalBytes() < 5<<20 })
			got, lost := follow(backup, uint64(more))
			if (lost > 0) != (more > 10_000) {
				t.Errorf("%d lost of %d", lost, more)
			}
			if len(got) != 1 {
				t.Errorf("%d runs, want the one", len(got))
			}
			for run, numbers := range got {
				if len(numbers)+int(lost) != 1000+more {
					t.Errorf("%s: %d records and %d lost, want %d", run, len(numbers), lost, 1000+more)
				}
			}
		})
	}
}
