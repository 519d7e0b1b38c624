package journal

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/earshot-mq/earshot/internal/durable"
	"github.com/earshot-mq/earshot/publisher/record"
)

// The extensions, which are the states of a segment.
const (
	extOpen   = ".open"
	extClosed = ".jsonl"
	extIndex  = ".index"
	extBad    = ".bad" // set aside
)

// markEvery is how many bytes lie between two marks of an index, of one run for each two
// that the segment has: a segment of many runs that take turns has no more marks than one
// of two. Marks stay in memory. They serve a reader that has no extents, and one that looks
// for what lies behind bad bytes.
const markEvery = 64 << 10

// segment is one file of a log and what is known of its inside. Log.mu guards it.
type segment struct {
	Name  string          `json:"name"`
	Size  int64           `json:"size"` // bytes of whole entries; what lies beyond is not read
	Spans map[string]span `json:"runs"` // by run: text form, since JSON wants strings
	Marks []mark          `json:"marks"`
	Began uint64          `json:"began"` // store: arrival number of the first record
	Ends  uint64          `json:"ends"`  // store: arrival number after the last record
	Time  int64           `json:"time"`  // Unix nanoseconds of the newest entry that has a time

	spans  map[record.Run]*span
	closed bool    // renamed: extClosed
	bad    bool    // closed: has bad bytes, or no file
	doubt  bool    // and no index, which would say what it had: those around it do
	pieces []piece // closed: those that are no entries, once a reader met one
	synced int64
	failed error // an fsync of the file did, and what it did not cover is durable only elsewhere; guarded by Log.syncMu
}

// span is what a segment has of one run.
type span struct {
	First uint64     `json:"first"`
	Last  uint64     `json:"last"`
	Marks [][2]int64 `json:"marks"` // number and offset, one each markEvery bytes
	Line  [2]int64   `json:"line"`  // offset behind the index's checksum, and length, of the line of its extents

	extents extents  // while the segment is written
	line    [2]int64 // closed: Line, its offset in the file
}

// mark finds an arrival or a time in a segment.
type mark struct {
	Offset int64  `json:"offset"`
	N      uint64 `json:"n"`
	Time   int64  `json:"time"`
}

func newSegment(name string, n uint64) *segment {
	return &segment{Name: name, Began: n, Ends: n, spans: map[record.Run]*span{}}
}

func segmentName(epoch record.Epoch, serial int) string {
	return fmt.Sprintf("%s-%06d", epoch, serial)
}

func (s *segment) path(dir string) string {
	if s.closed {
		return filepath.Join(dir, s.Name+extClosed)
	}
	return filepath.Join(dir, s.Name+extOpen)
}

// note takes an entry that begins at off into the index.
func (s *segment) note(e *Entry, off int64) {
	switch e.Kind {
	case KindArrival:
		if len(s.Marks) == 0 || off-s.Marks[len(s.Marks)-1].Offset >= markEvery {
			s.Marks = append(s.Marks, mark{off, e.N, e.Time.UnixNano()})
		}
		s.Time = max(s.Time, e.Time.UnixNano())
		s.Began, s.Ends = min(s.Began, e.N), e.N // a rescued tail lies below its segment's cursors
	case KindCursors:
		s.Began, s.Ends = e.N, e.N
	case KindEpoch:
		s.Time = max(s.Time, e.Time.UnixNano())
	case KindBatch, KindGap:
		sp := s.spans[e.Run]
		if sp == nil {
			sp = &span{First: e.First}
			s.spans[e.Run] = sp
		}
		if n := len(sp.Marks); n == 0 || off-sp.Marks[n-1][1] >= markEvery*int64(max(len(s.spans)/2, 1)) {
			sp.Marks = append(sp.Marks, [2]int64{int64(e.First), off})
		}
		sp.extents.add(e.First, off, off+int64(len(e.Raw)))
		sp.Last = max(sp.Last, e.Last)
		s.Ends += e.Count()
	}
	s.Size = off + int64(len(e.Raw))
}

// find is the offset from which a reader has to scan for number seq of run; ok is
// false when the segment has nothing of run at or above seq.
func (s *segment) find(run record.Run, seq uint64) (off int64, ok bool) {
	sp := s.spans[run]
	if sp == nil || sp.Last < seq {
		return 0, false
	}
	i := sort.Search(len(sp.Marks), func(i int) bool { return sp.Marks[i][0] > int64(seq) })
	return sp.Marks[max(i-1, 0)][1], true
}

// findArrival is the offset from which a reader has to scan for arrival n.
func (s *segment) findArrival(n uint64) int64 {
	i := sort.Search(len(s.Marks), func(i int) bool { return s.Marks[i].N > n })
	if i == 0 {
		return 0
	}
	return s.Marks[i-1].Offset
}

// scanRooms is what scan reads into, used again: a FETCH reads a segment in many pieces.
var scanRooms = sync.Pool{New: func() any { b := make([]byte, 256<<10); return &b }}

// scan reads every whole entry of r and hands it to f with its offset. It ends without
// an error at the end, and with ErrCorrupt or ErrVersion at the first bytes that are
// no entry; a torn last entry is ErrShort. f must not keep the entry.
func scan(r io.ReaderAt, off, end int64, f func(e *Entry, off int64) error) error {
	room := scanRooms.Get().(*[]byte)
	buf := *room
	defer func() {
		if len(buf) <= 1<<20 {
			*room = buf
			scanRooms.Put(room)
		}
	}()
	for have := 0; ; {
		n, err := r.ReadAt(buf[have:min(int64(len(buf)), max(end-off, 0))], off+int64(have))
		have += n
		if err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("journal: read at %d: %w", off, err)
		}
		eof := n == 0 || off+int64(have) >= end
		used := 0
		for used < have {
			e, err := Next(buf[used:have])
			if errors.Is(err, ErrShort) {
				break
			}
			if err != nil {
				return err
			}
			if err := f(&e, off); err != nil {
				return err
			}
			used += len(e.Raw)
			off += int64(len(e.Raw))
		}
		have = copy(buf, buf[used:have])
		switch {
		case eof && have > 0:
			return ErrShort
		case eof:
			return nil
		case used == 0:
			buf = append(buf, make([]byte, len(buf))...)
		}
	}
}

// load reads a segment's index, or makes it anew from the file. With note, which gets each
// entry, the file is read in any case.
func load(dir, name, ext string, note func(*Entry)) (*segment, error) {
	var index *segment
	if ext != extOpen {
		x := newSegment(name, 0)
		if x.closed = true; x.readIndex(dir) == nil {
			index = x
		}
		if index != nil && ext == extIndex {
			index.bad = true
			return index, nil
		}
		if index != nil && note == nil {
			return index, nil
		}
	}
	s := newSegment(name, 0)
	s.closed = ext != extOpen
	f, err := os.Open(s.path(dir))
	if err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	take := func(e *Entry, off int64) error {
		s.note(e, off)
		if note != nil {
			note(e)
		}
		return nil
	}
	if index != nil { // it says how far the file is read
		err = scanOn(f, 0, min(info.Size(), index.Size), take, func(int64, int64) { s.bad = true })
	} else {
		err = scan(f, 0, info.Size(), take)
	}
	if err != nil && !isBad(err) && (s.Size == 0 || !errors.Is(err, ErrVersion)) { // a segment has one version
		return s, fmt.Errorf("journal: %s: %w", s.path(dir), err)
	}
	if index != nil && (s.bad || info.Size() < index.Size) {
		index.bad = true
		return index, nil
	}
	s.bad = s.closed && s.Size < info.Size()
	s.synced = s.Size
	s.Time = max(s.Time, info.ModTime().UnixNano())
	return s, nil
}

// writeIndex writes the index beside the segment: a line of JSON, its checksum, and a line
// of extents for each run. at says where in the file those are. An index is only an aid:
// what it says can be read from the segment again.
func (s *segment) writeIndex(dir string) (at map[record.Run][2]int64, err error) {
	var lines []byte
	at = make(map[record.Run][2]int64, len(s.spans))
	s.Spans = make(map[string]span, len(s.spans))
	for run, sp := range s.spans {
		off := len(lines)
		lines = sp.extents.line(lines, run)
		at[run] = [2]int64{int64(off), int64(len(lines) - off)}
		s.Spans[run.String()] = span{First: sp.First, Last: sp.Last, Marks: sp.Marks, Line: at[run]}
	}
	text, err := json.Marshal(s)
	s.Spans = nil
	if err != nil {
		return nil, fmt.Errorf("journal: index of %s: %w", s.Name, err)
	}
	text = fmt.Appendf(text, "\n%08x\n", crc32.Checksum(text, crcTable))
	for run, line := range at {
		at[run] = [2]int64{line[0] + int64(len(text)), line[1]}
	}
	return at, WriteFile(filepath.Join(dir, s.Name+extIndex), append(text, lines...))
}

// readIndex reads an index but for its extents, which are read when wanted.
func (s *segment) readIndex(dir string) error {
	f, err := os.Open(filepath.Join(dir, s.Name+extIndex))
	if err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	defer f.Close()
	r := bufio.NewReader(f)
	body, err := r.ReadBytes('\n')
	sum, err2 := r.ReadString('\n')
	if err := errors.Join(err, err2); err != nil {
		return fmt.Errorf("journal: index %s: %w", s.Name, errors.Join(err, ErrCorrupt))
	}
	lines := int64(len(body) + len(sum))
	body = body[:len(body)-1]
	if fmt.Sprintf("%08x\n", crc32.Checksum(body, crcTable)) != sum {
		return fmt.Errorf("journal: checksum of index %s: %w", s.Name, ErrCorrupt)
	}
	if err := json.Unmarshal(body, s); err != nil {
		return fmt.Errorf("journal: index %s: %w", s.Name, errors.Join(err, ErrCorrupt))
	}
	for text, sp := range s.Spans {
		id, err := record.ParseID(text + "/1")
		if err != nil || len(sp.Marks) == 0 {
			return fmt.Errorf("journal: run %q of index %s: %w", text, s.Name, ErrCorrupt)
		}
		sp.line = [2]int64{lines + sp.Line[0], sp.Line[1]}
		s.spans[id.Run] = &sp
	}
	s.Spans = nil
	s.synced = s.Size
	return nil
}

// file is a segment's file in a directory listing.
type file struct{ name, ext string }

// segmentFiles lists the segments of dir, oldest opening first, and the highest epoch
// that a name has. One that has only an index left is listed by that.
func segmentFiles(dir string) (files []file, highest record.Epoch, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, 0, fmt.Errorf("journal: %w", err)
	}
	for _, e := range entries {
		ext := filepath.Ext(e.Name())
		name := strings.TrimSuffix(e.Name(), ext)
		epoch, ok := segmentEpoch(name)
		if ext != extOpen && ext != extClosed && ext != extIndex || !ok {
			continue
		}
		highest = max(highest, epoch)
		files = append(files, file{name, ext})
	}
	slices.SortFunc(files, func(a, b file) int { return strings.Compare(a.name, b.name) })
	files = slices.DeleteFunc(files, func(f file) bool {
		return f.ext == extIndex && (exists(dir, f.name+extClosed) || exists(dir, f.name+extOpen)) // renamed in between, perhaps
	})
	return files, highest, nil
}

func exists(dir, name string) bool {
	_, err := os.Lstat(filepath.Join(dir, name))
	return !errors.Is(err, os.ErrNotExist)
}

// segmentEpoch is the epoch in the name of a segment; ok is false when it is none's.
func segmentEpoch(name string) (epoch record.Epoch, ok bool) {
	if len(name) < 18 || name[16] != '-' {
		return 0, false
	}
	epoch, err := record.ParseEpoch(name[:16])
	_, err2 := strconv.Atoi(name[17:])
	return epoch, err == nil && err2 == nil
}

// WriteFile replaces a small file whole: a temporary file, synced, renamed.
func WriteFile(path string, text []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*.tmp")
	if err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	_, err = f.Write(text)
	if err == nil {
		err = durable.Data(f)
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("journal: write %s: %w", path, err), os.Remove(f.Name()))
	}
	return nil
}

// newest is the time of the newest entry, or zero while the segment is written.
func (s *segment) newest() time.Time {
	if s.Time == 0 {
		return time.Time{}
	}
	return time.Unix(0, s.Time)
}
