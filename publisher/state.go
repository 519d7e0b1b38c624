package publisher

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/earshot-mq/earshot/internal/journal"
	"github.com/earshot-mq/earshot/internal/metric"
)

const (
	lagsAfter  = time.Minute // a store that lacks what is older than this lags
	droppedFor = time.Minute // since the last drop, its trouble lasts
	nearlyFull = 0.8         // of the bound
)

// watched is what was seen when the publisher was last looked at.
type watched struct {
	mu        sync.Mutex
	dropped   uint64
	droppedAt time.Time
	droppedOf []string // services, since the trouble began
	syncs     journal.SyncWatch
}

// lookOut watches until ctx is done: each second, and as soon as the writer has something to
// tell.
func (p *Publisher) lookOut(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.noticed:
		case <-tick.C:
		}
		p.watch(p.o.now())
	}
}

// lost counts records that were dropped before every store had them.
func (p *Publisher) lost(dropped []journal.Dropped) {
	w := &p.watched
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, d := range dropped {
		if d.Uncommitted == 0 {
			continue
		}
		p.dropped.Add(d.Uncommitted)
		if c, ok := p.log.Cursor(d.Run); ok && !slices.Contains(w.droppedOf, c.Service) {
			w.droppedOf = append(w.droppedOf, c.Service)
		}
	}
}

// State is how the journal is, in plain words: "ok", or "degraded: " and what is not well.
func (p *Publisher) State() string {
	now := p.o.now()
	p.watch(now)
	state := p.troubles.State(now)
	if n := p.writer.Stats.SyncFails.Load(); n > 0 && state == "ok" {
		return fmt.Sprintf("ok; %d fsyncs failed since the start", n)
	}
	return state
}

// watch notes what is not well now. It does not wait for the disk.
func (p *Publisher) watch(now time.Time) {
	p.watched.mu.Lock()
	defer p.watched.mu.Unlock()
	st, words := &p.writer.Stats, ""
	if st.Degraded.Load() {
		words = fmt.Sprintf("the journal can't be written, %s of records are held in memory, %d records lost; make room on the disk of %s, or mend it",
			metric.Bytes(st.Held.Load()), st.Lost.Load(), p.claim.Dir)
		if why := st.Why.Load(); why != nil {
			words += ": " + *why
		}
	}
	p.troubles.Note("journal", words, now)

	words = ""
	if n, since := p.watched.syncs.Stuck(p.log, st.Syncs.Load(), now); n > 0 {
		words = fmt.Sprintf("no fsync of the journal has ended well for %s: a power cut would take %s; its disk hangs or fails: mend it", since.Round(time.Second), metric.Bytes(n))
	}
	p.troubles.Note("fsync", words, now)

	words = ""
	if since := p.looks.hangs(now); since > 0 {
		words = fmt.Sprintf("the folder %s can't be read for %s: its disk hangs, mend it", p.claim.Dir, since.Round(time.Second))
	}
	p.troubles.Note("disk", words, now)

	words = ""
	if p.stepped.Load() {
		words = "the clock was set by more than an hour: nothing is deleted for its age until a restart"
	}
	p.troubles.Note("clock", words, now)
	p.watchStores(now)
}

// watchStores notes what the stores lack, and what that cost.
func (p *Publisher) watchStores(now time.Time) {
	var late []string
	for _, l := range p.looks.lagging() {
		if l.age > lagsAfter {
			late = append(late, fmt.Sprintf("%s lacks %d records, the oldest of %s ago", cmp.Or(l.store, l.id), l.records, l.age.Round(time.Second)))
		}
	}
	w, words := &p.watched, ""
	if len(late) > 0 {
		words = "a store is behind: " + strings.Join(late, ", ") + "; start it, or forget it with earshot cursors --forget NAME"
		if used := p.JournalBytes(); float64(used) > nearlyFull*float64(p.o.MaxBytes) {
			words += fmt.Sprintf("; the journal has %s of at most %s, and drops the oldest records beyond", metric.Bytes(used), metric.Bytes(p.o.MaxBytes))
		}
	}
	p.troubles.Note("store", words, now)

	if n := p.dropped.Load(); n > w.dropped {
		w.dropped, w.droppedAt = n, now
	}
	words = ""
	if !w.droppedAt.IsZero() && now.Sub(w.droppedAt) < droppedFor {
		words = fmt.Sprintf("%d records%s were dropped before every store had them, since the journal is past its bound of %s: raise journal.max-bytes, or start the stores",
			w.dropped, of(w.droppedOf), metric.Bytes(p.o.MaxBytes))
	} else {
		w.droppedOf = nil
	}
	p.troubles.Note("bound", words, now)
}

// mostNamed is of how many services words tell the names.
const mostNamed = 3

// of is " of" and the names of services, for words; nothing without any.
func of(services []string) string {
	switch n := len(services); {
	case n == 0:
		return ""
	case n > mostNamed:
		return fmt.Sprintf(" of %s and %d more services", strings.Join(services[:mostNamed], ", "), n-mostNamed)
	}
	return " of " + strings.Join(services, ", ")
}
