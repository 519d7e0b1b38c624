package subscriber

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/earshot-mq/earshot/internal/feed"
	"github.com/earshot-mq/earshot/internal/journal"
	"github.com/earshot-mq/earshot/internal/metric"
	"github.com/earshot-mq/earshot/publisher/record"
)

const (
	behindAfter = 10 * time.Second // a run that lacks something for longer is a trouble
	lostFor     = time.Minute      // after a gap
	mostNamed   = 3                // of publishers, in one trouble
	mostLags    = 100              // runs whose lag is shown: those that lack most
)

// Lag is what a run lacks of what was heard of.
type Lag struct {
	Run     record.Run
	Service string
	Records uint64
	For     time.Duration // since something of it has been missing without a break
}

// watched is what the writer saw when it last looked, once a second.
type watched struct {
	mu     sync.Mutex
	lags   []Lag // most first
	lag    Lag   // of all runs: the sum, and the longest
	lost   uint64
	lostAt time.Time
	says   map[*feed.Follower][]string // what publishers tell of themselves
	syncs  journal.SyncWatch
}

// Lags is what is missing of each run that lacks something, most first, at most a hundred;
// and the sum with the longest. It is looked at once a second.
func (s *Subscriber) Lags() (lags []Lag, all Lag) {
	s.watched.mu.Lock()
	defer s.watched.mu.Unlock()
	return s.watched.lags, s.watched.lag
}

// State is how the store is, in plain words.
func (s *Subscriber) State() (string, error) {
	st := &s.Stats
	if st.Full.Load() {
		return "full", errors.New("the store can't be written; publishers keep what is not committed")
	}
	state := s.troubles.State(time.Now())
	if st.Lost.Load() > 0 && state == "ok" {
		return fmt.Sprintf("ok; %d records lost in %d gaps since the start", st.Lost.Load(), st.Gaps.Load()), nil
	}
	return state, nil
}

// heardOf takes in what a publisher tells of itself.
func (s *Subscriber) heardOf(from *feed.Follower, words []string) {
	s.watched.mu.Lock()
	defer s.watched.mu.Unlock()
	if len(words) == 0 {
		delete(s.watched.says, from)
		return
	}
	s.watched.says[from] = words
}

// watch notes what is not well now. It is for the writer's goroutine, once a second.
func (s *Subscriber) watch(now time.Time) {
	w := &s.watched
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lags, w.lag = s.tracker.lags(now)
	st, words := &s.Stats, ""
	if st.Full.Load() {
		words = "the store can't be written; publishers keep what is not committed: make room on its disk, or mend it"
	}
	s.troubles.Note("store", words, now)

	words = ""
	if n, since := w.syncs.Stuck(s.store.Log, st.Syncs.Load(), now); n > 0 {
		words = fmt.Sprintf("no fsync of the store has ended well for %s: a power cut would take %s, and nothing is committed; its disk hangs or fails", since.Round(time.Second), metric.Bytes(n))
	}
	s.troubles.Note("fsync", words, now)

	words = ""
	if n := st.Stranded.Load(); n > 0 {
		words = fmt.Sprintf("%d records were heard of and nobody offers them: start their publisher, or adopt its journal", n)
	}
	s.troubles.Note("stranded", words, now)

	words = ""
	if w.lag.For > behindAfter {
		words = fmt.Sprintf("the store lacks %d records that were heard of, of %d runs", w.lag.Records, len(w.lags))
		if len(w.lags) == mostLags {
			words += " and more"
		}
	}
	s.troubles.Note("behind", words, now)

	if n := st.Lost.Load(); n > w.lost {
		w.lost, w.lostAt = n, now
	}
	words = ""
	if !w.lostAt.IsZero() && now.Sub(w.lostAt) < lostFor {
		words = fmt.Sprintf("%d records are lost, in %d gaps since the start: the log has a line for each gap that says why", w.lost, st.Gaps.Load())
	}
	s.troubles.Note("lost", words, now)
	words = ""
	if s.stepped.Load() {
		words = "the clock was set by more than an hour: nothing is deleted for its age until a restart"
	}
	s.troubles.Note("clock", words, now)
	s.watchPublishers(now)
}

// watchPublishers notes who is silent, and what the others tell of themselves.
func (s *Subscriber) watchPublishers(now time.Time) {
	silent, words := s.sources.silent(now), ""
	if len(silent) > 0 {
		var named []string
		for _, q := range silent[:min(len(silent), mostNamed)] {
			named = append(named, fmt.Sprintf("%s for %s", q.endpoint, q.since.Round(time.Second)))
		}
		words = fmt.Sprintf("%d of %d publishers not heard: %s", len(silent), len(s.sources.all()), strings.Join(named, ", "))
		if len(silent) > mostNamed {
			words += ", …"
		}
	}
	s.troubles.Note("silent", words, now)

	told := map[string]bool{}
	for f, all := range s.watched.says {
		thing := "publisher " + f.Endpoint()
		told[thing] = true
		s.troubles.Note(thing, f.Endpoint()+" says: "+strings.Join(all, "; "), now)
	}
	s.troubles.Keep(func(thing string) bool { return !strings.HasPrefix(thing, "publisher ") || told[thing] })
}
