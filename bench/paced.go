package main

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"

	"github.com/earshot-mq/earshot/bench/talk"
	"github.com/earshot-mq/earshot/internal/zmq"
	"github.com/earshot-mq/earshot/publisher/record"
	"github.com/earshot-mq/earshot/subscriber"
	"github.com/earshot-mq/earshot/subscriber/store"
	"github.com/earshot-mq/earshot/subscriber/view"
)

// pacedCallers is how many may be asking at a time.
const pacedCallers = 16

// askPublishRole publishes at a pace and reads the log that another process writes.
func askPublishRole(ctx context.Context, c *talk.Control, t task) (err error) {
	r, err := newRunning(ctx, t.Dir, false)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.stop()) }()
	if err := c.Say("bound", facts{"feed": r.feed}); err != nil {
		return err
	}
	if err := c.Hear("follow"); err != nil { // the log file is there
		return err
	}
	records := make([]record.Record, t.Callers)
	return measurePace(c, t, func(caller, n int) error {
		fill(&records[caller], n, time.Now())
		return r.stream.Publish(ctx, &records[caller])
	})
}

// measurePace calls ask for 0 to Records-1, Pace a second, and tells when their lines
// were in the log.
func measurePace(c *talk.Control, t task, ask func(caller, n int) error) error {
	base := time.Now()
	log, err := followLog(t.Log, t.Records, base)
	if err != nil {
		return err
	}
	defer log.stop()
	if err := c.Ready(nil); err != nil {
		return err
	}
	began := time.Now()
	sent, answered, err := paceOut(t, base, ask)
	if err != nil {
		return err
	}
	took := time.Since(began)
	log.wait(quietAfter)
	var fromSent, fromAnswer []float64
	for n, seen := range log.seen {
		if seen > 0 {
			fromSent = append(fromSent, float64(seen-sent[n])/1e3)
			fromAnswer = append(fromAnswer, float64(seen-answered[n])/1e3)
		}
	}
	f := facts{"lines": fmt.Sprint(len(fromSent)), "rate": fmt.Sprint(float64(t.Records) / took.Seconds())}
	if len(fromSent) > 0 {
		f["sent50"], f["sent99"] = fmt.Sprint(quantile(fromSent, 0.5)), fmt.Sprint(quantile(fromSent, 0.99))
		f["answer50"], f["answer99"] = fmt.Sprint(quantile(fromAnswer, 0.5)), fmt.Sprint(quantile(fromAnswer, 0.99))
	}
	used, err := c.Done(f)
	if err != nil {
		return err
	}
	return c.Usage(used, nil)
}

// paceOut gives the callers their turns. A turn that comes late, since all are waiting
// for answers, is late for the client too: its sending counts from when it really was.
func paceOut(t task, base time.Time, ask func(caller, n int) error) (sent, answered []time.Duration, err error) {
	sent, answered = make([]time.Duration, t.Records), make([]time.Duration, t.Records)
	turns := make(chan int, t.Records) // closed by the one who gives them
	errs := make([]error, t.Callers)
	var callers sync.WaitGroup
	for caller := range t.Callers {
		callers.Go(func() {
			for n := range turns {
				sent[n] = time.Since(base)
				if err := ask(caller, n); err != nil {
					errs[caller] = err
					return
				}
				answered[n] = time.Since(base)
			}
		})
	}
	runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + 1) // the pauses hold one, as if they were work
	runtime.LockOSThread()
	began := time.Now()
	for n := range t.Records {
		pause(time.Until(began.Add(time.Duration(n) * time.Second / time.Duration(t.Pace))))
		turns <- n
	}
	runtime.UnlockOSThread()
	close(turns)
	callers.Wait()
	return sent, answered, errors.Join(errs...)
}

// logRole is a subscriber with its store and its log file.
func logRole(ctx context.Context, c *talk.Control, t task) (err error) {
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
	format, err := view.ParseFormat("text", time.UTC)
	if err != nil {
		return err
	}
	file, err := view.OpenFile(st, view.FileOptions{Path: t.Log, Checkpoint: t.Log + ".checkpoint", Format: format, Logger: logger()})
	if err != nil {
		return err
	}
	s, err := subscriber.New(z, st, subscriber.Options{Connect: []string{t.Feed}, Logger: logger()})
	if err != nil {
		return errors.Join(err, file.Close())
	}
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan error, 2)
	go func() { ended <- s.Run(ctx) }()
	go func() { ended <- file.Run(ctx) }()
	defer func() { cancel(); err = errors.Join(err, <-ended, <-ended) }()
	for s.Stats.Sources.Load() == 0 { // the publisher is heard
		time.Sleep(5 * time.Millisecond)
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	if err := c.Ready(nil); err != nil {
		return err
	}
	used, err := c.Done(nil)
	if err != nil {
		return err
	}
	return c.Usage(used, nil)
}
