package subscriber

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/earshot-mq/earshot/internal/feed"
	"github.com/earshot-mq/earshot/internal/journal"
	"github.com/earshot-mq/earshot/publisher/record"
)

// peer is a publisher that is followed, as the tracker speaks to it.
type peer interface {
	Fetch(run record.Run, from uint64, credit int64)
	Credit(run record.Run, credit int64)
	Stop(run record.Run)
	Live(on bool)
}

// cursors is what the tracker needs of the store.
type cursors interface {
	Cursor(run record.Run) (journal.Cursor, bool)
	Follows(stream string, epoch record.Epoch) bool
}

const (
	fetchCredit = 2 << 20          // bytes on their way for one run
	maxRepairs  = 16               // runs being fetched at a time: 32 MiB in all
	awayAfter   = time.Minute      // a source unheard for so long is not waited for
	stuckAfter  = 5 * time.Second  // a fetch without progress is asked for again
	slowRepairs = 3                // repairs within slowWithin: too slow for the live feed
	slowWithin  = 10 * time.Second //
	slowFor     = 30 * time.Second // then, or when the feed is left, FETCH carries the run for so long, with jitter
	leaveAfter  = 10 * time.Second // a run that is fetched and behind for so long: the feed is only in its way
	joinBelow   = 2 * time.Second  // until what is missing is younger
	maxLeft     = 8                // runs of a peer whose feed is left: FETCH has to carry all
)

// tracker is the subscriber's half of the state machine of PROTOCOL.md 9. It turns
// what is heard into entries to append, each number once and in order, and into
// fetches of what is missing. It is for one goroutine, waits for nothing and reads no
// clock.
type tracker struct {
	store   cursors
	fromNow bool // first contact with a run begins at what HEAD tells
	runs    map[record.Run]*tracked
	out     []journal.Entry // to be appended
	bytes   int             // of out
	repairs int
	freed   bool          // a repair has ended since schedule
	crowded bool          // runs wait for one to end
	paused  bool          // the store can't be written: fetch nothing
	left    map[peer]bool // whose feeds are left; FETCH carries what they have
	stats   *Stats
}

// tracked is one run.
type tracked struct {
	run     record.Run
	service string
	next    uint64 // the number that is wanted
	heard   uint64 // the highest that anyone has spoken of
	done    bool
	sources map[peer]*source

	behindTo uint64    // what had been heard of when something was first seen missing; 0 while nothing is
	behind   time.Time // when that was

	from     peer // being fetched from, or nil
	moved    time.Time
	stuck    time.Time              // when its last fetch was given up; zero after progress
	repaired [slowRepairs]time.Time // the last repairs, newest first
	stay     time.Time              // until then FETCH is not stopped
}

// source is what one peer has of a run.
type source struct {
	oldest, last, given uint64
	ended               bool
	short               bool // it answered END: nothing above last
	gone                uint64
	away                time.Time // silent since; zero while heard
}

func newTracker(store cursors, fromNow bool, stats *Stats) *tracker {
	return &tracker{store: store, fromNow: fromNow, runs: map[record.Run]*tracked{}, left: map[peer]bool{}, stats: stats}
}

// take gives the entries to be appended.
func (t *tracker) take() []journal.Entry {
	out := t.out
	t.out, t.bytes = nil, 0
	return out
}

// meet is the run, known from the store or begun with the first offer of it. A store that
// has an earlier run of the stream wants all of a later one, or to be told what is gone; one
// that meets the stream begins with what there is.
func (t *tracker) meet(o *feed.Offer) *tracked {
	r := t.runs[o.Run]
	if r == nil {
		r = &tracked{run: o.Run, service: o.Service, sources: map[peer]*source{}}
		c, ok := t.store.Cursor(o.Run)
		switch {
		case ok:
			r.next = c.Next
		case t.fromNow:
			r.next = o.Last + 1
		case t.store.Follows(o.Run.Stream, o.Run.Epoch):
			r.next = 1
		default:
			r.next = o.Oldest
		}
		r.heard = r.next - 1
		t.runs[o.Run] = r
	}
	if r.service == "" {
		r.service = o.Service
	}
	return r
}

// offers takes in what a peer has. live: it was said on the feed's own socket, behind
// every batch up to Last that this peer could take.
func (t *tracker) offers(p peer, offers []feed.Offer, live bool, now time.Time) {
	for i := range offers {
		o := &offers[i]
		r := t.meet(o)
		s := r.sources[p]
		if s == nil {
			s = &source{}
			r.sources[p] = s
		}
		s.oldest, s.last, s.given, s.ended = o.Oldest, max(s.last, o.Last), max(s.given, o.Given), o.Ended
		s.away = time.Time{}
		s.short = s.short && s.last < r.next
		r.heard = max(r.heard, o.Last)
		if r.done && r.heard >= r.next {
			r.done = false
		}
		switch {
		case r.from == p && live && o.Last < r.next && now.After(r.stay) && !t.left[p]:
			t.stop(r) // nothing was sent that is not here: the live feed has it
		case !r.done && r.from == nil:
			t.settle(r, now)
		}
	}
	t.schedule(now)
}

// batches takes in entries of the live feed or of a fetch.
func (t *tracker) batches(p peer, entries []journal.Entry, live bool, bytes int, now time.Time) {
	for i := range entries {
		t.entry(p, &entries[i], live, now)
	}
	if !live && len(entries) > 0 {
		if r := t.runs[entries[0].Run]; r != nil && r.from == p {
			p.Credit(r.run, int64(bytes))
			if t.crowded && r.next > r.heard && now.After(r.stay) {
				t.stop(r) // what comes now the live feed has, or HEAD will tell
			}
		}
	}
	if t.freed {
		t.schedule(now)
	}
}

func (t *tracker) entry(p peer, e *journal.Entry, live bool, now time.Time) {
	r := t.runs[e.Run]
	if r == nil {
		if c, ok := t.store.Cursor(e.Run); !ok && e.First > 1 || ok && e.First > c.Next {
			return // HEAD will say from where on it can be had
		}
		r = t.meet(&feed.Offer{Run: e.Run, Service: e.Service, Oldest: 1})
	}
	r.heard = max(r.heard, e.Last)
	switch {
	case e.Last < r.next:
		t.stats.Duplicates.Add(e.Last - e.First + 1)
	case e.First <= r.next:
		part := e.Skip(r.next)
		part.Service = r.service
		t.out = append(t.out, part)
		t.bytes += len(part.Raw)
		r.next, r.moved, r.stuck = e.Last+1, now, time.Time{}
	default: // above: what is between is fetched
		t.stats.Early.Add(e.Last - e.First + 1)
		if src := r.sources[p]; src != nil && live {
			src.last = max(src.last, e.Last)
			t.freed = t.freed || r.from == nil // schedule looks at it
		}
		return
	}
	if live && r.from != nil && now.After(r.stay) {
		t.stop(r)
	}
}

// stop ends a fetch: the live feed carries the run.
func (t *tracker) stop(r *tracked) {
	r.from.Stop(r.run)
	t.free(r)
}

func (t *tracker) free(r *tracked) {
	if r.from != nil {
		r.from = nil
		t.repairs--
		t.freed = true
	}
}

// trimmed takes in that a peer has lost the numbers first to last.
func (t *tracker) trimmed(p peer, run record.Run, first, last uint64, reason string, now time.Time) {
	r := t.runs[run]
	if r == nil || r.sources[p] == nil {
		return
	}
	s := r.sources[p]
	if first > r.next || last < r.next {
		return
	}
	s.gone = max(s.gone, last)
	if !t.gap(r, "publisher: "+reason, now) && r.from == p {
		t.stop(r) // another source may have it
	}
	t.schedule(now)
}

// ended takes in that a peer has nothing of a run above last.
func (t *tracker) ended(p peer, run record.Run, last, given uint64, now time.Time) {
	r := t.runs[run]
	if r == nil {
		return
	}
	if r.from == p {
		t.free(r)
	}
	if s := r.sources[p]; s != nil {
		s.ended, s.last, s.given = true, last, max(s.given, given)
		s.short = last < r.next
	}
	t.settle(r, now)
	t.schedule(now)
}

// settle decides what a run without a fetch needs: nothing, a gap, or a fetch, which
// schedule then begins.
func (t *tracker) settle(r *tracked, now time.Time) {
	if r.from != nil {
		return
	}
	for t.gap(r, "publisher died before it was written", now) {
	}
	ended := len(r.sources) > 0
	for _, s := range r.sources {
		ended = ended && s.ended && r.next > max(s.last, s.given)
	}
	r.done = ended && r.next > r.heard
}

// gap writes the line of numbers that nobody has: every source has said so, or has been
// away for a minute, and at least one has said it.
func (t *tracker) gap(r *tracked, reason string, now time.Time) bool {
	said := false
	to := r.heard
	for _, s := range r.sources {
		switch {
		case s.gone >= r.next:
			said = true
			to = min(to, s.gone)
		case s.short && s.last < r.next && s.ended:
			said = true
			to = min(max(r.heard, s.given), to)
		case !s.away.IsZero() && now.Sub(s.away) >= awayAfter:
		default:
			return false
		}
		r.heard = max(r.heard, s.given)
	}
	if to = max(to, r.shortTo()); !said || to < r.next {
		return false
	}
	t.out = append(t.out, journal.NewGap(r.run, r.service, r.next, to, reason))
	r.next, r.moved = to+1, now
	return true
}

// shortTo is the last number given of a run whose every source has ended short of it.
func (r *tracked) shortTo() (to uint64) {
	for _, s := range r.sources {
		if !s.short {
			return 0
		}
		to = max(to, s.given)
	}
	return to
}

// wants tells whether something of the run can be had that is not here.
func (r *tracked) wants() bool {
	return !r.done && r.from == nil && r.source() != nil
}

// source is a peer that offers what is missing, or whose word that it has ended is
// missing.
func (r *tracked) source() peer {
	for p, s := range r.sources {
		if s.away.IsZero() && s.gone < r.next &&
			(s.last >= r.next || s.ended && !s.short && max(s.given, r.heard) >= r.next) {
			return p
		}
	}
	return nil
}

// schedule begins fetches, the oldest runs first, and behind all others those that got stuck
// before: whose replay can't be reached is not to hold up whose can.
func (t *tracker) schedule(now time.Time) {
	t.freed = false
	if t.repairs >= maxRepairs || t.paused {
		return
	}
	var want []*tracked
	for _, r := range t.runs {
		if r.wants() {
			want = append(want, r)
		}
	}
	slices.SortFunc(want, func(a, b *tracked) int {
		return cmp.Or(a.stuck.Compare(b.stuck), cmp.Compare(a.run.Epoch, b.run.Epoch), cmp.Compare(a.run.Stream, b.run.Stream))
	})
	t.crowded = len(want) > maxRepairs-t.repairs
	for _, r := range want[:min(len(want), maxRepairs-t.repairs)] {
		t.fetch(r, now)
	}
}

func (t *tracker) fetch(r *tracked, now time.Time) {
	r.from = r.source()
	r.moved = now
	t.repairs++
	t.stats.Repairs.Add(1)
	copy(r.repaired[1:], r.repaired[:])
	r.repaired[0] = now
	if oldest := r.repaired[slowRepairs-1]; !oldest.IsZero() && now.Sub(oldest) < slowWithin {
		r.stay = now.Add(slowFor + rand.N(slowFor/4))
	}
	r.from.Fetch(r.run, r.next, fetchCredit)
}

// reset takes in that a peer has forgotten every fetch.
func (t *tracker) reset(p peer) {
	for _, r := range t.runs {
		if r.from == p {
			t.free(r)
		}
	}
}

// forget takes in that a peer is not followed any more.
func (t *tracker) forget(p peer, now time.Time) {
	t.reset(p)
	delete(t.left, p)
	for _, r := range t.runs {
		delete(r.sources, p)
	}
	t.schedule(now)
}

// silent takes in that a peer is not heard any more.
func (t *tracker) silent(p peer, now time.Time) {
	t.reset(p)
	for _, r := range t.runs {
		if s := r.sources[p]; s != nil && s.away.IsZero() {
			s.away = now
		}
	}
	t.schedule(now)
}

// tick looks after fetches that are stuck and sources that have been away too long. Call
// it each second.
func (t *tracker) tick(now time.Time) (stranded uint64) {
	for _, r := range t.runs {
		if s := r.sources[r.from]; r.from != nil && s != nil && s.last >= r.next && now.Sub(r.moved) > stuckAfter {
			t.stop(r)
			r.stuck = now
		}
		if !r.done && r.from == nil {
			t.settle(r, now)
		}
		if !r.done && r.heard >= r.next && r.alone(now) {
			stranded += r.heard - r.next + 1
		}
	}
	t.schedule(now)
	return stranded
}

// feeds leaves the feeds of the peers that are too slow to follow, or that have been fetched
// from for long: what they send is dropped here anyway, on both ends' cost. One that was left
// is joined when what it has is here, whether or not it is fetched at the moment. Call it each
// second, after lags.
func (t *tracker) feeds(now time.Time) {
	type state struct {
		runs int
		slow []*tracked
		late bool
	}
	peers := map[peer]*state{}
	for _, r := range t.runs {
		behind := time.Duration(0)
		if r.behindTo > 0 {
			behind = now.Sub(r.behind)
		}
		stays := now.Before(r.stay)
		for p, s := range r.sources {
			if r.done || !s.away.IsZero() {
				continue
			}
			st := peers[p]
			if st == nil {
				st = &state{}
				peers[p] = st
			}
			st.runs++
			if r.from == p && (stays || behind >= leaveAfter) {
				st.slow = append(st.slow, r)
			}
			has := s.last >= r.next && s.gone < r.next
			st.late = st.late || stays || has && behind >= joinBelow
		}
	}
	for p := range t.left {
		if st := peers[p]; st == nil || !st.late || st.runs > maxLeft {
			delete(t.left, p)
			p.Live(true)
		}
	}
	for p, st := range peers {
		if len(st.slow) > 0 && st.runs <= maxLeft && !t.left[p] {
			t.left[p] = true
			p.Live(false)
			for _, r := range st.slow {
				r.stays(now)
			}
		}
	}
	t.stats.Left.Store(int64(len(t.left)))
}

// stays has FETCH carry a run for a while, if it does not yet.
func (r *tracked) stays(now time.Time) {
	if !now.Before(r.stay) {
		r.stay = now.Add(slowFor + rand.N(slowFor/4))
	}
}

// lags is what is missing of the runs that lack something, most first and at most mostLags
// of them, and the sum with the longest. Call it each second.
func (t *tracker) lags(now time.Time) (lags []Lag, all Lag) {
	for _, r := range t.runs {
		if r.done || r.heard < r.next {
			r.behindTo = 0
			continue
		}
		if r.next > r.behindTo { // what was missing then has come
			r.behindTo, r.behind = r.heard, now
		}
		l := Lag{Run: r.run, Service: r.service, Records: r.heard - r.next + 1, For: now.Sub(r.behind)}
		all.Records, all.For = all.Records+l.Records, max(all.For, l.For)
		lags = append(lags, l)
	}
	slices.SortFunc(lags, func(a, b Lag) int { return cmp.Compare(b.Records, a.Records) })
	return lags[:min(len(lags), mostLags)], all
}

// alone tells whether every source of a run has been away for a minute.
func (r *tracked) alone(now time.Time) bool {
	for _, s := range r.sources {
		if s.away.IsZero() || now.Sub(s.away) < awayAfter {
			return false
		}
	}
	return true
}

// rewind goes back to what the store has, after an append that failed. Until the store is
// written again what comes is forgotten, so no fetch goes on: one that had lost a piece
// would stand still until it is stuck.
func (t *tracker) rewind() {
	t.out, t.bytes = nil, 0
	for _, r := range t.runs {
		if r.from != nil {
			t.stop(r)
		}
		c, ok := t.store.Cursor(r.run)
		if !ok {
			delete(t.runs, r.run) // first contact again
			continue
		}
		if r.next > c.Next {
			r.next, r.done = c.Next, false
		}
	}
}
