package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/earshot-mq/earshot/bench/talk"
	"github.com/earshot-mq/earshot/internal/journal"
	"github.com/earshot-mq/earshot/internal/zmq"
	"github.com/earshot-mq/earshot/publisher/record"
	"github.com/earshot-mq/earshot/subscriber"
	"github.com/earshot-mq/earshot/subscriber/store"
)

// storeRole is a subscriber with its store, until all records are stored and synced.
func storeRole(ctx context.Context, c *talk.Control, t task) (err error) {
	z, err := zmq.NewContext()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, z.Close()) }()
	st, err := store.Open(t.Dir, store.Options{Logger: logger()})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	feeds := strings.Split(t.Feed, ",")
	s, err := subscriber.New(z, st, subscriber.Options{Connect: feeds, Logger: logger()})
	if err != nil {
		return err
	}
	if t.Late {
		if err := c.Ready(nil); err != nil {
			return err
		}
	}
	subCtx, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- s.Run(subCtx) }()
	stop := func() error { cancel(); return <-ended }
	for !t.Late && int(s.Stats.Sources.Load()) < len(feeds) { // every publisher is heard
		time.Sleep(5 * time.Millisecond)
		if ctx.Err() != nil {
			return errors.Join(ctx.Err(), stop())
		}
	}
	if !t.Late {
		if err := c.Ready(nil); err != nil {
			return errors.Join(err, stop())
		}
	}
	lost := func() uint64 { return s.Stats.Lost.Load() - s.Stats.Gaps.Load() } // a gap takes one number of the arrivals
	got, quiet := stored(st, lost, uint64(t.Records))
	if err := st.Sync(); err != nil {
		return errors.Join(err, stop())
	}
	used, err := c.Done(facts{"quiet": fmt.Sprint(quiet.Microseconds()), "records": fmt.Sprint(got)})
	if err := errors.Join(err, stop()); err != nil {
		return err
	}
	kept, err := inStore(st)
	if err != nil {
		return err
	}
	return c.Usage(used, facts{"repairs": fmt.Sprint(s.Stats.Repairs.Load()), "stored": fmt.Sprint(kept), "declared": fmt.Sprint(s.Stats.Lost.Load())})
}

// stored waits until so many records are in the store, or nothing came for long.
func stored(st *store.Store, lost func() uint64, want uint64) (got uint64, quiet time.Duration) {
	timer := time.NewTimer(quietAfter)
	defer timer.Stop()
	for {
		changed := st.Changed()
		if got = st.Arrival() - 1 + lost(); got >= want {
			return want, 0
		}
		select {
		case <-changed:
			timer.Reset(quietAfter)
		case <-timer.C:
			return got, quietAfter
		}
	}
}

// inStore reads the whole store and counts the records that are in it once and in
// order.
func inStore(st *store.Store) (kept uint64, err error) {
	next := map[record.Run]uint64{}
	r := st.Reader(1)
	defer r.Close()
	err = r.Read(func(e *journal.Entry, _ uint64) error {
		if e.Kind != journal.KindBatch {
			return nil
		}
		for line := range e.Records() {
			l, err := record.Scan(line)
			if err != nil {
				return err
			}
			if id := l.ID(); id.Seq > next[id.Run] {
				next[id.Run] = id.Seq
				kept++
			}
		}
		return nil
	})
	return kept, err
}
