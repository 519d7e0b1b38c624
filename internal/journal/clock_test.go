package journal

import (
	"path/filepath"
	"testing"
	"time"
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
			c := OpenCommits(path)
			commit := func(id string, now time.Time) {
				t.Helper()
				if err := c.Commit(id, id, runA, 5, 9, now); err != nil {
					t.Fatal(err)
				}
			}
			commit("away", began.Add(-2*day))
			commit("live", began)
			if err := c.Save(); err != nil {
				t.Fatal(err)
			}
			c = OpenCommits(path)
			c.Resume(start)
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
