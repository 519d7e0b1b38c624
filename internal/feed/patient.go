package feed

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/earshot-mq/earshot/internal/room"
	"github.com/earshot-mq/earshot/internal/zmq"
)

const (
	patience   = 50 * time.Millisecond // how long all wait for one peer
	retryEvery = time.Millisecond
	leastLossy = time.Second
	mostLossy  = 30 * time.Second
)

// patient sends on a feed's socket. A peer whose queue is full is waited for: in a flood
// that is what lets the batches behind gather into large messages, and keeps the peer on
// the live feed, where a record costs half of what it costs by FETCH. A peer that takes
// nothing for the whole of patience is stalled, and nobody else may notice it: for a
// second, and twice as long each time that it still is, up to half a minute, messages
// are dropped for it.
//
// That a peer has taken half of its queue libzmq says by the socket's file descriptor; only
// asked to send, it looks for that once in a millisecond. [Asked each millisecond: 2 ms a
// wait, in which a flood of 700 MB/s overflowed the feed's own queue.]
type patient struct {
	sock   *zmq.Socket
	hear   func() error // takes what the socket's peers say, and rearms it
	stalls *atomic.Uint64
	every  time.Duration // asks again, where libzmq has said nothing
	most   time.Duration // waits for a peer so long
	lossy  bool
	until  time.Time     // lossy: then peers are waited for again
	pause  time.Duration // how long it will be lossy next
}

// send sends a message whose body is in r, if that is not nil.
func (p *patient) send(ctx context.Context, topic, body []byte, r *room.Room) error {
	if p.lossy && !time.Now().Before(p.until) {
		if err := p.set(false); err != nil {
			return err
		}
	}
	err := p.sock.SendRoom(topic, body, r)
	if !errors.Is(err, zmq.ErrAgain) {
		return err
	}
	end := time.Now().Add(p.most)
	retry := time.NewTicker(p.every)
	defer retry.Stop()
	for errors.Is(err, zmq.ErrAgain) {
		select {
		case <-ctx.Done():
			end = time.Time{}
		case <-p.sock.Ready():
		case <-retry.C:
		}
		if err := p.hear(); err != nil {
			return err
		}
		if time.Now().After(end) {
			p.stalls.Add(1)
			p.until, p.pause = time.Now().Add(p.pause), min(2*p.pause, mostLossy)
			if err := p.set(true); err != nil {
				return err
			}
		}
		err = p.sock.SendRoom(topic, body, r)
	}
	if err == nil && !p.lossy {
		p.pause = leastLossy
	}
	return err
}

func (p *patient) set(lossy bool) error {
	p.lossy = lossy
	return p.sock.Lossy(lossy)
}
