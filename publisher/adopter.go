package publisher

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"github.com/earshot-mq/earshot/internal/feed"
	"github.com/earshot-mq/earshot/internal/journal"
	"github.com/earshot-mq/earshot/internal/metric"
	"github.com/earshot-mq/earshot/internal/zmq"
	"github.com/earshot-mq/earshot/publisher/record"
)

// AdoptOptions tunes an Adopter. Every zero field means its default.
type AdoptOptions struct {
	Record string       // endpoint of the record feed, which tells subscribers of the journal; required
	Replay string       // endpoint of replay, where they fetch it; required
	Peers  int          // subscribers that the memory is planned for; default 20
	Keep   bool         // leave the directory when every store has all of it
	Logger *slog.Logger // default: discard
}

// Adopter serves one journal whose process is gone, under its own streams' ids, until
// every store has all of it. What the stores commit is kept in memory: the directory is
// left as it was, or removed whole.
type Adopter struct {
	*adopted
	o       AdoptOptions
	commits *journal.Commits
	server  *feed.Server
	drained atomic.Bool
}

// settle is how long an Adopter serves at least: a subscriber that follows its endpoint
// is back within this time, and has said HELLO.
const settle = 3 * time.Second

// Adopt takes over the journal in dir and binds the sockets. The error wraps
// journal.ErrLocked when a process has it, and journal.ErrNone when it is no journal of a
// publisher. An Adopter that is not run has to be closed by Close.
func Adopt(ctx *zmq.Context, dir string, o AdoptOptions) (*Adopter, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Record == "" || o.Replay == "" {
		return nil, errors.New("publisher: adopt: subscribers need both the record feed and replay")
	}
	claim, err := journal.TakeLeft(dir)
	if err != nil {
		return nil, fmt.Errorf("publisher: adopt: %w", err)
	}
	a := &Adopter{o: o}
	if a.adopted, a.commits, err = openLeft(claim, o.Logger); err != nil {
		return nil, errors.Join(err, claim.Release())
	}
	a.expire(time.Now())
	// A new instance: whoever followed the one that is gone has to say HELLO again.
	a.server, err = feed.NewServer(ctx, a, feed.ServerOptions{
		Record: o.Record, Replay: o.Replay, Instance: journal.NewID(), Peers: o.Peers, Commits: a.commits, Logger: o.Logger,
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("publisher: adopt: %w", err), claim.Release())
	}
	return a, nil
}

// Close gives up what Adopt took, for an Adopter that was not run.
func (a *Adopter) Close() error { return errors.Join(a.server.Close(), a.claim.Release()) }

// Endpoints is where the feed and replay are bound, with the ports that they really got.
func (a *Adopter) Endpoints() (rec, replay string) {
	_, rec, replay = a.server.Endpoints()
	return rec, replay
}

// Bytes is what the journal takes on disk.
func (a *Adopter) Bytes() int64 { return a.log.Bytes() }

// Records counts the journal's records by service.
func (a *Adopter) Records() map[string]uint64 {
	n := map[string]uint64{}
	for _, c := range a.log.Runs() {
		n[c.Service] += c.Next - a.log.Oldest(c.Run())
	}
	return n
}

// Run serves until every store has all of the journal, and removes it, unless it is to be
// kept; or until ctx is done. Drained tells which.
func (a *Adopter) Run(ctx context.Context) error {
	serve, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	served := make(chan error, 1)
	go func() { served <- a.server.Run(serve) }()
	err := a.wait(ctx, served)
	a.server.Ended()
	stop()
	if err = errors.Join(err, <-served); err == nil && a.Drained() && !a.o.Keep {
		return a.claim.Remove()
	}
	return errors.Join(err, a.claim.Release())
}

// Drained tells whether every store has all of the journal.
func (a *Adopter) Drained() bool { return a.drained.Load() }

// wait ends when the journal is drained, ctx is done, or the server fails.
func (a *Adopter) wait(ctx context.Context, served chan error) error {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	began := time.Now()
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-served:
			served <- nil
			return err
		case now := <-tick.C:
			if !journal.Stepped(began, now) {
				a.expire(now)
			}
			if now.Sub(began) >= settle && a.Missing() == 0 && len(a.commits.Greeted(now)) == 0 {
				a.drained.Store(true)
				return nil
			}
		}
	}
}

func (a *Adopter) expire(now time.Time) {
	if gone := a.commits.Expire(now); len(gone) > 0 {
		a.o.Logger.Warn("stores forgotten: nothing committed for a week", "stores", gone)
	}
}

// Missing is how many of the journal's records not every store has.
func (a *Adopter) Missing() uint64 {
	return a.missing(func(run record.Run) (uint64, bool) { return a.commits.Committed(run) })
}

// State is who is waited for, in plain words.
func (a *Adopter) State() string {
	var names []string
	for _, st := range a.commits.List() {
		if a.missing(func(run record.Run) (uint64, bool) { return a.commits.Committed(run, st.ID) }) > 0 {
			names = append(names, st.Name)
		}
	}
	n := a.Missing()
	if n > 0 && len(names) > 0 {
		return fmt.Sprintf("ok; %d records wait for %s", n, strings.Join(names, ", "))
	}
	for _, st := range a.commits.Greeted(time.Now()) {
		names = append(names, st.Name)
	}
	switch {
	case len(names) > 0:
		return "ok; nothing is known yet of what these stores have: " + strings.Join(names, ", ")
	case n > 0:
		return fmt.Sprintf("ok; %d records wait for a first store", n)
	}
	return "ok; every store has all records"
}

// Cursors lists the stores that have committed, for people.
func (a *Adopter) Cursors() []journal.Store { return a.commits.List() }

// ForgetCursor drops the cursor of the store with this id or name.
func (a *Adopter) ForgetCursor(idOrName string) bool { return a.commits.Forget(idOrName) }

// Metrics is what an operator has to know of the journal and its replay.
func (a *Adopter) Metrics() []metric.Metric {
	return append([]metric.Metric{
		metric.Gauge("earshot_adopted_missing_records", "Records of an adopted journal that not every store has.", func() int64 { return int64(a.Missing()) }),
	}, a.server.Metrics()...)
}

// Offers implements feed.Source.
func (a *Adopter) Offers() (offers []feed.Offer, roster uint64) { return appendOffers(nil, a.log), 1 }

// Offer implements feed.Source.
func (a *Adopter) Offer(run record.Run) (feed.Offer, bool) {
	c, ok := a.log.Cursor(run)
	return feed.OfferOf(a.log, &c), ok
}

// Read implements feed.Source.
func (a *Adopter) Read(dst []byte, run record.Run, from uint64, limit int) ([]byte, uint64, error) {
	return a.log.Read(dst, run, from, limit)
}
