package main

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/earshot-mq/earshot/bench/talk"
	"github.com/earshot-mq/earshot/internal/feed"
	"github.com/earshot-mq/earshot/internal/journal"
	"github.com/earshot-mq/earshot/internal/zmq"
	"github.com/earshot-mq/earshot/publisher/record"
)

const (
	fetchCredit = 2 << 20          // what a subscriber allows for one run
	quietAfter  = 10 * time.Second // no progress for so long: the rest is lost
)

// counter is a reader without a store: it takes each number of a run once and in
// order, and fetches what the live feed dropped. Its sink lives in its follower's
// goroutine.
type counter struct {
	want    uint64
	got     atomic.Uint64
	live    atomic.Uint64 // of got, by the live feed
	fetches atomic.Uint64
	gaps    atomic.Uint64 // records that were declared lost
	runs    map[record.Run]*counted
	welcome chan struct{} // closed when the publisher's replay has answered
	greeted bool
	moved   chan struct{} // gets a value when something was taken
	done    chan struct{} // closed when all were taken or declared lost
}

// counted is one run.
type counted struct {
	next     uint64
	fetching bool
}

// skip goes on behind a declared gap.
func (r *counted) skip(c *counter, first, last uint64) {
	if last >= r.next {
		c.gaps.Add(last - max(first, r.next) + 1)
		r.next = last + 1
	}
}

func newCounter(want int) *counter {
	return &counter{
		want: uint64(want), runs: map[record.Run]*counted{},
		welcome: make(chan struct{}), moved: make(chan struct{}, 1), done: make(chan struct{}),
	}
}

func (c *counter) sink(ev feed.Event) bool {
	before := c.seen()
	switch ev.Kind {
	case feed.EventLive, feed.EventData:
		c.batches(&ev)
	case feed.EventHead:
		c.offers(&ev)
	case feed.EventWelcome:
		if !c.greeted {
			c.greeted = true
			close(c.welcome)
		}
		c.forget() // it voids every FETCH that was said before
		c.offers(&ev)
	case feed.EventReset:
		c.forget()
	case feed.EventEnd:
		c.run(ev.Run).fetching = false
	case feed.EventTrim:
		c.run(ev.Run).skip(c, ev.First, ev.Last)
	}
	if c.seen() > before {
		c.progress(before)
	}
	ev.Room.Free()
	return true
}

func (c *counter) offers(ev *feed.Event) {
	for i := range ev.Offers {
		if o := &ev.Offers[i]; o.Last >= c.run(o.Run).next {
			c.fetch(ev.From, o.Run)
		}
	}
}

func (c *counter) forget() {
	for _, r := range c.runs {
		r.fetching = false
	}
}

func (c *counter) progress(before uint64) {
	select {
	case c.moved <- struct{}{}:
	default:
	}
	if before < c.want && c.seen() >= c.want {
		close(c.done)
	}
}

// seen is how many records have come or are known to be lost.
func (c *counter) seen() uint64 { return c.got.Load() + c.gaps.Load() }

func (c *counter) run(run record.Run) *counted {
	r := c.runs[run]
	if r == nil {
		r = &counted{next: 1}
		c.runs[run] = r
	}
	return r
}

func (c *counter) fetch(from *feed.Follower, run record.Run) {
	if r := c.run(run); !r.fetching {
		r.fetching = true
		c.fetches.Add(1)
		from.Fetch(run, r.next, fetchCredit)
	}
}

func (c *counter) batches(ev *feed.Event) {
	for i := range ev.Entries {
		e := &ev.Entries[i]
		r := c.run(e.Run)
		switch {
		case e.Last < r.next:
		case e.First > r.next:
			c.fetch(ev.From, e.Run)
		case e.Kind == journal.KindGap:
			r.skip(c, e.First, e.Last)
		default:
			part := e.Skip(r.next)
			n := uint64(0)
			for range part.Records() {
				n++
			}
			c.got.Add(n)
			if ev.Kind == feed.EventLive {
				c.live.Add(part.Count())
			}
			r.next = e.Last + 1
			if ev.Kind == feed.EventLive && r.fetching {
				r.fetching = false
				ev.From.Stop(e.Run)
			}
		}
	}
	if ev.Kind == feed.EventData && len(ev.Entries) > 0 && c.run(ev.Entries[0].Run).fetching {
		ev.From.Credit(ev.Entries[0].Run, int64(ev.Bytes))
	}
}

// countRole follows a publisher and counts.
func countRole(ctx context.Context, c *talk.Control, t task) (err error) {
	z, err := zmq.NewContext()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, z.Close()) }()
	n := newCounter(t.Records)
	f, err := feed.NewFollower(z, feed.FollowerOptions{Endpoint: t.Feed, Sink: n.sink, Logger: logger()})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- f.Run(ctx) }()
	defer func() { cancel(); err = errors.Join(err, <-ended) }()
	select {
	case <-n.welcome:
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := c.Ready(nil); err != nil {
		return err
	}
	quiet := n.wait()
	used, err := c.Done(facts{"quiet": fmt.Sprint(quiet.Microseconds()), "records": fmt.Sprint(min(n.got.Load(), n.want))})
	if err != nil {
		return err
	}
	return c.Usage(used, facts{"repairs": fmt.Sprint(n.fetches.Load()), "live": fmt.Sprint(n.live.Load()), "declared": fmt.Sprint(n.gaps.Load())})
}

// wait waits until all were taken or declared lost, or nothing came for long.
func (c *counter) wait() (quiet time.Duration) {
	timer := time.NewTimer(quietAfter)
	defer timer.Stop()
	for {
		select {
		case <-c.done:
			return 0
		case <-c.moved:
			timer.Reset(quietAfter)
		case <-timer.C:
			return quietAfter
		}
	}
}
