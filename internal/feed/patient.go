package feed

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

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
type patient struct {
	sock   *zmq.Socket
	stalls *atomic.Uint64
	lossy  bool
	until  time.Time     // lossy: then peers are waited for again
	pause  time.Duration // how long it will be lossy next
}

func (p *patient) send(ctx context.Context, topic, body []byte) error {
	if p.lossy && !time.Now().Before(p.until) {
		if err := p.set(false); err != nil {
			return err
		}
	}
	err := p.sock.Send(topic, body)
	if !errors.Is(err, zmq.ErrAgain) {
		return err
	}
	end := time.Now().Add(patience)
	retry := time.NewTicker(retryEvery)
	defer retry.Stop()
	for errors.Is(err, zmq.ErrAgain) {
		select {
		case <-ctx.Done():
			end = time.Time{}
		case <-retry.C:
		}
		if time.Now().After(end) {
			p.stalls.Add(1)
			p.until, p.pause = time.Now().Add(p.pause), min(2*p.pause, mostLossy)
			if err := p.set(true); err != nil {
				return err
			}
		}
		err = p.sock.Send(topic, body)
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
