package testenv

import (
	"sync/atomic"
	"testing"
	"time"
	"unsafe"
)

// Clock is the machine's clock for a test that sets it, or lets time pass. The zero value
// tells what it is. Safe for concurrent use.
type Clock struct{ set, passed atomic.Int64 }

// Set moves the wall clock and not the monotonic one, as clock_settime(2) does.
func (c *Clock) Set(by time.Duration) { c.set.Add(int64(by)) }

// Pass lets time pass, on both.
func (c *Clock) Pass(d time.Duration) { c.passed.Add(int64(d)) }

// Now is what time.Now would be.
func (c *Clock) Now() time.Time {
	set := c.set.Load()
	now := time.Now().Add(time.Duration(c.passed.Load() + set)) // moves both readings
	(*reading)(unsafe.Pointer(&now)).monotonic -= set
	return now
}

// reading is how a time.Time with a monotonic reading is laid out, which no function sets by
// itself. TestClock tells when that changes.
type reading struct {
	wall      uint64
	monotonic int64
	_         *time.Location
}

// ClockSteps are by how much a clock is set in tests: what counts as a step, and far more.
func ClockSteps(t *testing.T, test func(t *testing.T, by time.Duration)) {
	const hour, tenYears = time.Hour + time.Minute, 10 * 365 * 24 * time.Hour
	for name, by := range map[string]time.Duration{
		"an hour on": hour, "an hour back": -hour, "ten years on": tenYears, "ten years back": -tenYears,
	} {
		t.Run(name, func(t *testing.T) { test(t, by) })
	}
}
