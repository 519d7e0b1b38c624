package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/earshot-mq/earshot/internal/journal"
	"github.com/earshot-mq/earshot/publisher/record"
)

// The runs of testdata/v1.
var (
	runA = record.Run{Stream: "q7k3v9x2m1t8w", Epoch: 0x19a8f3c2e4b00d17}
	runB = record.Run{Stream: "0000000000001", Epoch: 0x19a8f3c2e4b00d18}
)

// version1 is what testdata/v1 has, in order of arrival: two records of A at a time, one of B
// with every third of these, and in the place of the sixth two a gap.
func version1() (all []string) {
	for i := range 12 {
		if i == 5 {
			all = append(all, fmt.Sprintf("%s/11-12 publisher: dropped", runA))
		} else {
			all = append(all, fmt.Sprintf("%s/%d", runA, 2*i+1), fmt.Sprintf("%s/%d", runA, 2*i+2))
		}
		if i%3 == 0 {
			all = append(all, fmt.Sprintf("%s/%d", runB, i/3+1))
		}
	}
	return all
}

// shown reads a store from an arrival on, a line each.
func shown(t *testing.T, s *Store, from uint64) (all []string) {
	t.Helper()
	r := s.Reader(from)
	defer r.Close()
	err := r.Read(func(e *journal.Entry, n uint64) error {
		if e.Kind == journal.KindGap {
			all = append(all, fmt.Sprintf("%s/%d-%d %s", e.Run, e.First, e.Last, e.Reason))
			return nil
		}
		for line := range e.Records() {
			l, err := record.Scan(line)
			if err != nil {
				return err
			}
			if n++; n > from { // an append is read from its beginning on
				all = append(all, l.ID().String())
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestVersion1 opens a store that the first version has written and left in the middle: what
// it holds is there under the same numbers, closed and open segments, with their indexes and
// without, and it goes on where it ended.
func TestVersion1(t *testing.T) {
	for name, indexed := range map[string]bool{"with indexes": true, "without": false} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.CopyFS(dir, os.DirFS("testdata/v1")); err != nil {
				t.Fatal(err)
			}
			if indexes, err := filepath.Glob(filepath.Join(dir, "*.index")); err != nil || len(indexes) == 0 {
				t.Fatalf("%d indexes, %v", len(indexes), err)
			} else if !indexed {
				for _, path := range indexes {
					if err := os.Remove(path); err != nil {
						t.Fatal(err)
					}
				}
			}
			want := version1()
			next := uint64(25)
			for _, how := range []string{"opened", "opened again", "and again"} {
				s, err := Open(dir, Options{SegmentBytes: 2 << 10})
				if err != nil {
					t.Fatal(err)
				}
				if s.ID() != "er87t7q6tg0ch" {
					t.Errorf("%s: the store is %s", how, s.ID())
				}
				if got := shown(t, s, 1); fmt.Sprint(got) != fmt.Sprint(want) {
					t.Errorf("%s: there are\n%v, want\n%v", how, got, want)
				}
				for _, from := range []uint64{2, 12, 13, 20, uint64(len(want))} {
					if got := shown(t, s, from); fmt.Sprint(got) != fmt.Sprint(want[from-1:]) {
						t.Errorf("%s: from arrival %d on there are %v, want %v", how, from, got, want[from-1:])
					}
				}
				if s.Arrival() != uint64(len(want))+1 {
					t.Errorf("%s: the next arrival is %d, want %d", how, s.Arrival(), len(want)+1)
				}
				a, okA := s.Cursor(runA)
				b, okB := s.Cursor(runB)
				if !okA || a.Next != next || a.Began != 1 || a.Service != "downcase" || a.Ended {
					t.Errorf("%s: A stands at %+v", how, a)
				}
				if !okB || b.Next != 5 || b.Began != 1 || b.Service != "gateway" || !b.Ended || b.Given != 4 {
					t.Errorf("%s: B stands at %+v", how, b)
				}
				if lost, _ := s.Lost(); lost != 0 {
					t.Errorf("%s: %d records are lost", how, lost)
				}
				line := record.Append(nil, &record.Record{ID: record.ID{Run: runA, Seq: next}, Source: "/downcase"})
				raw := journal.AppendBatch(nil, runA, next, 1, line)
				gap := journal.NewGap(runA, "downcase", next+1, next+2, "publisher: corrupt")
				_, err = s.Append(journal.Entry{Kind: journal.KindBatch, Run: runA, First: next, Last: next, Lines: raw[len(raw)-len(line):], Raw: raw}, gap)
				want = append(want, fmt.Sprintf("%s/%d", runA, next), fmt.Sprintf("%s/%d-%d publisher: corrupt", runA, next+1, next+2))
				next += 3
				if err := errors.Join(err, s.Close()); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}
