package publisher

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/earshot-mq/earshot/internal/journal"
	"github.com/earshot-mq/earshot/internal/zmq"
	"github.com/earshot-mq/earshot/publisher/record"
)

// leave makes a journal with n records as a process leaves it that is killed: a copy of
// one that is being written, whose run has no end and whose lock is free.
func leave(t *testing.T, root string, n int) (dir string, run record.Run) {
	t.Helper()
	dir = filepath.Join(root, journal.NewID())
	written := filepath.Join(t.TempDir(), filepath.Base(dir))
	log, err := journal.Open(written, journal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	w, err := journal.NewWriter(written, log, filepath.Base(dir), journal.WriterOptions{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	s := w.Stream("downcase")
	for range n {
		r := record.Record{Source: "/downcase", Time: time.Now()}
		d := s.Draft(1)
		d.B = record.AppendTail(d.Line(), &r)
		if _, err := d.Append(); err != nil {
			t.Fatal(err)
		}
	}
	err = os.CopyFS(dir, os.DirFS(written))
	stop()
	claim, err2 := journal.Take(dir)
	if err := errors.Join(err, err2, <-done, log.Close()); err != nil {
		t.Fatal(err)
	}
	if err := claim.Release(); err != nil {
		t.Fatal(err)
	}
	return dir, s.Run()
}

// TestAdoptedIsKeptUntilStoresHaveIt: no store at all is not every store.
func TestAdoptedIsKeptUntilStoresHaveIt(t *testing.T) {
	root := t.TempDir()
	left, run := leave(t, root, 10)
	first, err := journal.Take(left) // so that New makes a journal of its own
	if err != nil {
		t.Fatal(err)
	}
	p, err := New(nil, Options{Dir: root})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if err := first.Release(); err != nil {
		t.Fatal(err)
	}
	p.adopt()
	there := func() bool { _, err := os.Stat(left); return err == nil }
	now := time.Now()
	if p.retain(false); !there() {
		t.Fatal("removed although no store has it")
	}
	for _, c := range []struct {
		store string
		next  uint64
		there bool
	}{{"a", 10, true}, {"b", 11, true}, {"a", 11, false}} {
		if err := p.commits.Commit(c.store, "", run, c.next, 11, now); err != nil {
			t.Fatal(err)
		}
		if p.retain(false); there() != c.there {
			t.Fatalf("after %v it is there: %v", c, there())
		}
	}
}

// TestAdoptedAfterALongTime: who had a cursor when a journal was left has it when that is
// adopted, whatever the clock says then: nobody could commit meanwhile.
func TestAdoptedAfterALongTime(t *testing.T) {
	for name, since := range map[string]time.Duration{
		"a month": 30 * 24 * time.Hour, "ten years": 10 * 365 * 24 * time.Hour, "ten years from now": -10 * 365 * 24 * time.Hour,
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			left, run := leave(t, root, 10)
			seen := time.Now().Add(-since)
			cursors := journal.OpenCommits(filepath.Join(left, "cursors"), time.Now())
			err := errors.Join(cursors.Commit("0123456789abc", "main", run, 5, 11, seen), cursors.Commit("123456789abcd", "late", run, 2, 11, seen.Add(-time.Hour)), cursors.Save(seen))
			if err != nil {
				t.Fatal(err)
			}
			both := func(by string, stores []journal.Store) {
				t.Helper()
				if len(stores) != 2 {
					t.Errorf("%s: the stores are %+v, want both", by, stores)
				}
			}
			c, err := zmq.NewContext()
			if err != nil {
				t.Fatal(err)
			}
			a, err := Adopt(c, left, AdoptOptions{Record: "tcp://127.0.0.1:0", Replay: "tcp://127.0.0.1:0"})
			if err != nil {
				t.Fatal(err)
			}
			both("earshot adopt", a.Cursors()) // the journal stays claimed, so that New makes one of its own
			p, err := New(nil, Options{Dir: root})
			if err := errors.Join(err, a.Close(), c.Close()); err != nil {
				t.Fatal(err)
			}
			p.adopt()
			p.age(false, time.Now())
			both("a publisher of the same role", p.Cursors())
			if err := p.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestAdopterWaitsForAStoreThatIsAway: who has a cursor in the directory counts, until it
// is forgotten; and a number that was given but is in no file has to be noted too.
func TestAdopterWaitsForAStoreThatIsAway(t *testing.T) {
	left, run := leave(t, t.TempDir(), 10)
	given := fmt.Sprintf("%s %s %020d\n", run.Stream, run.Epoch, 12)
	if err := os.WriteFile(filepath.Join(left, "last"), []byte(given), 0o600); err != nil {
		t.Fatal(err)
	}
	cursors := journal.OpenCommits(filepath.Join(left, "cursors"), time.Now())
	if err := errors.Join(cursors.Commit("0123456789abc", "main", run, 5, 11, time.Now()), cursors.Save(time.Now())); err != nil {
		t.Fatal(err)
	}
	c, err := zmq.NewContext()
	if err != nil {
		t.Fatal(err)
	}
	a, err := Adopt(c, left, AdoptOptions{Record: "tcp://127.0.0.1:0", Replay: "tcp://127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := errors.Join(a.Close(), c.Close()); err != nil {
			t.Error(err)
		}
	}()
	wait := func(want string) {
		t.Helper()
		if got := a.State(); got != want {
			t.Errorf("State() = %q, want %q", got, want)
		}
	}
	const end = 13 // after the last number given
	now := time.Now()
	commit := func(store string, next uint64) {
		t.Helper()
		if err := a.commits.Commit(store, "", run, next, end, now); err != nil {
			t.Fatal(err)
		}
	}
	wait("ok; 8 records wait for main")
	commit("0123456789abc", 11)
	wait("ok; 2 records wait for main")
	commit("0123456789abc", end)
	wait("ok; every store has all records")
	if err := a.commits.Hello("other", "", now); err != nil {
		t.Fatal(err)
	}
	wait("ok; nothing is known yet of what these stores have: other")
	commit("other", end)
	wait("ok; every store has all records")
	if !a.ForgetCursor("main") || !a.ForgetCursor("other") {
		t.Error("ForgetCursor")
	}
	wait("ok; 12 records wait for a first store")
}
