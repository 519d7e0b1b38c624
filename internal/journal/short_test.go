package journal

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"testing"

	"github.com/earshot-mq/earshot/internal/testenv"
	"github.com/earshot-mq/earshot/publisher/record"
)

// long is batch with lines of so many bytes.
func long(run record.Run, first uint64, count, size int) Entry {
	var lines []byte
	for i := range uint64(count) {
		r := record.Record{ID: record.ID{Run: run, Seq: first + i}, Source: "/downcase", HTTP: record.HTTP{Body: bytes.Repeat([]byte("x"), size), BodyKind: record.BodyText}}
		lines = record.Append(lines, &r)
	}
	raw := AppendBatch(nil, run, first, count, lines)
	return Entry{Kind: KindBatch, Run: run, First: first, Last: first + uint64(count) - 1, Lines: raw[len(raw)-len(lines):], Raw: raw}
}

// TestShortWrites has a disk take a part of an append, again and again, and good appends
// follow each of them: what was acknowledged is there once, by number and, of a store, by
// arrival, after a good stop and after none. An entry in the same file behind one that was cut
// would be lost with it.
func TestShortWrites(t *testing.T) {
	for name, allocated := range map[string]bool{"and no next segment": false, "and the next segment is allocated": true} {
		for _, store := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, store %v", name, store), func(t *testing.T) {
				d := testenv.NewDisk(t, "tmpfs", 16)
				s := &shorts{t: t, d: d, dir: filepath.Join(d.Path, "j"), o: Options{Arrivals: store, SegmentBytes: 256 << 10}, next: map[record.Run]uint64{runA: 1, runB: 1}}
				s.l = open(t, s.dir, s.o)
				for round := range 12 {
					s.short(allocated)
					switch round % 4 {
					case 1:
						if err := s.l.Sync(); err != nil {
							t.Fatal(err)
						}
					case 2: // killed
						for _, f := range s.l.files() {
							_ = f.Close()
						}
						s.l = open(t, s.dir, s.o)
					case 3:
						if err := s.l.Close(); err != nil {
							t.Fatal(err)
						}
						s.l = open(t, s.dir, s.o)
					}
					s.stands("later", s.l)
				}
				if err := s.l.Close(); err != nil {
					t.Fatal(err)
				}
				s.stands("in the end", open(t, s.dir, s.o))
			})
		}
	}
}

// shorts is a log on a disk that takes parts of what is appended.
type shorts struct {
	t    *testing.T
	d    *testenv.Disk
	dir  string
	o    Options
	l    *Log
	next map[record.Run]uint64 // what was acknowledged
}

// add appends a batch of each run at once. ok is false when the disk did not take it: its
// numbers are those of what comes next.
func (s *shorts) add(count, size int) (ok bool) {
	s.t.Helper()
	es := []Entry{long(runA, s.next[runA], count, size), long(runB, s.next[runB], 1, size)}
	if _, err := s.l.Append(es...); errors.Is(err, ErrNoSpace) {
		return false
	} else if err != nil {
		s.t.Fatal(err)
	}
	for _, e := range es {
		s.next[e.Run] = e.Last + 1
	}
	return true
}

// short has an append be cut, between good ones.
func (s *shorts) short(allocated bool) {
	s.t.Helper()
	if s.l.cur != nil && s.l.cur.Size > 0 {
		s.l.roll() // its room may be allocated; that of the next one is not
	}
	for s.add(1, 100); s.l.cur.Size <= s.o.SegmentBytes/4; {
		s.add(1, 10<<10)
	}
	if allocated {
		if err := s.l.Ahead(); err != nil || s.l.ahead == nil {
			s.t.Fatalf("no segment is allocated ahead: %v", err)
		}
	}
	file := s.l.cur.Name
	s.d.Fill(12 << 10) // of the 40 KB of an append
	took := s.add(3, 10<<10)
	if took != allocated {
		s.t.Fatalf("with 12 KiB free, and the next segment allocated %v, an append is taken: %v", allocated, took)
	}
	s.d.Free()
	for i := range 3 {
		s.add(1+i, 100)
	}
	if s.l.cur.Name == file {
		s.t.Fatal("an append that was cut is followed by others in its file")
	}
}

// stands asks that a log has what was acknowledged, once and in order.
func (s *shorts) stands(how string, l *Log) {
	s.t.Helper()
	sum := 0
	for run, n := range s.next {
		if got := numbers(s.t, l, run, 1); !slices.Equal(got, upTo(1, int(n)-1)) {
			s.t.Fatalf("%s: of %s there are %v, want 1 to %d", how, run, got, n-1)
		}
		sum += int(n) - 1
	}
	if s.o.Arrivals {
		if got := arrivals(s.t, l.Reader(1)); !slices.Equal(got, upTo(1, sum)) {
			s.t.Fatalf("%s: the arrivals are %v, want 1 to %d", how, got, sum)
		}
	}
}
