package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/earshot-mq/earshot/internal/zmq"
	"github.com/earshot-mq/earshot/publisher"
	"github.com/earshot-mq/earshot/publisher/record"
)

// running is a publisher that runs, and its stream.
type running struct {
	pub    *publisher.Publisher
	stream *publisher.Stream
	feed   string
	zmq    *zmq.Context
	cancel context.CancelFunc
	done   chan error
}

// newRunning opens a journal and runs a publisher, with the defaults of `earshot`.
func newRunning(ctx context.Context, dir string) (*running, error) {
	z, err := zmq.NewContext()
	if err != nil {
		return nil, err
	}
	pub, err := publisher.New(z, publisher.Options{
		Dir: dir, Record: "tcp://127.0.0.1:0", Replay: "tcp://127.0.0.1:0", MaxBytes: 4 << 30,
		Drain: 10 * time.Millisecond, Logger: logger(),
	})
	if err != nil {
		return nil, errors.Join(err, z.Close())
	}
	stream, err := pub.Stream("downcase")
	if err != nil {
		return nil, errors.Join(err, pub.Close(), z.Close())
	}
	_, feed, _ := pub.Endpoints()
	ctx, cancel := context.WithCancel(ctx)
	r := &running{pub: pub, stream: stream, feed: feed, zmq: z, cancel: cancel, done: make(chan error, 1)}
	go func() { r.done <- pub.Run(ctx) }()
	return r, nil
}

func (r *running) stop() error {
	r.cancel()
	return errors.Join(<-r.done, r.zmq.Close())
}

// recorded is the last number that the journal has.
func (r *running) recorded() (last uint64) {
	offers, _ := r.pub.Offers()
	for i := range offers {
		last += offers[i].Last
	}
	return last
}

// publishRole publishes as fast as it can.
func publishRole(ctx context.Context, c *control, t task) (err error) {
	r, err := newRunning(ctx, t.Dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.stop()) }()
	if err := c.say("bound", facts{"feed": r.feed}); err != nil {
		return err
	}
	if err := c.ready(nil); err != nil {
		return err
	}
	began := time.Now()
	if err := publishAll(ctx, r.stream, t); err != nil {
		return err
	}
	used, err := c.done(facts{"took": fmt.Sprint(time.Since(began).Microseconds())})
	if err != nil {
		return err
	}
	return c.usage(used, nil)
}

// publishAll shares the records among the callers.
func publishAll(ctx context.Context, stream *publisher.Stream, t task) error {
	var wg sync.WaitGroup
	errs := make([]error, t.Callers)
	for i := range t.Callers {
		share := t.Records / t.Callers
		if i < t.Records%t.Callers {
			share++
		}
		wg.Go(func() { errs[i] = publishShare(ctx, stream, share, t.Batch) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

func publishShare(ctx context.Context, stream *publisher.Stream, n, batch int) error {
	records := make([]record.Record, batch)
	pointers := make([]*record.Record, batch)
	for i := range records {
		pointers[i] = &records[i]
	}
	for n > 0 {
		k := min(n, batch)
		now := time.Now()
		for i := range records[:k] {
			fill(&records[i], -1, now)
		}
		if err := stream.Publish(ctx, pointers[:k]...); err != nil {
			return err
		}
		n -= k
	}
	return nil
}
