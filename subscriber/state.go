package subscriber

import (
	"errors"
	"fmt"
	"math"
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
	hangAfter   = 3 * time.Second  // a write that takes longer hangs
	ofPublisher = "publisher "     // begins the name of a trouble that a publisher tells of
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
	bad    [2]uint64 // of those that the store has lost itself, records and gaps, what is counted
	lostAt time.Time
	says   map[*feed.Follower][]string // what publishers tell of themselves
	why    string                      // the store can't be written
	syncs  journal.SyncWatch
	rate   float64   // bytes a second that the store gets
	oldest time.Time // the store's oldest record is of then; zero while there is none
}

// errNotWritten is for who asks whether a process should get requests.
var errNotWritten = errors.New("the store can't be written")

// Lags is what is missing of each run that lacks something, most first, at most a hundred;
// and the sum with the longest. It is looked at once a second.
func (s *Subscriber) Lags() (lags []Lag, all Lag) {
	s.watched.mu.Lock()
	defer s.watched.mu.Unlock()
	return s.watched.lags, s.watched.lag
}

// State is how the store is, in plain words.
func (s *Subscriber) State() (string, error) {
	st, now := &s.Stats, time.Now()
	s.watch(now)
	state := s.troubles.State(now)
	if st.Full.Load() || s.hangs(now) > 0 {
		return state, errNotWritten
	}
	if st.Lost.Load() > 0 && state == "ok" {
		return fmt.Sprintf("ok; %d records lost in %d gaps since the start", st.Lost.Load(), st.Gaps.Load()), nil
	}
	return state, nil
}

// heardOf takes in what a publisher tells of itself; no words: it is well.
func (s *Subscriber) heardOf(from *feed.Follower, words []string, now time.Time) {
	s.watched.mu.Lock()
	defer s.watched.mu.Unlock()
	if len(words) == 0 {
		delete(s.watched.says, from)
		s.troubles.Note(ofPublisher+from.Endpoint(), "", now)
		return
	}
	s.watched.says[from] = words
}

// unheard forgets what a publisher told that is silent or gone: it may be well.
func (s *Subscriber) unheard(from *feed.Follower) {
	s.watched.mu.Lock()
	defer s.watched.mu.Unlock()
	delete(s.watched.says, from)
}

// notWritten notes why the store can't be written; nil, that it is.
func (s *Subscriber) notWritten(err error) {
	if s.Stats.Full.Swap(err != nil) == (err != nil) {
		return
	}
	if err != nil {
		s.watched.mu.Lock()
		s.watched.why = err.Error()
		s.watched.mu.Unlock()
	}
	s.watch(time.Now())
}

// hangs is for how long an append has been waiting for the disk, if that is long.
func (s *Subscriber) hangs(now time.Time) time.Duration {
	if began := s.appending.Load(); began != 0 {
		if since := now.Sub(s.made) - time.Duration(began); since > hangAfter {
			return since
		}
	}
	return 0
}

// noteLags is for the writer's goroutine, whose the tracker is.
func (s *Subscriber) noteLags(now time.Time) {
	lags, lag := s.tracker.lags(now)
	s.watched.mu.Lock()
	defer s.watched.mu.Unlock()
	s.watched.lags, s.watched.lag = lags, lag
}

// look reads from the disk, which may hang, what nobody who asks is to wait for: how fast the
// store grows, and how old it is.
func (s *Subscriber) look(now time.Time) {
	rate, age, err := s.store.Rate(now)
	if err != nil {
		return // what can't be read has no age
	}
	w := &s.watched
	w.mu.Lock()
	defer w.mu.Unlock()
	w.rate, w.oldest = rate, time.Time{}
	if age > 0 {
		w.oldest = now.Add(-age)
	}
}

// age is that of the oldest record of the store.
func (s *Subscriber) age(now time.Time) time.Duration {
	s.watched.mu.Lock()
	defer s.watched.mu.Unlock()
	if s.watched.oldest.IsZero() {
		return 0
	}
	return max(now.Sub(s.watched.oldest), 0)
}

// lasts is for how many seconds the store keeps what comes.
func (s *Subscriber) lasts() float64 {
	s.watched.mu.Lock()
	defer s.watched.mu.Unlock()
	if s.o.Retention.MaxBytes == 0 {
		return math.Inf(1)
	}
	return float64(s.o.Retention.MaxBytes) / s.watched.rate
}

// lookOut watches each second until stop is closed, beside the writer and the syncer, which
// wait for the disk.
func (s *Subscriber) lookOut(stop <-chan struct{}) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return
		case now := <-tick.C:
			s.watch(now)
		}
	}
}

// watch notes what is not well now. It does not wait for the disk.
func (s *Subscriber) watch(now time.Time) {
	w := &s.watched
	w.mu.Lock()
	defer w.mu.Unlock()
	st, words := &s.Stats, ""
	if st.Full.Load() {
		words = "the store can't be written; publishers keep what is not committed: make room on the disk of " + s.store.Dir() + ", or mend it: " + w.why
	} else if since := s.hangs(now); since > 0 {
		words = fmt.Sprintf("the store can't be written, a write has not ended for %s; publishers keep what is not committed: the disk of %s hangs", since.Round(time.Second), s.store.Dir())
	}
	s.troubles.Note("store", words, now)

	words = ""
	if n, since := w.syncs.Stuck(s.store.Log, st.Syncs.Load(), now); n > 0 {
		words = fmt.Sprintf("no fsync of the store has ended well for %s: a power cut would take %s, and nothing is committed; its disk hangs or fails: mend it", since.Round(time.Second), metric.Bytes(n))
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
		words += "; it fetches them: where that never ends, follow fewer publishers, or mend the network"
	}
	s.troubles.Note("behind", words, now)

	records, gaps := s.store.Lost()
	st.Lost.Add(records - w.bad[0])
	st.Gaps.Add(gaps - w.bad[1])
	w.bad = [2]uint64{records, gaps}
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
		words += "; start them, or mend the network: what they answer is in their journals"
	}
	s.troubles.Note("silent", words, now)

	told := map[string]bool{}
	for f, all := range s.watched.says {
		thing := ofPublisher + f.Endpoint()
		told[thing] = true
		s.troubles.Note(thing, f.Endpoint()+" says: "+strings.Join(all, "; "), now)
	}
	s.troubles.Keep(func(thing string) bool { return !strings.HasPrefix(thing, ofPublisher) || told[thing] })
}
