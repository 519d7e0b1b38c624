package publisher

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/earshot-mq/earshot/internal/feed"
	"github.com/earshot-mq/earshot/internal/journal"
	"github.com/earshot-mq/earshot/internal/trouble"
	"github.com/earshot-mq/earshot/internal/zmq"
	"github.com/earshot-mq/earshot/publisher/record"
)

// Policy says what happens when the journal is past its bound.
type Policy uint8

// The policies.
const (
	DropOldest Policy = iota // the oldest segment goes, counted
	Refuse                   // a request is refused before its handler runs: 503
	Block                    // a request waits for room, up to five seconds, and is refused then
)

// Options tunes a Publisher. Every zero field means its default.
type Options struct {
	Dir    string // where journals of this role are, "data/journals/downcase"; required
	Text   string // endpoint of the text feed, "tcp://127.0.0.1:4444"; empty: none
	Record string // endpoint of the record feed; empty: none
	Replay string // endpoint of replay; empty: none

	Sync      journal.SyncPolicy
	SyncEvery time.Duration // default 100 ms
	Wait      time.Duration // how long an answer waits for a disk that hangs; default 1 s
	Memory    int64         // bytes of records held while the journal can't be written; default 16 MiB
	MaxBytes  int64         // bound of the journals on disk; default a tenth of the file system, 256 MiB to 16 GiB
	MaxAge    time.Duration // bound of a record's age; default none
	Policy    Policy        // Refuse and Block need Required
	Required  []string      // names of the stores that Policy waits for
	Peers     int           // subscribers that the memory is planned for; default 20
	Drain     time.Duration // how long Run serves replay after ctx is done; default 1 s
	Logger    *slog.Logger  // default: discard

	now func() time.Time // time.Now, but for tests
}

// Publisher is a journal, its feeds and its replay.
type Publisher struct {
	o       Options
	claim   *journal.Claim
	log     *journal.Log
	writer  *journal.Writer
	commits *journal.Commits
	server  *feed.Server
	context *zmq.Context          // if it is the publisher's own
	beside  func([]journal.Entry) // or nil
	streams sync.Map              // service → *Stream

	began    time.Time
	stepped  atomic.Bool // the wall clock was set since
	reserved atomic.Int64
	dropped  atomic.Uint64 // records that were dropped before every store had them
	troubles trouble.List
	watched  watched
	looks    looks
	noticed  chan struct{} // the journal's state has changed

	mu      sync.Mutex // guards what follows
	adopted []*adopted
	roster  uint64
}

const (
	keepFor    = time.Hour        // committed records stay so long, up to a tenth of the bound
	adoptEvery = 10 * time.Second // look for journals that a process has left
	blockFor   = 5 * time.Second  // Block: then it refuses
	reserveFor = record.MaxLine   // what one request reserves
)

// New takes a journal directory, opens it and binds the sockets: whatever can't work is
// an error here. A Publisher that is not run has to be closed by Close. ctx is the
// process's context of libzmq; where there is no other user of it, nil makes one.
func New(ctx *zmq.Context, o Options) (p *Publisher, err error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.now == nil {
		o.now = time.Now
	}
	if o.Drain == 0 {
		o.Drain = time.Second
	}
	if o.Policy != DropOldest && len(o.Required) == 0 {
		return nil, errors.New("publisher: the journal's policies refuse and block count only the stores that journal.required names, and it names none")
	}
	claim, err := journal.TakeFirst(o.Dir)
	if err != nil {
		return nil, fmt.Errorf("publisher: %w", err)
	}
	p = &Publisher{o: o, began: o.now(), claim: claim, roster: 1, troubles: trouble.List{Logger: o.Logger}, noticed: make(chan struct{}, 1)}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.Close())
			p = nil
		}
	}()
	if ctx == nil {
		if ctx, err = zmq.NewContext(); err != nil {
			return p, fmt.Errorf("publisher: %w", err)
		}
		p.context = ctx
	}
	if p.o.MaxBytes == 0 {
		if p.o.MaxBytes, err = journal.Bound(claim.Dir, 0.1, 256<<20, 16<<30); err != nil {
			return p, err
		}
	}
	p.log, err = journal.Open(claim.Dir, journal.Options{
		SegmentBytes: min(max(p.o.MaxBytes/16, 1<<20), 64<<20), NoSync: o.Sync == journal.SyncNever, Logger: o.Logger, Now: o.now,
	})
	if err != nil {
		return p, fmt.Errorf("publisher: %w", err)
	}
	p.commits = journal.OpenCommits(filepath.Join(claim.Dir, "cursors"), o.now())
	p.writer, err = journal.NewWriter(claim.Dir, p.log, claim.Instance(), journal.WriterOptions{
		Sync: o.Sync, SyncEvery: o.SyncEvery, Wait: o.Wait, Memory: o.Memory, Hand: p.hand, Notice: p.noticed, Logger: o.Logger,
	})
	if err != nil {
		return p, fmt.Errorf("publisher: %w", err)
	}
	p.server, err = feed.NewServer(ctx, p, feed.ServerOptions{
		Text: o.Text, Record: o.Record, Replay: o.Replay,
		Instance: claim.Instance(), Peers: o.Peers, Commits: p.commits, Degraded: p.writer.Stats.Degraded.Load, Logger: o.Logger,
		Troubles: func() []string { return p.troubles.All(time.Now()) },
	})
	if err != nil {
		return p, fmt.Errorf("publisher: %w", err)
	}
	p.adopt()
	return p, nil
}

// Beside has a function get what the record feed gets, for a subscriber in the same process.
// It must not wait, and neither change the entries nor keep their slice; whoever keeps an
// entry has to keep its Room. Call it before Run.
func (p *Publisher) Beside(hand func([]journal.Entry)) { p.beside = hand }

func (p *Publisher) hand(entries []journal.Entry) {
	if p.beside != nil {
		p.beside(entries) // before HEAD can speak of them
	}
	p.server.Hand(entries)
}

// Close gives up what New took, for a Publisher that was not run.
func (p *Publisher) Close() (err error) {
	if p.server != nil {
		err = p.server.Close()
	}
	return errors.Join(err, p.release())
}

func (p *Publisher) release() (err error) {
	if p.log != nil {
		err = p.log.Close()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, a := range p.adopted {
		err = errors.Join(err, a.claim.Release())
	}
	p.adopted = nil
	err = errors.Join(err, p.claim.Release())
	if p.context != nil {
		err = errors.Join(err, p.context.Close())
	}
	return err
}

// Endpoints is where the feeds and replay are bound, with the ports that they really got.
func (p *Publisher) Endpoints() (text, rec, replay string) { return p.server.Endpoints() }

// Stream is the stream of a service, whose name is made of a-z, 0-9 and -. The same name
// is the same stream.
func (p *Publisher) Stream(service string) (*Stream, error) {
	if !ValidService(service) {
		return nil, fmt.Errorf("publisher: service %q: a name is 1 to 64 of a-z, 0-9 and -", service)
	}
	made := &Stream{p: p, s: p.writer.Stream(service), source: "/" + service}
	made.done = func() { made.s.Expect(-1) }
	s, _ := p.streams.LoadOrStore(service, made)
	return s.(*Stream), nil
}

// ValidService tells whether a service may have this name: 1 to 64 of a-z, 0-9 and -.
func ValidService(name string) bool {
	return len(name) > 0 && len(name) <= 64 && strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}

// Run writes and serves until ctx is done. Then it refuses new records, writes what is
// left and the end of every run, and serves replay until every store that is connected
// has committed that, or Options.Drain has passed.
func (p *Publisher) Run(ctx context.Context) error {
	serve, stopServing := context.WithCancel(context.WithoutCancel(ctx))
	defer stopServing()
	served := make(chan error, 1)
	go func() { served <- p.server.Run(serve) }()
	var keeper sync.WaitGroup
	keep, stopKeeping := context.WithCancel(context.WithoutCancel(ctx))
	defer stopKeeping()
	keeper.Go(func() { p.keep(keep) })
	keeper.Go(func() { p.lookOut(keep) })

	written := make(chan error, 1)
	go func() { written <- p.writer.Run(ctx) }()
	var err error
	select {
	case err = <-written:
		p.server.Ended()
		p.drain(served)
	case err = <-served: // a socket failed: nothing is published, but everything recorded
		served <- err
		p.o.Logger.Error("feeds ended", "error", err)
		err = <-written
	}
	stopServing()
	err = errors.Join(err, <-served)
	stopKeeping()
	keeper.Wait()
	return errors.Join(err, p.commits.Save(p.o.now()), p.release())
}

// Dropped counts the records that were dropped past the bound before every store had
// them.
func (p *Publisher) Dropped() uint64 { return p.dropped.Load() }

// JournalBytes is what the journal takes on disk, with the adopted ones.
func (p *Publisher) JournalBytes() int64 { return p.log.Bytes() + p.adoptedBytes() }

// drain waits until the connected stores have committed the end.
func (p *Publisher) drain(served chan error) {
	end := time.NewTimer(p.o.Drain)
	defer end.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !p.allCommitted() {
		select {
		case <-end.C:
			return
		case err := <-served:
			served <- err
			return
		case <-tick.C:
		}
	}
}

// allCommitted tells whether every store heard lately has all runs whole.
func (p *Publisher) allCommitted() bool {
	now := time.Now()
	for _, st := range p.commits.List() {
		if now.Sub(st.Heard) > 10*time.Second {
			continue
		}
		for _, c := range p.log.Runs() {
			if next, _ := p.commits.Committed(c.Run(), st.ID); next < c.Next {
				return false
			}
		}
	}
	return true
}

// keep drops what need not be kept, saves the cursors and looks for journals that a
// process has left. All this is of the disk, and stands still while that hangs.
func (p *Publisher) keep(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	adopt := p.o.now().Add(adoptEvery)
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			now := p.o.now()
			p.looks.round(now)
			p.look(now)
			p.age(p.clock(now), now)
			if err := p.commits.Save(now); err != nil {
				p.o.Logger.Warn("cursors not saved", "error", err)
			}
			if now.After(adopt) {
				adopt = now.Add(adoptEvery)
				p.adopt()
				p.commits.Keep(func(run record.Run) bool { _, ok := p.Offer(run); return ok })
			}
			p.looks.round(time.Time{})
		}
	}
}

// clock tells whether the wall clock was set.
func (p *Publisher) clock(now time.Time) (stepped bool) {
	stepped = journal.Stepped(p.began, now)
	p.stepped.Store(stepped)
	return stepped
}

// age drops what is too old, or too much; nothing for its age where the clock was set.
func (p *Publisher) age(stepped bool, now time.Time) {
	p.retain(stepped)
	if !stepped {
		p.expire(now)
	}
}

func (p *Publisher) expire(now time.Time) {
	if gone := p.commits.Expire(now); len(gone) > 0 {
		p.o.Logger.Warn("stores forgotten: nothing committed for a week", "stores", gone)
	}
}

func (p *Publisher) retain(stepped bool) {
	age, keep := p.o.MaxAge, keepFor
	if stepped {
		age, keep = 0, math.MaxInt64
	}
	bound := p.o.MaxBytes - p.adoptedBytes()
	dropped, err := p.log.Retain(journal.Retention{
		MaxBytes: max(bound, 1<<20), MaxAge: age, KeepFor: keep,
		Committed: p.committed, Refuse: p.o.Policy != DropOldest,
	})
	if err != nil {
		p.o.Logger.Error("old segments not dropped", "error", err)
	}
	if _, ok := p.commits.Committed(record.Run{}); ok {
		p.lost(dropped)
	}
	p.dropDrained()
}

func (p *Publisher) committed(run record.Run) (uint64, bool) {
	if p.o.Policy != DropOldest {
		return p.commits.Committed(run, p.o.Required...)
	}
	next, ok := p.commits.Committed(run)
	if ok && p.commits.Awaited(p.o.now()) {
		next = 0
	}
	return next, ok
}

// Offers implements feed.Source.
func (p *Publisher) Offers() (offers []feed.Offer, roster uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	given := p.writer.Runs() // before those in files: one that comes into a file now is in both
	offers = appendOffers(nil, p.log)
	for i := range offers {
		p.liven(&offers[i])
	}
	for _, c := range given {
		if !slices.ContainsFunc(offers, func(o feed.Offer) bool { return o.Run == c.Run() }) {
			offers = append(offers, feed.OfferOf(p.log, &c)) // the journal could not be written since the first record
		}
	}
	for _, a := range p.adopted {
		offers = appendOffers(offers, a.log)
	}
	return offers, p.roster
}

// Offer implements feed.Source.
func (p *Publisher) Offer(run record.Run) (feed.Offer, bool) {
	log := p.holder(run)
	c, ok := log.Cursor(run)
	if !ok {
		for _, c := range p.writer.Runs() {
			if c.Run() == run {
				return feed.OfferOf(p.log, &c), true
			}
		}
		return feed.Offer{}, false
	}
	o := feed.OfferOf(log, &c)
	if log == p.log {
		p.liven(&o)
	}
	return o, true
}

// Read implements feed.Source.
func (p *Publisher) Read(dst []byte, run record.Run, from uint64, limit int) ([]byte, uint64, error) {
	if log := p.holder(run); log != p.log {
		return log.Read(dst, run, from, limit)
	}
	return p.writer.Read(dst, run, from, limit)
}

// holder is the log that has a run: the publisher's own, or an adopted one.
func (p *Publisher) holder(run record.Run) *journal.Log {
	if _, ok := p.log.Cursor(run); ok {
		return p.log
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, a := range p.adopted {
		if _, ok := a.log.Cursor(run); ok {
			return a.log
		}
	}
	return p.log
}

// liven adds what is held in memory, in no file yet, to an offer of this opening.
func (p *Publisher) liven(o *feed.Offer) {
	if next := p.writer.Next(o.Run); next > o.Last+1 {
		o.Last = next - 1
	}
}

func appendOffers(dst []feed.Offer, log *journal.Log) []feed.Offer {
	for _, c := range log.Runs() {
		dst = append(dst, feed.OfferOf(log, &c))
	}
	return dst
}
