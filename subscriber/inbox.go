package subscriber

import (
	"github.com/earshot-mq/earshot/internal/feed"
	"github.com/earshot-mq/earshot/internal/queue"
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
type inbox struct{ *queue.Queue[event] }

func (b inbox) put(ev feed.Event) bool {
	return b.Put(event{Event: ev}, ev.Bytes, ev.Kind != feed.EventLive)
}

// free gives the rooms of events back that were taken.
func free(events []event) {
	for i := range events {
		events[i].Room.Free()
	}
	clear(events)
}
