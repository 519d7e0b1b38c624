package upstream

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

// When a replica is left out, and for how long.
const (
	mostFails    = 3 // exchanges in a row that failed after the connection
	firstAbsence = time.Second
	longAbsence  = 30 * time.Second
)

// health is what is known of a replica. A failed connection, or mostFails other failures
// in a row, eject it: it gets no request until its time has passed, then one; if that
// has no answer either the next time is twice as long. While no replica is in, all of
// them get requests, since it may be us who are wrong.
type health struct {
	out     atomic.Bool // it is to get no requests
	failing atomic.Bool // something failed since it last answered
	ejected atomic.Uint64

	mu      sync.Mutex // guards what follows, and the two states above
	fails   int        // in a row
	since   time.Time  // when it was ejected; zero: it is not
	tryAt   time.Time  // then it gets one request
	absence time.Duration
	checked bool  // its check has been made
	refusal error // what its check said last
	told    bool  // the log says that it is out
}

// usable tells whether the replica is to get a request.
func (h *health) usable(now time.Time) bool {
	if !h.out.Load() {
		return true
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return !h.since.IsZero() && now.After(h.tryAt) && h.refusal == nil
}

// take notes that a request is sent. If it is the one that tries whether the replica is
// back, the next one is a longer time away.
func (h *health) take(now time.Time) {
	if !h.out.Load() {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.since.IsZero() && now.After(h.tryAt) {
		h.absent(now, min(2*h.absence, longAbsence))
	}
}

// absent is called with mu held.
func (h *health) absent(now time.Time, d time.Duration) {
	h.absence = d
	h.tryAt = now.Add(d*3/4 + rand.N(d/2)) // replicas that went together don't come back together
}

// answered notes that a request that began then got an answer. One that began before
// the replica was ejected says nothing new.
func (r *replica) answered(began time.Time) {
	h := &r.health
	if !h.failing.Load() {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if began.Before(h.since) {
		return
	}
	h.fails, h.since = 0, time.Time{}
	h.failing.Store(false)
	r.judge(nil)
}

// lost notes that an exchange ended without an answer, and through no fault of the
// client's.
func (r *replica) lost(e *Error) {
	h := &r.health
	h.mu.Lock()
	defer h.mu.Unlock()
	h.failing.Store(true)
	h.fails++
	unreachable := e.Stage == Dial || e.Stage == TLS
	if !h.since.IsZero() || !unreachable && (h.fails < mostFails || r.u.crowded()) {
		return
	}
	h.since = time.Now()
	h.absent(h.since, firstAbsence)
	h.ejected.Add(1)
	var why error = e
	if len(*r.u.replicas.Load()) == 1 {
		why = nil // that the upstream fails says as much
	}
	r.judge(why)
	r.transport.CloseIdleConnections() // they are as dead as the one that failed
}

// checked notes what the replica's own check says: nil, that it is ready.
func (r *replica) checked(refusal error) {
	h := &r.health
	h.mu.Lock()
	defer h.mu.Unlock()
	h.checked, h.refusal = true, refusal
	r.judge(refusal)
}

// judge says whether the replica is out, and tells the log once of each change. It is
// called with mu held.
func (r *replica) judge(why error) {
	h := &r.health
	unknown := r.u.question != nil && !h.checked
	out := !h.since.IsZero() || h.refusal != nil || unknown
	h.out.Store(out)
	switch {
	case out && why != nil && !h.told:
		h.told = true
		r.u.trouble.log.Warn("replica is out", "replica", r.String(), "error", why)
	case !out && h.told:
		h.told = false
		r.u.trouble.log.Info("replica is back", "replica", r.String())
	}
}

// crowded tells whether so many replicas are out already that failures alone, without a
// refused connection, take out no further one: it may be the requests.
func (u *HTTP) crowded() bool {
	all, out := *u.replicas.Load(), 1
	for _, r := range all {
		if r.health.out.Load() {
			out++
		}
	}
	return 2*out > len(all)
}
