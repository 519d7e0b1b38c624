package upstream

import (
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// calm is how long nothing may fail until a trouble is over.
const calm = 5 * time.Second

// trouble tells the log that an upstream fails: once for each reason, and at the end how
// often. Each request has its own record.
type trouble struct {
	log *slog.Logger
	on  atomic.Bool

	mu      sync.Mutex // guards what follows
	began   time.Time
	last    time.Time
	failed  int
	reasons []string // that the log has
}

// note counts an exchange that failed for good.
func (t *trouble) note(e *Error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last = time.Now()
	if !t.on.Load() {
		t.began, t.failed, t.reasons = t.last, 0, nil
		t.on.Store(true)
	}
	t.failed++
	reason := string(e.Stage) + ": " + e.Reason()
	if slices.Contains(t.reasons, reason) {
		return
	}
	t.reasons = append(t.reasons, reason) // few: a word of ours each
	t.log.Warn("upstream fails", "reason", reason, "failed", t.failed, "replica", e.Replica, "error", e.Err)
}

// over notes an exchange that did not fail.
func (t *trouble) over() {
	if !t.on.Load() {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.on.Load() || time.Since(t.last) < calm {
		return
	}
	t.on.Store(false)
	t.log.Info("upstream answers again", "failed", t.failed, "after", t.last.Sub(t.began).Round(time.Millisecond))
}
