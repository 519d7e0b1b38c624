package subscriber

import (
	"fmt"
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

// aging is a store of which a test makes one opening after the other, with a clock that it
// sets. last is the highest number that was heard.
type aging struct {
	t     *testing.T
	clock testenv.Clock
	dir   string
	last  uint64
}

// opening makes a subscriber, for a test that takes its steps.
func (a *aging) opening(test func(s *Subscriber, hear func(n int))) {
	a.t.Helper()
	all := a.t
	defer func() { a.t = all }()
	all.Run("opening", func(t *testing.T) {
		a.t = t
		s, f := newSubscriberOf(t, a.dir, store.Options{SegmentBytes: 1 << 10, Now: a.clock.Now}, Options{Retention: journal.Retention{MaxAge: 30 * time.Minute}})
		s.made = a.clock.Now()
		// What this opening hears twice is there once.
		test(s, func(n int) {
			for range n {
				a.last++
				s.hear(feed.Event{Kind: feed.EventWelcome, From: f, Offers: offer(1, a.last)}, a.clock.Now())
				for range 2 {
					s.hear(feed.Event{Kind: feed.EventData, From: f, Entries: entry(a.last, a.last)}, a.clock.Now())
				}
			}
			s.sync(true) // which closes the segments that are full
		})
	})
}

// kept asks that the store has every number once, and knows its runs.
func (a *aging) kept(s *Subscriber, when string) {
	a.t.Helper()
	s.retain(a.clock.Now()) // what the syncer does each second
	var want []string
	for n := uint64(1); n <= a.last; n++ {
		want = append(want, fmt.Sprintf("%d-%d", n, n))
	}
	if got := s.has(a.t, func(record.Run) bool { return true }); got != strings.Join(want, " ") {
		a.t.Errorf("%s: the store has %s, want 1 to %d", when, got, a.last)
	}
}

// says asks whether the state says that the clock was set.
func (a *aging) says(s *Subscriber, when string, wrong bool) {
	a.t.Helper()
	const words = "the clock was set by more than an hour: nothing is deleted for its age"
	if state, err := s.State(); err != nil || strings.Contains(state, words) != wrong {
		a.t.Errorf("%s: State = %q, %v", when, state, err)
	}
}

// TestClockThatIsSet sets the clock while a subscriber runs, and back while another one does:
// nothing is deleted for an age that is none, then or by whoever opens the store next,
// nothing is stored twice, and the state says so. When time really passes, what is too old is
// deleted.
func TestClockThatIsSet(t *testing.T) {
	testenv.ClockSteps(t, func(t *testing.T, by time.Duration) {
		const some = 16 // of some segments
		a := &aging{t: t, dir: filepath.Join(t.TempDir(), "store")}
		a.opening(func(s *Subscriber, hear func(int)) {
			hear(some)
			a.kept(s, "before")
			a.says(s, "before", false)
		})
		a.opening(func(s *Subscriber, hear func(int)) {
			a.clock.Set(by)
			hear(some)
			a.kept(s, "when the clock is set")
			a.says(s, "when the clock is set", true)
		})
		a.opening(func(s *Subscriber, hear func(int)) {
			a.clock.Set(-by)
			hear(some)
			a.kept(s, "when it is set back")
			a.says(s, "when it is set back", true)
		})
		a.opening(func(s *Subscriber, hear func(int)) {
			hear(some)
			a.kept(s, "at the start after that")
			a.says(s, "at the start after that", false)
			a.clock.Set(by)
			a.kept(s, "when it is wrong again")
			a.says(s, "when it is wrong again", true)
			a.clock.Set(-by)
			a.kept(s, "when that is over")
			a.says(s, "when that is over", false)
		})
		before := a.last
		a.clock.Pass(time.Hour)
		a.opening(func(s *Subscriber, hear func(int)) {
			hear(some)
			s.retain(a.clock.Now())
			first := s.store.Oldest(testRun)
			if first <= before || first > before+some/2 {
				a.t.Errorf("an hour later the oldest record is %d, want one of those after %d", first, before)
			}
			if c, ok := s.store.Cursor(testRun); !ok || c.Next != a.last+1 {
				a.t.Errorf("the store's cursor is %+v, want next %d", c, a.last+1)
			}
		})
	})
}

// TestRunThatNobodyOffers: a run that has ended and is here whole is forgotten when nobody
// has offered it for a month, and not for a clock that was set.
func TestRunThatNobodyOffers(t *testing.T) {
	testenv.ClockSteps(t, func(t *testing.T, by time.Duration) {
		var clock testenv.Clock
		s, f := newSubscriberOf(t, filepath.Join(t.TempDir(), "store"), store.Options{Now: clock.Now}, Options{})
		s.made = clock.Now()
		offers := offer(1, 3)
		offers[0].Ended, offers[0].Given = true, 3
		hear := func() {
			s.hear(feed.Event{Kind: feed.EventWelcome, From: f, Offers: offers}, clock.Now())
			s.hear(feed.Event{Kind: feed.EventData, From: f, Entries: entry(1, 3)}, clock.Now())
		}
		hear()
		hear() // which notes of the run, known now, that it has ended
		known := func(when string, want bool) {
			t.Helper()
			s.retain(clock.Now())
			if _, ok := s.store.Cursor(testRun); ok != want {
				t.Errorf("%s: the run is known: %v", when, ok)
			}
		}
		clock.Set(by)
		known("when the clock is set", true)
		hear()
		if got := s.has(t, func(record.Run) bool { return true }); got != "1-3" {
			t.Errorf("the store has %s", got)
		}
		clock.Set(-by)
		hear()
		known("when it is set back", true)
		clock.Pass(journal.Unoffered - time.Hour)
		known("within a month", true)
		clock.Pass(2 * time.Hour)
		known("after a month", false)
	})
}

// TestRunAfterALongBreak: a store that was away for a month, or whose clock says so, forgets
// nothing before publishers had an hour to offer what they have: it would be stored again.
func TestRunAfterALongBreak(t *testing.T) {
	var clock testenv.Clock
	dir := filepath.Join(t.TempDir(), "store")
	offers := offer(1, 3)
	offers[0].Ended, offers[0].Given = true, 3
	opening := func(test func(t *testing.T, s *Subscriber, hear func())) {
		t.Helper()
		t.Run("opening", func(t *testing.T) {
			s, f := newSubscriberOf(t, dir, store.Options{SegmentBytes: 1 << 10, Now: clock.Now}, Options{})
			s.made = clock.Now()
			test(t, s, func() {
				s.hear(feed.Event{Kind: feed.EventWelcome, From: f, Offers: offers}, clock.Now())
				s.hear(feed.Event{Kind: feed.EventData, From: f, Entries: entry(1, 3)}, clock.Now())
			})
		})
	}
	known := func(t *testing.T, s *Subscriber, when string, want bool) {
		t.Helper()
		s.retain(clock.Now())
		if _, ok := s.store.Cursor(testRun); ok != want {
			t.Errorf("%s: the run is known: %v", when, ok)
		}
	}
	opening(func(t *testing.T, s *Subscriber, hear func()) {
		hear()
		hear() // which notes of the run, known now, that it has ended
		other := record.Run{Stream: testRun.Stream, Epoch: testRun.Epoch + 1}
		for n := uint64(1); n <= 20; n++ { // and a later segment says so
			if _, err := s.store.Append(journal.NewGap(other, "downcase", n, n, "test")); err != nil {
				t.Fatal(err)
			}
		}
	})
	clock.Pass(journal.Unoffered + time.Hour)
	opening(func(t *testing.T, s *Subscriber, hear func()) {
		known(t, s, "at the start", true)
		clock.Pass(time.Minute)
		known(t, s, "a minute later", true)
		hear()
		if got := s.has(t, func(r record.Run) bool { return r == testRun }); got != "1-3" {
			t.Errorf("the store has %s", got)
		}
		clock.Pass(forgetAfter)
		known(t, s, "an hour after it was offered", true)
	})
	clock.Pass(journal.Unoffered)
	opening(func(t *testing.T, s *Subscriber, _ func()) {
		clock.Pass(forgetAfter - time.Minute)
		known(t, s, "within an hour of the start", true)
		clock.Pass(2 * time.Minute)
		known(t, s, "an hour after the start, since nobody offers it", false)
	})
}
