package journal

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/earshot-mq/earshot/publisher/record"
)

// piece is a piece of a segment that is no entry.
type piece struct {
	off, end int64
	after    uint64  // store: the arrival of the entry behind it
	gaps     []Entry // what was lost; they have the last arrivals of those that were, so that each is shown once
	came     time.Time

	good uint64 // records between the first piece of its append and this one
}

// pieces are those from an arrival line to the next one: what is lost with all of them is known.
type pieces struct {
	from, to int
	all      []piece // from to to
	began    uint64  // arrival of the first
	room     uint64  // arrivals that were lost
	gaps     uint64
}

// lost is a part of a run that is in no entry of a segment.
type lost struct {
	run         record.Run
	first, last uint64
	since       int // pieces that lie before the last entry of the run before it
}

// scanOn is scan that goes on behind bytes that are no entry, which bad gets. A segment has
// one version, so another one beside whole entries is bad bytes too.
func scanOn(r io.ReaderAt, off, end int64, f func(e *Entry, off int64) error, bad func(off, end int64)) error {
	known := false
	for off < end {
		err := scan(r, off, end, func(e *Entry, at int64) error {
			known = true
			if err := f(e, at); err != nil {
				return err
			}
			off = at + int64(len(e.Raw))
			return nil
		})
		if err != nil && !isBad(err) && !errors.Is(err, ErrVersion) {
			return err
		}
		if off >= end {
			return nil
		}
		next, err2 := resync(r, off+1, end)
		if err2 != nil {
			return err2
		}
		if next == end && !known && errors.Is(err, ErrVersion) {
			return err
		}
		bad(off, next)
		off = next
	}
	return nil
}

func isBad(err error) bool { return errors.Is(err, ErrCorrupt) || errors.Is(err, ErrShort) }

// resyncWindow is how much resync reads at once: more than two of the longest batches.
const resyncWindow = 4 << 20

// resync finds the next whole entry at or behind off, or end. That its checksum is right
// makes it one: in a record no line feed follows a checksum. So nothing in a line without one
// at its end is decoded, however much of its body looks like an entry.
func resync(r io.ReaderAt, off, end int64) (int64, error) {
	buf := make([]byte, min(resyncWindow, max(end-off, 0)))
	for off < end {
		n, err := r.ReadAt(buf[:min(int64(len(buf)), end-off)], off)
		if err != nil && !errors.Is(err, io.EOF) {
			return 0, fmt.Errorf("journal: read at %d: %w", off, err)
		}
		b, whole := buf[:n], off+int64(n) >= end || n < len(buf)
		for i, line, sealed := 0, 0, false; ; i++ { // line is where the next one begins
			j := bytes.Index(b[i:], []byte(`{"`))
			if i += j; j < 0 || !whole && i > resyncWindow/2 {
				break
			}
			if i >= line {
				nl := bytes.IndexByte(b[i:], '\n')
				if nl < 0 {
					break
				}
				line = i + nl + 1
				sealed = isSealed(b[i:line])
			}
			if !sealed || !named(b[i+2:]) {
				continue
			}
			if _, err := Next(b[i:]); err == nil {
				return off + int64(i), nil
			}
		}
		if whole {
			return end, nil
		}
		off += resyncWindow / 2
	}
	return end, nil
}

// named tells whether b begins with the name of a control line.
func named(b []byte) bool {
	name, _, ok := bytes.Cut(b[:min(len(b), len(kindNames[KindArrival])+1)], []byte(`"`))
	return ok && (string(name) == "batch" || kindOf(name) != 0)
}

// examine finds the pieces of a segment that are no entries, and what was lost with them. The
// numbers of a run have no holes in a log: what is missing between two entries, or between
// the first and the last number that the segment had, was there. How far the segment goes is
// looked up with those: it may be written meanwhile.
func (l *Log) examine(s *segment, r io.ReaderAt) ([]piece, error) {
	l.mu.RLock()
	all, known := s.pieces, s.pieces != nil
	next, last, ends := l.expectedLocked(s)
	pos, end, closed, newest := s.Began, s.Size, s.closed, s.newest()
	l.mu.RUnlock()
	if known {
		return all, nil
	}
	var gone []lost
	seen := map[record.Run]int{}
	var groups []pieces
	group, good := -1, uint64(0) // the first piece of an append, and the records since
	began := uint64(0)
	var came, first time.Time // the last arrival line's, and the first one's
	settle := func(n uint64) {
		if pos = n; group >= 0 {
			groups = append(groups, pieces{from: group, to: len(all), began: began, room: max(n, began+good) - began - good})
		}
		group = -1
	}
	err := scanOn(r, 0, end, func(e *Entry, _ int64) error {
		switch e.Kind {
		case KindArrival:
			settle(e.N)
			if came = e.Time; first.IsZero() {
				first = came
			}
		case KindBatch, KindGap:
			if n, ok := next[e.Run]; ok && e.First > n {
				gone = append(gone, lost{e.Run, n, e.First - 1, seen[e.Run]})
			}
			next[e.Run], seen[e.Run] = max(next[e.Run], e.Last+1), len(all)
			good += e.Count()
			if group < 0 {
				pos += e.Count()
			}
		}
		return nil
	}, func(off, end int64) {
		if group < 0 {
			group, good, began = len(all), 0, pos
		}
		all = append(all, piece{off: off, end: end, good: good, came: came})
	})
	if err != nil {
		return nil, err
	}
	settle(max(ends, pos))
	var tails []lost
	for run, to := range last {
		if next[run] <= to {
			tails = append(tails, lost{run, next[run], to, seen[run]})
		}
	}
	slices.SortFunc(tails, func(a, b lost) int { return byID(a.run, b.run) })
	for i := range groups {
		groups[i].all = all[groups[i].from:groups[i].to]
	}
	for _, g := range append(gone, tails...) {
		if g.since < len(all) { // else a rescue took it along
			l.attribute(groups, g)
		}
	}
	for i := range groups {
		groups[i].place()
	}
	if all == nil {
		all = []piece{}
	}
	for i := range all { // the segment before may be dropped: each Reader is to tell the same
		if p := &all[i]; p.came.IsZero() {
			p.came = cmp.Or(first, newest.UTC())
		}
	}
	if closed { // else more may come
		l.mu.Lock()
		s.pieces = all
		l.mu.Unlock()
	}
	return all, nil
}

// attribute gives what is lost to the first piece behind the run's last entry that can have had it.
func (l *Log) attribute(groups []pieces, g lost) {
	gap := l.lose(g.run, g.first, g.last)
	var to *piece
	for i := range groups {
		p := &groups[i]
		if p.to <= g.since {
			continue
		}
		at := &p.all[max(g.since-p.from, 0)]
		if to == nil {
			to = at
		}
		if p.gaps < p.room {
			p.gaps++
			to = at
			break
		}
	}
	to.gaps = append(to.gaps, gap)
}

// place says where in the order of arrival each piece ends.
func (p *pieces) place() {
	rooms := make([]uint64, len(p.all))
	sum := uint64(0)
	for i := range p.all {
		for _, g := range p.all[i].gaps {
			rooms[i] += g.Last - g.First + 1
		}
		sum += rooms[i]
	}
	if sum > p.room { // some were gaps before, which have one arrival
		sum = 0
		for i := range p.all {
			rooms[i] = uint64(len(p.all[i].gaps))
			sum += rooms[i]
		}
	}
	after := p.began + max(p.room, sum) - sum
	for i := range p.all {
		after += rooms[i]
		p.all[i].after = after + p.all[i].good
	}
}

// expectedLocked is the first and the last number of each run that a segment had, and the
// arrival after it. What a rescue copied is in a later one.
func (l *Log) expectedLocked(s *segment) (first, last map[record.Run]uint64, ends uint64) {
	first, last, ends = map[record.Run]uint64{}, map[record.Run]uint64{}, s.Ends
	for run, sp := range s.spans {
		first[run], last[run] = sp.First, sp.Last
	}
	for i := slices.Index(l.segs, s) + 1; i > 0 && i < len(l.segs); i++ {
		ends = min(ends, l.segs[i].Began)
		for run, sp := range l.segs[i].spans {
			if to, ok := last[run]; ok && sp.First <= to && sp.First > first[run] {
				last[run] = sp.First - 1
			}
		}
	}
	return first, last, ends
}

// lose makes the gap of numbers that bad bytes have taken, and counts and logs what was not
// known of them.
func (l *Log) lose(run record.Run, first, last uint64) Entry {
	l.mu.Lock()
	service := ""
	if c := l.runs[run]; c != nil {
		service = c.Service
	}
	n := last - first + 1
	for _, g := range l.lost[run] { // they do not overlap
		if from, to := max(g[0], first), min(g[1], last); from <= to {
			n -= to - from + 1
		}
	}
	if n > 0 {
		l.lostRecords += n
		l.lostGaps++
		l.lost[run] = slices.DeleteFunc(l.lost[run], func(g [2]uint64) bool { return g[0] >= first && g[1] <= last })
		from, to := first, last
		for _, g := range l.lost[run] {
			if g[0] <= from && from <= g[1] {
				from = g[1] + 1
			}
			if g[0] <= to && to <= g[1] {
				to = g[0] - 1
			}
		}
		l.lost[run] = append(l.lost[run], [2]uint64{from, to})
	}
	l.mu.Unlock()
	if n > 0 {
		l.o.Logger.Error("records lost, their file has bad bytes or is gone", "service", service, "stream", run.Stream, "epoch", run.Epoch.String(),
			"first", first, "last", last, "lost", n)
	}
	return NewGap(run, service, first, last, "corrupt")
}

// Lost is how many records were found to be lost to bad bytes, and in how many gaps. Each is
// counted once, when it is first read.
func (l *Log) Lost() (records, gaps uint64) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.lostRecords, l.lostGaps
}

// without is what a segment had, as gaps, the arrival after it, and a time when it was written.
func (l *Log) without(s *segment) (gaps []Entry, ends uint64, came time.Time) {
	l.mu.RLock()
	first, last, ends := l.expectedLocked(s)
	came = s.newest().UTC()
	l.mu.RUnlock()
	runs := slices.Collect(maps.Keys(first))
	slices.SortFunc(runs, byID)
	for _, run := range runs {
		gaps = append(gaps, l.lose(run, first[run], last[run]))
	}
	return gaps, ends, came
}

// byID is the order in which runs are listed.
func byID(a, b record.Run) int {
	return cmp.Or(cmp.Compare(a.Stream, b.Stream), cmp.Compare(a.Epoch, b.Epoch))
}

// had takes into the cursors what the index of a segment with bad bytes says that it had: no
// number may be given again.
func (l *Log) had(s *segment) {
	if !s.bad {
		return
	}
	for run, sp := range s.spans {
		c := l.cursor(run, sp.First)
		c.Next = max(c.Next, sp.Last+1)
	}
}

// infer finds out, when a store is opened, what a closed segment had that has bad bytes and no
// index, or no file either: the arrivals before and behind it tell that something is missing.
// Where a rescue has copied them, nothing is.
func (l *Log) infer() {
	if !l.o.Arrivals {
		return
	}
	oldest := slices.IndexFunc(l.segs, func(s *segment) bool { return !s.bad || s.Size > 0 })
	for i := oldest - 1; i >= 0; i-- {
		if err := l.salvage(l.segs[i], l.segs[i+1].Began); err != nil {
			l.o.Logger.Warn("the oldest segment can't be read", "segment", l.segs[i].Name, "error", err)
		}
	}
	for i := len(l.segs) - 1; i > 0; i-- {
		a, b := l.segs[i-1], l.segs[i]
		if !a.closed || a.Ends >= b.Began {
			continue
		}
		if info, err := os.Stat(a.path(l.dir)); a.bad && err == nil && info.Size() > a.Size {
			a.Size = info.Size() // what is behind the bad bytes is read
		} else {
			s := newSegment(a.Name+"-gone", a.Ends)
			s.closed, s.bad, s.Time = true, true, a.Time
			l.segs = slices.Insert(l.segs, i, s)
			a = s
		}
		a.doubt, a.Ends = true, b.Began
	}
	for i, s := range l.segs {
		if s.doubt {
			l.inferOne(i, s)
		}
	}
}

// salvage finds out what there is in one of a store's oldest segments behind its bad beginning,
// where no index tells and no segment before. What was in that may as well have been dropped:
// it is no gap. ends is where the next segment begins.
func (l *Log) salvage(s *segment, ends uint64) error {
	s.Began, s.Ends = ends, ends // where nothing is found: it counts, and is dropped as the oldest
	f, err := os.Open(s.path(l.dir))
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	found := newSegment(s.Name, 0)
	var first, before, holes uint64 // the first arrival line's, records before it, and what is missing between entries
	err = scanOn(f, 0, info.Size(), func(e *Entry, off int64) error {
		switch {
		case e.Kind == KindCursors:
			return nil
		case e.Kind == KindArrival && first == 0:
			first = e.N
		case first == 0:
			before += e.Count()
		}
		if sp := found.spans[e.Run]; sp != nil && e.First > sp.Last {
			holes += e.First - sp.Last - 1
		}
		found.note(e, off)
		return nil
	}, func(int64, int64) {})
	s.Size = info.Size()
	if err != nil || first == 0 || found.Ends > ends {
		return err
	}
	if before > 0 { // they have the arrivals before the line's, and so has what was lost between them
		first -= min(before+holes, first-1)
	}
	s.Began, s.Marks, s.spans, s.doubt = first, found.Marks, found.spans, found.Ends < ends
	for _, sp := range s.spans {
		sp.whole(sp.First)
	}
	return nil
}

// whole has all of a segment be read for a run that has numbers from first on.
func (sp *span) whole(first uint64) {
	sp.Marks = slices.Insert(sp.Marks, 0, [2]int64{int64(first), 0})
	sp.extents = extents{}
}

func (l *Log) inferOne(i int, s *segment) {
	starts := l.cursorsOf(l.segs[:i+1])
	for run, c := range l.runs {
		sp := s.spans[run]
		first, known := c.Began, starts != nil
		if at, ok := starts[run]; ok {
			first = at
		}
		for _, before := range l.segs[:i] {
			if x := before.spans[run]; x != nil {
				first, known = x.Last+1, true
			}
		}
		if !known && sp == nil {
			continue
		} else if !known {
			first = sp.First
		}
		next := c.Next
		for _, x := range slices.Backward(l.segs[i+1:]) {
			if x := x.spans[run]; x != nil {
				next = x.First
			}
		}
		if sp == nil && first < next {
			sp = &span{}
			s.spans[run] = sp
		}
		if sp != nil {
			sp.First, sp.Last = first, max(sp.Last, next-1)
			sp.whole(first)
		}
	}
}

// cursorsOf is where every run stood at the beginning of the newest of some segments that can tell.
func (l *Log) cursorsOf(segs []*segment) map[record.Run]uint64 {
	for _, s := range slices.Backward(segs) {
		var starts map[record.Run]uint64
		_ = l.peek(file{s.Name, filepath.Ext(s.path(l.dir))}, func(e *Entry) bool {
			if e.Kind == KindCursors {
				starts = map[record.Run]uint64{}
				for i := range e.Cursors {
					starts[e.Cursors[i].Run()] = e.Cursors[i].Next
				}
			}
			return false
		})
		if starts != nil {
			return starts
		}
	}
	return nil
}
