package journal

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/earshot-mq/earshot/publisher/record"
)

// TestExtents has all entries found in the extents that were made of them, in memory and as
// a line of the index.
func TestExtents(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 50 {
		var x extents
		type entry struct {
			first    uint64
			off, end int64
		}
		var all []entry
		for n, off := uint64(1+r.IntN(1000)), int64(r.IntN(1000)); len(all) < 1+r.IntN(200); n += uint64(1 + r.IntN(9)) {
			end := off + int64(100+r.IntN(20_000))
			x.add(n, off, end)
			all = append(all, entry{n, off, end})
			off = end + int64(r.IntN(3))*int64(r.IntN(3*extentGap))
		}
		parsed, err := parseExtents(string(x.line(nil, runA)), runA)
		if err != nil {
			t.Fatal(err)
		}
		var others int64
		for e := range x.from(0) {
			others += e.end - e.off
		}
		for i, e := range all {
			others -= e.end - e.off
			for how, x := range map[string]extents{"memory": x, "line": parsed} {
				seen, began := 0, int64(-1)
				for at := range x.from(e.first) {
					if began < 0 {
						began = at.off
					}
					for _, e := range all[i:] {
						if e.off >= at.off && e.end <= at.end {
							seen++
						}
					}
				}
				if seen != len(all)-i || e.off-began > markEvery {
					t.Fatalf("%s from %d: %d entries of %d, from %d on, where it is at %d", how, e.first, seen, len(all)-i, began, e.off)
				}
			}
		}
		if others > int64(len(all))*extentGap {
			t.Fatalf("%d bytes of others in the extents of %d entries", others, len(all))
		}
	}
}

func TestParseExtents(t *testing.T) {
	var x extents
	x.add(1, 100, 200)
	x.add(2, 10_000, 10_100)
	line := string(x.line(nil, runA))
	for name, line := range map[string]string{
		"empty": "", "cut": line[:len(line)-1], "no checksum": line[:len(line)-10] + "\n", "another run's": string(x.line(nil, runB)),
		"changed": "q7k3v9x2m1t8w/19a8f3c2e4b00d17 2" + line[32:], "more": line + "x",
	} {
		if _, err := parseExtents(line, runA); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: parseExtents(%q) = %v, want ErrCorrupt", name, line, err)
		}
	}
}

// TestReadOfMany has one run of many that take turns read from about as many bytes as it
// has, while the segment is written, when it is closed, and after opening anew.
func TestReadOfMany(t *testing.T) {
	const runs = 1000
	dir := t.TempDir()
	l := turns(t, dir, runs, 8<<20)
	check := func(how string) {
		t.Helper()
		var buf []byte
		before := readSoFar(t)
		size, n := int64(0), uint64(0)
		for i := range 50 {
			s, records := readRun(t, l, turn(i*20), &buf)
			size, n = size+s, n+records
		}
		ratio := float64(readSoFar(t)-before) / float64(size)
		t.Logf("%s: %d records of %d bytes, %.2f bytes read for each", how, n, size, ratio)
		if c, _ := l.Cursor(turn(0)); n != 50*(c.Next-1) || ratio > 2 {
			t.Errorf("%s: %d records, want %d; %.1f bytes read for each of theirs, want at most 2", how, n, 50*(c.Next-1), ratio)
		}
	}
	check("written")
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	for run, sp := range l.segs[0].spans {
		if !sp.extents.none() {
			t.Fatalf("extents of %s of a closed segment are kept in memory", run)
		}
	}
	check("closed")
	appendAll(t, open(t, dir, Options{NoSync: true}), batch(runA, 1, 1)) // what is newest is read whole
	l = open(t, dir, Options{})
	check("opened")
}

// TestExtentsLost: without the lines of extents, or with wrong ones, the segment is read.
func TestExtentsLost(t *testing.T) {
	for name, change := range map[string]func(text []byte) []byte{
		"none":      func(text []byte) []byte { return text[:len(text)-1000] },
		"bad bytes": func(text []byte) []byte { text[len(text)-50] ^= 1; return text },
	} {
		dir := t.TempDir()
		l := turns(t, dir, 10, 1<<20)
		c, _ := l.Cursor(turn(9))
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		index := filepath.Join(dir, l.segs[0].Name+extIndex)
		text, err := os.ReadFile(index)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(index, change(text), 0o600); err != nil {
			t.Fatal(err)
		}
		var buf []byte
		for i := range 10 {
			if _, n := readRun(t, l, turn(i), &buf); n != c.Next-1 {
				t.Errorf("%s: %d records of run %d, want %d", name, n, i, c.Next-1)
			}
		}
	}
}

// TestBadBytesOfMany: bad bytes take from their own run what is in them, from the others
// nothing.
func TestBadBytesOfMany(t *testing.T) {
	const runs = 100
	dir := t.TempDir()
	l := turns(t, dir, runs, 4<<20)
	end, _ := l.Cursor(turn(7))
	var bad extent
	n := 0
	for x := range l.segs[0].spans[turn(7)].extents.from(0) {
		if n++; n == 5 {
			bad = x
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(l.segs[0].path(dir), os.O_WRONLY, 0)
	if err == nil {
		_, err = f.WriteAt([]byte("?"), bad.off+200)
	}
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	for i := range runs {
		want := upTo(1, int(end.Next)-1)
		if i == 7 {
			want[bad.first-1] = -int(bad.first)
		}
		if got := numbers(t, l, turn(i), 1); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("run %d: %v, want %v", i, got, want)
		}
	}
}

// TestVersion1 reads a journal that the first version has written, and goes on in a new
// segment.
func TestVersion1(t *testing.T) {
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("testdata/v1")); err != nil {
		t.Fatal(err)
	}
	for _, how := range []string{"opened", "opened again"} {
		l := open(t, dir, Options{})
		for run, want := range map[record.Run][]int{runA: upTo(1, 14), runB: upTo(1, 14)} { // a gap of A's among them
			if got := numbers(t, l, run, 1); fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("%s: %s: %v, want %v", how, run, got, want)
			}
		}
		appendAll(t, l, batch(record.Run{Stream: runA.Stream, Epoch: l.Epoch()}, 1, 1))
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestIndexIsReadOnce: who reads a closed segment of many runs piece by piece has its index read
// once, as long as no more runs are read in turns than are kept.
func TestIndexIsReadOnce(t *testing.T) {
	dir := t.TempDir()
	l := turns(t, dir, 2*recentRuns, 1<<20)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l = open(t, dir, Options{})
	appendAll(t, l, batch(runA, 1, 1)) // or the segment is the newest, and was read at opening
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l = open(t, dir, Options{})
	want := map[int]int{}
	for i := range recentRuns {
		want[i] = len(numbers(t, l, turn(i), 1))
	}
	indexes, err := filepath.Glob(filepath.Join(dir, "*"+extIndex))
	if err != nil || len(indexes) != 2 {
		t.Fatalf("%d indexes, %v", len(indexes), err)
	}
	for _, path := range indexes {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	for i := range recentRuns {
		if _, ok := l.recent.get(l.segs[0].Name, turn(i)); !ok {
			t.Errorf("run %d is not kept", i)
		}
		if got := len(numbers(t, l, turn(i), 1)); got != want[i] || got == 0 {
			t.Errorf("run %d: %d records, want %d", i, got, want[i])
		}
	}
	numbers(t, l, turn(recentRuns), 1) // the index is gone: the segment is read
	if _, ok := l.recent.get(l.segs[0].Name, turn(recentRuns)); ok {
		t.Error("what could not be read is kept")
	}
}
