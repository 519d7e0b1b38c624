package view

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/earshot-mq/earshot/internal/durable"
	"github.com/earshot-mq/earshot/internal/journal"
	"github.com/earshot-mq/earshot/internal/testenv"
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
						tidy(v, func() {
							s.add(1 + rnd.IntN(2))
							if err := v.show(r); err != nil {
								t.Fatal(err)
							}
						})
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
					if v.boot != durable.BootID() && v.cps.BootID == v.boot {
						s.scribble(v)
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

// scribble puts bytes behind what is durable, as a file system can that was cut off.
func (s *shelf) scribble(v *File) {
	s.t.Helper()
	f, err := os.OpenFile(v.o.Path, os.O_WRONLY, 0)
	if err == nil {
		_, err = f.WriteAt([]byte("\x00\x00\n\n\x00"), v.cps.Length)
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

// show has the view show what there is, and take care of its file.
func (s *shelf) show(v *File, r *journal.Reader) {
	s.t.Helper()
	if err := v.show(r); err != nil {
		s.t.Fatal(err)
	}
	tidy(v, func() {})
}

// tidy is what a view does each second, and what is done while its place is being saved.
func tidy(v *File, meanwhile func()) {
	if !v.hasRoom() {
		return
	}
	if save := v.housekeep(); save != nil {
		meanwhile()
		v.noteSave(save())
	}
}

// TestCheckpointOfTheOtherSlot: when the newer one can't be read, the one before counts.
func TestCheckpointOfTheOtherSlot(t *testing.T) {
	path := filepath.Join(t.TempDir(), "view")
	c, err := openCheckpoints(path)
	if err != nil {
		t.Fatal(err)
	}
	for n := range uint64(5) {
		if err := c.save(checkpoint{Arrival: 10 + n}); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.close(); err != nil {
		t.Fatal(err)
	}
	arrival := func(when string, want uint64) {
		t.Helper()
		c, err := openCheckpoints(path)
		if err != nil {
			t.Fatal(err)
		}
		defer c.close()
		if c.Arrival != want {
			t.Errorf("%s it is at arrival %d, want %d", when, c.Arrival, want)
		}
	}
	arrival("saved five times", 14)
	text, err := os.ReadFile(path)
	if err != nil || len(text) != 2*slotSize {
		t.Fatalf("%d bytes, %v", len(text), err)
	}
	newer := bytes.Index(text, []byte(`"arrival":14`))
	text[newer+len(`"arrival":`)] = '9' // still JSON
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	arrival("with one that is damaged", 13)
}

// slowSync is a store whose disk hangs while it is synced.
type slowSync struct {
	*journal.Log
	began, end chan struct{}
}

func (s slowSync) Sync() error {
	s.began <- struct{}{}
	<-s.end
	return s.Log.Sync()
}

// TestShowsWhileItsPlaceIsSaved: what arrives is shown while a checkpoint's fsync takes
// its time, and the place that it saves is that of its beginning.
func TestShowsWhileItsPlaceIsSaved(t *testing.T) {
	s := newShelf(t)
	v := s.open(FileOptions{})
	slow := slowSync{s.log, make(chan struct{}), make(chan struct{})}
	v.src = slow
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- v.Run(ctx) }()
	s.add(3)
	select {
	case <-slow.began:
	case <-time.After(testenv.Patience):
		t.Fatal("the place is not saved")
	}
	s.add(5)
	testenv.Wait(t, "what arrives to be shown", testenv.Patience, func() bool { return bytes.Equal(s.shown(v), s.want) })
	slow.end <- struct{}{}
	select {
	case <-slow.began: // the next one
	case <-time.After(testenv.Patience):
		t.Fatal("the place is not saved again")
	}
	c, err := openCheckpoints(filepath.Join(s.dir, "view"))
	if err != nil {
		t.Fatal(err)
	}
	if c.Arrival != 4 {
		t.Errorf("the place saved is arrival %d", c.Arrival)
	}
	if err := c.close(); err != nil {
		t.Error(err)
	}
	cancel()
	slow.end <- struct{}{}
	if err := <-done; err != nil {
		t.Error(err)
	}
	s.check(v, "at the end")
}

// noSync is a store that can't be synced.
type noSync struct{ *journal.Log }

var errNoSync = errors.New("input/output error")

func (noSync) Sync() error { return errNoSync }

// TestCheckpointIsNotAheadOfTheStore: a place is saved when what it counts is durable.
func TestCheckpointIsNotAheadOfTheStore(t *testing.T) {
	s := newShelf(t)
	v := s.open(FileOptions{})
	s.add(3)
	if err := v.show(s.log.Reader(v.next)); err != nil {
		t.Fatal(err)
	}
	v.src = noSync{s.log}
	before := v.cps.checkpoint
	if err := v.checkpoint(); !errors.Is(err, errNoSync) || v.cps.checkpoint != before {
		t.Errorf("checkpoint = %v, %+v", err, v.cps.checkpoint)
	}
	v.src = s.log
	if err := v.checkpoint(); err != nil || v.cps.Arrival != 4 {
		t.Errorf("checkpoint = %v, %+v", err, v.cps.checkpoint)
	}
}

// TestFreeFloor: what is free is the store's first: old files go, then the file waits.
func TestFreeFloor(t *testing.T) {
	s := newShelf(t)
	v := s.open(FileOptions{RotateBytes: 1})
	r := s.log.Reader(v.next)
	s.add(1)
	s.show(v, r)
	if n := len(v.left()); n != 1 {
		t.Fatalf("%d files were left, want 1", n)
	}
	v.o.FreeFloor = 2 // of a file system whose half could never be free
	s.show(v, r)
	s.add(1)
	s.show(v, r)
	state, err := v.State()
	if len(v.left()) != 0 || !strings.HasPrefix(state, "degraded: the log file ") || err != nil || v.next != 2 {
		t.Errorf("%d files left, %q, %v, next %d", len(v.left()), state, err, v.next)
	}
	v.o.FreeFloor = 1e-9
	s.show(v, r)
	s.show(v, r)
	if state, _ := v.State(); state != "ok" || v.next != 3 {
		t.Errorf("with room again %q, next %d", state, v.next)
	}
}

func TestRotateEvery(t *testing.T) {
	s := newShelf(t)
	v := s.open(FileOptions{RotateEvery: time.Hour})
	r := s.log.Reader(v.next)
	s.add(1)
	s.show(v, r)
	if n := len(v.left()); n != 0 {
		t.Fatalf("%d files were left at once", n)
	}
	v.began = v.began.Add(-time.Hour)
	s.show(v, r)
	if n := len(v.left()); n != 1 || time.Since(v.began) > time.Minute {
		t.Errorf("after an hour %d files were left; the new one began %v ago", n, time.Since(v.began))
	}
}

// TestFileThatCantBeMade: the store goes on, and so does the file when it can.
func TestFileThatCantBeMade(t *testing.T) {
	s := newShelf(t)
	v := s.open(FileOptions{})
	r := s.log.Reader(v.next)
	s.add(2)
	s.show(v, r)
	if err := errors.Join(os.Remove(v.o.Path), os.Mkdir(v.o.Path, 0o700)); err != nil {
		t.Fatal(err)
	}
	s.want = nil // what it had is gone with it
	s.add(2)
	s.show(v, r)
	if state, err := v.State(); !strings.HasPrefix(state, "degraded: the log file ") || err != nil {
		t.Errorf("State = %q, %v", state, err)
	}
	if err := os.Remove(v.o.Path); err != nil {
		t.Fatal(err)
	}
	s.show(v, r)
	s.add(2)
	s.show(v, r)
	if state, err := v.State(); state != "ok" || err != nil {
		t.Errorf("State = %q, %v", state, err)
	}
	if got := s.shown(v); !bytes.HasSuffix(s.want, got) || bytes.Count(got, newline) < 2 {
		t.Errorf("%q is shown, want the end of %q", got, s.want)
	}
}

// TestLongFormat: a template of any length has its place in a checkpoint, and another of the
// same length is another.
func TestLongFormat(t *testing.T) {
	s := newShelf(t)
	s.add(1)
	for n, end := range []string{"a", "b", "b"} {
		f, err := ParseFormat("template={{.Body}}"+strings.Repeat("\t", 5000)+end, nil)
		if err != nil {
			t.Fatal(err)
		}
		v := s.open(FileOptions{Format: f})
		if err := errors.Join(v.show(s.log.Reader(v.next)), v.checkpoint()); err != nil {
			t.Fatal(err)
		}
		if want := min(n, 1); len(v.left()) != want {
			t.Errorf("with format %d %d files were left, want %d", n, len(v.left()), want)
		}
		s.add(1)
		if err := errors.Join(v.show(s.log.Reader(v.next)), v.checkpoint(), v.Close()); err != nil {
			t.Fatal(err)
		}
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
	tidy(v, func() {})
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
		tidy(v, func() {})
	}
	if n := len(v.left()); n != 3 {
		t.Errorf("%d files were kept, want 3", n)
	}
}

// TestStoreFromABackup: the log files have shown more than the store has. What comes now is
// shown in a file of its own, all of it and once.
func TestStoreFromABackup(t *testing.T) {
	s := newShelf(t)
	v := s.open(FileOptions{})
	s.add(10)
	s.show(v, s.log.Reader(v.next))
	if err := s.log.Close(); err != nil {
		t.Fatal(err)
	}
	backup := filepath.Join(s.dir, "backup")
	if err := os.CopyFS(backup, os.DirFS(filepath.Join(s.dir, "store"))); err != nil {
		t.Fatal(err)
	}
	reopen := func(dir string) {
		t.Helper()
		log, err := journal.Open(dir, journal.Options{Arrivals: true})
		if err != nil {
			t.Fatal(err)
		}
		s.log = log
		if err := v.Close(); err != nil {
			t.Fatal(err)
		}
		v = s.open(FileOptions{})
	}
	reopen(filepath.Join(s.dir, "store"))
	s.add(10)
	s.show(v, s.log.Reader(v.next))
	s.check(v, "before")
	s.next -= 10 // these are fetched again, behind others
	reopen(backup)
	s.want = nil
	s.add(4)
	s.add(9)
	s.show(v, s.log.Reader(v.next))
	got, err := os.ReadFile(v.o.Path)
	if err != nil || !bytes.Equal(got, s.want) || len(v.left()) != 1 {
		t.Errorf("%v, beside %v: %d lines, want %d", err, v.left(), bytes.Count(got, newline), bytes.Count(s.want, newline))
	}
}

// TestPathsOfOneFile: however the file's path is written, those that were left are found: by
// their bound, in their order, and after a death.
func TestPathsOfOneFile(t *testing.T) {
	for _, path := range []string{"x.log", "./x.log", "logs//x.log", "logs/../x.log", "logs/./x.log", "[logs]/x.log", "lo*s/x-?.log"} {
		t.Run(path, func(t *testing.T) {
			t.Chdir(t.TempDir())
			s := newShelf(t)
			o := FileOptions{Path: path, Checkpoint: "view", Format: s.f, RotateBytes: 1, Keep: 3, FreeFloor: 1e-9}
			v, err := OpenFile(s.log, o)
			if err != nil {
				t.Fatal(err)
			}
			r := s.log.Reader(v.next)
			for range 6 {
				s.add(1)
				s.show(v, r)
			}
			lines := bytes.SplitAfter(s.want, newline)
			if s.want = bytes.Join(lines[3:], nil); len(v.left()) != 3 {
				t.Errorf("%v were left, want 3", v.left())
			}
			s.check(v, "rotated")
			v.o.RotateBytes = 1 << 20
			s.add(1)
			s.show(v, r)
			if err := os.Rename(v.o.Path, v.leaveAs(time.Now())); err != nil { // it dies before the next file is made
				t.Fatal(err)
			}
			_ = v.Close()
			o.RotateBytes, o.Keep = 1<<20, 10
			if v, err = OpenFile(s.log, o); err != nil {
				t.Fatal(err)
			}
			s.add(1)
			s.show(v, s.log.Reader(v.next))
			s.check(v, "after a death")
			if n := len(v.left()); n != 4 {
				t.Errorf("%d were left, want 4", n)
			}
		})
	}
}

// TestNoRoomTakesOldFiles: want of space takes the old files, whatever the path looks like.
func TestNoRoomTakesOldFiles(t *testing.T) {
	t.Chdir(t.TempDir())
	s := newShelf(t)
	s.add(1)
	v, err := OpenFile(s.log, FileOptions{Path: "./logs//x.log", Checkpoint: "view", Format: s.f, FreeFloor: 1e-9})
	if err != nil {
		t.Fatal(err)
	}
	s.show(v, s.log.Reader(v.next))
	if err := v.leave(); err != nil {
		t.Fatal(err)
	}
	v.o.FreeFloor = 1.1
	if err := v.makeRoom(); err == nil {
		t.Error("there is room")
	}
	if all, _ := filepath.Glob("logs/*"); len(all) != 1 {
		t.Errorf("%v are there, want the present file", all)
	}
}
