package journal

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/earshot-mq/earshot/internal/durable"
	"github.com/earshot-mq/earshot/publisher/record"
)

// Retention says what a log keeps. Only whole closed segments are dropped.
type Retention struct {
	MaxBytes int64         // bound of all segments; 0 is none
	MaxAge   time.Duration // against the newest entry that is not ahead of the clock, since clocks jump; 0 is none
	KeepFor  time.Duration // what is committed stays this long, up to a tenth of MaxBytes

	// Committed is the number below which everyone who counts has a run; ok is false
	// when nobody counts, and then nothing is committed. nil: nobody counts.
	Committed func(run record.Run) (next uint64, ok bool)
	// Refuse keeps what is not committed even past the bound.
	Refuse bool
}

// Dropped is what one run lost with a segment.
type Dropped struct {
	Run         record.Run
	First, Last uint64
	Uncommitted uint64 // how many of them not everyone who counts has
}

// Bound is a share of the file system that dir is on, between least and most, and never
// more than leaves a twentieth of it free.
func Bound(dir string, share float64, least, most int64) (int64, error) {
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil {
		return 0, fmt.Errorf("journal: size of the file system of %s: %w", dir, err)
	}
	size, free := int64(fs.Blocks)*int64(fs.Bsize), int64(fs.Bavail)*int64(fs.Bsize) //nolint:unconvert // 32 bits elsewhere
	bound := min(max(int64(float64(size)*share), least), most)
	return max(min(bound, free-size/20), 4<<20), nil
}

// Bytes is the size of all segments.
func (l *Log) Bytes() int64 {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.bytesLocked()
}

func (l *Log) bytesLocked() (sum int64) {
	for _, s := range l.segs {
		sum += s.Size
	}
	return sum
}

// Written tells of the segments that were written to at or after a time: their bytes, and
// when the oldest of them began. newest is when anything was written last, zero if the log
// is empty; of a log that is being written it is when the last segment was full.
func (l *Log) Written(since time.Time) (bytes int64, from, newest time.Time, err error) {
	l.mu.RLock()
	var oldest place
	for _, s := range l.segs {
		if s != l.cur && s.newest().Before(since) {
			continue
		}
		if oldest.s == nil {
			oldest, from = place{s: s, path: s.path(l.dir), size: s.Size}, s.newest()
		}
		bytes += s.Size
	}
	newest = l.newestLocked()
	l.mu.RUnlock()
	if oldest.s == nil {
		return 0, time.Time{}, newest, nil
	}
	from, err = l.began(oldest, from)
	return bytes, from, newest, err
}

// began is the time of the first entry of a segment that has one, or else newest.
func (l *Log) began(at place, newest time.Time) (from time.Time, err error) {
	from = newest
	f, err := l.openSegment(at)
	if err != nil || f == nil {
		return from, err
	}
	defer f.Close()
	err = scanOn(f, 0, at.size, func(e *Entry, _ int64) error {
		switch e.Kind {
		case KindArrival, KindEpoch:
			from = e.Time
			return io.EOF
		case KindBatch:
			line, err := record.Scan(e.Lines[:bytes.IndexByte(e.Lines, '\n')+1])
			from = line.Time
			return cmp.Or(err, io.EOF)
		}
		return nil
	}, func(int64, int64) {})
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return from, err
}

// Retain drops what the retention does not keep: first what everyone has, then, past
// the bound or the age, the oldest. Of a store only the oldest goes, whatever the clock was
// while a later segment was written.
func (l *Log) Retain(r Retention) ([]Dropped, error) {
	l.mu.Lock()
	var drop []*segment
	var dropped []Dropped
	var kept []*segment
	sum := l.bytesLocked()
	ages := l.agesLocked()
	for i, s := range l.segs {
		// Arrivals have no holes: one in the middle would be taken for a file that is lost.
		if !s.closed || i == len(l.segs)-1 || l.o.Arrivals && len(kept) > 0 {
			kept = append(kept, s)
			continue
		}
		what, missing := s.dropped(r.Committed)
		age := ages[i]
		done := r.Committed != nil && missing == 0 && (age >= r.KeepFor || sum > r.MaxBytes/10 && r.MaxBytes > 0)
		full := r.MaxBytes > 0 && sum > r.MaxBytes
		old := r.MaxAge > 0 && age > r.MaxAge
		if !done && (missing > 0 && r.Refuse || !full && !old) {
			kept = append(kept, s)
			continue
		}
		sum -= s.Size
		drop = append(drop, s)
		dropped = append(dropped, what...)
	}
	l.segs = kept
	l.forgetRunsLocked(dropped, r.Committed)
	l.mu.Unlock()
	var errs error
	for _, s := range drop { // first, and durably so: an index alone tells of a file that is lost
		_ = os.Remove(filepath.Join(l.dir, s.Name+extIndex))
	}
	if len(drop) > 0 && !l.o.NoSync {
		errs = durable.Dir(l.dir)
	}
	for _, s := range drop {
		if err := os.Remove(s.path(l.dir)); err != nil && !errors.Is(err, os.ErrNotExist) {
			errs = errors.Join(errs, fmt.Errorf("journal: drop: %w", err))
		}
	}
	return dropped, errs
}

// agesLocked is how much older than the newest entry the newest one of each segment is, as
// far as clocks can be believed. One that is ahead of the clock was written while that was
// wrong, and is as old as the one after it; and none is older than the one before it.
func (l *Log) agesLocked() []time.Duration {
	now, after := l.o.Now(), time.Time{}
	times := make([]time.Time, len(l.segs))
	for i, s := range slices.Backward(l.segs) {
		if t := s.newest(); !t.IsZero() && !t.After(now) {
			after = t
		}
		times[i] = after
	}
	newest := time.Time{}
	for i, t := range times {
		if t.After(newest) {
			newest = t
		}
		times[i] = newest
	}
	ages := make([]time.Duration, len(times))
	for i, t := range times {
		ages[i] = newest.Sub(t)
	}
	return ages
}

func (l *Log) newestLocked() (t time.Time) {
	for _, s := range l.segs {
		if n := s.newest(); n.After(t) {
			t = n
		}
	}
	return t
}

// dropped lists what would be lost with s and how much of it is not committed.
func (s *segment) dropped(committed func(record.Run) (uint64, bool)) (all []Dropped, missing uint64) {
	for run, sp := range s.spans {
		d := Dropped{Run: run, First: sp.First, Last: sp.Last, Uncommitted: sp.Last - sp.First + 1}
		if committed != nil {
			if next, ok := committed(run); ok && next > sp.First {
				d.Uncommitted = sp.Last + 1 - min(next, sp.Last+1)
			}
		}
		missing += d.Uncommitted
		all = append(all, d)
	}
	return all, missing
}

// mostGone is how many runs are offered that a journal has nothing of any more.
const mostGone = 1000

// forgetRunsLocked drops the cursors of ended runs that a publisher's journal has nothing of
// any more, once everyone who counts has passed them: until then they are offered, so that
// whoever comes back hears that they are gone. When nobody counts they go with their last
// segment; one that never was in a file, with the first of a later opening. A store keeps
// its cursors: they count what was stored.
func (l *Log) forgetRunsLocked(dropped []Dropped, committed func(record.Run) (uint64, bool)) {
	if l.o.Arrivals {
		return
	}
	if l.gone == nil || len(dropped) > 0 {
		l.gone = l.goneLocked()
	}
	tooMany := len(l.gone) - mostGone
	l.gone = slices.DeleteFunc(l.gone, func(run record.Run) bool {
		c := l.runs[run]
		next, counts := uint64(0), false
		if committed != nil {
			next, counts = committed(run)
		}
		forget := counts && next > max(c.Next-1, c.Given) || !counts && c.Next > 1
		if !forget && !counts {
			forget = slices.ContainsFunc(dropped, func(d Dropped) bool { return d.Run.Epoch > run.Epoch })
		}
		if forget || tooMany > 0 {
			tooMany--
			delete(l.runs, run)
			return true
		}
		return false
	})
}

// goneLocked lists the ended runs that no segment has anything of, oldest first.
func (l *Log) goneLocked() []record.Run {
	gone := []record.Run{}
	for run, c := range l.runs {
		if c.Ended && !slices.ContainsFunc(l.segs, func(s *segment) bool { return s.spans[run] != nil }) {
			gone = append(gone, run)
		}
	}
	slices.SortFunc(gone, func(a, b record.Run) int {
		return cmp.Or(cmp.Compare(a.Epoch, b.Epoch), cmp.Compare(a.Stream, b.Stream))
	})
	return gone
}

// Stepped tells whether the wall clock was set, by more than an hour, since a time that
// this process has taken. Nothing is deleted for its age then: no clock can be believed.
func Stepped(since, now time.Time) bool {
	step := now.Round(0).Sub(since.Round(0)) - now.Sub(since) // Round drops the monotonic reading
	return step.Abs() > time.Hour
}

// Unoffered is how long a store keeps the cursor of a run that has ended, that it has
// whole, and that nobody offers.
const Unoffered = 30 * 24 * time.Hour

// ForgetUnoffered drops the cursors of runs that nobody has offered for Unoffered. They
// count what was stored; of a run that comes back after that all would be stored again.
func (l *Log) ForgetUnoffered(now time.Time) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for run, c := range l.runs {
		if c.Ended && c.Next > c.Given && c.Seen > 0 && now.Sub(time.Unix(c.Seen, 0)) > Unoffered {
			delete(l.runs, run)
			n++
		}
	}
	return n
}

// End marks a run as ended, with the last number that was given; it is written with
// the cursors of the next segment.
func (l *Log) End(run record.Run, given uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if c := l.runs[run]; c != nil {
		c.Ended, c.Given = true, max(given, c.Next-1)
	}
}

// Seen notes when a run was last offered by anyone.
func (l *Log) Seen(run record.Run, at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if c := l.runs[run]; c != nil {
		c.Seen = at.Unix()
	}
}
