package publisher

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/earshot-mq/earshot/internal/journal"
	"github.com/earshot-mq/earshot/internal/testenv"
	"github.com/earshot-mq/earshot/publisher/record"
)

// aging is one role of which a test makes one opening after the other, with a clock that it
// sets. Of each there is a run of ten records.
type aging struct {
	t         *testing.T
	clock     testenv.Clock
	dir       string
	committed bool // a store has all of every run, or else nothing
	runs      []record.Run
}

const ofEach = 10

// opening runs a publisher until test has returned.
func (a *aging) opening(test func(p *Publisher, publish func())) {
	a.t.Helper()
	p, err := New(nil, Options{Dir: a.dir, Drain: time.Millisecond, MaxBytes: 16 << 20, MaxAge: 30 * time.Minute, now: a.clock.Now})
	if err != nil {
		a.t.Fatal(err)
	}
	ctx, stop := context.WithCancel(a.t.Context())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	defer func() {
		stop()
		if err := <-done; err != nil {
			a.t.Error(err)
		}
	}()
	test(p, func() {
		a.t.Helper()
		s, err := p.Stream("downcase")
		if err != nil {
			a.t.Fatal(err)
		}
		for range ofEach {
			if err := s.Publish(ctx, &record.Record{Time: a.clock.Now()}); err != nil {
				a.t.Fatal(err)
			}
		}
		run, next := s.s.Run(), uint64(1)
		if a.committed {
			next = ofEach + 1
		}
		if err := p.commits.Commit("id", "shop", run, next, ofEach+1, a.clock.Now()); err != nil {
			a.t.Fatal(err)
		}
		a.runs = append(a.runs, run)
	})
}

// has is how many records of a run a publisher has.
func (a *aging) has(p *Publisher, run record.Run) (n int) {
	a.t.Helper()
	for from := uint64(1); ; {
		data, next, err := p.Read(nil, run, from, 1<<20)
		var hole *journal.Hole
		if errors.As(err, &hole) {
			from = hole.To + 1
			continue
		}
		if err != nil {
			a.t.Fatal(err)
		}
		if next == from {
			return n
		}
		for len(data) > 0 {
			e, err := journal.Next(data)
			if err != nil {
				a.t.Fatal(err)
			}
			if e.Kind == journal.KindBatch {
				if e.First != from {
					a.t.Errorf("%s: number %d where %d is next", run, e.First, from)
				}
				n, from = n+int(e.Count()), e.Last+1
			}
			data = data[len(e.Raw):]
		}
	}
}

// kept asks that nothing is dropped: every record is there once, and the store is known.
func (a *aging) kept(p *Publisher, when string) {
	a.t.Helper()
	now := a.clock.Now()
	p.age(p.clock(now), now) // what the keeper does each second
	for i, run := range a.runs {
		if n := a.has(p, run); n != ofEach {
			a.t.Errorf("%s: %d of the %d records of opening %d are there", when, n, ofEach, i+1)
		}
	}
	if stores := p.commits.List(); len(stores) != 1 {
		a.t.Errorf("%s: the stores %+v are known, want the one", when, stores)
	}
}

const clockWords = "the clock was set by more than an hour: nothing is deleted for its age"

// says asks whether the state says that the clock was set.
func (a *aging) says(p *Publisher, when string, wrong bool) {
	a.t.Helper()
	p.clock(a.clock.Now())
	if state := p.State(); strings.Contains(state, clockWords) != wrong {
		a.t.Errorf("%s: State = %q", when, state)
	}
}

// TestClockThatIsSet sets the clock while a publisher runs, and back while another one does:
// nothing is dropped for an age that is none, then or by whoever opens the journal next, and
// the state says so. When time really passes, what is too old is dropped.
func TestClockThatIsSet(t *testing.T) {
	for name, committed := range map[string]bool{"committed": true, "not committed": false} {
		t.Run(name, func(t *testing.T) {
			testenv.ClockSteps(t, func(t *testing.T, by time.Duration) {
				t.Parallel()
				a := &aging{t: t, dir: t.TempDir(), committed: committed}
				a.opening(func(p *Publisher, publish func()) {
					publish()
					a.kept(p, "before")
					a.says(p, "before", false)
				})
				a.opening(func(p *Publisher, publish func()) {
					a.clock.Set(by)
					testenv.Wait(t, "a state that says that the clock was set", testenv.Patience, func() bool { return strings.Contains(p.State(), clockWords) })
					a.kept(p, "as soon as the clock is set")
					publish()
					a.kept(p, "when the clock is set")
				})
				a.opening(func(p *Publisher, publish func()) {
					a.clock.Set(-by)
					publish()
					a.kept(p, "when it is set back")
					a.says(p, "when it is set back", true)
				})
				a.opening(func(p *Publisher, publish func()) {
					publish()
					a.kept(p, "at the start after that")
					a.clock.Set(by)
					a.says(p, "when it is wrong again", true)
					a.clock.Set(-by)
					a.kept(p, "when that is over")
					a.says(p, "when that is over", false)
				})
				a.clock.Pass(2 * keepFor)
				a.opening(func(p *Publisher, publish func()) {
					publish()
					last := len(a.runs) - 1
					for i, run := range a.runs[:last] {
						testenv.Wait(t, fmt.Sprintf("the records of opening %d dropped", i+1), testenv.Patience, func() bool { return a.has(p, run) == 0 })
					}
					if n := a.has(p, a.runs[last]); n != ofEach {
						t.Errorf("%d of %d new records are there", n, ofEach)
					}
				})
			})
		})
	}
}

// TestNewStoresAreWaitedFor: what another store has committed is kept for one that has said
// HELLO and not committed yet, for an hour.
func TestNewStoresAreWaitedFor(t *testing.T) {
	a := &aging{t: t, dir: t.TempDir(), committed: true}
	a.opening(func(p *Publisher, publish func()) {
		publish()
		want := func(when string, next uint64) {
			t.Helper()
			if got, ok := p.committed(a.runs[0]); got != next || !ok {
				t.Errorf("%s all have committed below %d (%v), want %d", when, got, ok, next)
			}
		}
		hello := func(id string) {
			t.Helper()
			if err := p.commits.Hello(id, "", a.clock.Now()); err != nil {
				t.Fatal(err)
			}
		}
		want("with one store", ofEach+1)
		hello("new")
		want("with a new one", 0)
		if err := p.commits.Commit("new", "", a.runs[0], 5, ofEach+1, a.clock.Now()); err != nil {
			t.Fatal(err)
		}
		want("when that has committed", 5)
		hello("other topics")
		a.clock.Pass(50 * time.Minute)
		hello("other topics") // again, which is no new hour
		want("with one that commits nothing", 0)
		a.clock.Pass(11 * time.Minute)
		want("an hour later", 5)
	})
}
