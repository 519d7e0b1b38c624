package feed

import (
	"sync"
	"sync/atomic"
)

// queue hands batches to the goroutine that owns a socket. It is bounded by bytes, and
// what does not fit is dropped and counted: nothing that feeds a queue ever waits.
type queue[T any] struct {
	limit int64
	wake  chan struct{}
	drops *atomic.Uint64

	mu    sync.Mutex
	items []T
	bytes int64
}

func newQueue[T any](limit int64) *queue[T] {
	return &queue[T]{limit: limit, wake: make(chan struct{}, 1), drops: &atomic.Uint64{}}
}

// put adds an item of that many bytes. must ignores the limit.
func (q *queue[T]) put(item T, bytes int, must bool) bool {
	q.mu.Lock()
	if !must && q.bytes > 0 && q.bytes+int64(bytes) > q.limit {
		q.mu.Unlock()
		q.drops.Add(1)
		return false
	}
	q.items = append(q.items, item)
	q.bytes += int64(bytes)
	first := len(q.items) == 1
	q.mu.Unlock()
	if first {
		select {
		case q.wake <- struct{}{}:
		default:
		}
	}
	return true
}

// take gives all items, and takes a used slice back.
func (q *queue[T]) take(used []T) []T {
	clear(used)
	q.mu.Lock()
	defer q.mu.Unlock()
	items := q.items
	q.items, q.bytes = used[:0], 0
	return items
}
