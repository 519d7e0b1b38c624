package journal

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/earshot-mq/earshot/internal/durable"
	"github.com/earshot-mq/earshot/internal/queue"
	"github.com/earshot-mq/earshot/publisher/record"
)

// ErrNoSpace says that a log can't be written now. What was to be appended is in no
// file; the caller keeps it and tries again.
var ErrNoSpace = errors.New("can't be written")

// Options tunes a Log. Every zero field means its default.
type Options struct {
	SegmentBytes int64        // when a new segment begins; default 64 MiB
	Arrivals     bool         // number what is appended by arrival: the store
	ReadOnly     bool         // never write, rename or remove anything: an adopted journal
	NoSync       bool         // never fsync: what a power cut takes is the page cache's to decide
	Logger       *slog.Logger // default: discard
	After        record.Epoch // the epoch of this opening is higher than this one

	Now func() time.Time // tells how old entries are; default time.Now
}

// Log is a directory of segments. See the package's documentation.
type Log struct {
	dir   string
	o     Options
	fsync func(*os.File) error // durable.Data, but for tests

	epochMu sync.Mutex // guards the next two; never held while something is written
	epoch   record.Epoch
	highest record.Epoch

	appendMu sync.Mutex // held while something is written; taken before mu
	serial   int
	cur      *segment // nil until the first append of this opening
	f        *os.File // cur's
	buf      []byte   // the arrival line of an append
	pieces   [][]byte // of an append; used again

	recent recentExtents
	syncMu sync.Mutex // held during a Sync; taken before appendMu

	mu      sync.RWMutex
	segs    []*segment // oldest first, cur among them
	runs    map[record.Run]*Cursor
	gone    []record.Run // ended runs that no segment has anything of; nil: not known
	n       uint64       // number of the next arrival
	latest  latest       // of a store
	rolled  []rolledSeg  // full, not yet synced and closed
	ahead   *os.File     // the next segment, allocated beforehand
	aheadAs string
	due     chan struct{} // has a word when it should be allocated
	changed chan struct{} // closed at the next append

	lost                  map[record.Run][][2]uint64 // what bad bytes have taken, as far as it was read
	lostRecords, lostGaps uint64
}

type rolledSeg struct {
	s *segment
	f *os.File
}

// Open reads what a directory holds, without changing anything in it. It makes the
// directory when it is missing.
func Open(dir string, o Options) (*Log, error) {
	if o.SegmentBytes == 0 {
		o.SegmentBytes = 64 << 20
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if !o.ReadOnly {
		if err := durable.MkdirAll(dir, 0o750); err != nil {
			return nil, fmt.Errorf("journal: %w", err)
		}
	}
	l := &Log{dir: dir, o: o, fsync: durable.Data, runs: map[record.Run]*Cursor{}, n: 1, changed: make(chan struct{}), due: make(chan struct{}, 1), lost: map[record.Run][][2]uint64{}}
	if err := l.recover(); err != nil {
		return nil, err
	}
	return l, nil
}

// recover loads the segments. Only those that were open are read whole, and the newest closed
// one that begins with all cursors, with what is behind it: a loss of power may have taken
// any part of those that were open, their cursors too.
func (l *Log) recover() error {
	files, highest, err := segmentFiles(l.dir)
	if err != nil {
		return err
	}
	l.highest = max(highest, l.o.After)
	newest := len(files) - 1
	for newest > 0 && (files[newest].ext == extOpen || !l.begins(files[newest])) {
		newest--
	}
	var left, over []*segment // open or empty; superseded
	torn := false             // the segment before is one that no Sync has covered
	for i, f := range files {
		var note func(*Entry)
		if f.ext == extOpen || i >= newest {
			note = l.replay
		}
		if note != nil && l.o.Arrivals {
			cursors, began := l.starts(f)
			if f.ext == extOpen && torn && began > l.n && cursors > 0 {
				if err := l.disown(f); err != nil {
					return err
				}
				continue
			}
			if began < cursors {
				note = l.replayRescued
			}
		}
		s, err := load(l.dir, f.name, f.ext, note)
		switch {
		case errors.Is(err, os.ErrNotExist): // renamed or dropped by its owner in between
			continue
		case err != nil:
			return err
		}
		if l.o.Arrivals && s.Size > 0 && s.Began < l.n && s.Ends < l.n {
			s.Size = 0 // a rescued tail that was not finished
			l.doubt(s.Began)
		}
		if l.o.Arrivals && s.Size == 0 && s.bad { // its beginning is: those around it tell what it had
			s.Began, s.Ends = l.n, l.n
			l.segs = append(l.segs, s)
			torn = false
			continue
		}
		if torn = !s.closed; torn || s.Size == 0 {
			left = append(left, s)
		}
		if s.Size == 0 {
			continue
		}
		over = append(over, l.superseded(s)...)
		l.segs = append(l.segs, s)
		l.n = max(l.n, s.Ends)
		l.had(s)
	}
	l.infer()
	if l.o.ReadOnly {
		return nil
	}
	left = slices.DeleteFunc(left, func(s *segment) bool { return slices.Contains(over, s) })
	for _, s := range append(left, over...) {
		if err := l.inherit(s); err != nil {
			return err
		}
	}
	return nil
}

// starts tells what a store's segment says was before it, and the arrival that it really
// begins with, which is lower for a rescued tail; both are 0 when its beginning is not whole.
func (l *Log) starts(f file) (cursors, began uint64) {
	_ = l.peek(f, func(e *Entry) bool {
		switch e.Kind {
		case KindCursors:
			cursors, began = e.N, e.N
			return true
		case KindArrival:
			began = min(began, e.N)
		}
		return false
	})
	return cursors, began
}

// replayRescued is replay of a rescued tail: its cursors count all of the tail, of which a
// loss of power may have left a part.
func (l *Log) replayRescued(e *Entry) {
	if e.Kind != KindCursors {
		l.replay(e)
	}
}

// doubt notes of the segments that have an arrival or a later one that an fsync of one of them failed: the
// next Sync copies them.
func (l *Log) doubt(from uint64) {
	for _, s := range l.segs {
		if s.Ends > from {
			s.failed = errDoubted
		}
	}
}

var errDoubted = errors.New("an fsync failed before, and the copy was not finished")

// superseded takes back the segments whose arrivals a later one of a store has too: a rescued
// tail. What it was copied from may be read further than it was durable, and with a hole
// before it, if the index that said how far was lost.
func (l *Log) superseded(by *segment) (all []*segment) {
	if !l.o.Arrivals || by.Began >= l.n {
		return nil
	}
	for len(l.segs) > 0 && l.segs[len(l.segs)-1].Began >= by.Began {
		s := l.segs[len(l.segs)-1]
		l.segs = l.segs[:len(l.segs)-1]
		s.Size = 0
		all = append(all, s)
	}
	return all
}

// disown removes a store's segment that begins above what is before it: a loss of power has
// taken the end of the one before, and the cursors of this one say more than is there. A Sync
// covers segments in order, so nothing of it was ever committed, and it is fetched again.
func (l *Log) disown(f file) error {
	l.o.Logger.Warn("segment removed: the one before lost its end, all since is fetched again", "segment", f.name)
	if l.o.ReadOnly {
		return nil
	}
	_ = os.Remove(filepath.Join(l.dir, f.name+extIndex)) // or its file would seem to be lost
	if err := os.Remove(filepath.Join(l.dir, f.name+f.ext)); err != nil {
		return fmt.Errorf("journal: remove segment: %w", err)
	}
	return durable.Dir(l.dir) // before the one that was torn is closed, which is how it is known
}

// inherit makes durable what an earlier opening has written and perhaps not synced, since
// whatever is appended now counts as synced only with all before it, and closes the segment.
// What can't be synced is left to Sync, which copies it. An empty segment is removed, but one
// whose beginning is bad and that has no index keeps its bytes, for people.
func (l *Log) inherit(s *segment) error {
	if s.Size == 0 && s.bad {
		l.o.Logger.Error("segment can't be read, and has no index; its records are lost unless you have another copy",
			"segment", s.Name, "kept", s.Name+extBad)
		if err := os.Rename(s.path(l.dir), filepath.Join(l.dir, s.Name+extBad)); err != nil {
			return fmt.Errorf("journal: set segment aside: %w", err)
		}
		return nil
	}
	if s.Size == 0 {
		_ = os.Remove(filepath.Join(l.dir, s.Name+extIndex)) // or its file would seem to be lost
		if err := os.Remove(s.path(l.dir)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("journal: remove empty segment: %w", err)
		}
		return nil
	}
	if !l.o.NoSync {
		f, err := os.Open(s.path(l.dir))
		if err != nil {
			return fmt.Errorf("journal: %w", err)
		}
		if s.failed == nil {
			s.failed = l.fsync(f)
		}
		if s.failed != nil {
			l.o.Logger.Error("what an earlier opening wrote can't be synced", "segment", s.Name, "error", s.failed)
			s.synced = 0
			l.rolled = append(l.rolled, rolledSeg{s, f})
			return nil
		}
		if err := f.Close(); err != nil {
			return fmt.Errorf("journal: %w", err)
		}
	}
	l.close(s)
	return nil
}

// begins tells whether a segment begins with all cursors, of what is before it.
func (l *Log) begins(f file) (ok bool) {
	if l.o.Arrivals {
		cursors, began := l.starts(f)
		return cursors > 0 && began == cursors
	}
	_ = l.peek(f, func(e *Entry) bool {
		ok = e.Kind == KindCursors
		return false
	})
	return ok
}

// peek reads the first entries of a segment, as long as more says so.
func (l *Log) peek(f file, more func(*Entry) bool) error {
	r, err := os.Open(filepath.Join(l.dir, f.name+f.ext))
	if err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	defer r.Close()
	return scan(r, 0, math.MaxInt64, func(e *Entry, _ int64) error {
		if !more(e) {
			return io.EOF
		}
		return nil
	})
}

// close gives a whole segment its index and its last name. Neither is needed to read
// it, so a failure is only logged; the next opening does it again.
func (l *Log) close(s *segment) {
	lines, err := s.writeIndex(l.dir)
	if err == nil {
		err = os.Rename(filepath.Join(l.dir, s.Name+extOpen), filepath.Join(l.dir, s.Name+extClosed))
	}
	if err != nil {
		l.o.Logger.Warn("segment not closed", "segment", s.Name, "error", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	s.closed = err == nil
	for run, sp := range s.spans { // from now on they are read from the index, if it is there
		sp.extents, sp.line = extents{}, lines[run]
	}
}

// replay takes an entry that was found at opening, or is being appended, into the
// cursors.
func (l *Log) replay(e *Entry) {
	switch e.Kind {
	case KindCursors:
		for i := range e.Cursors {
			c := e.Cursors[i]
			if have := l.runs[c.Run()]; have == nil || have.Next <= c.Next {
				l.runs[c.Run()] = &c
			}
		}
		l.n = max(l.n, e.N)
	case KindEpoch:
		l.cursor(e.Run, 1).Service = e.Service
	case KindEnd:
		c := l.cursor(e.Run, e.Last+1)
		c.Ended, c.Given = true, e.Given
	case KindBatch, KindGap:
		c := l.cursor(e.Run, e.First)
		c.Next = max(c.Next, e.Last+1)
		if c.Service == "" {
			c.Service = e.Service
		}
	}
}

func (l *Log) cursor(run record.Run, began uint64) *Cursor {
	c := l.runs[run]
	if c == nil {
		c = &Cursor{Stream: run.Stream, Epoch: run.Epoch, Began: began, Next: began}
		l.runs[run] = c
	}
	return c
}

// Epoch is the epoch of this opening. It is made at the first call, so that a process
// that appends nothing makes none. Two copies of a volume must not count on to the same
// number, so a part of it is random: 20 bits beside the clock's millisecond, and 40, a quarter
// of an hour, where the clock is behind the highest one seen and tells nothing. It does not
// wait for a write that hangs.
func (l *Log) Epoch() record.Epoch {
	l.epochMu.Lock()
	defer l.epochMu.Unlock()
	if l.epoch == 0 {
		var b [8]byte
		_, _ = rand.Read(b[:]) // never fails, by its documentation
		chance := record.Epoch(binary.LittleEndian.Uint64(b[:]))
		if ms := record.Epoch(max(time.Now().UnixMilli(), 0)); ms > l.highest>>20 {
			l.epoch = ms<<20 | chance>>44
		} else {
			l.epoch = (l.highest>>20+1)<<20 + chance>>24
		}
	}
	return l.epoch
}

// Append writes whole entries with one system call, or one for each thousand of them,
// straight from where they are, and returns when that is done. With
// Options.Arrivals they are numbered; n is the arrival number of the first record.
// The entries must continue their runs; that is the caller's to see to. An error wraps
// ErrNoSpace, and then none of them is in a file.
func (l *Log) Append(entries ...Entry) (n uint64, err error) {
	if len(entries) == 0 {
		return 0, nil
	}
	l.appendMu.Lock()
	defer l.appendMu.Unlock()
	pieces := l.pieces[:0]
	var arrival Entry
	if l.o.Arrivals {
		now := l.o.Now()
		l.buf = appendArrival(l.buf[:0], l.n, now)
		arrival = Entry{Kind: KindArrival, N: l.n, Time: now, Raw: l.buf}
		pieces = append(pieces, arrival.Raw)
	}
	for i := range entries {
		pieces = append(pieces, entries[i].Raw)
	}
	off, err := l.write(pieces)
	defer clear(pieces)
	if l.pieces = pieces; err != nil {
		return 0, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	n = l.n
	if l.o.Arrivals {
		l.latest.add(l.cur, off, pieces)
		l.cur.note(&arrival, off)
		off += int64(len(arrival.Raw))
	}
	for i := range entries {
		e := &entries[i]
		l.cur.note(e, off)
		l.replay(e)
		off += int64(len(e.Raw))
		if l.o.Arrivals {
			l.n += e.Count()
		}
	}
	close(l.changed)
	l.changed = make(chan struct{})
	if l.aheadDueLocked() {
		queue.Signal(l.due)
	}
	return n, nil
}

// write appends pieces to the current segment, or to a new one when it is full or fails.
func (l *Log) write(pieces [][]byte) (off int64, err error) {
	size := int64(0)
	for _, p := range pieces {
		size += int64(len(p))
	}
	if l.cur != nil && l.cur.Size > 0 && l.cur.Size+size > l.o.SegmentBytes {
		l.roll()
	}
	for try := 0; ; try++ {
		if l.cur == nil {
			if err := l.begin(); err != nil {
				return 0, fmt.Errorf("journal: new segment: %w: %w", ErrNoSpace, err)
			}
		}
		off = l.cur.Size
		err := writeAt(l.f, pieces, off)
		if err == nil {
			return off, nil
		}
		// After an error a file is never written again: cut back, close, go on in
		// another. The cut may fail too; the checksum tells then.
		if cut := l.f.Truncate(off); cut != nil {
			l.o.Logger.Warn("segment not cut back", "segment", l.cur.Name, "size", off, "error", cut)
		}
		l.roll()
		if try > 0 {
			return 0, fmt.Errorf("journal: write: %w: %w", ErrNoSpace, err)
		}
	}
}

// mostPieces is IOV_MAX of Linux and macOS. See pwritev(2).
const mostPieces = 1024

// writeAt writes all pieces, in order, from off on, without copying them together first.
func writeAt(f *os.File, pieces [][]byte, off int64) error {
	if len(pieces) == 1 {
		_, err := f.WriteAt(pieces[0], off)
		return err
	}
	for len(pieces) > 0 {
		n, err := unix.Pwritev(int(f.Fd()), pieces[:min(len(pieces), mostPieces)], off)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return &os.PathError{Op: "pwritev", Path: f.Name(), Err: err}
		}
		if n == 0 {
			return io.ErrShortWrite
		}
		for off += int64(n); n > 0 && n >= len(pieces[0]); pieces = pieces[1:] {
			n -= len(pieces[0])
		}
		if n > 0 { // the rest of a piece that was cut, by itself: the caller's slice stays as it is
			rest := pieces[0][n:]
			if _, err := f.WriteAt(rest, off); err != nil {
				return err
			}
			off, pieces = off+int64(len(rest)), pieces[1:]
		}
	}
	return nil
}

// roll leaves the current segment to the next Sync, which closes it.
func (l *Log) roll() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cur.Time = max(l.cur.Time, l.o.Now().UnixNano())
	l.rolled = append(l.rolled, rolledSeg{l.cur, l.f})
	l.cur, l.f = nil, nil
}

// begin starts a segment, in the file allocated ahead if there is one, and writes all
// cursors into it.
func (l *Log) begin() error {
	epoch := l.Epoch()
	l.mu.Lock()
	f, name := l.ahead, l.aheadAs
	l.ahead = nil
	l.mu.Unlock()
	if f == nil {
		var err error
		if f, name, err = l.create(epoch, 0); err != nil {
			return err
		}
		if !l.o.NoSync {
			if err := durable.Dir(l.dir); err != nil {
				return errors.Join(err, f.Close(), os.Remove(f.Name()))
			}
		}
	}
	l.mu.RLock()
	head := appendCursors(nil, l.n, l.cursorsLocked())
	n := l.n
	l.mu.RUnlock()
	if _, err := f.WriteAt(head, 0); err != nil {
		return errors.Join(err, f.Close(), os.Remove(f.Name()))
	}
	s := newSegment(name, n)
	s.note(&Entry{Kind: KindCursors, N: n, Raw: head}, 0)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cur, l.f = s, f
	l.segs = append(l.segs, s)
	if l.ahead != nil && l.aheadAs < name { // it came too late: names are in the order of use
		err := errors.Join(l.ahead.Close(), os.Remove(l.ahead.Name()))
		if l.ahead = nil; err != nil {
			l.o.Logger.Warn("segment allocated ahead not removed", "segment", l.aheadAs, "error", err)
		}
	}
	return nil
}

// create makes the next file of this opening, and fails if there is one already.
func (l *Log) create(epoch record.Epoch, allocate int64) (*os.File, string, error) {
	l.mu.Lock()
	l.serial++
	name := segmentName(epoch, l.serial)
	l.mu.Unlock()
	f, err := os.OpenFile(filepath.Join(l.dir, name+extOpen), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o640)
	if err != nil {
		return nil, "", fmt.Errorf("journal: %w", err)
	}
	if allocate > 0 {
		if err := fallocate(f, allocate); err != nil {
			return nil, "", errors.Join(fmt.Errorf("journal: allocate %d bytes: %w", allocate, err), f.Close(), os.Remove(f.Name()))
		}
	}
	return f, name, nil
}

// AllocateAhead calls Ahead whenever a quarter of a segment is written, until stop is closed,
// and tells failed of its errors; it tries again after a while. In a flood a segment is full
// in a twentieth of a second, and one that was not allocated costs a third more to write.
func (l *Log) AllocateAhead(stop <-chan struct{}, failed func(error)) {
	for {
		select {
		case <-stop:
			return
		case <-l.due:
		}
		err := l.Ahead()
		if err == nil {
			continue
		}
		failed(err)
		select {
		case <-stop:
			return
		case <-time.After(aheadAgain):
		}
	}
}

const aheadAgain = 100 * time.Millisecond

func (l *Log) aheadDueLocked() bool {
	return l.cur != nil && l.ahead == nil && l.cur.Size > l.o.SegmentBytes/4
}

// Ahead allocates the next segment, if there is a current one and none is ready, so
// that no append waits for the file system to find room. Call it now and then.
func (l *Log) Ahead() error {
	l.mu.RLock()
	need := l.aheadDueLocked()
	l.mu.RUnlock()
	if !need || l.o.ReadOnly {
		return nil
	}
	f, name, err := l.create(l.Epoch(), l.o.SegmentBytes)
	if err != nil {
		return err
	}
	if !l.o.NoSync {
		if err := durable.Dir(l.dir); err != nil {
			return errors.Join(err, f.Close(), os.Remove(f.Name()))
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if name != segmentName(l.Epoch(), l.serial) { // an append could not wait for it, and began a later one
		return errors.Join(f.Close(), os.Remove(f.Name()))
	}
	l.ahead, l.aheadAs = f, name
	return nil
}

// Close syncs, and closes the files. Nothing may be appended afterwards.
func (l *Log) Close() error {
	if l.o.ReadOnly {
		return nil
	}
	l.appendMu.Lock()
	if l.cur != nil {
		l.roll()
	}
	l.appendMu.Unlock()
	err := l.Sync()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ahead != nil {
		err = errors.Join(err, l.ahead.Close(), os.Remove(l.ahead.Name()))
		l.ahead = nil
	}
	for _, r := range l.rolled {
		err = errors.Join(err, r.f.Close())
	}
	l.rolled = nil
	return err
}
