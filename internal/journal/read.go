package journal

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/earshot-mq/earshot/publisher/record"
)

// Hole is the error of a read whose first number is in no file any more, although
// later ones are, or although it was given.
type Hole struct {
	Run      record.Run
	From, To uint64 // the numbers that are missing
	Corrupt  bool   // a file has bytes there that are no entry; otherwise they were dropped
}

func (h *Hole) Error() string {
	return fmt.Sprintf("journal: %s: %d to %d are missing", h.Run, h.From, h.To)
}

// Read appends to dst whole entries of run, from the one that holds number from, up to
// about limit bytes but at least one. next is the number after the last of them; it
// equals from when there is nothing more yet. A *Hole says that from is missing.
func (l *Log) Read(dst []byte, run record.Run, from uint64, limit int) (data []byte, next uint64, err error) {
	next = from
	var bad *Hole
	segments, end := l.covering(run, from)
	for _, at := range segments {
		dst, next, err = l.readSegment(dst, at, run, next, limit)
		if h := (*Hole)(nil); errors.As(err, &h) {
			if bad, err = cmp.Or(bad, h), nil; next > from || h.To < math.MaxUint64 {
				break // what follows does not continue
			}
		}
		if err != nil || len(dst) >= limit {
			return dst, next, err
		}
	}
	if next > from {
		return dst, next, nil
	}
	return dst, from, l.hole(run, from, end, bad)
}

// place is a segment and where in it to begin.
type place struct {
	s         *segment
	path      string
	off, size int64

	// Of a run: where its entries are, if that is in memory, or which line of the index
	// says so; of neither anything, if that is not known.
	extents extents
	line    [2]int64
}

// covering lists the segments that may hold number from of run or later ones, and the
// number that the run's next record had then.
func (l *Log) covering(run record.Run, from uint64) (at []place, end uint64) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if c := l.runs[run]; c != nil {
		end = c.Next
	}
	for _, s := range l.segs {
		if off, ok := s.find(run, from); ok {
			p := place{s: s, path: s.path(l.dir), off: off, size: s.Size}
			if sp := s.spans[run]; sp.extents.none() {
				p.line = sp.line
			} else {
				p.extents = sp.extents
			}
			at = append(at, p)
		}
	}
	return at, end
}

// readSegment takes the entries of run that continue next from one segment. It ends
// without an error at the first that does not continue. A *Hole says that there are bad
// bytes, or no file, and which numbers can't be read for that.
func (l *Log) readSegment(dst []byte, at place, run record.Run, next uint64, limit int) ([]byte, uint64, error) {
	f, err := l.openSegment(at)
	if err != nil {
		return dst, next, err
	}
	if f == nil {
		return dst, next, l.removed(at.s, run, next)
	}
	defer f.Close()
	bad := false
	take := func(e *Entry, _ int64) error {
		if e.Run != run || e.Kind != KindBatch && e.Kind != KindGap || e.Last < next {
			return nil
		}
		if e.First > next {
			if bad {
				return &Hole{Run: run, From: next, To: e.First - 1, Corrupt: true}
			}
			return io.EOF
		}
		if len(dst) > 0 && len(dst)+len(e.Raw) > limit {
			return io.EOF
		}
		dst = append(dst, e.Raw...)
		next = e.Last + 1
		if len(dst) >= limit {
			return io.EOF
		}
		return nil
	}
	for x := range l.extentsAt(&at, run, next) {
		err = scanOn(f, x.off, min(x.end, at.size), take, func(int64, int64) { bad = true })
		if errors.Is(err, ErrVersion) && readable(f, at.size) { // a segment has one version
			bad, err = true, nil
		}
		if err != nil {
			break
		}
	}
	if err == nil && bad {
		err = &Hole{Run: run, From: next, To: math.MaxUint64, Corrupt: true}
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return dst, next, err
}

// readable tells whether a segment's first entry can be read.
func readable(r io.ReaderAt, end int64) bool {
	err := scan(r, 0, end, func(*Entry, int64) error { return io.EOF })
	return errors.Is(err, io.EOF)
}

// removed is the hole that a closed segment leaves whose file is gone, if the log did not
// drop it.
func (l *Log) removed(s *segment, run record.Run, next uint64) error {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if !s.closed || !slices.Contains(l.segs, s) {
		return nil
	}
	return &Hole{Run: run, From: next, To: math.MaxUint64, Corrupt: true}
}

// extentsAt iterates over the pieces of a segment to be read for number next of run and those
// after it. Where extents are not known, as of a segment whose index an older version has
// written, that is all from a mark on.
func (l *Log) extentsAt(at *place, run record.Run, next uint64) func(yield func(extent) bool) {
	x := at.extents
	if at.line[1] > 0 {
		var ok bool
		if x, ok = l.recent.get(at.s.Name, run); !ok {
			var err error
			if x, err = readExtents(l.dir, at.s.Name, run, at.line); err != nil {
				l.o.Logger.Warn("index can't be read; the segment is", "segment", at.s.Name, "error", err)
			} else {
				l.recent.put(at.s.Name, run, x)
			}
		}
	}
	if x.none() {
		return func(yield func(extent) bool) { yield(extent{off: at.off, end: at.size}) }
	}
	return x.from(next)
}

// openSegment opens a segment's file, which may have got its last name, or have been
// dropped (then f is nil), since the place was looked up. The name changes before the
// log notes it, so the last name is tried as such.
func (l *Log) openSegment(at place) (*os.File, error) {
	f, err := os.Open(at.path)
	if errors.Is(err, os.ErrNotExist) {
		f, err = os.Open(filepath.Join(l.dir, at.s.Name+extClosed))
	}
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	return f, nil
}

// hole tells why there is nothing at from: nil when it had not been given yet when the
// reader looked for it. end is from then: what was appended since is not missing, only
// not read. bad is the first hole of bad bytes that the reader met, or nil.
func (l *Log) hole(run record.Run, from, end uint64, bad *Hole) error {
	if from >= end {
		return nil
	}
	to := end - 1
	l.mu.RLock()
	for _, s := range l.segs {
		if sp := s.spans[run]; sp != nil && sp.First > from {
			to = min(to, sp.First-1)
		}
	}
	l.mu.RUnlock()
	if bad == nil {
		return &Hole{Run: run, From: from, To: to}
	}
	to = min(to, bad.To)
	l.lose(run, from, to)
	return &Hole{Run: run, From: from, To: to, Corrupt: true}
}

// Runs lists where the log stands in every run that it has or had, in the order of
// their ids.
func (l *Log) Runs() []Cursor {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.cursorsLocked()
}

func (l *Log) cursorsLocked() []Cursor {
	all := make([]Cursor, 0, len(l.runs))
	for _, c := range l.runs {
		all = append(all, *c)
	}
	slices.SortFunc(all, func(a, b Cursor) int { return byID(a.Run(), b.Run()) })
	return all
}

// Cursor is where the log stands in run; ok is false when it never had any of it.
func (l *Log) Cursor(run record.Run) (c Cursor, ok bool) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if p := l.runs[run]; p != nil {
		return *p, true
	}
	return Cursor{}, false
}

// Follows tells whether the log has, or had, an earlier run of a stream.
func (l *Log) Follows(stream string, epoch record.Epoch) bool {
	l.mu.RLock()
	defer l.mu.RUnlock()
	for run := range l.runs {
		if run.Stream == stream && run.Epoch < epoch {
			return true
		}
	}
	return false
}

// Oldest is the lowest number of run that is in a file, or its next number when none is.
func (l *Log) Oldest(run record.Run) uint64 {
	l.mu.RLock()
	defer l.mu.RUnlock()
	oldest := uint64(1)
	if c := l.runs[run]; c != nil {
		oldest = c.Next
	}
	for _, s := range l.segs {
		if sp := s.spans[run]; sp != nil {
			oldest = min(oldest, sp.First)
		}
	}
	return oldest
}

// Arrival is the number that the next arrival will get.
func (l *Log) Arrival() uint64 {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.n
}

// OldestArrival is the lowest arrival number that is in a file.
func (l *Log) OldestArrival() uint64 {
	l.mu.RLock()
	defer l.mu.RUnlock()
	for _, s := range l.segs {
		if s.Ends > s.Began {
			return s.Began
		}
	}
	return l.n
}

// Changed is closed at the next append.
func (l *Log) Changed() <-chan struct{} {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.changed
}

// Reader reads a store in order of arrival. It is for one goroutine.
type Reader struct {
	l    *Log
	n    uint64 // the next arrival to be given
	s    *segment
	f    *os.File
	off  int64
	at   uint64    // the arrival at off, once an arrival line before it was read
	came time.Time // of that line, or of what was lost with it
	kept kept      // what is at off, if it is in memory
}

// latest is what was appended to a store last, so that who keeps up with it needs no file. It is
// guarded by Log.mu.
type latest struct {
	s   *segment
	off int64 // of b in s
	b   []byte
}

// latestBytes is the most that it has. A flood is read from files, in large pieces.
const latestBytes = 64 << 10

func (t *latest) add(s *segment, off int64, pieces [][]byte) {
	size := 0
	for _, p := range pieces {
		size += len(p)
	}
	if t.s != s || t.off+int64(len(t.b)) != off || len(t.b)+size > latestBytes {
		t.s, t.off, t.b = s, off, t.b[:0]
	}
	if size > latestBytes {
		t.s = nil
		return
	}
	for _, p := range pieces {
		t.b = append(t.b, p...)
	}
}

// keep makes k what lies between off and end of s, or nothing if that is not all here. A
// rescue leaves end below the offset of a reader that was ahead of it.
func (t *latest) keep(k *kept, s *segment, off, end int64) {
	k.off, k.b = off, k.b[:0]
	if t.s == s && t.off <= off && off <= end && end <= t.off+int64(len(t.b)) {
		k.b = append(k.b, t.b[off-t.off:end-t.off]...)
	}
}

// kept is a piece of a segment in memory, an io.ReaderAt.
type kept struct {
	off int64
	b   []byte
}

func (k *kept) ReadAt(p []byte, off int64) (int, error) {
	n := copy(p, k.b[off-k.off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// Reader begins at arrival n, or at the oldest one that is there.
func (l *Log) Reader(n uint64) *Reader { return &Reader{l: l, n: n} }

// Position is the number of the next arrival that Read will give.
func (r *Reader) Position() uint64 { return r.n }

// Close releases the file.
func (r *Reader) Close() error {
	if r.f == nil {
		return nil
	}
	f := r.f
	r.f, r.s = nil, nil
	return f.Close()
}

// Read gives batches and gaps in order of arrival: n is the number of the entry's
// first record (a gap has one), and Entry.Time is when it came. The first entry may begin
// below the reader's position. It returns nil when it has given all there is; wait for
// Changed then. f must not keep the entry, and an error of it ends the read before that
// entry. What bad bytes have taken, or a closed segment whose file is gone, is given as a gap
// for each run with the reason corrupt, which has an arrival of what it stands for.
func (r *Reader) Read(f func(e *Entry, n uint64) error) error {
	for {
		end, err := r.enter(f)
		if err != nil || r.f == nil {
			return err
		}
		for r.off < end {
			if err := r.readTo(end, f); err != nil {
				return err
			}
		}
		if !r.leave() {
			return nil
		}
	}
}

// readTo gives what lies between the reader's offset and end, or the next bytes that are no entry.
func (r *Reader) readTo(end int64, f func(e *Entry, n uint64) error) error {
	from := io.ReaderAt(r.f)
	if r.off >= r.kept.off && end <= r.kept.off+int64(len(r.kept.b)) {
		from = &r.kept
	}
	err := scan(from, r.off, end, func(e *Entry, off int64) error {
		if e.Kind == KindArrival {
			r.at, r.came = e.N, e.Time
		}
		e.Time = r.came
		after := r.at + e.Count()
		if after > r.n && (e.Kind == KindBatch || e.Kind == KindGap) {
			if err := f(e, r.at); err != nil {
				return err
			}
			r.n = after
		}
		r.at = after
		r.off = off + int64(len(e.Raw))
		return nil
	})
	if err != nil && !isBad(err) && !errors.Is(err, ErrVersion) || r.off >= end {
		return err
	}
	return r.mend(f)
}

// mend gives the gaps of what bytes at the reader's offset have taken, and goes on behind them.
func (r *Reader) mend(f func(e *Entry, n uint64) error) error {
	all, err := r.l.examine(r.s, r.f)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(all, func(p piece) bool { return p.off <= r.off && r.off < p.end })
	if i < 0 {
		return fmt.Errorf("journal: %s changed at %d while it was read: %w", r.s.Name, r.off, ErrCorrupt)
	}
	r.came = all[i].came
	if err := r.give(all[i].gaps, all[i].after, f); err != nil {
		return err
	}
	r.off, r.at = all[i].end, all[i].after
	return nil
}

// give gives gaps whose arrivals end before after, and that came when the reader says.
func (r *Reader) give(gaps []Entry, after uint64, f func(e *Entry, n uint64) error) error {
	for i := range gaps {
		e, n := gaps[i], after-uint64(len(gaps)-i)
		if n < r.n {
			continue
		}
		e.Time = r.came
		if err := f(&e, n); err != nil {
			return err
		}
		r.n = n + 1
	}
	return nil
}

// enter opens the segment that holds the reader's position, if none is open, and says
// how far it can be read now.
func (r *Reader) enter(f func(e *Entry, n uint64) error) (end int64, err error) {
	for {
		r.l.mu.RLock()
		if r.f != nil {
			end = r.s.Size
			r.l.latest.keep(&r.kept, r.s, r.off, end)
			r.l.mu.RUnlock()
			return end, nil
		}
		var at place
		var began, ends uint64
		for _, s := range r.l.segs {
			if at.s == nil && s.Ends > s.Began || s.Began <= r.n && s.Ends > s.Began {
				at = place{s: s, path: s.path(r.l.dir), off: s.findArrival(r.n), size: s.Size}
				began, ends = s.Began, s.Ends
			}
		}
		r.l.mu.RUnlock()
		if at.s == nil {
			return 0, nil
		}
		file, err := r.l.openSegment(at)
		if err != nil {
			return 0, err
		}
		switch {
		case file != nil:
			r.s, r.f, r.off, r.kept.b = at.s, file, at.off, nil
			r.n = max(r.n, began)
		case ends <= r.n: // nothing of it is wanted
			return 0, nil
		default:
			if err := r.pass(at, f); err != nil {
				return 0, err
			}
		}
	}
}

// pass goes on behind a segment that has no file, if the log did not drop it, and gives the
// gaps of what it had.
func (r *Reader) pass(at place, f func(e *Entry, n uint64) error) error {
	r.l.mu.RLock()
	i, all := slices.Index(r.l.segs, at.s), len(r.l.segs)
	r.l.mu.RUnlock()
	switch {
	case i < 0:
		return nil // dropped in between
	case i == all-1 && !at.s.closed:
		return fmt.Errorf("journal: %s is gone; was it removed? start anew", at.path)
	}
	gaps, ends, came := r.l.without(at.s)
	r.came = came
	if err := r.give(gaps, ends, f); err != nil {
		return err
	}
	r.n = max(r.n, ends)
	return nil
}

// leave closes the segment when it has been read whole and another follows it.
func (r *Reader) leave() bool {
	r.l.mu.RLock()
	i := slices.Index(r.l.segs, r.s)
	more := i < 0 && len(r.l.segs) > 0 || i >= 0 && i+1 < len(r.l.segs) && r.off >= r.s.Size
	var next *segment
	if i >= 0 && more {
		next = r.l.segs[i+1]
	}
	path, began := "", uint64(0)
	if next != nil {
		path, began = next.path(r.l.dir), next.Began
	}
	r.l.mu.RUnlock()
	if !more {
		return false
	}
	if next == nil {
		return r.Close() == nil
	}
	file, err := r.l.openSegment(place{s: next, path: path})
	if err != nil {
		return false
	}
	if file == nil { // enter tells what it had
		r.n = max(r.n, began)
		return r.Close() == nil
	}
	_ = r.f.Close() // read only
	r.s, r.f, r.off, r.kept.b = next, file, 0, nil
	return true
}
