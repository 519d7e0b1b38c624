package upstream

import (
	"context"
	"sync"
	"time"
)

// watch ends an exchange whose upstream is too slow. One timer serves all stages after
// the connection; dialling has limits of its own.
type watch struct {
	upstream string
	cancel   context.CancelCauseFunc

	mu    sync.Mutex
	timer *time.Timer
	stage Stage
	limit time.Duration
}

func newWatch(upstream string, cancel context.CancelCauseFunc) *watch {
	return &watch{upstream: upstream, cancel: cancel, stage: Dial}
}

// enter begins a stage and its time.
func (w *watch) enter(stage Stage, limit time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stage = stage
	w.start(limit)
}

// follow is enter, unless the exchange is no longer at the stage before: the answer may
// come while the request is still being sent.
func (w *watch) follow(before, stage Stage, limit time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stage == before {
		w.stage = stage
		w.start(limit)
	}
}

// pause stops the time while it is not the upstream that is waited for.
func (w *watch) pause(stage Stage) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stage == stage && w.timer != nil {
		w.timer.Stop()
	}
}

// start is called with mu held.
func (w *watch) start(limit time.Duration) {
	w.limit = limit
	if w.timer == nil {
		w.timer = time.AfterFunc(limit, w.expire)
		return
	}
	w.timer.Reset(limit)
}

func (w *watch) expire() {
	w.mu.Lock()
	err := &Error{Upstream: w.upstream, Stage: w.stage, Limit: w.limit, Err: errExpired}
	w.mu.Unlock()
	w.cancel(err)
}

// stop ends the time for good.
func (w *watch) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.timer != nil {
		w.timer.Stop()
	}
}

// at is the stage.
func (w *watch) at() Stage {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.stage
}
