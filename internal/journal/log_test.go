package journal

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/earshot-mq/earshot/internal/durable"
	"github.com/earshot-mq/earshot/internal/testenv"
	"github.com/earshot-mq/earshot/publisher/record"
)

func open(t testing.TB, dir string, o Options) *Log {
	t.Helper()
	l, err := Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func appendAll(t *testing.T, l *Log, es ...Entry) {
	t.Helper()
	for _, e := range es {
		if _, err := l.Append(e); err != nil {
			t.Fatal(err)
		}
	}
}

// numbers reads run from number from on, to the end, and gives the numbers of its
// records; a hole is given as the negative number of its first, once.
func numbers(t *testing.T, l *Log, run record.Run, from uint64) (got []int) {
	t.Helper()
	for {
		data, next, err := l.Read(nil, run, from, 1<<12)
		var h *Hole
		if errors.As(err, &h) {
			got = append(got, -int(h.From))
			from = h.To + 1
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if next == from {
			return got
		}
		for len(data) > 0 {
			e, err := Next(data)
			if err != nil {
				t.Fatal(err)
			}
			data = data[len(e.Raw):]
			for n := max(e.First, from); n <= e.Last; n++ {
				got = append(got, int(n))
			}
		}
		from = next
	}
}

func upTo(from, to int) (want []int) {
	for ; from <= to; from++ {
		want = append(want, from)
	}
	return want
}

func TestReadAcrossSegmentsAndOpenings(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, Options{SegmentBytes: 4 << 10})
	next := map[record.Run]uint64{runA: 1, runB: 1}
	for i := range 300 {
		run := runA
		if i%3 == 0 {
			run = runB
		}
		e := batch(run, next[run], 1+i%4)
		next[run] = e.Last + 1
		appendAll(t, l, e)
		if i%40 == 0 {
			if err := l.Sync(); err != nil {
				t.Fatal(err)
			}
			if err := l.Ahead(); err != nil {
				t.Fatal(err)
			}
		}
	}
	check := func(l *Log, how string) {
		t.Helper()
		for run, n := range next {
			for _, from := range []uint64{1, 2, n / 2, n - 1, n} {
				got, want := numbers(t, l, run, from), upTo(int(from), int(n)-1)
				if fmt.Sprint(got) != fmt.Sprint(want) {
					t.Errorf("%s: %s from %d: %v, want %v", how, run, from, got, want)
				}
			}
			if c, ok := l.Cursor(run); !ok || c.Next != n || c.Began != 1 {
				t.Errorf("%s: cursor of %s = %+v, want next %d", how, run, c, n)
			}
		}
	}
	check(l, "before closing")
	crashed := open(t, dir, Options{ReadOnly: true})
	check(crashed, "read only beside the writer")
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	check(open(t, dir, Options{}), "after closing")
	indexes, _ := filepath.Glob(filepath.Join(dir, "*"+extIndex))
	if len(indexes) < 5 {
		t.Fatalf("%d indexes", len(indexes))
	}
	for _, p := range indexes {
		_ = os.WriteFile(p, []byte("{}\nbad\n"), 0o600)
	}
	check(open(t, dir, Options{}), "with bad indexes")
}

// TestKilledAnywhere cuts the files of a writer that died at every length that they
// can have, and at each reopening asks for the longest whole beginning.
func TestKilledAnywhere(t *testing.T) {
	src := t.TempDir()
	l := open(t, src, Options{})
	var ends []int64
	for i := range 12 {
		e := batch(runA, uint64(2*i+1), 2)
		appendAll(t, l, e)
		ends = append(ends, l.cur.Size)
	}
	name := filepath.Base(l.cur.path(src))
	whole, err := os.ReadFile(filepath.Join(src, name))
	if err != nil {
		t.Fatal(err)
	}
	for size := len(whole); size >= 0; size -= 7 {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, name), whole[:size], 0o600); err != nil {
			t.Fatal(err)
		}
		want := 0
		for i, end := range ends {
			if int64(size) >= end {
				want = 2*i + 2
			}
		}
		l := open(t, dir, Options{})
		if got := numbers(t, l, runA, 1); fmt.Sprint(got) != fmt.Sprint(upTo(1, want)) {
			t.Fatalf("cut at %d of %d: %v, want 1 to %d", size, len(whole), got, want)
		}
		if got := l.Epoch(); got <= record.Epoch(0) || fmt.Sprint(got) <= name[:16] {
			t.Fatalf("epoch %s of the new opening is not above %s", got, name[:16])
		}
		appendAll(t, l, batch(runB, 1, 1))
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		l = open(t, dir, Options{})
		if a, b := numbers(t, l, runA, 1), numbers(t, l, runB, 1); len(a) != want || len(b) != 1 {
			t.Fatalf("cut at %d, reopened: %v and %v", size, a, b)
		}
	}
}

func TestBadByteEndsTheFileNotTheRun(t *testing.T) {
	spoiltSixty(t, func(text []byte) (at int) {
		at = bytes.LastIndex(text[:len(text)/2], []byte("specversion"))
		text[at] ^= 4
		return at
	})
}

// spoiltSixty writes sixty records into several segments, has the second one spoilt, and asks
// that the record which is hit is missing then, and no other. spoil says where that is.
func spoiltSixty(t *testing.T, spoil func(text []byte) (at int)) {
	t.Helper()
	dir := t.TempDir()
	l := open(t, dir, Options{SegmentBytes: 2 << 10})
	for i := range 60 {
		appendAll(t, l, batch(runA, uint64(i+1), 1))
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	files, _, err := segmentFiles(dir)
	if err != nil || len(files) < 3 {
		t.Fatalf("%d segments, %v", len(files), err)
	}
	path := filepath.Join(dir, files[1].name+files[1].ext)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	whole := bytes.Clone(text)
	hit := batchAt(t, whole, spoil(text))
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if got, want := numbers(t, open(t, dir, Options{}), runA, 1), upToBut(60, hit); !slices.Equal(got, want) {
		t.Errorf("record %d is bad: %v, want a hole of that one", hit, got)
	}
}

// batchAt is the number of the one record of the batch that lies at off.
func batchAt(t *testing.T, text []byte, off int) (number int) {
	t.Helper()
	err := scan(bytes.NewReader(text), 0, int64(len(text)), func(e *Entry, at int64) error {
		if e.Kind == KindBatch && at <= int64(off) && int64(off) < at+int64(len(e.Raw)) {
			number = int(e.First)
		}
		return nil
	})
	if err != nil || number == 0 {
		t.Fatalf("no batch at %d: %v", off, err)
	}
	return number
}

// upToBut is what numbers gives of 1 to last, of which one is a hole.
func upToBut(last, hole int) []int {
	want := upTo(1, last)
	want[hole-1] = -hole
	return want
}

func TestFailedFsyncMovesWhatItCovered(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, Options{SegmentBytes: 2 << 10, Arrivals: true})
	fail := false
	l.fsync = func(f *os.File) error {
		if fail {
			fail = false
			return errors.New("input/output error")
		}
		return nil
	}
	for i := range 100 {
		appendAll(t, l, batch(runA, uint64(i+1), 1))
		switch i % 10 {
		case 3:
			if err := l.Sync(); err != nil {
				t.Fatal(err)
			}
		case 7:
			fail = true
			if err := l.Sync(); err != nil {
				t.Fatalf("a rescued sync: %v", err)
			}
			if l.cur.synced != l.cur.Size {
				t.Fatal("not all is synced after the rescue")
			}
		}
	}
	check := func(l *Log) {
		t.Helper()
		if got := numbers(t, l, runA, 1); fmt.Sprint(got) != fmt.Sprint(upTo(1, 100)) {
			t.Errorf("by run: %v", got)
		}
		for _, from := range []uint64{1, 50, 97} {
			if got := arrivals(t, l.Reader(from)); fmt.Sprint(got) != fmt.Sprint(upTo(int(from), 100)) {
				t.Errorf("by arrival from %d: %v", from, got)
			}
		}
	}
	check(l)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	check(open(t, dir, Options{Arrivals: true}))
}

func TestFsyncThatKeepsFailingSyncsNothing(t *testing.T) {
	l := open(t, t.TempDir(), Options{})
	l.fsync = func(*os.File) error { return errors.New("input/output error") }
	appendAll(t, l, batch(runA, 1, 1))
	for range 3 {
		if err := l.Sync(); err == nil {
			t.Fatal("Sync says that it is synced")
		}
		appendAll(t, l, batch(runA, l.runs[runA].Next, 1))
	}
	l.fsync = durable.Data
	if err := l.Sync(); err != nil {
		t.Fatal(err)
	}
	if got := numbers(t, l, runA, 1); fmt.Sprint(got) != fmt.Sprint(upTo(1, 4)) {
		t.Errorf("%v, want 1 to 4", got)
	}
}

// TestFsyncOfAFileThatFailedIsNotBelieved has the disk fail once and a while longer, with
// many segments waiting: as the kernel does, it tells of a file once and then says yes. What
// Sync has called durable has to be in files whose fsync never failed.
func TestFsyncOfAFileThatFailedIsNotBelieved(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, Options{SegmentBytes: 1 << 10})
	failing := 0
	told, covered := map[string]bool{}, map[string]int64{} // by file: it has failed; size at a good fsync
	l.fsync = func(f *os.File) error {
		name := strings.TrimSuffix(filepath.Base(f.Name()), extOpen)
		if failing > 0 {
			failing--
			told[name] = true
			return errors.New("input/output error")
		}
		info, err := f.Stat()
		if err == nil && !told[name] {
			covered[name] = info.Size()
		}
		return err
	}
	n := 0
	for failures := range 5 {
		for range 40 {
			n++
			appendAll(t, l, batch(runA, uint64(n), 1))
		}
		failing = failures
		for l.Sync() != nil {
		}
		durable := t.TempDir()
		for name, size := range covered {
			text, err := os.ReadFile(filepath.Join(dir, name+extClosed))
			if err != nil {
				text, err = os.ReadFile(filepath.Join(dir, name+extOpen))
			}
			if err == nil {
				err = os.WriteFile(filepath.Join(durable, name+extOpen), text[:min(size, int64(len(text)))], 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if got := numbers(t, open(t, durable, Options{}), runA, 1); fmt.Sprint(got) != fmt.Sprint(upTo(1, n)) {
			t.Fatalf("after %d failures in a row %v are durable, want 1 to %d", failures, got, n)
		}
	}
	if got := numbers(t, l, runA, 1); fmt.Sprint(got) != fmt.Sprint(upTo(1, n)) {
		t.Errorf("%v, want 1 to %d", got, n)
	}
}

// TestOneFailureIsRescuedOnce: the rescue makes all that waits durable, so that nothing is
// left for the same Sync to do.
func TestOneFailureIsRescuedOnce(t *testing.T) {
	var log bytes.Buffer
	l := open(t, t.TempDir(), Options{SegmentBytes: 1 << 10, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	fail := true
	l.fsync = func(*os.File) error {
		if fail {
			fail = false
			return errors.New("input/output error")
		}
		return nil
	}
	for i := range 40 {
		appendAll(t, l, batch(runA, uint64(i+1), 1))
	}
	if err := l.Sync(); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(log.String(), "\n"); n != 1 {
		t.Errorf("%d lines tell of one failure:\n%s", n, &log)
	}
}

// TestSegmentRemovedByHand: what it had is a gap, for a reader and for a FETCH, and is said
// and counted once. The one that is being written has to be there.
func TestSegmentRemovedByHand(t *testing.T) {
	dir := t.TempDir()
	var log bytes.Buffer
	l := open(t, dir, Options{Arrivals: true, SegmentBytes: 1 << 10, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	for i := range 40 {
		appendAll(t, l, batch(runA, uint64(i+1), 1))
	}
	if err := l.Sync(); err != nil {
		t.Fatal(err)
	}
	gone := l.segs[1]
	if err := os.Remove(gone.path(dir)); err != nil {
		t.Fatal(err)
	}
	rest := upTo(int(gone.Ends)-1, 40) // its gap is the last arrival that it had
	want := append(upTo(1, int(gone.Began)-1), rest...)
	for from, want := range map[uint64][]int{1: want, gone.Began: rest} {
		if got := arrivals(t, l.Reader(from)); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("from %d: %v, want %v", from, got, want)
		}
	}
	var hole *Hole
	if _, _, err := l.Read(nil, runA, gone.Began, 100); !errors.As(err, &hole) || !hole.Corrupt || hole.To != gone.Ends-1 {
		t.Errorf("Read = %v, want a hole to %d", err, gone.Ends-1)
	}
	if said := fmt.Sprintf("first=%d last=%d lost=%d", gone.Began, gone.Ends-1, gone.Ends-gone.Began); strings.Count(log.String(), said) != 1 {
		t.Errorf("the log does not say %q once:\n%s", said, &log)
	}
	if records, gaps := l.Lost(); records != gone.Ends-gone.Began || gaps != 1 {
		t.Errorf("%d records are lost in %d gaps", records, gaps)
	}
	last := l.segs[len(l.segs)-1]
	if err := os.Remove(last.path(dir)); err != nil {
		t.Fatal(err)
	}
	if err := l.Reader(last.Began).Read(func(*Entry, uint64) error { return nil }); err == nil || !strings.Contains(err.Error(), last.Name) {
		t.Errorf("Read = %v, want it to name the segment that is gone", err)
	}
	if got := arrivals(t, l.Reader(last.Ends)); len(got) != 0 {
		t.Errorf("behind the end there is %v", got)
	}
}

// arrivals reads to the end and gives the arrival numbers of the records.
func arrivals(t *testing.T, r *Reader) (got []int) {
	t.Helper()
	err := r.Read(func(e *Entry, n uint64) error {
		for i := range e.Count() {
			if n+i >= r.Position() {
				got = append(got, int(n+i))
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestArrivalsNeverRepeat(t *testing.T) {
	dir := t.TempDir()
	want := 0
	for opening := range 4 {
		l := open(t, dir, Options{Arrivals: true, SegmentBytes: 1 << 10})
		r := l.Reader(1)
		for i := range 20 {
			run := record.Run{Stream: runA.Stream, Epoch: record.Epoch(opening + 1)}
			if _, err := l.Append(batch(run, uint64(3*i+1), 3), NewGap(runB, "x", uint64(i+1), uint64(i+1), "test")); err != nil {
				t.Fatal(err)
			}
			want += 4
			if i%7 == 0 {
				if err := l.Sync(); err != nil {
					t.Fatal(err)
				}
			}
		}
		if got := arrivals(t, r); len(got) != want || got[len(got)-1] != want {
			t.Fatalf("opening %d: %d arrivals, want %d: %v", opening, len(got), want, got)
		}
		if more := arrivals(t, r); len(more) != 0 {
			t.Fatalf("read again: %v", more)
		}
		if opening%2 == 0 {
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestReaderFollows(t *testing.T) {
	l := open(t, t.TempDir(), Options{Arrivals: true, SegmentBytes: 1 << 10})
	r := l.Reader(1)
	var got []int
	for i := range 100 {
		changed := l.Changed()
		appendAll(t, l, batch(runA, uint64(2*i+1), 2))
		<-changed
		got = append(got, arrivals(t, r)...)
	}
	if fmt.Sprint(got) != fmt.Sprint(upTo(1, 200)) {
		t.Errorf("%v", got)
	}
}

func TestRetain(t *testing.T) {
	fill := func(t *testing.T) *Log {
		l := open(t, t.TempDir(), Options{SegmentBytes: 1 << 10})
		for i := range 200 {
			appendAll(t, l, batch(runA, uint64(i+1), 1))
		}
		if err := l.Sync(); err != nil {
			t.Fatal(err)
		}
		return l
	}
	for name, c := range map[string]struct {
		committed uint64
		refuse    bool
		max       int64
		wantFirst func(int) bool
		wantLost  bool
	}{
		"all committed, far below the bound": {201, false, 1 << 30, func(n int) bool { return n > 100 }, false},
		"half committed":                     {101, false, 1 << 30, func(n int) bool { return n > 50 && n <= 101 }, false},
		"none committed, past the bound":     {1, false, 8 << 10, func(n int) bool { return n > 100 }, true},
		"none committed, refuse":             {1, true, 8 << 10, func(n int) bool { return n == 1 }, false},
	} {
		t.Run(name, func(t *testing.T) {
			l := fill(t)
			dropped, err := l.Retain(Retention{
				MaxBytes: c.max, Refuse: c.refuse,
				Committed: func(record.Run) (uint64, bool) { return c.committed, true },
			})
			if err != nil {
				t.Fatal(err)
			}
			lost := false
			for _, d := range dropped {
				lost = lost || d.Uncommitted > 0
			}
			oldest := l.Oldest(runA)
			if !c.wantFirst(int(oldest)) || lost != c.wantLost {
				t.Errorf("oldest %d, lost %v (%+v)", oldest, lost, dropped)
			}
			if got := numbers(t, l, runA, oldest); len(got) == 0 || got[len(got)-1] != 200 {
				t.Errorf("the rest: %v", got)
			}
			if oldest > 1 {
				if got := numbers(t, l, runA, 1); got[0] != -1 || got[1] != int(oldest) {
					t.Errorf("from 1: %v, want a hole up to %d", got[:2], oldest-1)
				}
			}
		})
	}
}

// TestRetainKeepsWhatIsCommittedAWhile, for who comes back with a copy of its store, up to a
// tenth of the bound.
func TestRetainKeepsWhatIsCommittedAWhile(t *testing.T) {
	l := open(t, t.TempDir(), Options{SegmentBytes: 1 << 10})
	for i := range 100 {
		appendAll(t, l, batch(runA, uint64(i+1), 1))
	}
	if err := l.Sync(); err != nil {
		t.Fatal(err)
	}
	all := l.Bytes()
	for _, c := range []struct {
		max  int64
		want func(int64) bool
	}{
		{20 * all, func(n int64) bool { return n == all }},
		{5 * all, func(n int64) bool { return n <= all/2 && n > all/4 }},
	} {
		dropped, err := l.Retain(Retention{MaxBytes: c.max, KeepFor: time.Hour, Committed: func(record.Run) (uint64, bool) { return 101, true }})
		if err != nil || !c.want(l.Bytes()) {
			t.Errorf("of %d bytes, with a bound of %d, %d are kept (%v, dropped %v)", all, c.max, l.Bytes(), err, dropped)
		}
	}
}

func TestOldestOpeningIsForgottenWhenDropped(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, Options{SegmentBytes: 1 << 10})
	for i := range 30 {
		appendAll(t, l, batch(runA, uint64(i+1), 1))
	}
	if l.End(runA, 5); mustCursor(t, l, runA).Given != 30 {
		t.Errorf("%+v: less was given than there is", mustCursor(t, l, runA))
	}
	l.End(runA, 31)
	for i := range 30 {
		appendAll(t, l, batch(runB, uint64(i+1), 1))
	}
	if err := l.Sync(); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Retain(Retention{Committed: func(record.Run) (uint64, bool) { return 1000, true }}); err != nil {
		t.Fatal(err)
	}
	if _, ok := l.Cursor(runA); ok {
		t.Error("a drained run of an earlier opening still has a cursor")
	}
	if c, ok := l.Cursor(runB); !ok || c.Next != 31 {
		t.Errorf("the live run: %+v", c)
	}
}

func TestRunInNoFileIsForgottenWithALaterOpening(t *testing.T) {
	l := open(t, t.TempDir(), Options{SegmentBytes: 1 << 10})
	never := record.Run{Stream: runA.Stream, Epoch: runB.Epoch - 1}
	l.know(given{never, "downcase", 7})
	l.End(never, 7)
	older := record.Run{Stream: runB.Stream, Epoch: never.Epoch - 1}
	for i := range 30 {
		appendAll(t, l, batch(older, uint64(i+1), 1))
	}
	past := Retention{MaxBytes: 1 << 10} // and nobody counts
	retain(t, l, past)
	if c, ok := l.Cursor(never); !ok || c.Given != 7 || l.Oldest(older) == 1 {
		t.Errorf("after segments of an older opening were dropped: %+v, %v", c, ok)
	}
	for i := range 30 {
		appendAll(t, l, batch(runB, uint64(i+1), 1))
	}
	retain(t, l, past)
	if _, ok := l.Cursor(never); ok {
		t.Error("a run that is in no file has a cursor for ever")
	}
}

func retain(t *testing.T, l *Log, r Retention) {
	t.Helper()
	if err := l.Sync(); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Retain(r); err != nil {
		t.Fatal(err)
	}
}

// TestRunThatIsGoneIsTold: an ended run is offered until everyone who counts has passed it,
// though the bound has dropped all of it, after a restart too; then it is forgotten.
func TestRunThatIsGoneIsTold(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, Options{SegmentBytes: 1 << 10})
	never := record.Run{Stream: runA.Stream, Epoch: runA.Epoch + 1} // and in no file at all
	for i := range 30 {
		appendAll(t, l, batch(runA, uint64(i+1), 1))
	}
	l.End(runA, 31)
	l.know(given{never, "downcase", 7})
	l.End(never, 7)
	for i := range 30 {
		appendAll(t, l, batch(runB, uint64(i+1), 1))
	}
	committed := map[record.Run]uint64{}
	r := Retention{MaxBytes: 1 << 10, Committed: func(run record.Run) (uint64, bool) { return committed[run], true }}
	told := func(when string, want ...record.Run) {
		t.Helper()
		retain(t, l, r)
		for _, run := range []record.Run{runA, never} {
			if _, ok := l.Cursor(run); ok != slices.Contains(want, run) {
				t.Errorf("%s: %s is known: %v", when, run, ok)
			}
		}
	}
	told("nobody has it", runA, never)
	var hole *Hole
	if _, _, err := l.Read(nil, runA, 1, 100); !errors.As(err, &hole) || hole.To != 30 {
		t.Errorf("who asks for the dropped run hears %v", err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l = open(t, dir, Options{SegmentBytes: 1 << 10})
	committed[runA] = 31
	told("without the last number given", runA, never)
	committed[runA] = 32
	told("with it", never)
	committed[never] = 8
	told("with both")
}

func TestRunsThatAreGoneAreBounded(t *testing.T) {
	l := open(t, t.TempDir(), Options{})
	for i := range mostGone + 5 {
		run := record.Run{Stream: runA.Stream, Epoch: runA.Epoch + record.Epoch(i)}
		l.know(given{run, "downcase", 7})
		l.End(run, 7)
	}
	retain(t, l, Retention{Committed: func(record.Run) (uint64, bool) { return 0, true }})
	if got := l.Runs(); len(got) != mostGone || got[0].Epoch != runA.Epoch+5 {
		t.Errorf("%d runs, the oldest %s: want the newest %d", len(got), got[0].Epoch, mostGone)
	}
}

func TestFullDiskAtANewSegment(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, Options{})
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Append(batch(runA, 1, 1)); !errors.Is(err, ErrNoSpace) {
		t.Fatalf("append without a directory: %v, want ErrNoSpace", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	appendAll(t, l, batch(runA, 1, 1))
	if got := numbers(t, l, runA, 1); len(got) != 1 {
		t.Errorf("%v", got)
	}
}

func TestReadableByEye(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, Options{})
	appendAll(t, l, batch(runA, 1, 2), NewGap(runA, "downcase", 3, 4, "why"))
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	files, _, _ := segmentFiles(dir)
	text, _ := os.ReadFile(filepath.Join(dir, files[0].name+extClosed))
	if n := strings.Count(string(text), "\n"); n != 5 { // cursors, batch, 2 records, gap
		t.Errorf("%d lines: %s", n, text)
	}
}

func BenchmarkRead(b *testing.B) {
	l, err := Open(b.TempDir(), Options{})
	if err != nil {
		b.Fatal(err)
	}
	for i := range 2000 {
		if _, err := l.Append(batch(runA, uint64(100*i+1), 100)); err != nil {
			b.Fatal(err)
		}
	}
	buf := make([]byte, 0, 1<<20)
	for b.Loop() {
		from := 1 + rand.Uint64N(190000)
		data, _, err := l.Read(buf, runA, from, 64<<10)
		if err != nil || len(data) == 0 {
			b.Fatal(err)
		}
	}
}

func TestCursorsOfRunsThatNobodyOffersAreForgotten(t *testing.T) {
	l := open(t, t.TempDir(), Options{Arrivals: true})
	appendAll(t, l, batch(runA, 1, 3), batch(runB, 1, 3))
	now := time.Now()
	l.Seen(runA, now)
	l.Seen(runB, now)
	l.End(runA, 3)
	if n := l.ForgetUnoffered(now.Add(Unoffered / 2)); n != 0 {
		t.Errorf("%d forgotten after half the time", n)
	}
	if n := l.ForgetUnoffered(now.Add(2 * Unoffered)); n != 1 {
		t.Errorf("%d forgotten, want the one that has ended", n)
	}
	if _, ok := l.Cursor(runB); !ok {
		t.Error("a run that goes on was forgotten")
	}
}

// TestAheadKeepsTheOrder allocates segments beside appends that do not wait for them:
// the names of the files have to stay in the order of what is in them.
func TestAheadKeepsTheOrder(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, Options{Arrivals: true, SegmentBytes: 1 << 10})
	stop, stopped := make(chan struct{}), make(chan error)
	go func() {
		for {
			select {
			case <-stop:
				stopped <- nil
				return
			default:
			}
			if err := l.Ahead(); err != nil {
				stopped <- err
				return
			}
		}
	}()
	for i := range 1500 {
		appendAll(t, l, batch(runA, uint64(i+1), 1))
	}
	close(stop)
	if err := <-stopped; err != nil {
		t.Fatal(err)
	}
	for i, s := range l.segs[1:] {
		if s.Name <= l.segs[i].Name {
			t.Fatalf("segment %s comes after %s", s.Name, l.segs[i].Name)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l = open(t, dir, Options{Arrivals: true})
	if got := arrivals(t, l.Reader(1)); fmt.Sprint(got) != fmt.Sprint(upTo(1, 1500)) {
		t.Errorf("%d arrivals after reopening", len(got))
	}
}

// TestWriteAtManyPieces: more pieces than one system call takes, empty ones among them.
func TestWriteAtManyPieces(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "f"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var pieces [][]byte
	want := []byte("head")
	for i := range 3*mostPieces + 1 {
		p := bytes.Repeat([]byte{byte('a' + i%26)}, i%7)
		pieces, want = append(pieces, p), append(want, p...)
	}
	if _, err := f.WriteString("head"); err != nil {
		t.Fatal(err)
	}
	if err := writeAt(f, pieces, 4); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(f.Name()); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d bytes (%v) that are not the %d bytes of the pieces", len(got), err, len(want))
	}
}

// TestWriteAtCut: a system call that writes less than it was given, as on a disk that is
// nearly full, goes on where it stopped, and then says why.
func TestWriteAtCut(t *testing.T) {
	d := testenv.NewDisk(t, "tmpfs", 1)
	f, err := os.Create(filepath.Join(d.Path, "f"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var pieces [][]byte
	var want []byte
	for i := range 2000 {
		p := bytes.Repeat([]byte{byte('a' + i%26)}, 1000)
		pieces, want = append(pieces, p), append(want, p...)
	}
	if err := writeAt(f, pieces, 0); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("2 MB on a disk of 1 MiB: %v", err)
	}
	got, err := os.ReadFile(f.Name())
	if err != nil || len(got) < 1<<19 || !bytes.Equal(got, want[:len(got)]) {
		t.Errorf("%d bytes (%v) that are not the beginning of the pieces", len(got), err)
	}
}

// TestIndexOfManyRuns: what a segment keeps in memory does not grow with the number of runs
// that take turns in it, and every number is found by it.
func TestIndexOfManyRuns(t *testing.T) {
	const runs, each = 300, 200
	l := open(t, t.TempDir(), Options{})
	run := func(i int) record.Run { return record.Run{Stream: runA.Stream, Epoch: runA.Epoch + record.Epoch(i)} }
	for n := range each {
		var all []Entry
		for i := range runs {
			all = append(all, batch(run(i), uint64(3*n+1), 3))
		}
		appendAll(t, l, all...)
	}
	marks := 0
	for _, sp := range l.segs[0].spans {
		marks += len(sp.Marks)
	}
	if most := runs + 2*int(l.Bytes()/markEvery); marks > most {
		t.Errorf("%d marks in %d bytes of %d runs, want at most %d", marks, l.Bytes(), runs, most)
	}
	for _, i := range []int{0, 1, runs / 2, runs - 1} {
		if got := numbers(t, l, run(i), 100); len(got) != 3*each-99 || got[0] != 100 {
			t.Errorf("run %d: %d numbers from 100 on, want %d", i, len(got), 3*each-99)
		}
	}
}

// TestEpochOfACopy: two copies of a volume never have the same epoch, nor the same one twice,
// also where the clock is far behind what the volume has seen.
func TestEpochOfACopy(t *testing.T) {
	for name, highest := range map[string]record.Epoch{
		"clock that is right":   1,
		"clock of ten years on": record.Epoch(time.Now().AddDate(10, 0, 0).UnixMilli()) << 20,
	} {
		t.Run(name, func(t *testing.T) {
			seen := map[record.Epoch]bool{}
			for range 20 { // opened in one millisecond, two are the same once in a million times
				e := open(t, t.TempDir(), Options{After: highest}).Epoch()
				if seen[e] || e <= highest {
					t.Fatalf("epoch %s after %s, seen before: %v", e, highest, seen[e])
				}
				seen[e] = true
			}
		})
	}
}

// TestBadHeaderIsAHole: a byte that makes a batch look longer than it is, so that it would
// reach into the next one or beyond the end, hides that batch and no more.
func TestBadHeaderIsAHole(t *testing.T) {
	key := []byte(`"bytes":`)
	for name, find := range map[string]func(text []byte) int{
		"in the middle":      func(text []byte) int { return bytes.LastIndex(text[:len(text)/2], key) },
		"the last of a file": func(text []byte) int { return bytes.LastIndex(text, key) },
	} {
		t.Run(name, func(t *testing.T) {
			spoiltSixty(t, func(text []byte) (at int) {
				at = find(text)
				text[at+len(key)] = '9'
				return at
			})
		})
	}
}
