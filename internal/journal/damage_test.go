package journal

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/earshot-mq/earshot/publisher/record"
)

// shownLine is a line that a view of a store has: a record, or a gap.
type shownLine struct {
	n    uint64
	text string
}

// lines reads a store to its end from arrival n on.
func lines(t *testing.T, l *Log, n uint64) (all []shownLine) {
	t.Helper()
	r := l.Reader(n)
	defer r.Close()
	next := n
	err := r.Read(func(e *Entry, n uint64) error {
		for i := range e.Count() {
			if n+i < next {
				continue
			}
			text := fmt.Sprintf("%s/%d", e.Run, e.First+i)
			if e.Kind == KindGap {
				text = fmt.Sprintf("%s/%d-%d %s", e.Run, e.First, e.Last, e.Reason)
			}
			if e.Time.IsZero() {
				t.Fatalf("%s came at no time", text)
			}
			all = append(all, shownLine{n + i, fmt.Sprint(text, " at ", e.Time)}) // for every Reader
			next = n + i + 1
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// damagedStore is a closed store of two runs, whose appends have several entries, and what
// its readers give.
func damagedStore(t *testing.T) (dir string, whole []shownLine) {
	t.Helper()
	dir = t.TempDir()
	l := open(t, dir, Options{Arrivals: true, SegmentBytes: 4 << 10})
	next := map[record.Run]uint64{runA: 1, runB: 1}
	for i := range 40 {
		var es []Entry
		for j := range 1 + i%4 {
			run := runA
			if (i+j)%3 == 0 {
				run = runB
			}
			es = append(es, batch(run, next[run], 1+(i+j)%3))
			next[run] += es[j].Count()
		}
		if _, err := l.Append(es...); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if len(l.segs) < 4 {
		t.Fatalf("%d segments", len(l.segs))
	}
	return dir, lines(t, l, 1)
}

// damaged opens the store with other bytes in one of its segments, with its index or without, and checks what it gives
// against what the segment has in entries that are as they were.
func damaged(t *testing.T, dir string, whole []shownLine, how string, spoil func(text []byte) []byte) {
	t.Helper()
	files, _, err := segmentFiles(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range []int{1, len(files) - 1} {
		path := filepath.Join(dir, files[at].name+extClosed)
		before, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		index, err := os.ReadFile(filepath.Join(dir, files[at].name+extIndex))
		if err != nil {
			t.Fatal(err)
		}
		for _, indexed := range []bool{true, false} {
			if at != 1 && !indexed {
				continue // the end of a store that nothing tells of is fetched again
			}
			text := spoil(append([]byte{}, before...))
			err = os.WriteFile(path, text, 0o600)
			if text == nil {
				err = os.Remove(path)
			}
			if !indexed {
				err = errors.Join(err, os.Remove(filepath.Join(dir, files[at].name+extIndex)))
			}
			if err != nil {
				t.Fatal(err)
			}
			checkDamaged(t, dir, whole, fmt.Sprintf("segment %d, index %v: %s", at, indexed, how), before, text)
			if err := errors.Join(os.WriteFile(path, before, 0o600), os.WriteFile(filepath.Join(dir, files[at].name+extIndex), index, 0o600)); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func checkDamaged(t *testing.T, dir string, whole []shownLine, how string, before, text []byte) {
	t.Helper()
	gone := map[record.Run]map[uint64]bool{runA: {}, runB: {}}
	missing := uint64(0)
	for off := 0; off < len(before); {
		e, err := Next(before[off:])
		if err != nil {
			t.Fatal(err)
		}
		end := off + len(e.Raw)
		if e.Kind == KindBatch && (end > len(text) || string(text[off:end]) != string(before[off:end])) {
			for i := e.First; i <= e.Last; i++ {
				gone[e.Run][i] = true
				missing++
			}
		}
		off = end
	}
	l := open(t, dir, Options{Arrivals: true, ReadOnly: true})
	got := lines(t, l, 1)
	seen := map[record.Run]map[uint64]bool{runA: {}, runB: {}}
	for run := range gone {
		n := uint64(1)
		for _, s := range got {
			var first, last uint64
			if _, err := fmt.Sscanf(s.text, run.String()+"/%d-%d corrupt", &first, &last); err == nil {
				for i := first; i <= last; i++ {
					seen[run][i] = true
				}
			} else if _, err := fmt.Sscanf(s.text, run.String()+"/%d", &first); err == nil {
				last = first
			} else {
				continue
			}
			if first != n {
				t.Fatalf("%s: %s after number %d of %s: %v", how, s.text, n-1, run, got)
			}
			n = last + 1
		}
		if !maps.Equal(seen[run], gone[run]) {
			t.Fatalf("%s: of %s %v are gaps, want %v", how, run, seen[run], gone[run])
		}
	}
	if records, _ := l.Lost(); records != missing {
		t.Fatalf("%s: %d records are lost, want %d", how, records, missing)
	}
	for i := 1; i < len(got); i++ {
		if got[i].n <= got[i-1].n {
			t.Fatalf("%s: arrivals %v", how, got)
		}
	}
	last := whole[len(whole)-1]
	if got[len(got)-1].n != last.n || l.Arrival() != last.n+1 {
		t.Fatalf("%s: ends with %v, then %d, want %v", how, got[len(got)-1], l.Arrival(), last)
	}
	for i := rand.IntN(5); i < len(got)-1; i += 5 { // a view that comes back gets the rest
		if rest := lines(t, l, got[i].n+1); fmt.Sprint(rest) != fmt.Sprint(got[i+1:]) {
			t.Fatalf("%s: after arrival %d there is %v, want %v", how, got[i].n, rest, got[i+1:])
		}
	}
	for run := range gone { // and so does a FETCH, from numbers on that are there and that are not
		for from := uint64(1); from < 12; from += 5 {
			fetched(t, l, run, from, gone[run], how)
		}
	}
	if records, _ := l.Lost(); records != missing {
		t.Fatalf("%s: %d records are lost when they were fetched too, want %d", how, records, missing)
	}
}

// fetched reads a run as a FETCH does: its holes are what is gone and nothing else.
func fetched(t *testing.T, l *Log, run record.Run, from uint64, gone map[uint64]bool, how string) {
	t.Helper()
	c, _ := l.Cursor(run)
	before := -1
	for _, n := range numbers(t, l, run, from) {
		hole := n < 0
		if hole {
			n = -n
		}
		if uint64(n) < c.Next && gone[uint64(n)] != hole {
			t.Fatalf("%s: %d of %s is a hole: %v", how, n, run, hole)
		}
		if before >= 0 && n != before+1 {
			for i := before + 1; i < n; i++ {
				if !gone[uint64(i)] {
					t.Fatalf("%s: %d of %s was not given", how, i, run)
				}
			}
		}
		before = n
	}
	if before < 0 || uint64(before) < c.Next-1 && !gone[c.Next-1] {
		t.Fatalf("%s: %s ends at %d of %d", how, run, before, c.Next-1)
	}
}

// TestBadBytesAreGaps: reading goes on at the next whole entry, and exactly what is missing is
// a gap, wherever the bytes are: in an arrival line, twice in an append, across the runs.
func TestBadBytesAreGaps(t *testing.T) {
	dir, whole := damagedStore(t)
	files, _, _ := segmentFiles(dir)
	info, err := os.Stat(dir + "/" + files[1].name + files[1].ext)
	if err != nil {
		t.Fatal(err)
	}
	size := int(info.Size())
	flip := func(text []byte, at int) { text[at%len(text)] ^= 1 }
	for at := 0; at < size; at += 41 {
		damaged(t, dir, whole, fmt.Sprint("a byte at ", at), func(text []byte) []byte { flip(text, at); return text })
	}
	damaged(t, dir, whole, "no file", func([]byte) []byte { return nil })
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 40 {
		var at []int
		for range 2 + rnd.IntN(4) {
			at = append(at, rnd.IntN(size))
		}
		damaged(t, dir, whole, fmt.Sprint("bytes at ", at), func(text []byte) []byte {
			for _, i := range at {
				flip(text, i)
			}
			return text
		})
		from := rnd.IntN(size)
		to := min(size, from+rnd.IntN(2000))
		damaged(t, dir, whole, fmt.Sprint("nothing from ", from, " to ", to), func(text []byte) []byte { clear(text[min(from, len(text)):min(to, len(text))]); return text })
		damaged(t, dir, whole, fmt.Sprint("cut at ", from), func(text []byte) []byte { return text[:min(from, len(text))] })
	}
}

// TestDroppedIsNotLost: a segment that retention has dropped is not taken for one whose file
// is gone, at the next opening either.
func TestDroppedIsNotLost(t *testing.T) {
	dir, whole := damagedStore(t)
	l := open(t, dir, Options{Arrivals: true})
	retain(t, l, Retention{MaxBytes: l.Bytes() / 2})
	oldest := l.OldestArrival()
	if oldest == 1 {
		t.Fatal("nothing was dropped")
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l = open(t, dir, Options{Arrivals: true})
	got := lines(t, l, 1)
	if want := whole[oldest-1:]; fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("the rest begins with %v, want %v", got[0], want[0])
	}
	if records, gaps := l.Lost(); records+gaps > 0 {
		t.Errorf("%d records are lost, in %d gaps", records, gaps)
	}
}

// TestBadBytesWhileWritten: what is appended while a reader is at bad bytes of the same segment
// is not lost, and when the segment is closed meanwhile its other bad bytes are found too.
func TestBadBytesWhileWritten(t *testing.T) {
	for _, closed := range []bool{false, true} {
		t.Run(fmt.Sprintf("closed %v", closed), func(t *testing.T) {
			dir := t.TempDir()
			l := open(t, dir, Options{Arrivals: true, SegmentBytes: 4 << 10})
			spoil := func(seq uint64) {
				t.Helper()
				appendAll(t, l, batch(runA, seq, 1))
				l.mu.Lock()
				l.latest = latest{} // who is late has to read the file
				path, at := l.cur.path(dir), l.cur.Size-5
				l.mu.Unlock()
				f, err := os.OpenFile(path, os.O_RDWR, 0)
				if err == nil {
					_, err = f.WriteAt([]byte("x"), at)
					err = errors.Join(err, f.Close())
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			appendAll(t, l, batch(runA, 1, 1))
			spoil(2)
			last := uint64(4)
			r := l.Reader(1)
			defer r.Close()
			var got []string
			read := func() {
				t.Helper()
				err := r.Read(func(e *Entry, n uint64) error {
					got = append(got, fmt.Sprintf("%d: %d-%d %s", n, e.First, e.Last, e.Reason))
					if len(got) > 1 {
						return nil
					}
					if appendAll(t, l, batch(runA, 3, 1), batch(runA, 4, 1)); closed {
						spoil(5)
						last = 5
						for first := l.cur; l.cur == first; {
							last++
							appendAll(t, l, batch(runA, last, 1))
						}
						return l.Sync()
					}
					return nil
				})
				if err != nil {
					t.Fatal(err)
				}
			}
			read()
			read()
			var want []string
			for n := uint64(1); n <= last; n++ {
				reason := ""
				if n == 2 || closed && n == 5 {
					reason = "corrupt"
				}
				want = append(want, fmt.Sprintf("%d: %d-%d %s", n, n, n, reason))
			}
			if !slices.Equal(got, want) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
			lost := uint64(1)
			if closed {
				lost = 2
			}
			if n, _ := l.Lost(); n != lost {
				t.Errorf("%d records are lost, want %d", n, lost)
			}
		})
	}
}

// TestVersionOfBadBytes: a digit that was changed in the version of a batch that no other entry of
// its run is near is bad bytes like others, and not a file that only a later program reads.
func TestVersionOfBadBytes(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, Options{SegmentBytes: 1 << 20})
	next := uint64(1)
	for n := uint64(1); n <= 3; n++ { // each in an extent of its own
		appendAll(t, l, batch(runA, n, 1))
		for range 30 {
			appendAll(t, l, batch(runB, next, 10))
			next += 10
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	path := l.segs[0].path(dir)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	second := batch(runA, 2, 1)
	text[bytes.Index(text, second.Raw)+bytes.Index(second.Raw, []byte(`"v":1`))+4] ^= 2
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	l = open(t, dir, Options{})
	if got := numbers(t, l, runA, 1); fmt.Sprint(got) != "[1 -2 3]" {
		t.Errorf("there are %v", got)
	}
	var h *Hole
	if _, _, err := l.Read(nil, runA, 2, 1<<12); !errors.As(err, &h) || !h.Corrupt || h.From != 2 || h.To != 2 {
		t.Errorf("2 is %v", err)
	}
	text = bytes.ReplaceAll(text, []byte(`"v":1`), []byte(`"v":3`))
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := l.Read(nil, runA, 1, 1<<12); !errors.Is(err, ErrVersion) {
		t.Errorf("of another version: %v", err)
	}
}

// TestAgeDropsNoneInTheMiddle: a clock that was ahead for a while has no store drop what lies
// behind a segment that is kept: that would be lost records at the next opening.
func TestAgeDropsNoneInTheMiddle(t *testing.T) {
	dir, whole := damagedStore(t)
	l := open(t, dir, Options{Arrivals: true})
	for _, i := range []int{0, 2} { // or the clock was right, and behind before and after
		l.segs[i].Time -= int64(48 * time.Hour)
	}
	retain(t, l, Retention{MaxAge: 24 * time.Hour})
	oldest := l.OldestArrival()
	if oldest == 1 {
		t.Error("nothing was dropped")
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l = open(t, dir, Options{Arrivals: true})
	if got := lines(t, l, 1); fmt.Sprint(got) != fmt.Sprint(whole[oldest-1:]) {
		t.Errorf("there are %d lines from arrival %d on, want %d", len(got), oldest, len(whole[oldest-1:]))
	}
	if records, gaps := l.Lost(); records+gaps > 0 {
		t.Errorf("%d records are lost, in %d gaps", records, gaps)
	}
}

// TestResyncInHostileBodies: bodies that look like control lines at each place cost about what
// reading them does.
func TestResyncInHostileBodies(t *testing.T) {
	var text []byte
	for _, name := range []string{`{"gap":`, `{"batch":`, `{"batch":{"v":1,"stream":"`, `{"arrival":{"v":1,"n":`} {
		line := bytes.Repeat([]byte(name), (256<<10)/len(name))
		for range 4 {
			text = append(append(text, line...), '\n')
		}
	}
	want := int64(len(text))
	text = append(text, batch(runA, 1, 1).Raw...)
	begun := time.Now()
	got, err := resync(bytes.NewReader(text), 1, int64(len(text)))
	if err != nil || got != want {
		t.Errorf("%d, %v, want %d", got, err, want)
	}
	if took := time.Since(begun); took > 10*time.Second { // it is some milliseconds
		t.Errorf("took %v for %d bytes", took, len(text))
	}
	for name, e := range map[string]Entry{"gap": NewGap(runA, "downcase", 1, 2, "for no reason"), "end": newEnd(runA, 1, 2, true)} {
		text := append(text[:want:want], e.Raw...)
		if got, err := resync(bytes.NewReader(text), 1, int64(len(text))); err != nil || got != want {
			t.Errorf("%s at %d, %v, want %d", name, got, err, want)
		}
	}
}

// TestBadBeginningOfTheOldest: where a store begins with bad bytes and no index tells what they
// were, what is behind them is there, nothing is called lost that may have been dropped, and the
// file goes with the bound.
func TestBadBeginningOfTheOldest(t *testing.T) {
	for name, spoil := range map[string]func(text []byte, entries []int){
		"cursors":             func(text []byte, at []int) { text[at[0]+5] ^= 1 },
		"a batch too":         func(text []byte, at []int) { clear(text[:at[2]+5]) },
		"an arrival line too": func(text []byte, at []int) { clear(text[:at[1]+5]) },
		"and its end":         func(text []byte, at []int) { clear(text[:at[1]+5]); text[at[len(at)-1]+5] ^= 1 },
		"all":                 func(text []byte, _ []int) { clear(text) },
	} {
		t.Run(name, func(t *testing.T) {
			dir, whole := damagedStore(t)
			files, _, _ := segmentFiles(dir)
			path := filepath.Join(dir, files[1].name+extClosed) // the first ones were dropped
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			var at []int
			kept := map[string]bool{}
			for off := 0; off < len(text); {
				e, err := Next(text[off:])
				if err != nil {
					t.Fatal(err)
				}
				at = append(at, off)
				off += len(e.Raw)
			}
			before := bytes.Clone(text)
			spoil(text, at)
			for _, off := range at {
				if e, _ := Next(before[off:]); e.Kind == KindBatch && bytes.Equal(text[off:off+len(e.Raw)], e.Raw) {
					for i := e.First; i <= e.Last; i++ {
						kept[fmt.Sprintf("%s/%d", e.Run, i)] = true
					}
				}
			}
			_ = os.Remove(filepath.Join(dir, files[0].name+extClosed))
			_ = os.Remove(filepath.Join(dir, files[0].name+extIndex))
			if err := errors.Join(os.WriteFile(path, text, 0o600), os.Remove(filepath.Join(dir, files[1].name+extIndex))); err != nil {
				t.Fatal(err)
			}
			l := open(t, dir, Options{Arrivals: true})
			var want, got []string
			for _, x := range whole {
				id, _, _ := strings.Cut(x.text, " ")
				if kept[id] || x.n >= l.segs[1].Began {
					want = append(want, fmt.Sprint(x.n, " ", id))
				}
			}
			for _, x := range lines(t, l, 1) {
				if id, rest, _ := strings.Cut(x.text, " "); !strings.HasPrefix(rest, "corrupt") {
					got = append(got, fmt.Sprint(x.n, " ", id))
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("there is\n%v\nwant\n%v", got, want)
			}
			if n, _ := l.Lost(); n > 0 != (name == "and its end") {
				t.Errorf("%d records are lost", n)
			}
			if len(kept) > 0 && l.OldestArrival() != whole[slices.IndexFunc(whole, func(x shownLine) bool {
				id, _, _ := strings.Cut(x.text, " ")
				return kept[id]
			})].n {
				t.Errorf("it begins with arrival %d", l.OldestArrival())
			}
			for id := range kept {
				x, err := record.ParseID(id)
				if err != nil {
					t.Fatal(err)
				}
				if _, next, err := l.Read(nil, x.Run, x.Seq, 1); err != nil || next <= x.Seq {
					t.Errorf("FETCH of %s: %d, %v", id, next, err)
				}
			}
			if _, _, _, err := l.Written(time.Time{}); err != nil && (name == "cursors" || name == "all") { // a batch here has no whole records
				t.Error(err)
			}
			retain(t, l, Retention{MaxBytes: l.Bytes() - 1})
			if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("its file is still there: %v", err)
			}
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// TestBadBytesOfTheOldest: whatever else is bad in such a segment, each entry that is whole is
// shown once, in order, and so is all behind it.
func TestBadBytesOfTheOldest(t *testing.T) {
	dir, whole := damagedStore(t)
	files, _, _ := segmentFiles(dir)
	path := filepath.Join(dir, files[0].name+extClosed)
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, files[0].name+extIndex)); err != nil {
		t.Fatal(err)
	}
	rnd := rand.New(rand.NewPCG(3, 4))
	for try := range 200 {
		text := bytes.Clone(before)
		clear(text[:5])
		var at []int
		for range 1 + rnd.IntN(5) {
			at = append(at, rnd.IntN(min(len(text), 200<<rnd.IntN(6))))
			text[at[len(at)-1]] ^= 1
		}
		var want, got []string
		for off := 0; off < len(before); {
			e, err := Next(before[off:])
			if err != nil {
				t.Fatal(err)
			}
			if end := off + len(e.Raw); e.Kind == KindBatch && bytes.Equal(text[off:end], e.Raw) {
				for i := e.First; i <= e.Last; i++ {
					want = append(want, fmt.Sprintf("%s/%d", e.Run, i))
				}
			}
			off += len(e.Raw)
		}
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		l := open(t, dir, Options{Arrivals: true, ReadOnly: true})
		for _, x := range whole {
			if id, _, _ := strings.Cut(x.text, " "); x.n >= l.segs[1].Began {
				want = append(want, id)
			}
		}
		n := uint64(0)
		for _, x := range lines(t, l, 1) {
			if x.n <= n {
				t.Fatalf("try %d, bytes %v: arrival %d after %d", try, at, x.n, n)
			}
			n = x.n
			if id, rest, _ := strings.Cut(x.text, " "); !strings.HasPrefix(rest, "corrupt") {
				got = append(got, id)
			}
		}
		if !slices.Equal(got, want) {
			t.Fatalf("try %d, bytes %v: there is\n%v\nwant\n%v", try, at, got, want)
		}
	}
}

// TestBadBeginningWithoutIndex: a closed segment of a journal that can't be read from its
// beginning on, and has no index, is set aside with all its bytes; what it had is missing, and
// nothing else.
func TestBadBeginningWithoutIndex(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, Options{SegmentBytes: 4 << 10})
	last := uint64(0)
	for len(l.segs) < 4 {
		last++
		appendAll(t, l, batch(runA, last, 1))
	}
	first := l.segs[1].spans[runA].First
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	files, _, err := segmentFiles(dir)
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(dir, files[0].name)
	text, err := os.ReadFile(name + extClosed)
	if err == nil {
		clear(text[:5])
		err = errors.Join(os.WriteFile(name+extClosed, text, 0o600), os.Remove(name+extIndex))
	}
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		l = open(t, dir, Options{})
		var hole *Hole
		if _, _, err := l.Read(nil, runA, 1, 1<<20); !errors.As(err, &hole) || hole.From != 1 || hole.To != first-1 {
			t.Errorf("Read from 1: %v, want 1 to %d missing", err, first-1)
		}
		if _, next, err := l.Read(nil, runA, first, 1<<20); err != nil || next != last+1 {
			t.Errorf("Read from %d: up to %d, %v, want up to %d", first, next-1, err, last)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		if kept, err := os.ReadFile(name + extBad); err != nil || !bytes.Equal(kept, text) {
			t.Errorf("the segment's bytes are not kept: %v", err)
		}
	}
}
