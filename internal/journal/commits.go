package journal

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/earshot-mq/earshot/publisher/record"
)

// Limits of the cursors that a publisher keeps for stores.
const (
	MaxStores   = 64                 // stores that may have a cursor
	StoreExpiry = 7 * 24 * time.Hour // a store that committed nothing for so long is forgotten
	nameInUse   = 10 * time.Second   // a name is its store's while that was heard within this time
	greetedFor  = time.Minute        // a store commits seconds after its HELLO, if it has anything
	awaitedFor  = time.Hour          // and is waited for so long, in case it is stopped before
)

// ErrStore says why a store can't have a cursor: its name is in use, or there are too many.
var ErrStore = errors.New("store refused")

// Store is how far one subscriber's store has committed. It guides retention and never
// correctness.
type Store struct {
	ID    string     `json:"store"`
	Name  string     `json:"name"`
	Seen  time.Time  `json:"seen"` // last commit
	Runs  []StoreRun `json:"runs"`
	Heard time.Time  `json:"-"` // last message
	since time.Time  // idle counts from here
}

// saved is a Store in the file.
type saved struct {
	Store

	// Idle is how many seconds a process had the journal since the last commit, when this was
	// saved: what counts for StoreExpiry, whatever the clock has said. Nil: not known.
	Idle *float64 `json:"idle"`
}

// StoreRun is the number up to which, exclusively, a store has a run.
type StoreRun struct {
	Stream string `json:"stream"`
	Epoch  string `json:"epoch"`
	Next   uint64 `json:"next"`
}

// Commits is the file "cursors": who has what. Safe for concurrent use.
type Commits struct {
	path string

	mu      sync.Mutex
	stores  map[string]*Store
	greeted map[string]Store // said HELLO and have no cursor yet
	next    map[string]map[record.Run]uint64
	dirty   bool
}

// OpenCommits reads the file at path; one that is missing, or can't be read, means that
// nobody has committed, which keeps more than is needed and loses nothing. While this journal
// had no process nobody could commit, and that counts for nobody's expiry. A file of an earlier
// version says only when each store has committed; there the last commit of any is its end.
func OpenCommits(path string, now time.Time) *Commits {
	c := &Commits{path: path, stores: map[string]*Store{}, greeted: map[string]Store{}, next: map[string]map[record.Run]uint64{}}
	text, err := os.ReadFile(path)
	if err != nil {
		return c
	}
	var file struct{ Cursors []*saved }
	if json.Unmarshal(text, &file) != nil {
		return c
	}
	file.Cursors = slices.DeleteFunc(file.Cursors, func(s *saved) bool { return s == nil })
	var last time.Time
	for _, s := range file.Cursors {
		if s.Seen.After(last) {
			last = s.Seen
		}
	}
	for _, saved := range file.Cursors {
		s, idle := &saved.Store, last.Sub(saved.Seen)
		if saved.Idle != nil {
			idle = time.Duration(*saved.Idle * float64(time.Second))
		}
		s.since = now.Add(-idle)
		next := map[record.Run]uint64{}
		for _, r := range s.Runs {
			if e, err := record.ParseEpoch(r.Epoch); err == nil {
				next[record.Run{Stream: r.Stream, Epoch: e}] = r.Next
			}
		}
		c.stores[s.ID], c.next[s.ID] = s, next
	}
	return c
}

// Hello tells that a store is there. The error wraps ErrStore when another store under
// the same name was heard a moment ago.
func (c *Commits) Hello(id, name string, now time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.stores {
		if s.ID != id && s.Name == name && name != "" && now.Sub(s.Heard) < nameInUse {
			return fmt.Errorf("journal: store %s: the name %q is store %s's: %w", id, name, s.ID, ErrStore)
		}
	}
	if s := c.stores[id]; s != nil {
		s.Heard = now
		if name != "" {
			s.Name = name
		}
		return nil
	}
	maps.DeleteFunc(c.greeted, func(_ string, s Store) bool { return now.Sub(s.Heard) > awaitedFor })
	s, known := c.greeted[id]
	if !known {
		s.Seen = now // its first HELLO
	}
	if s.ID, s.Name, s.Heard = id, cmp.Or(name, id), now; known || len(c.greeted) < MaxStores {
		c.greeted[id] = s
	}
	return nil
}

// Awaited tells whether a store said its first HELLO within the last hour and has not
// committed anything yet: it may have been stopped before it could, and what others have
// committed is kept for it. One that has nothing to commit, since it wants other topics, is
// not waited for longer.
func (c *Commits) Awaited(now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.greeted {
		if now.Sub(s.Seen) <= awaitedFor {
			return true
		}
	}
	return false
}

// Greeted lists the stores that said HELLO within the last minute and have not committed
// anything yet, by name.
func (c *Commits) Greeted(now time.Time) (all []Store) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.greeted {
		if now.Sub(s.Heard) <= greetedFor {
			all = append(all, s)
		}
	}
	slices.SortFunc(all, func(a, b Store) int { return cmp.Compare(a.Name, b.Name) })
	return all
}

// Commit takes a store's word that it has run below next, for good. last is the end of
// what the publisher has: a commit past it is cut. The store's first commit makes its
// cursor.
func (c *Commits) Commit(id, name string, run record.Run, next, end uint64, now time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.stores[id]
	if s == nil {
		if len(c.stores) >= MaxStores {
			return fmt.Errorf("journal: store %s: %d stores have a cursor already: %w", id, MaxStores, ErrStore)
		}
		s = &Store{ID: id, Name: cmp.Or(name, id)}
		c.stores[id], c.next[id] = s, map[record.Run]uint64{}
		delete(c.greeted, id)
	}
	s.Seen, s.Heard, s.since = now, now, now
	c.next[id][run] = min(next, end)
	c.dirty = true
	return nil
}

// Forget drops the cursor of the store with this id or name.
func (c *Commits) Forget(idOrName string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for id, s := range c.stores {
		if id == idOrName || s.Name == idOrName {
			delete(c.stores, id)
			delete(c.next, id)
			c.dirty = true
			return true
		}
	}
	return false
}

// Expire forgets the stores that committed nothing for StoreExpiry.
func (c *Commits) Expire(now time.Time) (forgotten []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for id, s := range c.stores {
		if now.Sub(s.since) > StoreExpiry {
			delete(c.stores, id)
			delete(c.next, id)
			c.dirty = true
			forgotten = append(forgotten, s.Name)
		}
	}
	return forgotten
}

// Committed is the number below which every store has run; ok is false when there is
// no store. names, if any, are the only stores that count.
func (c *Commits) Committed(run record.Run, names ...string) (next uint64, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	next = 1<<64 - 1
	for id, s := range c.stores {
		if len(names) > 0 && !slices.Contains(names, s.Name) && !slices.Contains(names, id) {
			continue
		}
		next, ok = min(next, c.next[id][run]), true
	}
	if len(names) > 0 && !ok {
		return 0, true // a store that is required and was never heard has nothing
	}
	return next, ok
}

// Keep drops what the stores say of runs that are gone.
func (c *Commits) Keep(has func(record.Run) bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, runs := range c.next {
		for run := range runs {
			if !has(run) {
				delete(runs, run)
				c.dirty = true
			}
		}
	}
}

// List is a copy of all stores, by name.
func (c *Commits) List() []Store {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.listLocked()
}

func (c *Commits) listLocked() []Store {
	all := make([]Store, 0, len(c.stores))
	for id, s := range c.stores {
		x := Store{ID: s.ID, Name: s.Name, Seen: s.Seen, Heard: s.Heard, Runs: []StoreRun{}, since: s.since}
		for run, next := range c.next[id] {
			x.Runs = append(x.Runs, StoreRun{run.Stream, run.Epoch.String(), next})
		}
		slices.SortFunc(x.Runs, func(a, b StoreRun) int { return cmp.Compare(a.Stream+a.Epoch, b.Stream+b.Epoch) })
		all = append(all, x)
	}
	slices.SortFunc(all, func(a, b Store) int { return cmp.Compare(a.Name, b.Name) })
	return all
}

// Merge takes over what another directory's stores have committed.
func (c *Commits) Merge(from *Commits) {
	from.mu.Lock()
	defer from.mu.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	for id, s := range from.stores {
		if c.stores[id] == nil {
			if len(c.stores) >= MaxStores {
				continue
			}
			c.stores[id], c.next[id] = s, map[record.Run]uint64{}
		}
		for run, next := range from.next[id] {
			c.next[id][run] = max(c.next[id][run], next)
		}
		c.dirty = true
	}
}

// Save writes the file if anything has changed.
func (c *Commits) Save(now time.Time) error {
	c.mu.Lock()
	if !c.dirty {
		c.mu.Unlock()
		return nil
	}
	all := []saved{}
	for _, s := range c.listLocked() {
		idle := now.Sub(s.since).Seconds()
		all = append(all, saved{s, &idle})
	}
	text, err := json.Marshal(map[string]any{"v": Version, "cursors": all})
	c.dirty = false
	c.mu.Unlock()
	if err == nil {
		err = WriteFile(c.path, append(text, '\n'))
	}
	if err != nil {
		c.mu.Lock()
		c.dirty = true
		c.mu.Unlock()
		return fmt.Errorf("journal: cursors: %w", err)
	}
	return nil
}
