package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/earshot-mq/earshot/bench/talk"
	"github.com/earshot-mq/earshot/internal/zmq"
	"github.com/earshot-mq/earshot/publisher"
	"github.com/earshot-mq/earshot/publisher/record"
)

// running is a publisher that runs, and its stream.
type running struct {
	pub    *publisher.Publisher
	stream *publisher.Stream // of downcase
	feed   string
	zmq    *zmq.Context
	cancel context.CancelFunc
	done   chan error
}

// newRunning opens a journal and runs a publisher, with the defaults of `earshot`;
// a patient one waits for the disk instead of holding records in memory.
func newRunning(ctx context.Context, dir string, patient bool) (*running, error) {
	z, err := zmq.NewContext()
	if err != nil {
		return nil, err
	}
	wait := time.Duration(0)
	if patient {
		wait = time.Hour
	}
	pub, err := publisher.New(z, publisher.Options{
		Dir: dir, Record: "tcp://127.0.0.1:0", Replay: "tcp://127.0.0.1:0", MaxBytes: 64 << 30, Wait: wait,
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
func publishRole(ctx context.Context, c *talk.Control, t task) (err error) {
	r, err := newRunning(ctx, t.Dir, t.Patient)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.stop()) }()
	streams := []*publisher.Stream{r.stream}
	for i := 1; i < t.Streams; i++ {
		more, err := r.pub.Stream(fmt.Sprint("downcase-", i))
		if err != nil {
			return err
		}
		streams = append(streams, more)
	}
	if err := c.Say("bound", facts{"feed": r.feed}); err != nil {
		return err
	}
	if err := c.Ready(nil); err != nil {
		return err
	}
	began := time.Now()
	if err := publishAll(ctx, streams, t); err != nil {
		return err
	}
	used, err := c.Done(facts{"took": fmt.Sprint(time.Since(began).Microseconds())})
	if err != nil {
		return err
	}
	return c.Usage(used, nil)
}

// publishAll shares the records among the callers; each call is to the next stream.
func publishAll(ctx context.Context, streams []*publisher.Stream, t task) error {
	var wg sync.WaitGroup
	var calls atomic.Uint64
	next := func() *publisher.Stream { return streams[calls.Add(1)%uint64(len(streams))] }
	errs := make([]error, t.Callers)
	for i := range t.Callers {
		share := t.Records / t.Callers
		if i < t.Records%t.Callers {
			share++
		}
		wg.Go(func() { errs[i] = publishShare(ctx, next, share, t) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

func publishShare(ctx context.Context, next func() *publisher.Stream, n int, t task) error {
	records := make([]record.Record, t.Batch)
	pointers := make([]*record.Record, t.Batch)
	for i := range records {
		fillSize(&records[i], t.Size, time.Time{})
		pointers[i] = &records[i]
	}
	for n > 0 {
		k := min(n, t.Batch)
		now := time.Now()
		for i := range records[:k] {
			records[i].Time = now
		}
		if err := next().Publish(ctx, pointers[:k]...); err != nil {
			return err
		}
		n -= k
	}
	return nil
}
