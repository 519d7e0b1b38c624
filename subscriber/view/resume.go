package view

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"

	"github.com/earshot-mq/earshot/internal/journal"
)

// resume finds out what has been shown. In the boot of the checkpoint whatever was
// written is there, so the lines behind it are counted, not cut: a tail -f of the file
// prints all of it again after a truncation. In another boot the file may have lost or
// kept any of that, so it is cut and rendered again. A file that the checkpoint does not
// know, since it was copied before or cut by somebody, goes on behind its last line.
func (v *File) resume() error {
	cp := v.cps.checkpoint
	v.next, v.began = cp.Arrival, cp.Began
	if err := v.openCurrent(); err != nil {
		return err
	}
	known, err := v.resumeAt(cp)
	if err == nil {
		err = v.pass()
	}
	if err != nil {
		return fmt.Errorf("view: resume %s: %w", v.o.Path, err)
	}
	if have := v.src.Arrival(); v.next > have { // a store from a backup: it will have other arrivals there
		v.o.Logger.Warn("store has less than the log file has shown; a new file goes on from there", "file", v.o.Path, "shown", v.next, "stored", have)
		v.next = have
		return v.leave()
	}
	if v.length > 0 && (!known || cp.Format != v.o.Format.mark()) {
		return v.leave() // another format, or a file that is not ours
	}
	return nil
}

// resumeAt tells whether what the file has is known, and what that is.
func (v *File) resumeAt(cp checkpoint) (known bool, err error) {
	sameBoot := cp.BootID == v.boot && v.boot != ""
	switch {
	case cp.Seq == 0:
		return false, nil
	case cp.of(v.o.Path) && sameBoot:
		return true, v.count(v.o.Path, cp.Length)
	case cp.of(v.o.Path):
		v.length = cp.Length
		return true, v.f.Truncate(cp.Length)
	}
	left := v.left()
	for i := len(left) - 1; i >= 0; i-- { // the process died, or the copy was made, before the checkpoint told that it left this one
		if !cp.of(left[i]) {
			continue
		}
		err := v.count(left[i], cp.Length)
		for _, later := range left[i+1:] {
			err = errors.Join(err, v.count(later, 0))
		}
		if sameBoot {
			return true, errors.Join(err, v.count(v.o.Path, 0))
		}
		v.length, v.torn = 0, nil // those that were left are durable, and whole
		return true, errors.Join(err, v.f.Truncate(0))
	}
	if v.length == 0 { // somebody has moved the file away: what it had is not shown again
		return true, nil
	}
	return v.find(cp)
}

// sumOver is how many bytes before a checkpoint's length tell its file from others. An
// inode does not: a copy has another, and in another file system any file may have it.
const sumOver = 4 << 10

// sumBefore is the checksum of the bytes of f before length, never 0 if there are any.
func sumBefore(f io.ReaderAt, length int64) (uint32, error) {
	b := make([]byte, min(length, sumOver))
	if _, err := f.ReadAt(b, length-int64(len(b))); err != nil && len(b) > 0 {
		return 0, err
	}
	sum := crc32.Checksum(b, castagnoli)
	if sum == 0 && len(b) > 0 {
		sum = 1
	}
	return sum, nil
}

// of tells whether a file is the checkpoint's, or a copy of it, as far as the checkpoint goes.
func (cp *checkpoint) of(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || info.Size() < cp.Length {
		return false
	}
	if cp.Sum == 0 { // nothing to compare: it was empty, or an earlier version saved this
		return inodeOf(path) == cp.Inode
	}
	sum, err := sumBefore(f, cp.Length)
	return err == nil && sum == cp.Sum
}

// count takes the whole lines of a file behind off as shown. What follows the last of
// them is the beginning of the next line, which will be completed.
func (v *File) count(path string, off int64) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.Seek(off, io.SeekStart); err != nil {
		return err
	}
	v.torn = nil
	buf := make([]byte, 64<<10)
	for {
		n, err := f.Read(buf)
		b := buf[:n]
		v.shown += uint64(bytes.Count(b, newline))
		if i := bytes.LastIndexByte(b, '\n'); i >= 0 {
			v.torn, b = v.torn[:0], b[i+1:]
		}
		v.torn = append(v.torn, b...)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// pass goes on behind the lines that were counted. The store is read for it: a gap of what
// bad bytes have taken is one line for many arrivals.
func (v *File) pass() error {
	if v.shown == 0 {
		return nil
	}
	r := v.src.Reader(v.next)
	err := r.Read(func(e *journal.Entry, n uint64) error {
		first := max(n, v.next)
		if n+e.Count() <= first {
			return nil
		}
		lines := min(v.shown, n+e.Count()-first)
		v.shown, v.next = v.shown-lines, first+lines
		if v.shown == 0 {
			return errPassed
		}
		return nil
	})
	if errors.Is(err, errPassed) {
		err = nil
	}
	v.next, v.shown = v.next+v.shown, 0
	return errors.Join(err, r.Close())
}

var errPassed = errors.New("passed")

const (
	findLines = 1 << 20 // bytes of the file's end that are looked for, more than a line can have
	findFirst = 64      // arrivals before the checkpoint that are looked at first
	findFiles = 4       // files' worth of lines that are looked at on either side of it, or half as many
)

// find goes on behind the last line of the file, wherever around the checkpoint that is. Where
// it is not there the file is not ours: to look through the whole store could take hours.
func (v *File) find(cp checkpoint) (found bool, err error) {
	end := make([]byte, min(v.length, findLines))
	if _, err := v.f.ReadAt(end, v.length-int64(len(end))); err != nil {
		return false, err
	}
	if i := bytes.IndexByte(end, '\n'); int64(len(end)) < v.length {
		end = end[i+1:] // the line that was cut
	}
	whole := bytes.LastIndexByte(end, '\n') + 1
	end, torn := end[:whole], end[whole:]
	if len(end) == 0 {
		return false, nil
	}
	lacks := cp.Length - (v.length - int64(len(torn)))
	oldest, bound := v.src.OldestArrival(), max(findFiles*v.o.RotateBytes, findFiles*findLines)
	for back, last := uint64(findFirst), false; !last && !found; {
		from := max(oldest, cp.Arrival-min(back, cp.Arrival))
		var before int64
		if v.next, before, found, err = v.endsAs(end, from, cp.Arrival, lacks, bound); err != nil {
			return false, err
		}
		last = from == oldest || before >= bound/2 // more would be more than the bound
		back = uint64(min(64*float64(back), float64(back)*float64(bound)/float64(max(before, 1))))
	}
	if found {
		v.torn = torn
		v.o.Logger.Info("the log file is not as it was left; it goes on behind its last line", "file", v.o.Path, "arrival", v.next, "left", cp.Arrival)
	} else {
		v.o.Logger.Warn("the end of the log file is not in the store; a new file goes on from where it was left", "file", v.o.Path, "arrival", cp.Arrival)
	}
	return found, nil
}

// endsAs renders the store from an arrival on, up to bound bytes behind near, and is the
// arrival behind the lines end. If there are several, it is the one from which the store has
// as much up to near as the file lacks (or behind near, as it has more), or else the nearest.
// before is how many bytes the store has from the first arrival up to near.
func (v *File) endsAs(end []byte, from, near uint64, lacks, bound int64) (next uint64, before int64, found bool, err error) {
	last := end[bytes.LastIndexByte(end[:len(end)-1], '\n')+1:]
	whole := from == v.src.OldestArrival() // there is nothing before it to be compared
	var lines []byte
	var total int64
	type place struct {
		next  uint64
		total int64
	}
	var places []place
	added := func(start int, n uint64) {
		if n >= from { // an entry may begin before that
			total += int64(len(lines) - start)
		}
		if n < near {
			before = total
		}
		first := len(lines) - len(end)
		if bytes.Equal(lines[start:], last) && (first >= 0 && bytes.Equal(lines[first:], end) || first < 0 && whole && bytes.HasSuffix(end, lines)) {
			places = append(places, place{n + 1, total})
		}
	}
	r := v.src.Reader(from)
	err = r.Read(func(e *journal.Entry, n uint64) error {
		if before > 2*bound || total-before > bound {
			return errPassed
		}
		if keep := len(end); len(lines) > 2*keep+findLines { // what is before does not matter
			lines = append(lines[:0], lines[len(lines)-keep:]...)
		}
		if e.Kind == journal.KindGap {
			start := len(lines)
			lines = v.o.Format.AppendGap(lines, gapOf(e))
			added(start, n)
			return nil
		}
		for line := range e.Records() {
			start := len(lines)
			lines = v.o.Format.Append(lines, line)
			added(start, n)
			n++
		}
		return nil
	})
	if errors.Is(err, errPassed) {
		err = nil
	}
	if before > 2*bound { // lines are much longer here than near near: where that is, is not known
		places = nil
	}
	next = near
	for _, p := range places {
		fits := before-p.total == lacks
		if !found || fits || distance(p.next, near) < distance(next, near) {
			next, found = p.next, true
		}
		if fits {
			return next, before, true, errors.Join(err, r.Close())
		}
	}
	found = found && (whole || before >= bound/2 || len(places) == 1) // one of many is looked for among all
	return next, before, found, errors.Join(err, r.Close())
}

func distance(a, b uint64) uint64 { return max(a, b) - min(a, b) }
