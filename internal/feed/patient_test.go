package feed

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/earshot-mq/earshot/internal/testenv"
	"github.com/earshot-mq/earshot/internal/zmq"
)

// Who waits for a peer goes on when that has taken something, and not only when the time
// has come to ask again: here it never comes.
func TestWaitsAsLongAsThePeer(t *testing.T) {
	c := newContext(t)
	pub, err := c.XPub("tcp://127.0.0.1:0", zmq.Options{SendHWM: 2})
	if err != nil {
		t.Fatal(err)
	}
	sub, err := c.Sub(zmq.Options{RecvHWM: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := errors.Join(pub.Close(), sub.Close()); err != nil {
			t.Error(err)
		}
	}()
	if err := errors.Join(pub.Watch(), sub.Watch(), sub.Subscribe(""), sub.Connect(pub.Endpoint())); err != nil {
		t.Fatal(err)
	}
	topics := map[string]bool{}
	hear := func() error { _, err := subscriptions(pub, topics); return err }
	testenv.Wait(t, "a subscription", testenv.Patience, func() bool { return hear() == nil && len(topics) > 0 })

	if err := pub.Lossy(false); err != nil {
		t.Fatal(err)
	}
	topic, body := []byte("downcase/"), make([]byte, MaxFeedMessage)
	full := 0 // in a row
	testenv.Wait(t, "a full queue", testenv.Patience, func() bool {
		if err := hear(); err != nil {
			t.Fatal(err)
		}
		if full++; !errors.Is(pub.Send(topic, body), zmq.ErrAgain) {
			full = 0
		}
		return full == 100
	})
	var stalls atomic.Uint64
	p := patient{sock: pub, hear: hear, stalls: &stalls, every: time.Hour, most: time.Hour}
	stop := background(t, func(ctx context.Context) error { return drain(ctx, sub) })
	ctx, cancel := context.WithTimeout(t.Context(), testenv.Patience)
	defer cancel()
	if err := p.send(ctx, topic, body); err != nil || ctx.Err() != nil || stalls.Load() > 0 {
		t.Errorf("the peer takes all, and it is waited for: %v, %v, %d stalls", err, ctx.Err(), stalls.Load())
	}
	stop()
}

// drain takes all that comes.
func drain(ctx context.Context, sub *zmq.Socket) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-sub.Ready():
		}
		for {
			_, err := sub.Recv()
			if errors.Is(err, zmq.ErrAgain) {
				break
			}
			if err != nil {
				return err
			}
		}
		sub.Rearm()
	}
}
