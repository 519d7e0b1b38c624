package journal

import (
	"errors"
	"fmt"
	"os"
	"slices"
)

// Sync makes durable what was appended before it was called, and closes the segments
// that are full. After an error nothing more counts as synced than before: what was
// written since the last good fsync is copied to a new segment and synced there, so
// that a good return still means what it says.
func (l *Log) Sync() error {
	l.syncMu.Lock()
	defer l.syncMu.Unlock()
	l.mu.RLock()
	rolled := l.rolled
	cur, f := l.cur, l.f
	var size int64
	if cur != nil {
		size = cur.Size
	}
	l.mu.RUnlock()
	for _, r := range rolled {
		if all, err := l.finish(r); err != nil || all {
			return err
		}
	}
	if cur == nil || size == cur.synced || l.o.NoSync {
		return nil
	}
	if err := l.fsync(f); err != nil {
		return l.rescue(cur, err)
	}
	l.mu.Lock()
	cur.synced = size
	l.mu.Unlock()
	return nil
}

// finish syncs and closes a segment that is full. all says that this has made all the
// others durable too.
func (l *Log) finish(r rolledSeg) (all bool, err error) {
	if r.s.Size > r.s.synced && !l.o.NoSync {
		if r.s.failed == nil {
			r.s.failed = l.fsync(r.f)
		}
		if r.s.failed != nil {
			return true, l.rescue(r.s, r.s.failed)
		}
	}
	l.mu.Lock()
	r.s.synced = r.s.Size
	l.mu.Unlock()
	l.retire(r)
	return false, nil
}

// retire closes a segment's file and gives it its last name, or removes it when
// nothing is left in it.
func (l *Log) retire(r rolledSeg) {
	if err := r.f.Close(); err != nil {
		l.o.Logger.Warn("segment's file not closed", "segment", r.s.Name, "error", err)
	}
	if r.s.Size > 0 {
		l.close(r.s)
	}
	defer l.cool()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rolled = slices.DeleteFunc(slices.Clone(l.rolled), func(x rolledSeg) bool { return x.s == r.s })
	if r.s.Size == 0 {
		l.segs = slices.DeleteFunc(slices.Clone(l.segs), func(x *segment) bool { return x == r.s })
		if err := os.Remove(r.s.path(l.dir)); err != nil {
			l.o.Logger.Warn("empty segment not removed", "segment", r.s.Name, "error", err)
		}
	}
}

// warmSegments is how many of the newest segments stay in the page cache, for who is a little
// late. Who was away reads the others from the disk, once.
const warmSegments = 4

// cool gives up the page cache of the segment that is not among the newest any more: its
// pages take the next ones.
func (l *Log) cool() {
	l.mu.RLock()
	path := ""
	if i := len(l.segs) - warmSegments; i > 0 && l.segs[i-1].closed {
		path = l.segs[i-1].path(l.dir)
	}
	l.mu.RUnlock()
	if path == "" {
		return
	}
	if f, err := os.Open(path); err == nil { // otherwise it is gone
		uncache(f)
		_ = f.Close() // it was read only
	}
}

// rescue copies all that is written and not synced into a new segment, in order, and
// syncs it there. The kernel reports a failed writeback once and then calls the pages
// clean, so a second fsync of the same file would lie.
func (l *Log) rescue(s *segment, cause error) error {
	l.o.Logger.Error("fsync failed; copying what it covered", "segment", s.Name, "from", s.synced, "to", s.Size, "error", cause)
	s.failed = cause
	l.appendMu.Lock()
	defer l.appendMu.Unlock()
	if l.cur != nil {
		l.roll()
	}
	l.mu.RLock()
	failed := l.rolled
	l.mu.RUnlock()
	if err := l.copyTails(failed); err != nil {
		return fmt.Errorf("journal: sync: %w", errors.Join(cause, err, l.abandon()))
	}
	for _, r := range failed {
		l.mu.Lock()
		r.s.trim(r.s.synced)
		l.mu.Unlock()
		l.retire(r)
	}
	return nil
}

// copyTails begins a segment with what each of the failed ones has beyond its last
// good fsync, and syncs it. The caller holds appendMu.
func (l *Log) copyTails(failed []rolledSeg) error {
	if err := l.begin(); err != nil {
		return err
	}
	for _, r := range failed {
		src, err := os.Open(r.s.path(l.dir))
		if err != nil {
			return fmt.Errorf("journal: %w", err)
		}
		err = scan(src, r.s.synced, r.s.Size, func(e *Entry, _ int64) error {
			if e.Kind == KindCursors {
				return nil
			}
			if _, err := l.f.WriteAt(e.Raw, l.cur.Size); err != nil {
				return err
			}
			l.mu.Lock()
			l.cur.note(e, l.cur.Size)
			l.mu.Unlock()
			return nil
		})
		if err := errors.Join(err, src.Close()); err != nil {
			return err
		}
	}
	if err := l.fsync(l.f); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cur.synced = l.cur.Size
	return nil
}

// abandon removes the segment that copyTails has begun: all that is in it is elsewhere too,
// and its own fsync may have failed. The caller holds appendMu.
func (l *Log) abandon() error {
	if l.cur == nil {
		return nil
	}
	s, f := l.cur, l.f
	l.mu.Lock()
	l.segs = slices.DeleteFunc(slices.Clone(l.segs), func(x *segment) bool { return x == s })
	l.cur, l.f = nil, nil
	l.mu.Unlock()
	return errors.Join(f.Close(), os.Remove(s.path(l.dir)))
}

// trim forgets what a segment has from off on. Its index is only made coarser: a run's
// last number may be beyond what is left, and a reader that does not find it there goes
// on in the next segment.
func (s *segment) trim(off int64) {
	s.Size = off
	for run, sp := range s.spans {
		for len(sp.Marks) > 0 && sp.Marks[len(sp.Marks)-1][1] >= off {
			sp.Marks = sp.Marks[:len(sp.Marks)-1]
		}
		sp.extents.trim(off)
		if len(sp.Marks) == 0 {
			delete(s.spans, run)
		}
	}
	for len(s.Marks) > 0 && s.Marks[len(s.Marks)-1].Offset >= off {
		s.Marks = s.Marks[:len(s.Marks)-1]
	}
}
