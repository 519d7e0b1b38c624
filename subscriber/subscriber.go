// Package subscriber follows publishers, mends what their feeds dropped, and stores
// what they said, once and in order.
//
// # Delivery
//
// Of each run the store holds the numbers from the first offered to the last heard, each
// once, as record or in a gap line that says how many are lost. A publisher keeps what
// is not committed, and a commit follows the store's fsync. A foreign PUB socket
// (Options.Plain) is logged at most once, and marked so.
//
// # Concurrency
//
// Three kinds of goroutines: one for each publisher's sockets, which never waits; one
// writer, which decides and appends all that waits with one write; one syncer, which
// fsyncs and commits. Views read the store beside them.
//
// # Errors
//
// A full disk is a state, not an error: nothing is appended and nothing committed, the
// sockets are drained, and when there is room again everything is fetched from where
// the store ends.
package subscriber

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/earshot-mq/earshot/internal/feed"
	"github.com/earshot-mq/earshot/internal/journal"
	"github.com/earshot-mq/earshot/internal/zmq"
	"github.com/earshot-mq/earshot/publisher/record"
	"github.com/earshot-mq/earshot/subscriber/store"
)

// Options tunes a Subscriber. Every zero field means its default.
type Options struct {
	Connect   []string      // record feeds to follow, "tcp://127.0.0.1:4445"
	Advertise string        // replay's endpoint, if it is not the feed's host with the port that HEAD tells
	Plain     []string      // foreign PUB sockets to log
	Services  []string      // names of services; none means all
	Name      string        // for people; default is the store's id
	FromNow   bool          // begin new runs at their end, not at the oldest record that is there
	SyncEvery time.Duration // of the store; default 100 ms
	Retention journal.Retention
	Logger    *slog.Logger // default: discard
}

// Stats counts what a Subscriber did. All are totals but those that say "now".
type Stats struct {
	Records, Batches, Bytes  atomic.Uint64
	Duplicates, Early        atomic.Uint64 // records dropped: there already, or to be fetched
	Repairs, Gaps, Lost      atomic.Uint64 // fetches; gap lines; the records they stand for
	AppendErrors, SyncErrors atomic.Uint64
	Commits                  atomic.Uint64
	Plain                    atomic.Uint64
	Full                     atomic.Bool   // now: the store can't be written
	Stranded                 atomic.Uint64 // now: records heard of that no source offers
	Sources                  atomic.Int64  // now: publishers heard
}

func (s *Stats) note(e *journal.Entry) {
	s.Records.Add(e.Last - e.First + 1)
	s.Batches.Add(1)
	s.Bytes.Add(uint64(len(e.Raw)))
}

// Subscriber is one store and the publishers that it follows.
type Subscriber struct {
	o         Options
	store     *store.Store
	followers []*feed.Follower
	plain     []*plain
	Stats     Stats

	inbox   *inbox
	tracker *tracker
	full    time.Time // the store can't be written: not before

	mu    sync.Mutex
	dirty map[record.Run]bool // appended to since the last commit
}

const (
	inboxLive   = 64 << 20
	commitEvery = time.Second
	fullRetry   = time.Second
)

// New makes a Subscriber of an open store, which stays its owner's to close.
func New(ctx *zmq.Context, st *store.Store, o Options) (*Subscriber, error) {
	if o.SyncEvery == 0 {
		o.SyncEvery = 100 * time.Millisecond
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Name == "" {
		o.Name = st.ID()
	}
	s := &Subscriber{o: o, store: st, inbox: newInbox(inboxLive), dirty: map[record.Run]bool{}}
	s.tracker = newTracker(st, o.FromNow, &s.Stats, o.Logger)
	for _, endpoint := range o.Connect {
		f, err := feed.NewFollower(ctx, feed.FollowerOptions{
			Endpoint: endpoint, Advertised: o.Advertise, Store: st.ID(),
			Name: o.Name, Services: o.Services, Peers: len(o.Connect), Sink: s.inbox.put, Logger: o.Logger,
		})
		if err != nil {
			return nil, fmt.Errorf("subscriber: %w", err)
		}
		s.followers = append(s.followers, f)
	}
	for _, endpoint := range o.Plain {
		p, err := newPlain(ctx, endpoint, st.ID(), s.inbox)
		if err != nil {
			return nil, err
		}
		s.plain = append(s.plain, p)
	}
	return s, nil
}

// Run follows until ctx is done, then stores what came, syncs and commits.
func (s *Subscriber) Run(ctx context.Context) error {
	followCtx, stopFollowing := context.WithCancel(context.WithoutCancel(ctx))
	defer stopFollowing()
	var sockets sync.WaitGroup
	errs := make(chan error, len(s.followers)+len(s.plain)+1)
	for _, f := range s.followers {
		sockets.Go(func() { errs <- f.Run(followCtx) })
	}
	for _, p := range s.plain {
		sockets.Go(func() { errs <- p.run(followCtx) })
	}
	stop := make(chan struct{})
	var syncer sync.WaitGroup
	syncer.Go(func() { s.syncLoop(stop) })
	err := s.write(ctx, errs)
	close(stop)
	syncer.Wait()
	s.sync(true) // the followers say the last commit when they stop
	stopFollowing()
	sockets.Wait()
	close(errs)
	for e := range errs {
		err = errors.Join(err, e)
	}
	return err
}

// write is the writer: it takes all that waits, decides, and appends with one write.
func (s *Subscriber) write(ctx context.Context, errs <-chan error) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			s.step(time.Now())
			return nil
		case err := <-errs:
			if err != nil {
				return err
			}
		case <-s.inbox.wake:
		case now := <-tick.C:
			s.Stats.Stranded.Store(s.tracker.tick(now))
			s.heardNow(now)
		}
		s.step(time.Now())
	}
}

// State is how the store is, in plain words.
func (s *Subscriber) State() (string, error) {
	st := &s.Stats
	switch {
	case st.Full.Load():
		return "full", errors.New("the store can't be written; publishers keep what is not committed")
	case st.Stranded.Load() > 0:
		return fmt.Sprintf("degraded: %d records were heard of and nobody offers them", st.Stranded.Load()), nil
	case st.Lost.Load() > 0:
		return fmt.Sprintf("ok; %d records lost in %d gaps since the start", st.Lost.Load(), st.Gaps.Load()), nil
	}
	return "ok", nil
}

func (s *Subscriber) heardNow(now time.Time) {
	n := int64(0)
	for _, f := range s.followers {
		if now.UnixNano()-f.Stats.Heard.Load() < int64(3*time.Second) {
			n++
		}
	}
	s.Stats.Sources.Store(n)
}

// step handles what waits in the inbox.
func (s *Subscriber) step(now time.Time) {
	if !s.full.IsZero() {
		if now.Before(s.full) {
			s.drain(now)
			return
		}
		s.full, s.tracker.paused = time.Time{}, false
		s.tracker.schedule(now)
	}
	events := s.inbox.take()
	for i := range events {
		s.handle(&events[i], now)
	}
	s.inbox.done(events)
	s.append(now)
}

// drain forgets batches while the store can't be written, but not what publishers tell
// of themselves.
func (s *Subscriber) drain(now time.Time) {
	events := s.inbox.take()
	for i := range events {
		switch ev := &events[i]; ev.Kind {
		case feed.EventReset, feed.EventSilent:
			s.handle(ev, now)
		case feed.EventHead, feed.EventWelcome:
			s.handle(ev, now)
		}
	}
	s.inbox.done(events)
}

func (s *Subscriber) handle(ev *event, now time.Time) {
	t := s.tracker
	switch ev.Kind {
	case feed.EventLive, feed.EventData:
		t.batches(ev.From, ev.Entries, ev.Kind == feed.EventLive, ev.Bytes, now)
	case feed.EventHead:
		t.offers(ev.From, ev.Offers, ev.Live, now)
	case feed.EventWelcome:
		t.reset(ev.From) // whatever was asked for before was not heard
		t.offers(ev.From, ev.Offers, false, now)
		s.welcomed(ev.Offers, now)
	case feed.EventEnd:
		t.ended(ev.From, ev.Run, ev.Last, ev.Given, now)
	case feed.EventTrim:
		t.trimmed(ev.From, ev.Run, ev.First, ev.Last, ev.Reason, now)
	case feed.EventReset:
		t.reset(ev.From)
	case feed.EventSilent:
		t.silent(ev.From, now)
	case eventPlain:
		s.Stats.Plain.Add(1)
		t.out = append(t.out, ev.plain.entry(s.store, ev.frames, now))
	}
}

// welcomed notes which runs are still offered, and makes the next commit tell of all of
// them: the publisher may have missed the last one.
func (s *Subscriber) welcomed(offers []feed.Offer, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range offers {
		o := &offers[i]
		s.dirty[o.Run] = true
		s.store.Seen(o.Run, now)
		if o.Ended {
			s.store.End(o.Run, o.Given)
		}
	}
}

func (s *Subscriber) append(now time.Time) {
	out := s.tracker.take()
	if len(out) == 0 {
		return
	}
	if _, err := s.store.Append(out...); err != nil {
		s.Stats.AppendErrors.Add(1)
		if !s.Stats.Full.Swap(true) {
			s.o.Logger.Error("store can't be written; publishers keep what is not committed", "error", err)
		}
		s.full, s.tracker.paused = now.Add(fullRetry), true
		s.tracker.rewind()
		return
	}
	if s.Stats.Full.Swap(false) {
		s.o.Logger.Warn("store is written again")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range out {
		s.dirty[out[i].Run] = true
	}
}

// syncLoop fsyncs the store and commits what that covers.
func (s *Subscriber) syncLoop(stop <-chan struct{}) {
	tick := time.NewTicker(s.o.SyncEvery)
	defer tick.Stop()
	began := time.Now()
	last := began
	for {
		select {
		case <-stop:
			return
		case now := <-tick.C:
			commit := now.Sub(last) >= commitEvery
			s.sync(commit)
			if commit {
				last = now
				s.retain(began, now)
			}
		}
	}
}

// sync fsyncs, and commits what was appended before that fsync began.
func (s *Subscriber) sync(commit bool) {
	s.mu.Lock()
	next := map[record.Run]uint64{}
	if commit {
		for run := range s.dirty {
			if c, ok := s.store.Cursor(run); ok {
				next[run] = c.Next
			}
		}
		clear(s.dirty)
	}
	s.mu.Unlock()
	if err := s.store.Sync(); err != nil {
		s.Stats.SyncErrors.Add(1)
		s.o.Logger.Error("store not synced, nothing committed", "error", err)
		s.mu.Lock()
		defer s.mu.Unlock()
		for run := range next {
			s.dirty[run] = true
		}
		return
	}
	if err := s.store.Ahead(); err != nil && !s.Stats.Full.Load() {
		s.o.Logger.Warn("next segment not allocated", "error", err)
	}
	if len(next) == 0 {
		return
	}
	all := make([]journal.StoreRun, 0, len(next))
	for run, n := range next {
		all = append(all, journal.StoreRun{Stream: run.Stream, Epoch: run.Epoch.String(), Next: n})
	}
	s.Stats.Commits.Add(1)
	for _, f := range s.followers {
		f.Commit(all)
	}
}

func (s *Subscriber) retain(began, now time.Time) {
	r := s.o.Retention
	if journal.Stepped(began, now) {
		r.MaxAge = 0
	} else if n := s.store.ForgetUnoffered(now); n > 0 {
		s.o.Logger.Info("cursors forgotten: not offered for a month", "runs", n)
	}
	if r.MaxBytes == 0 && r.MaxAge == 0 {
		return
	}
	dropped, err := s.store.Retain(r)
	if err != nil {
		s.o.Logger.Error("old segments not dropped", "error", err)
	}
	if len(dropped) > 0 {
		s.o.Logger.Info("old segments dropped", "runs", len(dropped))
	}
}
