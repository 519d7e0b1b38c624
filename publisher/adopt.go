package publisher

import (
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/earshot-mq/earshot/internal/journal"
	"github.com/earshot-mq/earshot/publisher/record"
)

// adopted is a journal that a process of the same role has left. It is served under its
// own streams' ids, never written, and removed when every store has all of it.
type adopted struct {
	claim *journal.Claim
	log   *journal.Log
}

// maxAdopted is how many journals are taken over at a time; the rest waits for its turn.
const maxAdopted = 64

// adopt takes over journals whose owner is gone.
func (p *Publisher) adopt() {
	p.mu.Lock()
	room := maxAdopted - len(p.adopted)
	p.mu.Unlock()
	claims, err := journal.TakeFree(p.o.Dir, room)
	if err != nil {
		p.o.Logger.Warn("journals left behind can't be looked for", "error", err)
	}
	for _, c := range claims {
		a, err := p.openAdopted(c)
		if err != nil {
			p.o.Logger.Error("journal left behind can't be read", "dir", c.Dir, "error", err)
			continue
		}
		p.o.Logger.Info("journal adopted", "dir", c.Dir, "bytes", a.log.Bytes())
		p.mu.Lock()
		p.adopted = append(p.adopted, a)
		p.roster++
		p.mu.Unlock()
	}
}

func (p *Publisher) openAdopted(c *journal.Claim) (*adopted, error) {
	a, cursors, err := openLeft(c, p.o.Logger)
	if err == nil {
		p.commits.Merge(cursors)
	}
	return a, err
}

// openLeft opens a journal that a process has left, and the cursors in it.
func openLeft(c *journal.Claim, logger *slog.Logger) (*adopted, *journal.Commits, error) {
	log, err := journal.Open(c.Dir, journal.Options{ReadOnly: true, Logger: logger})
	if err != nil {
		return nil, nil, fmt.Errorf("publisher: adopt: %w", err)
	}
	if _, err := journal.EndRuns(c.Dir, log); err != nil {
		return nil, nil, fmt.Errorf("publisher: adopt: %w", err)
	}
	commits := journal.OpenCommits(filepath.Join(c.Dir, "cursors"), time.Now())
	return &adopted{claim: c, log: log}, commits, nil
}

func (p *Publisher) adoptedBytes() (sum int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, a := range p.adopted {
		sum += a.log.Bytes()
	}
	return sum
}

// dropDrained removes the adopted journals that every store has whole and, past the
// bound, the oldest ones.
func (p *Publisher) dropDrained() {
	over := p.log.Bytes() + p.adoptedBytes() - p.o.MaxBytes
	var gone []*adopted
	defer func() {
		for _, a := range gone { // without p.mu: the disk may hang, and HEAD wants it
			if err := a.claim.Remove(); err != nil {
				p.o.Logger.Warn("adopted journal not removed", "dir", a.claim.Dir, "error", err)
			}
		}
	}()
	p.mu.Lock()
	defer p.mu.Unlock()
	kept := p.adopted[:0]
	for _, a := range p.adopted {
		missing := a.missing(p.committed)
		drop := missing == 0 || over > 0 && p.o.Policy == DropOldest
		if !drop {
			kept = append(kept, a)
			continue
		}
		over -= a.log.Bytes()
		if missing > 0 {
			p.dropped.Add(missing)
		}
		p.o.Logger.Info("adopted journal removed", "dir", a.claim.Dir, "lost", missing)
		gone = append(gone, a)
		p.roster++
	}
	clear(p.adopted[len(kept):])
	p.adopted = kept
}

// missing is how many numbers of an adopted journal not every store has, those that were
// given and are in no file among them: they are a gap, which a store has to note. While
// there is no store, nobody has any.
func (a *adopted) missing(committed func(record.Run) (next uint64, ok bool)) (n uint64) {
	for _, c := range a.log.Runs() {
		next, ok := committed(c.Run())
		if !ok {
			next = 0
		}
		if end := max(c.Next, c.Given+1); next < end {
			n += end - max(next, a.log.Oldest(c.Run()))
		}
	}
	return n
}

// Cursors lists the stores that have committed, for people.
func (p *Publisher) Cursors() []journal.Store { return p.commits.List() }

// ForgetCursor drops the cursor of the store with this id or name.
func (p *Publisher) ForgetCursor(idOrName string) bool { return p.commits.Forget(idOrName) }
