package view

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/earshot-mq/earshot/internal/journal"
	"github.com/earshot-mq/earshot/publisher/record"
)

type shelf struct {
	t    *testing.T
	log  *journal.Log
	dir  string
	next uint64
	want []byte // what the view has to show
	f    *Format
}

func newShelf(t *testing.T) *shelf {
	t.Helper()
	dir := t.TempDir()
	log, err := journal.Open(filepath.Join(dir, "store"), journal.Options{Arrivals: true, SegmentBytes: 8 << 10})
	if err != nil {
		t.Fatal(err)
	}
	f, err := ParseFormat("text", nil)
	if err != nil {
		t.Fatal(err)
	}
	return &shelf{t: t, log: log, dir: dir, next: 1, f: f}
}

var shelfRun = record.Run{Stream: "q7k3v9x2m1t8w", Epoch: 1 << 60}

// add stores a batch of n records, and now and then a gap.
func (s *shelf) add(n int) {
	s.t.Helper()
	first := s.next
	var lines []byte
	for range n {
		r := record.Record{
			ID: record.ID{Run: shelfRun, Seq: s.next}, Source: "/downcase", Time: time.Unix(1e9+int64(s.next), 0), Subject: "/downcase/",
			HTTP: record.HTTP{Method: "GET", Path: "/downcase/", Status: 200, Bytes: 28, Body: fmt.Appendf(nil, "record %d", s.next), BodyKind: record.BodyText},
		}
		start := len(lines)
		lines = record.Append(lines, &r)
		s.want = s.f.Append(s.want, lines[start:])
		s.next++
	}
	raw := journal.AppendBatch(nil, shelfRun, first, n, lines)
	e := journal.Entry{Kind: journal.KindBatch, Run: shelfRun, First: first, Last: s.next - 1, Lines: raw[len(raw)-len(lines):], Raw: raw}
	if _, err := s.log.Append(e); err != nil {
		s.t.Fatal(err)
	}
}

func (s *shelf) open(o FileOptions) *File {
	s.t.Helper()
	o.Path, o.Checkpoint = filepath.Join(s.dir, "logs", "subscriber.log"), filepath.Join(s.dir, "view")
	if o.Format == nil {
		o.Format = s.f
	}
	o.FreeFloor = 1e-9
	v, err := OpenFile(s.log, o)
	if err != nil {
		s.t.Fatal(err)
	}
	return v
}

// shown is what all files of the view hold, oldest first.
func (s *shelf) shown(v *File) []byte {
	s.t.Helper()
	var all []byte
	for _, p := range append(v.left(), v.o.Path) {
		b, err := os.ReadFile(p)
		if err != nil {
			s.t.Fatal(err)
		}
		all = append(all, b...)
	}
	return all
}

func (s *shelf) check(v *File, when string) {
	s.t.Helper()
	if got := s.shown(v); !bytes.Equal(got, s.want) {
		s.t.Fatalf("%s: %d bytes in %d lines shown, want %d in %d", when, len(got), bytes.Count(got, newline), len(s.want), bytes.Count(s.want, newline))
	}
}

func TestFileShowsEachArrivalOnce(t *testing.T) {
	s := newShelf(t)
	s.add(3)
	v := s.open(FileOptions{})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- v.Run(ctx) }()
	for i := range 50 {
		s.add(1 + i%5)
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	s.check(v, "after Run")
	v = s.open(FileOptions{})
	if v.next != s.next {
		t.Errorf("reopened at arrival %d, want %d", v.next, s.next)
	}
}

// TestFileAfterCrashes leaves the view at random moments, with the end of its file as
// the death of a process can leave it: any length from what is checkpointed on.
func TestFileAfterCrashes(t *testing.T) {
	for _, boot := range []string{"same boot", "another boot"} {
		t.Run(boot, func(t *testing.T) {
			s := newShelf(t)
			rnd := rand.New(rand.NewPCG(1, 2))
			var v *File
			for crash := range 60 {
				v = s.open(FileOptions{RotateBytes: 4 << 10, Keep: 1000})
				if boot == "another boot" {
					v.boot = fmt.Sprint("boot", crash)
				}
				r := s.log.Reader(v.next)
				for range rnd.IntN(6) {
					s.add(1 + rnd.IntN(4))
					if err := v.show(r); err != nil {
						t.Fatal(err)
					}
					if rnd.IntN(3) == 0 {
						if err := v.housekeep(); err != nil {
							t.Fatal(err)
						}
					}
				}
				if rnd.IntN(4) == 0 && v.length > 0 { // it dies between leaving a file and the checkpoint
					saved := v.cps
					v.cps = &checkpoints{f: os.NewFile(^uintptr(0), ""), checkpoint: saved.checkpoint}
					_ = v.leave()
					s.add(2)
					if err := v.show(r); err != nil {
						t.Fatal(err)
					}
					v.cps = saved
				} else if cut := v.length - v.cps.Length; cut > 0 && v.cps.Inode == v.inode {
					if err := os.Truncate(v.o.Path, v.cps.Length+rnd.Int64N(cut+1)); err != nil {
						t.Fatal(err)
					}
				}
				_ = v.Close()
			}
			v = s.open(FileOptions{})
			if err := v.show(s.log.Reader(v.next)); err != nil {
				t.Fatal(err)
			}
			s.check(v, "after 60 crashes")
		})
	}
}

func TestFileMovedAway(t *testing.T) {
	s := newShelf(t)
	s.add(5)
	v := s.open(FileOptions{})
	r := s.log.Reader(v.next)
	if err := v.show(r); err != nil {
		t.Fatal(err)
	}
	moved := v.o.Path + ".1"
	if err := os.Rename(v.o.Path, moved); err != nil {
		t.Fatal(err)
	}
	if err := v.housekeep(); err != nil {
		t.Fatal(err)
	}
	s.add(5)
	if err := v.show(r); err != nil {
		t.Fatal(err)
	}
	a, _ := os.ReadFile(moved)
	b, _ := os.ReadFile(v.o.Path)
	if !bytes.Equal(append(a, b...), s.want) || len(b) == 0 {
		t.Errorf("%d and %d bytes, want %d in all", len(a), len(b), len(s.want))
	}
}

func TestAnotherFormatBeginsAnotherFile(t *testing.T) {
	s := newShelf(t)
	s.add(5)
	v := s.open(FileOptions{})
	if err := v.show(s.log.Reader(v.next)); err != nil {
		t.Fatal(err)
	}
	if err := v.checkpoint(); err != nil {
		t.Fatal(err)
	}
	f, _ := ParseFormat("json", nil)
	v = s.open(FileOptions{Format: f})
	if len(v.left()) != 1 || v.length != 0 || v.next != s.next {
		t.Errorf("left %v, length %d, next %d", v.left(), v.length, v.next)
	}
}

func TestKeepsOnlySoManyFiles(t *testing.T) {
	s := newShelf(t)
	v := s.open(FileOptions{RotateBytes: 1, Keep: 3})
	r := s.log.Reader(1)
	for range 10 {
		s.add(1)
		if err := v.show(r); err != nil {
			t.Fatal(err)
		}
		if err := v.housekeep(); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(v.left()); n != 3 {
		t.Errorf("%d files were kept, want 3", n)
	}
}
