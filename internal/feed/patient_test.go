package feed

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/earshot-mq/earshot/internal/journal"
	"github.com/earshot-mq/earshot/internal/queue"
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
	if err := p.send(ctx, topic, body, nil); err != nil || ctx.Err() != nil || stalls.Load() > 0 {
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

// Whoever publishes many records at once waits for a feed that has much to send yet, each
// as long as that is so, and nobody longer than for a peer.
func TestPace(t *testing.T) {
	s, err := NewServer(newContext(t), &shelf{}, ServerOptions{Record: "tcp://127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	fill := func() {
		e := (&shelf{}).put(10_000)
		for s.recordQ.Bytes() <= liveQueue/2 {
			if !hand(s.recordQ, e) {
				t.Fatal("the queue is full")
			}
		}
	}
	fill()
	s.Pace(t.Context())
	if n := s.Stats.Paced.Load(); n != 0 {
		t.Errorf("nobody subscribes, and %d waited", n)
	}
	s.listening.Store(true)
	s.patient.most = time.Millisecond
	s.Pace(t.Context())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s.patient.most = time.Hour
	s.Pace(ctx)
	if n := s.Stats.Paced.Load(); n != 2 {
		t.Errorf("%d waited, want the one whose time was over and the one who gave up", n)
	}
	var waiting sync.WaitGroup
	for range 8 {
		waiting.Go(func() { s.Pace(t.Context()) })
	}
	testenv.Wait(t, "eight who wait", testenv.Patience, func() bool { return s.Stats.Paced.Load() == 10 })
	s.recordQ.Take(nil)
	queue.Signal(s.emptied)
	done := make(chan struct{})
	go func() { waiting.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(testenv.Patience):
		t.Error("the feed has taken all, and somebody still waits")
	}
}

// What is paced goes on as the feed sends.
func TestPacedByTheFeed(t *testing.T) {
	c, src := newContext(t), &shelf{}
	s, err := NewServer(c, src, ServerOptions{Record: "tcp://127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	s.patient.most = time.Hour
	sub, err := c.Sub(zmq.Options{})
	if err != nil {
		t.Fatal(err)
	}
	background(t, s.Run)
	if err := errors.Join(sub.Watch(), sub.Subscribe(""), sub.Connect(s.record.Endpoint())); err != nil {
		t.Fatal(err)
	}
	stop := background(t, func(ctx context.Context) error { return errors.Join(drain(ctx, sub), sub.Close()) })
	testenv.Wait(t, "a subscription", testenv.Patience, s.listening.Load)
	e := src.put(10_000)
	ctx, cancel := context.WithTimeout(t.Context(), testenv.Patience)
	defer cancel()
	for s.Stats.Paced.Load() < 5 {
		s.Hand([]journal.Entry{e})
		s.Pace(ctx)
	}
	if ctx.Err() != nil {
		t.Error("the feed sends, and nobody is told")
	}
	if n := s.drops.Load(); n > 0 {
		t.Errorf("%d batches dropped, though all were paced", n)
	}
	stop()
}
