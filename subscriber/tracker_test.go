package subscriber

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/earshot-mq/earshot/internal/feed"
	"github.com/earshot-mq/earshot/internal/journal"
	"github.com/earshot-mq/earshot/publisher/record"
)

var testRun = record.Run{Stream: "q7k3v9x2m1t8w", Epoch: 1 << 60}

// shop is a peer that notes what it is asked for.
type shop struct {
	said   []string
	credit int64
}

func (s *shop) Fetch(_ record.Run, from uint64, _ int64) { s.say("fetch %d", from) }
func (s *shop) Credit(_ record.Run, n int64)             { s.credit += n }
func (s *shop) Stop(record.Run)                          { s.say("stop") }
func (s *shop) Live(on bool)                             { s.say("live %v", on) }
func (s *shop) say(f string, a ...any)                   { s.said = append(s.said, fmt.Sprintf(f, a...)) }

// heard returns what was said since the last call.
func (s *shop) heard() string {
	said := s.said
	s.said = nil
	return fmt.Sprint(said)
}

type noCursors map[record.Run]journal.Cursor

func (c noCursors) Cursor(run record.Run) (journal.Cursor, bool) { x, ok := c[run]; return x, ok }

func (c noCursors) Follows(stream string, epoch record.Epoch) bool {
	for run := range c {
		if run.Stream == stream && run.Epoch < epoch {
			return true
		}
	}
	return false
}

// bench is a tracker whose entries are collected, on a clock of its own.
type bench struct {
	*tracker
	t     *testing.T
	now   time.Time
	store noCursors
}

func newBench(t *testing.T) *bench {
	store := noCursors{}
	return &bench{tracker: newTracker(store, false, &Stats{}), t: t, now: time.Unix(1e9, 0), store: store}
}

func offer(oldest, last uint64) []feed.Offer {
	return []feed.Offer{{Run: testRun, Service: "downcase", Oldest: oldest, Last: last}}
}

func entry(first, last uint64) []journal.Entry {
	var lines []byte
	for n := first; n <= last; n++ {
		lines = fmt.Appendf(lines, "{\"id\":%d}\n", n)
	}
	raw := journal.AppendBatch(nil, testRun, first, int(last-first+1), lines)
	return []journal.Entry{{Kind: journal.KindBatch, Run: testRun, First: first, Last: last, Lines: raw[len(raw)-len(lines):], Raw: raw}}
}

func (b *bench) live(p peer, first, last uint64) { b.batches(p, entry(first, last), true, 1, b.now) }

func (b *bench) data(p peer, first, last uint64) { b.batches(p, entry(first, last), false, 1, b.now) }

func (b *bench) head(p peer, oldest, last uint64) {
	b.offers(p, offer(oldest, last), true, b.now)
}
func (b *bench) welcome(p peer, o []feed.Offer) { b.reset(p); b.offers(p, o, false, b.now) }

// wrote is what was appended since the last call, and checks that it continues.
func (b *bench) wrote() (got string) {
	for _, e := range b.take() {
		c := b.store[e.Run]
		if c.Next != 0 && c.Next != e.First {
			b.t.Errorf("appended %d to %d at %d", e.First, e.Last, c.Next)
		}
		b.store[e.Run] = journal.Cursor{Stream: e.Run.Stream, Epoch: e.Run.Epoch, Next: e.Last + 1}
		if e.Kind == journal.KindGap {
			got += fmt.Sprintf("gap %d-%d ", e.First, e.Last)
		} else {
			got += fmt.Sprintf("%d-%d ", e.First, e.Last)
		}
	}
	return got
}

func (b *bench) want(what, got, want string) {
	b.t.Helper()
	if got != want {
		b.t.Errorf("%s: %q, want %q", what, got, want)
	}
}

func TestTrackerMendsWhatTheFeedDropped(t *testing.T) {
	b, p := newBench(t), &shop{}
	b.welcome(p, offer(1, 10))
	b.want("first contact", p.heard(), "[fetch 1]")
	b.data(p, 1, 10)
	b.live(p, 11, 12)
	b.want("joined", b.wrote(), "1-10 11-12 ")
	b.want("joined", p.heard(), "[stop]")
	b.live(p, 15, 16)
	b.want("above what is wanted", b.wrote(), "")
	b.want("asks at once", p.heard(), "[fetch 13]")
	b.head(p, 1, 16)
	b.want("HEAD", p.heard(), "[]")
	b.data(p, 13, 16)
	b.data(p, 13, 16)
	b.live(p, 16, 18)
	b.want("mended, overlaps cut", b.wrote(), "13-16 17-18 ")
	b.want("mended", p.heard(), "[stop]")
	b.head(p, 1, 18)
	b.want("nothing missing", p.heard(), "[]")
}

// A store that has followed a stream is told what is gone of a later run, also when it never
// heard of that run while there was anything of it.
func TestTrackerWantsAllOfALaterRun(t *testing.T) {
	b, p := newBench(t), &shop{}
	earlier := record.Run{Stream: testRun.Stream, Epoch: testRun.Epoch - 1}
	b.store[earlier] = journal.Cursor{Stream: earlier.Stream, Epoch: earlier.Epoch, Next: 8}
	b.welcome(p, offer(5, 10))
	b.want("the later run", p.heard(), "[fetch 1]")
	b.trimmed(p, testRun, 1, 4, "dropped", b.now)
	b.data(p, 5, 10)
	b.want("what is gone, and the rest", b.wrote(), "gap 1-4 5-10 ")

	b, p = newBench(t), &shop{}
	later := record.Run{Stream: testRun.Stream, Epoch: testRun.Epoch + 1}
	b.store[later] = journal.Cursor{Stream: later.Stream, Epoch: later.Epoch, Next: 8}
	b.welcome(p, offer(5, 10))
	b.want("an earlier run than the store began with", p.heard(), "[fetch 5]")
}

// A run that is gone as a whole is a gap up to the last number that was given.
func TestTrackerIsToldOfARunThatIsGone(t *testing.T) {
	b, p := newBench(t), &shop{}
	earlier := record.Run{Stream: testRun.Stream, Epoch: testRun.Epoch - 1}
	b.store[earlier] = journal.Cursor{Stream: earlier.Stream, Epoch: earlier.Epoch, Next: 8}
	o := offer(11, 10)
	o[0].Ended, o[0].Given = true, 12
	b.welcome(p, o)
	b.want("asks", p.heard(), "[fetch 1]")
	b.trimmed(p, testRun, 1, 10, "dropped", b.now)
	b.ended(p, testRun, 10, 12, b.now)
	b.want("all of it is lost", b.wrote(), "gap 1-10 gap 11-12 ")
}

func TestTrackerStopsAtHeadWhenNothingIsLive(t *testing.T) {
	b, p := newBench(t), &shop{}
	b.welcome(p, offer(1, 3))
	b.data(p, 1, 3)
	b.head(p, 1, 3)
	b.want("in step", p.heard(), "[fetch 1 stop]")
}

func TestTrackerGaps(t *testing.T) {
	t.Run("trimmed by the only source", func(t *testing.T) {
		b, p := newBench(t), &shop{}
		b.store[testRun] = journal.Cursor{Next: 5}
		b.welcome(p, offer(20, 30))
		b.want("asks", p.heard(), "[fetch 5]")
		b.trimmed(p, testRun, 5, 19, "dropped", b.now)
		b.data(p, 20, 30)
		b.want("gap, then the rest", b.wrote(), "gap 5-19 20-30 ")
	})
	t.Run("another source has it", func(t *testing.T) {
		b, p, q := newBench(t), &shop{}, &shop{}
		b.store[testRun] = journal.Cursor{Next: 5}
		b.welcome(p, offer(20, 30))
		b.want("asks the first", p.heard(), "[fetch 5]")
		b.welcome(q, offer(1, 30))
		b.trimmed(p, testRun, 5, 19, "dropped", b.now)
		b.want("no gap", b.wrote(), "")
		b.want("leaves the first", p.heard(), "[stop]")
		b.want("asks the second", q.heard(), "[fetch 5]")
	})
	t.Run("another source is away for a minute", func(t *testing.T) {
		b, p, q := newBench(t), &shop{}, &shop{}
		b.store[testRun] = journal.Cursor{Next: 5}
		b.welcome(q, offer(1, 30))
		b.silent(q, b.now)
		b.welcome(p, offer(20, 30))
		b.trimmed(p, testRun, 5, 19, "dropped", b.now)
		b.want("waits", b.wrote(), "")
		b.now = b.now.Add(time.Minute)
		b.tick(b.now)
		b.want("a minute later", b.wrote(), "gap 5-19 ")
	})
	t.Run("died with records in memory", func(t *testing.T) {
		b, p := newBench(t), &shop{}
		o := offer(1, 10)
		o[0].Ended, o[0].Given = true, 14
		b.welcome(p, o)
		b.data(p, 1, 10)
		b.ended(p, testRun, 10, 14, b.now)
		b.want("the count is exact", b.wrote(), "1-10 gap 11-14 ")
		b.head(p, 1, 10)
		b.tick(b.now)
		b.want("done", b.wrote()+p.heard(), "[fetch 1]")
	})
	t.Run("the publisher lost what was heard", func(t *testing.T) {
		b, p := newBench(t), &shop{}
		b.welcome(p, offer(1, 5))
		b.data(p, 1, 5)
		b.live(p, 6, 7)
		b.head(p, 1, 20) // 8 to 20 were dropped on the way
		b.silent(p, b.now)
		p.heard()
		o := offer(1, 9)
		o[0].Ended, o[0].Given = true, 9
		b.welcome(p, o)
		b.want("asks for the rest", p.heard(), "[fetch 8]")
		b.data(p, 8, 9)
		b.ended(p, testRun, 9, 9, b.now)
		b.want("what was heard of and is nowhere", b.wrote(), "1-5 6-7 8-9 gap 10-20 ")
	})
	t.Run("what a store has beyond the publisher is kept", func(t *testing.T) {
		b, p := newBench(t), &shop{}
		b.welcome(p, offer(1, 5))
		b.data(p, 1, 5)
		b.live(p, 6, 20)
		b.silent(p, b.now)
		o := offer(1, 9)
		o[0].Ended, o[0].Given = true, 9
		b.welcome(p, o)
		b.tick(b.now)
		b.want("no gap, nothing twice", b.wrote(), "1-5 6-20 ")
	})
}

func TestTrackerStranded(t *testing.T) {
	b, p := newBench(t), &shop{}
	b.welcome(p, offer(1, 5))
	b.head(p, 1, 9)
	b.silent(p, b.now)
	if n := b.tick(b.now.Add(time.Second)); n != 0 {
		t.Errorf("stranded at once: %d", n)
	}
	if n := b.tick(b.now.Add(2 * time.Minute)); n != 9 {
		t.Errorf("stranded %d, want 9", n)
	}
	b.want("never a gap", b.wrote(), "")
	p.heard()
	b.welcome(p, offer(1, 9))
	b.want("offered again", p.heard(), "[fetch 1]")
}

func TestTrackerTooSlowForTheFeed(t *testing.T) {
	b, p := newBench(t), &shop{}
	b.welcome(p, offer(1, 1))
	b.data(p, 1, 1)
	b.head(p, 1, 1)
	n := uint64(1)
	for range slowRepairs {
		b.now = b.now.Add(time.Second)
		b.head(p, 1, n+5)
		b.data(p, n+1, n+5)
		n += 5
		b.live(p, n, n)
	}
	b.wrote()
	if s := b.runs[testRun]; s.from == nil {
		t.Error("back on the live feed at once")
	}
	b.now = b.now.Add(time.Minute)
	b.live(p, n+1, n+1)
	if s := b.runs[testRun]; s.from != nil {
		t.Error("still on FETCH after a minute")
	}
}

func TestTrackerRewinds(t *testing.T) {
	b, p := newBench(t), &shop{}
	b.welcome(p, offer(1, 5))
	b.data(p, 1, 5)
	b.wrote()
	b.live(p, 6, 9)
	b.rewind()
	p.heard()
	b.head(p, 1, 9)
	b.want("asks again", p.heard(), "[fetch 6]")
	b.data(p, 6, 9)
	b.want("once", b.wrote(), "6-9 ")
}

// What comes while the store can't be written is forgotten, that of a fetch too which the
// failed append had nothing of: it is fetched again as soon as there is room.
func TestTrackerFetchesAgainWhenThereIsRoom(t *testing.T) {
	b, p := newBench(t), &shop{}
	b.welcome(p, offer(1, 9))
	b.data(p, 1, 3)
	b.wrote()
	p.heard()
	b.rewind()
	b.paused = true
	b.want("stops", p.heard(), "[stop]")
	b.paused = false
	b.schedule(b.now)
	b.want("goes on", p.heard(), "[fetch 4]")
}

func TestTrackerWaitsWhilePaused(t *testing.T) {
	b, p := newBench(t), &shop{}
	b.paused = true
	b.welcome(p, offer(1, 5))
	b.tick(b.now)
	b.want("paused", p.heard(), "[]")
	b.paused = false
	b.schedule(b.now)
	b.want("goes on", p.heard(), "[fetch 1]")
}

func TestTrackerAsksAgainWhenStuck(t *testing.T) {
	b, p := newBench(t), &shop{}
	b.welcome(p, offer(1, 5))
	b.tick(b.now.Add(stuckAfter))
	b.want("in time", p.heard(), "[fetch 1]")
	b.tick(b.now.Add(stuckAfter + time.Second))
	b.want("too late", p.heard(), "[stop fetch 1]")
}

// TestTrackerFetchesSomeAtATime: the memory is planned for so many runs, the oldest first,
// and the next begins when one has what there is.
func TestTrackerFetchesSomeAtATime(t *testing.T) {
	b, p := newBench(t), &shop{}
	var all []feed.Offer
	for i := range maxRepairs + 3 {
		o := offer(1, 5)[0]
		o.Run.Epoch -= record.Epoch(i)
		all = append(all, o)
	}
	b.welcome(p, all)
	if n := len(p.said); n != maxRepairs || b.runs[testRun].from != nil {
		t.Errorf("%d fetches at a time, the newest among them: %v; want the %d oldest", n, b.runs[testRun].from != nil, maxRepairs)
	}
	p.heard()
	b.ended(p, all[len(all)-1].Run, 5, 5, b.now)
	b.want("one has ended", p.heard(), "[fetch 1]")
}

// TestTrackerMakesRoom: a fetch that has all that was heard of ends at once when others wait,
// not with the next HEAD: of 1,000 runs 16 a second would be fetched.
func TestTrackerMakesRoom(t *testing.T) {
	b, p := newBench(t), &shop{}
	all := offer(1, 5)
	for i := range maxRepairs {
		o := all[0]
		o.Run.Epoch += record.Epoch(i + 1)
		all = append(all, o)
	}
	b.welcome(p, all)
	p.heard()
	b.data(p, 1, 4)
	b.want("one is missing", p.heard(), "[]")
	b.data(p, 5, 5)
	b.want("has all", p.heard(), "[stop fetch 1]")
	b.batches(p, func() []journal.Entry { // nobody waits any more
		e := entry(1, 5)
		e[0].Run = all[1].Run
		return e
	}(), false, 1, b.now)
	b.want("goes on", p.heard(), "[]")
}

// TestTrackerStuckFetchesAreNotInTheWay: publishers whose replay can't be reached hold none up
// whose can.
func TestTrackerStuckFetchesAreNotInTheWay(t *testing.T) {
	b, dead, well := newBench(t), &shop{}, &shop{}
	at := func(n int) []feed.Offer {
		return []feed.Offer{{Run: record.Run{Stream: testRun.Stream, Epoch: testRun.Epoch + record.Epoch(n)}, Service: "downcase", Oldest: 1, Last: 10}}
	}
	for n := range maxRepairs + 3 {
		b.welcome(dead, at(n))
	}
	b.offers(well, at(1000), false, b.now) // the newest
	b.want("behind the others", well.heard(), "[]")
	b.tick(b.now.Add(stuckAfter + time.Second))
	b.want("of one that can be had", well.heard(), "[fetch 1]")
}

func TestTrackerFromNow(t *testing.T) {
	b, p := newBench(t), &shop{}
	b.fromNow = true
	b.welcome(p, offer(1, 10))
	b.live(p, 11, 12)
	b.want("nothing old", p.heard(), "[]")
	b.want("what is new", b.wrote(), "11-12 ")
}

// TestTrackerGivesCreditBack: what a fetch brought is allowed again; the live feed has none.
func TestTrackerGivesCreditBack(t *testing.T) {
	b, p := newBench(t), &shop{}
	b.welcome(p, offer(1, 10))
	b.batches(p, entry(1, 5), false, 500, b.now)
	b.batches(p, entry(11, 12), true, 70, b.now)
	if p.credit != 500 {
		t.Errorf("credit of %d, want 500", p.credit)
	}
}

// TestTrackerForgets: who is not followed any more keeps nobody from seeing a gap.
func TestTrackerForgets(t *testing.T) {
	b, p, q := newBench(t), &shop{}, &shop{}
	b.store[testRun] = journal.Cursor{Next: 5}
	b.welcome(p, offer(1, 30))
	b.welcome(q, offer(20, 30))
	b.trimmed(q, testRun, 5, 19, "dropped", b.now)
	b.want("another may have it", b.wrote(), "")
	b.forget(p, b.now)
	b.tick(b.now)
	b.want("nobody else", b.wrote(), "gap 5-19 ")
	b.want("the rest", q.heard(), "[fetch 20]")
}

// TestTrackerConverges drops, repeats and reorders everything that may be, and asks
// that what was appended is 1 to the end, once.
func TestTrackerConverges(t *testing.T) {
	for seed := range uint64(200) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		b, p := newBench(t), &shop{}
		last := uint64(0)
		fetching, next := false, uint64(0)
		serve := func() {
			for _, s := range p.said {
				if _, err := fmt.Sscanf(s, "fetch %d", &next); err == nil {
					fetching = true
				} else {
					fetching = false
				}
			}
			p.said = nil
		}
		b.welcome(p, offer(1, 0))
		for range 300 {
			b.now = b.now.Add(100 * time.Millisecond)
			switch rnd.IntN(7) {
			case 0, 1, 2:
				first := last + 1
				last += 1 + rnd.Uint64N(5)
				if rnd.IntN(3) > 0 {
					b.live(p, first, last)
				}
			case 3:
				if last > 0 {
					b.live(p, 1+rnd.Uint64N(last), last) // an old message again
				}
			case 4:
				b.head(p, 1, last)
			case 5:
				b.tick(b.now)
			case 6:
				if rnd.IntN(5) == 0 {
					b.silent(p, b.now)
					fetching = false
					p.said = nil
					b.welcome(p, offer(1, last))
				}
			}
			serve()
			if fetching && next <= last && rnd.IntN(2) == 0 {
				to := min(last, next+rnd.Uint64N(10))
				b.data(p, next, to)
				next = to + 1
				serve()
			}
			b.wrote()
		}
		for range 20 {
			b.now = b.now.Add(time.Second)
			b.head(p, 1, last)
			serve()
			if fetching && next <= last {
				b.data(p, next, last)
				next = last + 1
			}
			b.wrote()
		}
		if got := b.store[testRun].Next; last > 0 && got != last+1 {
			t.Fatalf("seed %d: stored up to %d, want %d", seed, got, last+1)
		}
	}
}

// TestTrackerLags: what is missing counts from when it was first seen missing, and a run that
// goes on coming is never late, however much is on its way.
func TestTrackerLags(t *testing.T) {
	b, p := newBench(t), &shop{}
	lag := func(after time.Duration, want string) {
		t.Helper()
		lags, all := b.lags(b.now.Add(after))
		got := fmt.Sprintf("%d of %d runs for %s", all.Records, len(lags), all.For)
		b.want("lag", got, want)
	}
	lag(0, "0 of 0 runs for 0s")
	b.welcome(p, offer(1, 9))
	lag(0, "9 of 1 runs for 0s")
	b.data(p, 1, 3)
	lag(5*time.Second, "6 of 1 runs for 5s")
	b.head(p, 1, 20)
	b.data(p, 4, 12)
	lag(7*time.Second, "8 of 1 runs for 0s") // what was missing has come
	lag(9*time.Second, "8 of 1 runs for 2s")
	b.data(p, 13, 20)
	lag(10*time.Second, "0 of 0 runs for 0s")
}

// second lets one pass, as the writer does.
func (b *bench) second() {
	b.now = b.now.Add(time.Second)
	b.tick(b.now)
	b.lags(b.now)
	b.feeds(b.now)
}

// TestTrackerLeavesAFeedThatIsTooFast: who is fetching for long what the feed sends faster
// does not listen to it meanwhile, and all that its publisher has comes by FETCH.
func TestTrackerLeavesAFeedThatIsTooFast(t *testing.T) {
	b, p := newBench(t), &shop{}
	b.welcome(p, offer(1, 1000))
	b.want("first contact", p.heard(), "[fetch 1]")
	n := uint64(1)
	for range 10 { // too slow to have in ten seconds what was missing at first
		b.data(p, n, n+9)
		n += 10
		b.second()
		b.want("behind", p.heard(), "[]")
	}
	b.data(p, n, n+9)
	b.second()
	b.want("behind for ten seconds", p.heard(), "[live false]")
	if b.stats.Left.Load() != 1 {
		t.Error("not counted")
	}
	b.data(p, n+10, 1000)
	b.head(p, 1, 1000)
	b.want("all is there, and only FETCH tells of more", p.heard(), "[]")
	b.data(p, 1001, 1100)
	for range slowFor/time.Second - 1 {
		b.second()
		b.want("for half a minute", p.heard(), "[]")
	}
	for range slowFor/4/time.Second + 2 { // the last second of these, and the jitter, which ends within one
		b.second()
	}
	b.want("caught up", p.heard(), "[live true]")
	b.live(p, 1101, 1101)
	b.want("live again", p.heard(), "[stop]")
	if b.stats.Left.Load() != 0 {
		t.Error("still counted")
	}
	said := ""
	for last := uint64(1102); last < 1108; last += 2 { // the feed drops each second record
		b.live(p, last+1, last+1)
		b.data(p, last, last+1)
		b.live(p, last+1, last+1)
		b.second()
		said += p.heard()
	}
	b.want("three repairs", said, "[fetch 1102 stop][fetch 1104 stop][fetch 1106 live false]")
	b.forget(p, b.now)
	b.second()
	if said := p.heard(); said != "[]" || b.stats.Left.Load() != 0 {
		t.Errorf("a peer that is not followed any more: %s", said)
	}
}

// TestTrackerJoinsWhenItHasCaughtUp: a feed that was left is not joined while much is missing, also
// when nothing happens to be fetched at the moment, and is where another peer tells of more than
// its own has.
func TestTrackerJoinsWhenItHasCaughtUp(t *testing.T) {
	b, p, q := newBench(t), &shop{}, &shop{}
	b.welcome(p, offer(1, 1000))
	for range 12 {
		b.second()
		b.data(p, b.runs[testRun].next, b.runs[testRun].next)
	}
	if !b.left[p] {
		t.Fatal("the feed was not left")
	}
	for range 60 {
		b.data(p, b.runs[testRun].next, b.runs[testRun].next)
		b.second()
	}
	p.heard()
	b.paused = true // or other runs are fetched
	b.reset(p)
	b.second()
	b.want("far behind, and nothing is fetched", p.heard(), "[]")
	b.paused = false
	b.second()
	b.want("it goes on", p.heard(), fmt.Sprintf("[fetch %d]", b.runs[testRun].next))
	b.offers(q, offer(1, 2000), true, b.now)
	b.silent(q, b.now)
	b.data(p, b.runs[testRun].next, 1000)
	for range 5 {
		b.second()
	}
	if b.runs[testRun].heard != 2000 || b.left[p] {
		t.Errorf("it is left for what it does not have: %s", p.heard())
	}
}

// TestTrackerDoesNotLeaveWhatFetchCannotCarry: one slow run of many leaves the others live.
func TestTrackerDoesNotLeaveWhatFetchCannotCarry(t *testing.T) {
	b, p := newBench(t), &shop{}
	var offers []feed.Offer
	for i := range maxLeft + 1 {
		run := testRun
		run.Stream = fmt.Sprintf("stream%d", i)
		offers = append(offers, feed.Offer{Run: run, Service: "downcase", Oldest: 1, Last: 100})
	}
	b.welcome(p, offers)
	for range 30 {
		b.second()
	}
	for _, said := range p.said {
		if said == "live false" {
			t.Fatal("the feed was left")
		}
	}
}
