package journal

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/earshot-mq/earshot/publisher/record"
)

// rescuedStore is a store of nine records in three appends, and the file name and the bytes
// of a rescued tail: cursors that count all, and the appends from an arrival on.
func rescuedStore(t *testing.T, since uint64) (dir, name string, run record.Run, tail []byte) {
	t.Helper()
	dir = t.TempDir()
	l := open(t, dir, Options{Arrivals: true})
	run = record.Run{Stream: NewID(), Epoch: 1}
	for first := uint64(1); first < 9; first += 3 {
		if _, err := l.Append(said(run, first, 3, int(first))); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(l.cur.path(dir))
	if err != nil {
		t.Fatal(err)
	}
	from := bytes.Index(text, fmt.Appendf(nil, `{"arrival":{"v":1,"n":%d,`, since))
	return dir, segmentName(l.Epoch(), 2), run, append(allCursors(run), text[from:l.cur.Size]...)
}

func allCursors(run record.Run) []byte {
	return appendCursors(nil, 10, []Cursor{{Stream: run.Stream, Epoch: run.Epoch, Began: 1, Next: 10}})
}

// stands asks what a store has after it was opened again.
func stands(t *testing.T, dir string, run record.Run, next uint64) {
	t.Helper()
	l := open(t, dir, Options{Arrivals: true})
	c, _ := l.Cursor(run)
	_, to, err := l.Read(nil, run, 1, 1<<20)
	if c.Next != next || l.Arrival() != next || to != next || err != nil {
		t.Errorf("the cursor says %d, the next arrival is %d, and up to %d can be read (%v); want %d", c.Next, l.Arrival(), to, err, next)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}

// A copy of a file whose fsync failed that was not finished takes nothing away.
func TestUnfinishedRescue(t *testing.T) {
	dir, name, run, tail := rescuedStore(t, 1)
	for _, keep := range []int{len(tail) - 1, len(tail) / 2} {
		if err := os.WriteFile(filepath.Join(dir, name+extOpen), tail[:keep], 0o600); err != nil {
			t.Fatal(err)
		}
		stands(t, dir, run, 10)
		stands(t, dir, run, 10) // and what was copied again is as good
	}
}

// A finished one of which a loss of power took the end counts what it has, not what its
// cursors say; what it was copied from is gone.
func TestTornRescue(t *testing.T) {
	dir, name, run, tail := rescuedStore(t, 4)
	files, _, err := segmentFiles(dir)
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	first := filepath.Join(dir, files[0].name)
	text, err := os.ReadFile(first + extOpen)
	if err != nil {
		t.Fatal(err)
	}
	whole := len(text) - (len(tail) - len(allCursors(run)))
	for path, b := range map[string][]byte{first + extClosed: text[:whole], filepath.Join(dir, name+extClosed): tail[:len(tail)-1]} {
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Remove(first + extOpen); err != nil {
		t.Fatal(err)
	}
	stands(t, dir, run, 7)
}

// TestReaderAheadOfRescue: a reader that has read further than was synced goes on after an
// fsync has failed, and gets nothing twice.
func TestReaderAheadOfRescue(t *testing.T) {
	for name, synced := range map[string]uint64{"nothing was synced": 0, "something was": 1} {
		t.Run(name, func(t *testing.T) {
			l, err := Open(t.TempDir(), Options{Arrivals: true})
			if err != nil {
				t.Fatal(err)
			}
			run, r, given, read := record.Run{Stream: NewID(), Epoch: l.Epoch()}, l.Reader(1), uint64(0), uint64(0)
			appended := func() {
				given++
				line := []byte("0123456789\n")
				raw := AppendBatch(nil, run, given, 1, line)
				if _, err := l.Append(Entry{Kind: KindBatch, Run: run, First: given, Last: given, Lines: raw[len(raw)-len(line):], Raw: raw}); err != nil {
					t.Fatal(err)
				}
			}
			readAll := func() {
				if err := r.Read(func(*Entry, uint64) error { read++; return nil }); err != nil || read != given {
					t.Errorf("read %d of %d, %v", read, given, err)
				}
			}
			for given < synced {
				appended()
			}
			if err := l.Sync(); err != nil {
				t.Fatal(err)
			}
			appended()
			readAll()
			fsync := l.fsync
			l.fsync = func(*os.File) error {
				l.fsync = fsync
				return errors.New("no")
			}
			if err := l.Sync(); err != nil {
				t.Fatal(err)
			}
			readAll()
			appended()
			readAll()
			if err := errors.Join(r.Close(), l.Close()); err != nil {
				t.Error(err)
			}
		})
	}
}
