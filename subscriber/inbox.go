package subscriber

import (
	"sync"
	"sync/atomic"

	"github.com/earshot-mq/earshot/internal/feed"
)

// The kinds of events beside package feed's.
const (
	eventPlain = feed.EventKind(100) + iota // a message of a foreign socket
	eventGone                               // From is not followed any more
)

// event is what a publisher's Follower or a plain socket heard.
type event struct {
	feed.Event
	plain  *plain
	frames [][]byte
}

// inbox is between the sockets and the writer. Live batches beyond its bound are
// dropped and fetched later; what was asked for is bounded by its credit.
type inbox struct {
	limit int64
	wake  chan struct{}
	drops atomic.Uint64

	mu    sync.Mutex
	items []event
	spare []event
	bytes int64
}

func newInbox(limit int64) *inbox {
	return &inbox{limit: limit, wake: make(chan struct{}, 1)}
}

func (b *inbox) put(ev feed.Event) bool {
	return b.add(event{Event: ev}, ev.Kind == feed.EventLive)
}

func (b *inbox) add(ev event, optional bool) bool {
	b.mu.Lock()
	if optional && b.bytes > 0 && b.bytes+int64(ev.Bytes) > b.limit {
		b.mu.Unlock()
		b.drops.Add(1)
		return false
	}
	b.items = append(b.items, ev)
	b.bytes += int64(ev.Bytes)
	first := len(b.items) == 1
	b.mu.Unlock()
	if first {
		select {
		case b.wake <- struct{}{}:
		default:
		}
	}
	return true
}

func (b *inbox) take() []event {
	b.mu.Lock()
	defer b.mu.Unlock()
	items := b.items
	b.items, b.spare, b.bytes = b.spare[:0], nil, 0
	return items
}

// done gives the slice of take back, and the rooms of its events.
func (b *inbox) done(items []event) {
	for i := range items {
		items[i].Room.Free()
	}
	clear(items)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.spare = items
}
