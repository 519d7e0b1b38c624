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

	"github.com/earshot-mq/earshot/internal/journal"
)

// TestDataPutBack copies the log files and the checkpoint while both go on, each at a moment
// of its own, and puts the copies back. Other than in a crash the files are others, have
// anything from less than the checkpoint says to more, and a file that was left may be the
// present one again. Each line is shown once all the same, also where lines are alike.
func TestDataPutBack(t *testing.T) {
	for _, format := range []string{"text", "template={{.Method}} {{.Path}}"} {
		for seed := uint64(20); seed < 40; seed++ {
			s := newShelf(t)
			s.f, _ = ParseFormat(format, nil)
			rnd := rand.New(rand.NewPCG(seed, 0))
			o := FileOptions{RotateBytes: 4 << 10, Keep: 1000}
			if format != "text" {
				o.RotateBytes = 1 << 20 // which of two files it was, lines that are alike do not tell
			}
			v := s.open(o)
			if seed%2 == 1 {
				v.boot = "the boot before"
			}
			r := s.log.Reader(v.next)
			copyLogs, copyView := 1+rnd.IntN(60), rnd.IntN(60)
			if seed%10 == 0 { // a checkpoint of nothing
				copyView = 0
			}
			for step := range 80 {
				s.add(1 + rnd.IntN(4))
				if err := v.show(r); err != nil {
					t.Fatal(err)
				}
				if rnd.IntN(3) == 0 {
					s.show(v, r)
					s.add(1) // a present file without a line looks as if somebody had moved it
					if err := v.show(r); err != nil {
						t.Fatal(err)
					}
				}
				if step == copyLogs {
					s.copyLogs("copy")
				}
				if step == copyView {
					s.copyFile("view", "copy-view")
				}
			}
			_ = v.Close()
			s.putBack()
			v = s.open(o)
			s.add(3)
			s.show(v, s.log.Reader(v.next))
			s.check(v, fmt.Sprint(format, ", seed ", seed))
		}
	}
}

func (s *shelf) copyLogs(to string) {
	s.t.Helper()
	if err := os.RemoveAll(filepath.Join(s.dir, to)); err != nil {
		s.t.Fatal(err)
	}
	if err := os.CopyFS(filepath.Join(s.dir, to), os.DirFS(filepath.Join(s.dir, "logs"))); err != nil {
		s.t.Fatal(err)
	}
}

func (s *shelf) copyFile(from, to string) {
	s.t.Helper()
	b, err := os.ReadFile(filepath.Join(s.dir, from))
	if err == nil {
		err = os.WriteFile(filepath.Join(s.dir, to), b, 0o600)
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

// putBack has the copies be the data, as new files beside those that they replace.
func (s *shelf) putBack() {
	s.t.Helper()
	logs := filepath.Join(s.dir, "logs")
	if err := os.Rename(logs, filepath.Join(s.t.TempDir(), "old")); err != nil {
		s.t.Fatal(err)
	}
	if err := os.CopyFS(logs, os.DirFS(filepath.Join(s.dir, "copy"))); err != nil {
		s.t.Fatal(err)
	}
	s.copyFile("copy-view", "view")
}

// TestCutByOthers: a file that another program cuts while it is written (logrotate's
// copytruncate) neither has holes nor lines twice.
func TestCutByOthers(t *testing.T) {
	s := newShelf(t)
	s.add(20)
	v := s.open(FileOptions{})
	r := s.log.Reader(v.next)
	s.show(v, r)
	before := bytes.Clone(s.want)
	if err := os.Truncate(v.o.Path, 0); err != nil {
		t.Fatal(err)
	}
	s.add(5)
	if err := v.show(r); err != nil { // nobody has looked at the file since
		t.Fatal(err)
	}
	_ = v.Close()
	v = s.open(FileOptions{})
	s.add(5)
	r = s.log.Reader(v.next)
	s.show(v, r)
	if got, want := s.shown(v), s.want[len(before):]; !bytes.Equal(got, want) {
		t.Errorf("%q is shown, want %q", got, want)
	}
	if err := os.Truncate(v.o.Path, 10); err != nil {
		t.Fatal(err)
	}
	s.add(1)
	s.show(v, r)
	if err := v.leave(); err != nil {
		t.Fatal(err)
	}
	if got := s.shown(v); bytes.IndexByte(got, 0) >= 0 || !bytes.HasSuffix(got, []byte("record 31\n")) {
		t.Errorf("left with %q", got)
	}
}

// TestCutBeforeAStop: also when the process stops before it has seen that the file was cut.
func TestCutBeforeAStop(t *testing.T) {
	for _, more := range []int{0, 1} {
		s := newShelf(t)
		s.add(20)
		v := s.open(FileOptions{})
		if err := v.show(s.log.Reader(v.next)); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(v.o.Path, 0); err != nil {
			t.Fatal(err)
		}
		s.want = nil
		if more > 0 {
			s.add(more)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := v.Run(ctx); err != nil {
			t.Fatal(err)
		}
		v = s.open(FileOptions{})
		s.add(3)
		s.show(v, s.log.Reader(v.next))
		s.check(v, fmt.Sprint(more, " lines behind the cut"))
	}
}

// TestCutByAnEditor: the lines that somebody took from the file's end come again; where no
// line of the file is known, the file is left and another goes on.
func TestCutByAnEditor(t *testing.T) {
	s := newShelf(t)
	s.add(20)
	v := s.open(FileOptions{})
	s.show(v, s.log.Reader(v.next))
	_ = v.Close()
	half := s.want[:bytes.LastIndexByte(s.want[:len(s.want)/2], '\n')+3] // a torn line too
	if err := os.WriteFile(v.o.Path, half, 0o600); err != nil {
		t.Fatal(err)
	}
	v = s.open(FileOptions{})
	s.show(v, s.log.Reader(v.next))
	s.check(v, "cut in half")
	_ = v.Close()

	for n, foreign := range []string{"a line of somebody's\n", "no line", strings.Repeat("x", 2*findLines)} {
		if err := os.WriteFile(v.o.Path, []byte(foreign), 0o600); err != nil {
			t.Fatal(err)
		}
		s.want = nil
		v = s.open(FileOptions{})
		s.add(3)
		s.show(v, s.log.Reader(v.next))
		left := v.left()
		if len(left) != n+1 {
			t.Fatalf("%v were left", left)
		}
		if b, _ := os.ReadFile(left[n]); string(b) != foreign {
			t.Errorf("%.30q was left as %.30q", foreign, b)
		}
		if b, _ := os.ReadFile(v.o.Path); !bytes.Equal(b, s.want) {
			t.Errorf("behind %.30q: %q", foreign, b)
		}
		_ = v.Close()
	}
}

// looked is a store that notes the lowest arrival from which it is read.
type looked struct {
	*journal.Log
	from uint64
}

func (l *looked) Reader(n uint64) *journal.Reader {
	l.from = min(l.from, n)
	return l.Log.Reader(n)
}

// TestNotOursIsNotLookedForEverywhere: a file that is not ours keeps nobody waiting until the
// whole store was rendered, and one that is a few files old is found.
func TestNotOursIsNotLookedForEverywhere(t *testing.T) {
	s := newShelf(t)
	const batches, each = 150, 1000
	old := 0
	for i := range batches {
		if s.add(each); i == batches-12 {
			old = len(s.want)
		}
	}
	bound := int64(findFiles * findLines)
	if int64(len(s.want)) < 2*bound || int64(len(s.want)-old) > bound/4 {
		t.Fatalf("%d bytes of lines, %d of them behind the old end: this test shows nothing", len(s.want), len(s.want)-old)
	}
	o := FileOptions{Path: filepath.Join(s.dir, "logs", "subscriber.log"), Checkpoint: filepath.Join(s.dir, "view"), Format: s.f, FreeFloor: 1e-9, RotateBytes: 1 << 10}
	v, err := OpenFile(s.log, o)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(v.show(s.log.Reader(v.next)), v.checkpoint(), v.Close()); err != nil {
		t.Fatal(err)
	}
	s.copyFile("view", "copy-view")
	for name, c := range map[string]struct {
		text []byte
		left int
	}{
		"ours": {s.want[:old], 0},
		"not":  {[]byte("a line of somebody's\n"), 1},
	} {
		if err := os.WriteFile(v.o.Path, c.text, 0o600); err != nil {
			t.Fatal(err)
		}
		src := &looked{Log: s.log, from: s.next}
		v, err = OpenFile(src, o)
		if err != nil {
			t.Fatal(err)
		}
		if n := len(v.left()); n != c.left {
			t.Errorf("%s: %d files were left, want %d", name, n, c.left)
		}
		if most := uint64(bound*5/4) / uint64(len(s.want)/(batches*each)); s.next-src.from > most {
			t.Errorf("%s: %d of %d arrivals were looked at, want at most %d", name, s.next-src.from, s.next, most)
		}
		_ = v.Close()
		for _, left := range v.left() {
			_ = os.Remove(left)
		}
		s.copyFile("copy-view", "view")
	}
}

// TestInodeOfAnother: in another file system any file may have the inode of the checkpoint.
func TestInodeOfAnother(t *testing.T) {
	s := newShelf(t)
	s.add(20)
	v := s.open(FileOptions{})
	v.boot = "the boot before"
	r := s.log.Reader(v.next)
	s.show(v, r)
	old, err := os.ReadFile(v.o.Path)
	if err != nil {
		t.Fatal(err)
	}
	if err := v.leave(); err != nil {
		t.Fatal(err)
	}
	s.add(2)
	s.show(v, r)
	cut, err := os.ReadFile(v.o.Path)
	if err != nil {
		t.Fatal(err)
	}
	_ = v.Close()
	if err := os.WriteFile(v.o.Path, old, 0o600); err != nil { // the inode stays
		t.Fatal(err)
	}
	if err := os.Remove(v.left()[0]); err != nil {
		t.Fatal(err)
	}
	v = s.open(FileOptions{})
	s.show(v, s.log.Reader(v.next))
	s.check(v, fmt.Sprintf("with a file of %d bytes in place of one of %d", len(old), len(cut)))
}

// TestMadeAgain: log files are made again of the store, as docs/operating.md says.
func TestMadeAgain(t *testing.T) {
	s := newShelf(t)
	o := FileOptions{RotateBytes: 1 << 10}
	v := s.open(o)
	r := s.log.Reader(v.next)
	for range 20 {
		s.add(3)
		s.show(v, r)
	}
	if len(v.left()) == 0 {
		t.Fatal("no file was left: this test shows little")
	}
	_ = v.Close()
	if err := errors.Join(os.RemoveAll(filepath.Dir(v.o.Path)), os.Remove(v.o.Checkpoint)); err != nil {
		t.Fatal(err)
	}
	v = s.open(o)
	s.show(v, s.log.Reader(v.next))
	s.check(v, "made again")
}
