// Package queue hands items from goroutines that must not wait to one that takes them all
// at once.
//
// # Delivery
//
// A queue is bounded by bytes: what does not fit is dropped and counted, and Put says so.
//
// # Concurrency
//
// Put may be called from many goroutines, Take from one.
package queue

import (
	"sync"
	"sync/atomic"
)

// Queue is items in the order of Put.
type Queue[T any] struct {
	Wake  chan struct{}  // has a word when there is something to take
	Drops *atomic.Uint64 // items that did not fit; several queues may share one

	limit int64
	mu    sync.Mutex // guards what follows
	items []T
	bytes int64
}

// New makes a queue of at most so many bytes, though one item always fits.
func New[T any](limit int64) *Queue[T] {
	return &Queue[T]{Wake: make(chan struct{}, 1), Drops: &atomic.Uint64{}, limit: limit}
}

// Put adds an item of so many bytes. With must it is added beyond the limit too.
func (q *Queue[T]) Put(item T, bytes int, must bool) bool {
	q.mu.Lock()
	if !must && q.bytes > 0 && q.bytes+int64(bytes) > q.limit {
		q.mu.Unlock()
		q.Drops.Add(1)
		return false
	}
	q.items = append(q.items, item)
	q.bytes += int64(bytes)
	first := len(q.items) == 1
	q.mu.Unlock()
	if first {
		Signal(q.Wake)
	}
	return true
}

// Take gives all items, and takes the slice of an earlier Take back to be used again.
func (q *Queue[T]) Take(used []T) []T {
	clear(used)
	q.mu.Lock()
	defer q.mu.Unlock()
	items := q.items
	q.items, q.bytes = used[:0], 0
	return items
}

// Bytes is how much waits.
func (q *Queue[T]) Bytes() int64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.bytes
}

// Len is how many items wait.
func (q *Queue[T]) Len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.items)
}

// Signal leaves a word in a channel that has room for one; if there is one already, that is
// it.
func Signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
