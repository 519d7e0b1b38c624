package journal

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"github.com/earshot-mq/earshot/publisher/record"
)

// extentGap is how many bytes of others may lie between two entries of one extent: to read
// them costs less than to ask for the second by itself.
const extentGap = 4 << 10

// extent is a piece of a segment, of at most markEvery bytes if more than one entry of
// its run is in it. It begins and ends with one of these.
type extent struct {
	first    uint64 // number of the first entry
	off, end int64
}

// extents are where the entries of one run are in a segment, in order. While a segment is
// written they are in memory, about 6 bytes for each, and at most one for each entry;
// of a closed one they are a line of the index, read when wanted. The zero value is none.
type extents struct {
	packed []byte // three differences for each but the newest, as varints; only ever appended to
	before extent // the last of these
	newest extent // still grows
}

func (x *extents) none() bool { return x.newest.end == 0 && len(x.packed) == 0 }

// add takes an entry in.
func (x *extents) add(first uint64, off, end int64) {
	switch n := &x.newest; {
	case n.end == 0:
	case off-n.end <= extentGap && end-n.off <= markEvery:
		n.end = end
		return
	default:
		x.packed = x.appendTo(x.packed)
		x.before = x.newest
	}
	x.newest = extent{first, off, end}
}

// appendTo packs the newest.
func (x *extents) appendTo(b []byte) []byte {
	b = binary.AppendUvarint(b, x.newest.first-x.before.first)
	b = binary.AppendUvarint(b, uint64(x.newest.off-x.before.end))
	return binary.AppendUvarint(b, uint64(x.newest.end-x.newest.off))
}

// unpack takes the extent after e from b.
func (e extent) unpack(b []byte) (extent, []byte) {
	first, n := binary.Uvarint(b)
	gap, m := binary.Uvarint(b[n:])
	size, o := binary.Uvarint(b[n+m:])
	off := e.end + int64(gap)
	return extent{e.first + first, off, off + int64(size)}, b[n+m+o:]
}

// from iterates over the extents, from the one in which number seq is, if it is anywhere.
func (x extents) from(seq uint64) func(yield func(extent) bool) {
	return func(yield func(extent) bool) {
		var at, held extent // held begins at or below seq, and so may the next
		for b := x.packed; len(b) > 0; held = at {
			at, b = at.unpack(b)
			if held.end > 0 && at.first > seq && !yield(held) {
				return
			}
		}
		last := x.newest
		if last.end == 0 {
			last, held = held, extent{}
		}
		if held.end > 0 && last.first > seq && !yield(held) {
			return
		}
		if last.end > 0 {
			yield(last)
		}
	}
}

// trim forgets what lies at off and beyond.
func (x *extents) trim(off int64) {
	var kept extents
	for e := range x.from(0) {
		if e.off < off {
			kept.add(e.first, e.off, min(e.end, off))
		}
	}
	*x = kept
}

// line is the extents as a line of the index: the run, their differences, a checksum.
func (x *extents) line(dst []byte, run record.Run) []byte {
	start := len(dst)
	dst = append(dst, run.String()...)
	for b := x.appendTo(x.packed); len(b) > 0; {
		v, n := binary.Uvarint(b)
		b = b[n:]
		dst = strconv.AppendUint(append(dst, ' '), v, 10)
	}
	return fmt.Appendf(dst, " %08x\n", crc32.Checksum(dst[start:], crcTable))
}

// parseExtents reads such a line of run.
func parseExtents(line string, run record.Run) (x extents, err error) {
	bad := fmt.Errorf("journal: extents of %s: %w", run, ErrCorrupt)
	body, sum, ok := strings.Cut(line, "\n")
	end := strings.LastIndexByte(body, ' ')
	if !ok || sum != "" || end < 0 || body[end+1:] != fmt.Sprintf("%08x", crc32.Checksum([]byte(body[:end]), crcTable)) {
		return x, bad
	}
	name, body, ok := strings.Cut(body[:end], " ")
	if !ok || name != run.String() {
		return x, bad
	}
	n := 0
	for text := range strings.SplitSeq(body, " ") {
		v, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			return extents{}, bad
		}
		x.packed = binary.AppendUvarint(x.packed, v)
		n++
	}
	if n%3 != 0 {
		return extents{}, bad
	}
	return x, nil
}

// readExtents reads a run's line of the index of a closed segment.
func readExtents(dir, name string, run record.Run, at [2]int64) (x extents, err error) {
	f, err := os.Open(filepath.Join(dir, name+extIndex))
	if err != nil {
		return x, fmt.Errorf("journal: %w", err)
	}
	defer f.Close()
	line := make([]byte, at[1])
	if _, err := f.ReadAt(line, at[0]); err != nil {
		return x, fmt.Errorf("journal: %w", err)
	}
	return parseExtents(string(line), run)
}

// recentExtents keeps those of closed segments that readers asked for last: a FETCH reads a
// segment in a hundred pieces, and asks for each. The zero value is none. Safe for concurrent
// use.
type recentExtents struct {
	mu   sync.Mutex
	kept [recentRuns]runExtents
	next int
}

// recentRuns is how many are kept, some kilobytes each: one for each run that a subscriber
// fetches at a time.
const recentRuns = 16

type runExtents struct {
	segment string
	run     record.Run
	extents
}

// get gives what is kept; ok is false when that is nothing.
func (r *recentExtents) get(segment string, run record.Run) (x extents, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range r.kept {
		if k := &r.kept[i]; k.segment == segment && k.run == run {
			return k.extents, true
		}
	}
	return x, false
}

// put keeps x, instead of the oldest.
func (r *recentExtents) put(segment string, run record.Run, x extents) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.kept[r.next] = runExtents{segment, run, x}
	r.next = (r.next + 1) % len(r.kept)
}
