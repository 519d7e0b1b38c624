package journal

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/earshot-mq/earshot/internal/testenv"
)

// TestClockSetBetweenRuns: a clock that is years ahead or behind at the next start forgets no
// store, and one that is away while another commits is forgotten after its time all the same.
func TestClockSetBetweenRuns(t *testing.T) {
	began := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	const day = 24 * time.Hour
	for name, start := range map[string]time.Time{
		"an hour on": began.Add(time.Hour), "ten years on": began.AddDate(10, 0, 0),
		"an hour back": began.Add(-time.Hour), "ten years back": began.AddDate(-10, 0, 0),
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "cursors")
			c := OpenCommits(path, began)
			commit := func(id string, now time.Time) {
				t.Helper()
				if err := c.Commit(id, id, runA, 5, 9, now); err != nil {
					t.Fatal(err)
				}
			}
			commit("away", began.Add(-2*day))
			commit("live", began)
			if err := c.Save(began); err != nil {
				t.Fatal(err)
			}
			c = OpenCommits(path, start)
			commit("live", start)
			if gone := c.Expire(start.Add(time.Second)); len(gone) > 0 {
				t.Fatalf("forgotten at the start: %v", gone)
			}
			at := start.Add(5*day + time.Minute)
			commit("live", at)
			if gone := c.Expire(at); len(gone) != 1 || gone[0] != "away" {
				t.Errorf("after a week of its own: forgotten %v, want away", gone)
			}
		})
	}
}

// TestClockSetWhileRunning: a clock that is set while a process has the journal, and is still
// wrong at the next start, makes no store older or younger than it is.
func TestClockSetWhileRunning(t *testing.T) {
	testenv.ClockSteps(t, func(t *testing.T, by time.Duration) {
		const day = 24 * time.Hour
		var clock testenv.Clock
		path := filepath.Join(t.TempDir(), "cursors")
		c := OpenCommits(path, clock.Now())
		commit := func(id string) {
			t.Helper()
			if err := c.Commit(id, id, runA, 5, 9, clock.Now()); err != nil {
				t.Fatal(err)
			}
		}
		commit("away")
		clock.Pass(2 * day)
		commit("live")
		clock.Set(by)
		commit("live")
		for range 2 {
			if err := c.Save(clock.Now()); err != nil {
				t.Fatal(err)
			}
			clock.Pass(day) // nobody has the journal
			c = OpenCommits(path, clock.Now())
			if gone := c.Expire(clock.Now()); len(gone) > 0 {
				t.Fatalf("forgotten at the start: %v", gone)
			}
			clock.Pass(2 * day)
			commit("live")
			if gone := c.Expire(clock.Now()); len(gone) > 0 {
				t.Fatalf("forgotten within a week: %v", gone)
			}
		}
		clock.Pass(day + time.Minute)
		commit("live")
		if gone := c.Expire(clock.Now()); len(gone) != 1 || gone[0] != "away" {
			t.Errorf("after a week of its own: forgotten %v, want away", gone)
		}
	})
}
