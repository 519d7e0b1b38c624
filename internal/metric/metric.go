// Package metric is how a part tells its numbers: a name, a help text and a function that
// reads it. internal/admin shows them; a part need not know how.
package metric

import (
	"fmt"
	"sync"
	"sync/atomic"
)

// Metric is one number that an operator sees. Its name follows Prometheus: a total ends
// in _total, and a unit stands before that.
type Metric struct {
	Name  string
	Help  string
	Value func() float64
	Now   bool // what is now; otherwise a total, which only grows

	// Labels and Each are of numbers that differ in labels, instead of Value: Each yields
	// those that there are now, with a value for each label. No two may have the same.
	Labels []string
	Each   func(yield func(value float64, labels ...string))
}

// Total reads a counter.
func Total(name, help string, v *atomic.Uint64) Metric {
	return Metric{Name: name, Help: help, Value: func() float64 { return float64(v.Load()) }}
}

// State is 1 while v is true.
func State(name, help string, v *atomic.Bool) Metric {
	return Metric{Name: name, Help: help, Now: true, Value: func() float64 { return Bool(v.Load()) }}
}

// Bool is 1 for true.
func Bool(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// Locked reads a number that mu guards.
func Locked(mu sync.Locker, value func() float64) func() float64 {
	return func() float64 {
		mu.Lock()
		defer mu.Unlock()
		return value()
	}
}

// Gauge reads what is now.
func Gauge[T int | int64 | uint64](name, help string, v func() T) Metric {
	return Metric{Name: name, Help: help, Now: true, Value: func() float64 { return float64(v()) }}
}

// Bytes is a size for people: two or three digits, and a unit.
func Bytes(n int64) string {
	x, units := float64(n), []string{"bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"}
	for x >= 1000 && len(units) > 1 {
		x, units = x/1024, units[1:]
	}
	if x < 10 && units[0] != "bytes" {
		return fmt.Sprintf("%.1f %s", x, units[0])
	}
	return fmt.Sprintf("%.0f %s", x, units[0])
}
