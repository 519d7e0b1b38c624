// Package subscriber follows publishers, mends what their feeds dropped, and stores
// what they said, once and in order.
//
// # Delivery
//
// Of each run the store holds the numbers from the first offered to the last heard, each
// once, as record or in a gap line that says how many are lost. A publisher keeps what
// is not committed, and a commit follows the store's fsync. A foreign PUB socket
// (Options.Plain) is logged at most once, and marked so; what was heard of it and could not
// be stored is a gap too.
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

	"github.com/earshot-mq/earshot/internal/docker"
	"github.com/earshot-mq/earshot/internal/feed"
	"github.com/earshot-mq/earshot/internal/journal"
	"github.com/earshot-mq/earshot/internal/queue"
	"github.com/earshot-mq/earshot/internal/trouble"
	"github.com/earshot-mq/earshot/internal/zmq"
	"github.com/earshot-mq/earshot/publisher/record"
	"github.com/earshot-mq/earshot/subscriber/store"
)

// Options tunes a Subscriber. Every zero field means its default.
type Options struct {
	Connect   []string      // record feeds to follow, "tcp://127.0.0.1:4445"
	Advertise string        // replay's endpoint, if it is not the feed's host with the port that HEAD tells
	Local     string        // of Connect, the publisher in this process, whose batches come by Hand; default none
	Plain     []string      // foreign PUB sockets to log
	Services  []string      // names of services; none means all
	Text      string        // endpoint of a text feed that publishes again what is stored; empty: none
	Record    string        // endpoint of a record feed that does; empty: none
	Replay    string        // endpoint of a replay of the store; empty: none
	Peers     int           // followers that the memory of these feeds is planned for; default 20
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
	Left                     atomic.Int64  // now: publishers whose live feed is left, since it is too fast
	Syncs                    atomic.Uint64 // fsyncs that ended well
	Reconnects               atomic.Uint64 // of silent publishers
}

// stored counts an entry that is in the store.
func (s *Stats) stored(e *journal.Entry) {
	n := e.Last - e.First + 1
	s.Bytes.Add(uint64(len(e.Raw)))
	if e.Kind == journal.KindGap {
		s.Gaps.Add(1)
		s.Lost.Add(n)
		return
	}
	s.Batches.Add(1)
	s.Records.Add(n)
}

// Subscriber is one store and the publishers that it follows.
type Subscriber struct {
	o       Options
	store   *store.Store
	sources *sources
	plain   []*plain
	local   atomic.Pointer[feed.Follower] // of Options.Local
	hub     *hub                          // or nil
	ran     bool
	durable func() error // store's Sync, but for tests
	Stats   Stats

	troubles trouble.List
	watched  watched
	stepped  atomic.Bool // the clock was set

	made      time.Time
	appending atomic.Int64 // how long after made the append under way began; 0 while there is none

	inbox   inbox
	taken   []event // of inbox, to be used again
	tracker *tracker
	wrote   chan struct{} // something is to be synced or committed
	full    time.Time     // the store can't be written: not before

	mu    sync.Mutex
	dirty map[record.Run]bool // appended to since the last commit
}

const (
	inboxLive   = 64 << 20
	commitEvery = time.Second
	retainEvery = time.Second
	forgetAfter = time.Hour // of the start: who is there has offered by then what he has
	fullRetry   = time.Second
	appendBytes = 1 << 20 // of one append to the store, about
	leastPeers  = 16      // publishers that the memory is planned for at least
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
	s := &Subscriber{
		o: o, store: st, durable: st.Sync, inbox: inbox{queue.New[event](inboxLive)}, wrote: make(chan struct{}, 1), dirty: map[record.Run]bool{},
		made: time.Now(), troubles: trouble.List{Logger: o.Logger}, watched: watched{says: map[*feed.Follower][]string{}},
	}
	s.tracker = newTracker(st, o.FromNow, &s.Stats)
	follow := func(endpoint string) (*feed.Follower, error) {
		f, err := feed.NewFollower(ctx, feed.FollowerOptions{
			Endpoint: endpoint, Advertised: o.Advertise, Store: st.ID(), Name: o.Name, Services: o.Services, Local: endpoint == o.Local,
			Peers: max(len(o.Connect), leastPeers), Sink: s.inbox.put, Logger: o.Logger, Reconnects: &s.Stats.Reconnects,
		})
		if endpoint == o.Local && err == nil && s.ran {
			s.local.Store(f)
		}
		return f, err
	}
	var err error
	s.sources, err = newSources(&s.o, follow, func(f *feed.Follower) { s.inbox.put(feed.Event{Kind: eventGone, From: f}) })
	if err != nil {
		return nil, err
	}
	for _, endpoint := range o.Plain {
		p, err := newPlain(ctx, endpoint, st.ID(), s.inbox)
		if err != nil {
			return nil, err
		}
		for _, other := range s.plain {
			if other.service == p.service {
				return nil, fmt.Errorf("subscriber: the plain sockets %s and %s would both be %s in the log; leave one out", other.endpoint, p.endpoint, p.service)
			}
		}
		s.plain = append(s.plain, p)
	}
	if s.hub, err = newHub(ctx, st, &s.o, s.Stats.Full.Load, func() []string { return s.troubles.All(time.Now()) }); err != nil {
		return nil, err
	}
	return s, nil
}

// Endpoints is where the feeds and replay are bound, with the ports that they really got.
func (s *Subscriber) Endpoints() (text, rec, replay string) {
	if s.hub == nil {
		return "", "", ""
	}
	return s.hub.server.Endpoints()
}

// Found says which containers there are now. Those whose labels name a record feed are
// followed beside Options.Connect. Safe for concurrent use.
func (s *Subscriber) Found(all []docker.Member) { s.sources.find(all) }

// Hand takes what the publisher of Options.Local has written, in order. It never waits; what
// it drops is fetched.
func (s *Subscriber) Hand(entries []journal.Entry) {
	if f := s.local.Load(); f != nil {
		f.Hand(entries)
	}
}

// Close gives up what New took, for a Subscriber that was not run; after Run it does
// nothing.
func (s *Subscriber) Close() error {
	if s.hub == nil || s.ran {
		return nil
	}
	return s.hub.server.Close()
}

// Run follows until ctx is done, then stores what came, syncs and commits.
func (s *Subscriber) Run(ctx context.Context) error {
	followCtx, stopFollowing := context.WithCancel(context.WithoutCancel(ctx))
	defer stopFollowing()
	s.ran = true
	var sockets sync.WaitGroup
	errs := make(chan error, len(s.plain)+1)
	sockets.Go(func() { s.sources.serve(followCtx) })
	for _, p := range s.plain {
		sockets.Go(func() { errs <- p.run(followCtx) })
	}
	if s.hub != nil {
		sockets.Go(func() { s.hub.run(followCtx, &s.o) })
	}
	stop := make(chan struct{})
	var syncer sync.WaitGroup
	syncer.Go(func() { s.syncLoop(stop) })
	syncer.Go(func() { s.lookOut(stop) })
	syncer.Go(func() {
		s.store.AllocateAhead(stop, func(err error) {
			if !s.Stats.Full.Load() {
				s.o.Logger.Warn("next segment not allocated", "error", err)
			}
		})
	})
	err := s.write(ctx, errs)
	close(stop)
	syncer.Wait()
	s.sync(true) // the followers say the last commit when they stop
	if s.hub != nil {
		s.hub.server.Ended()
	}
	stopFollowing()
	sockets.Wait()
	close(errs)
	for e := range errs {
		err = errors.Join(err, e)
	}
	select {
	case e := <-s.sources.err:
		err = errors.Join(err, e)
	default:
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
		case err := <-s.sources.err:
			return err
		case <-s.inbox.Wake:
		case now := <-tick.C:
			s.tick(now)
		}
		s.step(time.Now())
	}
}

// tick looks, once a second, after what is missing and who is silent.
func (s *Subscriber) tick(now time.Time) {
	s.Stats.Stranded.Store(s.tracker.tick(now))
	s.Stats.Sources.Store(s.sources.heard(now))
	s.noteLags(now)
	s.tracker.feeds(now)
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
	events := s.inbox.Take(s.taken)
	s.taken = events
	for {
		n := s.some(events, now) // without events too: a tick may have found a gap
		free(events[:n])
		if events = events[n:]; !s.full.IsZero() {
			s.forget(events, now)
			return
		}
		if len(events) == 0 {
			return
		}
	}
}

// some handles as many events as make an append of appendBytes, appends, and tells how many
// those were: a flood is not gathered into one write, which would hold all its memory.
func (s *Subscriber) some(events []event, now time.Time) (n int) {
	for n < len(events) && s.tracker.bytes < appendBytes {
		s.handle(&events[n], now)
		n++
	}
	s.append(now)
	return n
}

// drain forgets batches while the store can't be written, but not what publishers tell
// of themselves.
func (s *Subscriber) drain(now time.Time) {
	s.taken = s.inbox.Take(s.taken)
	s.forget(s.taken, now)
}

func (s *Subscriber) forget(events []event, now time.Time) {
	for i := range events {
		switch ev := &events[i]; ev.Kind {
		case feed.EventReset, feed.EventSilent, eventGone, feed.EventHead, feed.EventWelcome:
			s.handle(ev, now)
		case eventPlain:
			ev.plain.next++ // it has a number, which the next one's gap will name
		}
	}
	free(events)
}

func (s *Subscriber) handle(ev *event, now time.Time) {
	t := s.tracker
	switch ev.Kind {
	case feed.EventLive, feed.EventData:
		t.batches(ev.From, ev.Entries, ev.Kind == feed.EventLive, ev.Bytes, now)
	case feed.EventHead:
		t.offers(ev.From, ev.Offers, ev.Live, now)
		if ev.Live {
			s.heardOf(ev.From, ev.Trouble, now)
		}
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
		s.unheard(ev.From)
		t.silent(ev.From, now)
	case eventGone:
		s.unheard(ev.From)
		t.forget(ev.From, now)
	case eventPlain:
		s.Stats.Plain.Add(1)
		t.out = append(t.out, ev.plain.entries(s.store, ev.frames, now)...)
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
	s.toSync()
}

func (s *Subscriber) append(now time.Time) {
	out := s.tracker.take()
	if len(out) == 0 {
		return
	}
	s.appending.Store(int64(now.Sub(s.made)))
	_, err := s.store.Append(out...)
	s.appending.Store(0)
	if err != nil {
		s.Stats.AppendErrors.Add(1)
		s.notWritten(err)
		s.full, s.tracker.paused = now.Add(fullRetry), true
		s.tracker.rewind()
		for _, p := range s.plain {
			p.rewind(s.store)
		}
		return
	}
	s.notWritten(nil)
	for i := range out {
		e := &out[i]
		if s.Stats.stored(e); e.Kind == journal.KindGap {
			s.o.Logger.Warn("records lost", "service", e.Service, "stream", e.Run.Stream, "epoch", e.Run.Epoch.String(),
				"first", e.First, "last", e.Last, "lost", e.Last-e.First+1, "reason", e.Reason)
		}
	}
	if s.hub != nil {
		s.hub.server.Hand(out)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range out {
		s.dirty[out[i].Run] = true
	}
	s.toSync()
}

func (s *Subscriber) toSync() { queue.Signal(s.wrote) }

// syncLoop fsyncs the store and commits what that covers. It sleeps while nothing is
// stored.
func (s *Subscriber) syncLoop(stop <-chan struct{}) {
	pause := time.NewTimer(s.o.SyncEvery)
	defer pause.Stop()
	keep := time.NewTicker(retainEvery)
	defer keep.Stop()
	last := time.Now()
	for {
		select {
		case <-stop:
			return
		case now := <-keep.C:
			s.retain(now)
			s.look(now)
			continue
		case <-s.wrote:
		}
		pause.Reset(s.o.SyncEvery)
		select {
		case <-stop:
			return
		case <-pause.C:
		}
		now := time.Now()
		commit := now.Sub(last) >= commitEvery
		s.sync(commit)
		if commit {
			last = now
		} else {
			s.toSync() // what was synced is to be committed yet
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
	if err := s.durable(); err != nil {
		s.Stats.SyncErrors.Add(1)
		s.o.Logger.Error("store not synced, nothing committed", "error", err)
		s.mu.Lock()
		defer s.mu.Unlock()
		for run := range next {
			s.dirty[run] = true
		}
		s.toSync()
		return
	}
	s.Stats.Syncs.Add(1)
	if len(next) == 0 {
		return
	}
	all := make([]journal.StoreRun, 0, len(next))
	for run, n := range next {
		all = append(all, journal.StoreRun{Stream: run.Stream, Epoch: run.Epoch.String(), Next: n})
	}
	s.Stats.Commits.Add(1)
	for _, f := range s.sources.all() {
		f.Commit(all)
	}
}

func (s *Subscriber) retain(now time.Time) {
	r := s.o.Retention
	stepped := journal.Stepped(s.made, now)
	s.stepped.Store(stepped)
	if stepped {
		r.MaxAge = 0
	} else if now.Sub(s.made) >= forgetAfter {
		if n := s.store.ForgetUnoffered(now); n > 0 {
			s.o.Logger.Info("cursors forgotten: not offered for a month", "runs", n)
		}
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
