package journal

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/earshot-mq/earshot/internal/testenv"
	"github.com/earshot-mq/earshot/publisher/record"
)

// Append appends records that are given as what follows the number in their lines.
func (s *Stream) Append(tails ...[]byte) (first uint64, err error) {
	d := s.Draft(len(tails))
	for _, t := range tails {
		d.B = append(d.Line(), t...)
	}
	return d.Append()
}

// feed collects what a Writer hands out.
type feed struct {
	mu  sync.Mutex
	got map[record.Run][]int
	n   int
}

func (f *feed) hand(es []Entry) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.got == nil {
		f.got = map[record.Run][]int{}
	}
	for _, e := range es {
		if e.Kind == KindBatch {
			f.n++
			f.got[e.Run] = append(f.got[e.Run], upTo(int(e.First), int(e.Last))...)
		}
	}
}

func (f *feed) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	sum := 0
	for _, g := range f.got {
		sum += len(g)
	}
	return sum
}

type rig struct {
	*Writer
	log  *Log
	dir  string
	feed *feed
	stop func() error
}

func start(t *testing.T, dir string, o WriterOptions) *rig {
	t.Helper()
	l := open(t, dir, Options{SegmentBytes: 64 << 10})
	f := &feed{}
	check := o.Hand
	o.Hand = func(es []Entry) {
		if check != nil {
			check(es)
		}
		f.hand(es)
	}
	w, err := NewWriter(dir, l, filepath.Base(dir), o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	r := &rig{w, l, dir, f, sync.OnceValue(func() error { cancel(); return <-done })}
	t.Cleanup(func() { _ = r.stop() })
	return r
}

var tail = []byte(`","source":"/downcase","data":{"body":"lower case of HELLO is hello"}}` + "\n")

func TestWriterNumbersEachStreamOnce(t *testing.T) {
	dir := t.TempDir()
	r := start(t, dir, WriterOptions{SyncEvery: 5 * time.Millisecond})
	const workers, each = 16, 200
	services := []string{"downcase", "gateway"}
	var seen [2]sync.Map
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			s := r.Stream(services[w%2])
			for range each {
				n, err := s.Append(tail)
				if err != nil {
					t.Error(err)
				}
				if _, dup := seen[w%2].LoadOrStore(n, true); dup {
					t.Errorf("number %d was given twice", n)
				}
				if next := mustCursor(t, r.log, s.Run()).Next; next <= n {
					t.Errorf("append of %d returned before it was in the file (next %d)", n, next)
				}
			}
		})
	}
	wg.Wait()
	runs := []record.Run{r.Stream("downcase").Run(), r.Stream("gateway").Run()}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	l := open(t, dir, Options{})
	for _, run := range runs {
		checkLines(t, l, run, workers/2*each)
		want := fmt.Sprint(upTo(1, workers/2*each))
		if got := numbers(t, l, run, 1); fmt.Sprint(got) != want {
			t.Errorf("%s in the log: %d numbers", run, len(got))
		}
		if got := r.feed.got[run]; fmt.Sprint(got) != want {
			t.Errorf("%s in the feed: %d numbers", run, len(got))
		}
		if c := mustCursor(t, l, run); !c.Ended || c.Given != workers/2*each {
			t.Errorf("%s: %+v, want an end", run, c)
		}
	}
	if n := r.feed.n; n >= workers*each {
		t.Errorf("%d batches of %d records: nothing was grouped", n, workers*each)
	}
}

// checkLines fails unless the lines of run are those that were appended, byte for byte.
func checkLines(t *testing.T, l *Log, run record.Run, n int) {
	t.Helper()
	data, _, err := l.Read(nil, run, 1, 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	i := 0
	for len(data) > 0 {
		e, err := Next(data)
		if err != nil {
			t.Fatal(err)
		}
		data = data[len(e.Raw):]
		for line := range e.Records() {
			i++
			if want := fmt.Sprintf("{\"specversion\":\"1.0\",\"id\":\"%s/%d%s", run, i, tail); string(line) != want {
				t.Fatalf("line %d is %q, want %q", i, line, want)
			}
		}
	}
	if i != n {
		t.Errorf("%d lines, want %d", i, n)
	}
}

func mustCursor(t *testing.T, l *Log, run record.Run) Cursor {
	t.Helper()
	c, ok := l.Cursor(run)
	if !ok {
		t.Fatalf("no cursor of %s", run)
	}
	return c
}

func TestNewOpeningNewEpoch(t *testing.T) {
	dir := t.TempDir()
	var last record.Epoch
	for range 3 {
		r := start(t, dir, WriterOptions{})
		s := r.Stream("downcase")
		n, err := s.Append(tail, tail)
		if err != nil || n != 1 {
			t.Fatalf("first number %d, %v", n, err)
		}
		if e := s.Run().Epoch; e <= last {
			t.Fatalf("epoch %s after %s", e, last)
		}
		last = s.Run().Epoch
		if err := r.stop(); err != nil {
			t.Fatal(err)
		}
	}
	l := open(t, dir, Options{})
	if runs := l.Runs(); len(runs) != 3 {
		t.Errorf("%d runs, want 3", len(runs))
	}
}

// breakDir makes every new segment impossible and the current one full.
func breakDir(t *testing.T, r *rig) (mend func()) {
	t.Helper()
	moved := r.dir + ".away"
	r.log.appendMu.Lock()
	if r.log.cur != nil {
		r.log.roll()
	}
	if err := os.Rename(r.dir, moved); err != nil {
		t.Fatal(err)
	}
	r.log.appendMu.Unlock()
	return func() {
		if err := os.Rename(moved, r.dir); err != nil {
			t.Fatal(err)
		}
	}
}

func TestDegradedHoldsCountsAndRecovers(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "j")
	r := start(t, dir, WriterOptions{SyncEvery: time.Hour})
	s := r.Stream("downcase")
	add := func(n int) {
		for range n {
			if _, err := s.Append(tail); err != nil {
				t.Fatal(err)
			}
		}
	}
	add(10)
	mend := breakDir(t, r)
	add(20)
	if !r.Stats.Degraded.Load() || r.Stats.Held.Load() == 0 {
		t.Fatalf("not degraded: held %d", r.Stats.Held.Load())
	}
	if n := r.feed.count(); n != 30 {
		t.Errorf("the feed has %d of 30 records while degraded", n)
	}
	data, next, err := r.Read(nil, s.Run(), 11, 1<<20)
	if err != nil || next != 31 || len(data) == 0 {
		t.Errorf("replay from memory: next %d, %v", next, err)
	}
	mend()
	got, _, err := readLast(filepath.Join(dir, "last"))
	if want := []given{{s.Run(), "downcase", 30}}; err != nil || !slices.Equal(got, want) {
		t.Errorf("last given on disk %v, %v, want %v", got, err, want)
	}
	testenv.Wait(t, "recovery", testenv.Patience, func() bool { return !r.Stats.Degraded.Load() && r.Stats.Held.Load() == 0 })
	add(5)
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	if got := numbers(t, open(t, dir, Options{}), s.Run(), 1); fmt.Sprint(got) != fmt.Sprint(upTo(1, 35)) {
		t.Errorf("%v", got)
	}
}

func TestDegradedPastItsMemoryLeavesAGap(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "j")
	r := start(t, dir, WriterOptions{SyncEvery: time.Hour, Memory: 4 << 10})
	s := r.Stream("downcase")
	for range 5 {
		_, _ = s.Append(tail)
	}
	mend := breakDir(t, r)
	for range 100 {
		_, _ = s.Append(tail)
	}
	lost := r.Stats.Lost.Load()
	if lost == 0 || r.Stats.Held.Load() > 5<<10 {
		t.Fatalf("lost %d, held %d", lost, r.Stats.Held.Load())
	}
	mend()
	testenv.Wait(t, "recovery", testenv.Patience, func() bool { return !r.Stats.Degraded.Load() })
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	gaps, records, lines := uint64(0), uint64(0), 0
	data, next, err := open(t, dir, Options{}).Read(nil, s.Run(), 1, 1<<20)
	for len(data) > 0 && err == nil {
		var e Entry
		if e, err = Next(data); err == nil {
			data = data[len(e.Raw):]
			if e.Kind == KindGap {
				gaps += e.Last - e.First + 1
				lines++
			} else {
				records += e.Count()
			}
		}
	}
	if err != nil || gaps != lost || lines != 1 || records+gaps != 105 || next != 106 {
		t.Errorf("records %d, gaps %d in %d lines (lost %d), next %d, %v", records, gaps, lines, lost, next, err)
	}
}

func TestGivenIsKnownAfterDeath(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "j")
	r := start(t, dir, WriterOptions{SyncEvery: time.Hour})
	s := r.Stream("downcase")
	_, _ = s.Append(tail, tail)
	mend := breakDir(t, r)
	_, _ = s.Append(tail, tail, tail)
	run := s.Run()
	r.mu.Lock() // it is not written before it dies
	mend()
	l, _ := died(t, r)
	r.mu.Unlock()
	if c := mustCursor(t, l, run); !c.Ended || c.Next != 3 || c.Given != 5 {
		t.Errorf("%+v, want 1 to 2 whole and 5 given", c)
	}
}

// died is what a process finds that opens a directory after its writer was killed.
func died(t *testing.T, r *rig) (l *Log, last *lastFile) {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(r.dir)); err != nil {
		t.Fatal(err)
	}
	l = open(t, dir, Options{})
	w, err := NewWriter(dir, l, "x", WriterOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return l, w.last
}

// TestRunInNoFileIsKnown gives numbers while nothing can be written from the first record
// on: the run is listed at once, and after a death what was given is known.
func TestRunInNoFileIsKnown(t *testing.T) {
	r := start(t, filepath.Join(t.TempDir(), "j"), WriterOptions{SyncEvery: time.Hour})
	r.Stream("gateway") // says nothing, and has the first slot
	s := r.Stream("downcase")
	if runs := r.Runs(); len(runs) != 0 {
		t.Errorf("before the first record: %+v", runs)
	}
	mend := breakDir(t, r)
	if _, err := s.Append(tail, tail, tail); err != nil {
		t.Fatal(err)
	}
	want := Cursor{Stream: s.Run().Stream, Epoch: s.Run().Epoch, Service: "downcase", Began: 1, Next: 4}
	if runs := r.Runs(); !slices.Equal(runs, []Cursor{want}) {
		t.Errorf("%+v, want %+v", runs, want)
	}
	r.mu.Lock() // it is not written before it dies
	mend()
	l, last := died(t, r)
	r.mu.Unlock()
	want.Next, want.Given, want.Ended = 1, 3, true
	if c := mustCursor(t, l, s.Run()); c != want {
		t.Errorf("after the death %+v, want %+v", c, want)
	}
	if last.base != 2 {
		t.Errorf("the next opening counts from slot %d on, want 2: the second holds what was given", last.base)
	}
	if l.Epoch() <= s.Run().Epoch {
		t.Errorf("epoch %s after %s", l.Epoch(), s.Run().Epoch)
	}
}

// TestSyncAlways: an append returns when what it wrote is durable; otherwise the interval
// says when it is.
func TestSyncAlways(t *testing.T) {
	for policy, want := range map[SyncPolicy]bool{SyncAlways: true, SyncInterval: false} {
		r := start(t, t.TempDir(), WriterOptions{Sync: policy, SyncEvery: time.Hour})
		for range 3 {
			if _, err := r.Stream("downcase").Append(tail); err != nil {
				t.Fatal(err)
			}
			r.log.mu.RLock()
			if got := r.log.cur.synced == r.log.cur.Size; got != want {
				t.Errorf("with policy %d an append that has returned is durable: %v, want %v", policy, got, want)
			}
			r.log.mu.RUnlock()
		}
	}
}

// gapsAndRecords counts what a journal has of a run.
func gapsAndRecords(t *testing.T, dir string, run record.Run) (gaps, records uint64) {
	t.Helper()
	l := open(t, dir, Options{})
	for from := uint64(1); ; {
		data, next, err := l.Read(nil, run, from, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		if next == from {
			return gaps, records
		}
		for from = next; len(data) > 0; {
			e, err := Next(data)
			if err != nil {
				t.Fatal(err)
			}
			data = data[len(e.Raw):]
			if e.Kind == KindGap {
				gaps += e.Last - e.First + 1
			} else {
				records += e.Count()
			}
		}
	}
}

// TestLastOnlyGrows: counting beside a write that hangs may come behind a later count.
func TestLastOnlyGrows(t *testing.T) {
	path := filepath.Join(t.TempDir(), "last")
	l, err := openLast(path, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer l.close()
	for _, n := range []uint64{5, 9, 7} {
		if err := l.set(0, runA, "downcase", n); err != nil {
			t.Fatal(err)
		}
	}
	all, _, err := readLast(path)
	if err != nil || len(all) != 1 || all[0] != (given{runA, "downcase", 9}) {
		t.Errorf("it says %+v, %v, want 9", all, err)
	}
}

func TestHungWriteLetsTheAnswersGo(t *testing.T) {
	dir := t.TempDir()
	r := start(t, dir, WriterOptions{Wait: 50 * time.Millisecond})
	s := r.Stream("downcase")
	_, _ = s.Append(tail)
	r.log.appendMu.Lock() // the disk hangs
	for range 10 {
		began := time.Now()
		if _, err := s.Append(tail); err != nil {
			t.Fatal(err)
		}
		if d := time.Since(began); d > 5*time.Second {
			t.Fatalf("an append waited %s", d)
		}
	}
	if !r.Stats.Degraded.Load() {
		t.Error("not degraded")
	}
	testenv.Wait(t, "the feed", testenv.Patience, func() bool { return r.feed.count() == 11 })
	// If it died now, the next opening would know how many there were.
	testenv.Wait(t, "count of them", testenv.Patience, func() bool {
		all, _, err := readLast(filepath.Join(dir, "last"))
		return err == nil && len(all) == 1 && all[0].run == s.Run() && all[0].last == 11
	})
	r.log.appendMu.Unlock()
	testenv.Wait(t, "recovery", testenv.Patience, func() bool { return r.Stats.Held.Load() == 0 && !r.Stats.Degraded.Load() })
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	if got := numbers(t, open(t, dir, Options{}), s.Run(), 1); fmt.Sprint(got) != fmt.Sprint(upTo(1, 11)) {
		t.Errorf("%v", got)
	}
}

// TestHungWriteKeepsTheBound: a flood that goes on while a write hangs takes no more memory
// than it may, and what fell out of it is declared.
func TestHungWriteKeepsTheBound(t *testing.T) {
	dir := t.TempDir()
	const memory = 4 << 20
	r := start(t, dir, WriterOptions{Wait: 800 * time.Millisecond, Memory: memory})
	s := r.Stream("downcase")
	_, _ = s.Append(tail)
	r.log.appendMu.Lock() // the disk hangs
	big := []byte(`","data":"` + strings.Repeat("x", 60<<10) + "\"}\n")
	for n := range uint64(1000) {
		if _, err := s.Append(big); err != nil {
			t.Fatal(err)
		}
		if held := r.Stats.Held.Load(); held > memory+2*MaxBatch {
			t.Errorf("%d bytes are held after %d records, want at most %d and two batches", held, n+1, memory)
			break
		}
	}
	r.log.appendMu.Unlock()
	testenv.Wait(t, "recovery", testenv.Patience, func() bool { return r.Stats.Held.Load() == 0 && !r.Stats.Degraded.Load() })
	last, lost := s.next-1, r.Stats.Lost.Load()
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	if gaps, records := gapsAndRecords(t, dir, s.Run()); lost == 0 || gaps != lost || records != last-lost {
		t.Errorf("%d records are there and %d in gaps, of %d; %d are lost", records, gaps, last, lost)
	}
}

// TestHungWriteLetsANewStreamGo: the first record of a service waits for the disk no longer
// than others.
func TestHungWriteLetsANewStreamGo(t *testing.T) {
	for name, before := range map[string]int{"first record of all": 0, "first of its service": 1} {
		t.Run(name, func(t *testing.T) {
			r := start(t, t.TempDir(), WriterOptions{Wait: 50 * time.Millisecond})
			for range before {
				_, _ = r.Stream("downcase").Append(tail)
			}
			r.log.appendMu.Lock() // the disk hangs
			defer r.log.appendMu.Unlock()
			went := make(chan error, 1)
			go func() {
				_, err := r.Stream("upcase").Append(tail)
				went <- err
			}()
			select {
			case err := <-went:
				if err != nil {
					t.Error(err)
				}
			case <-time.After(testenv.Patience):
				t.Error("it waits")
			}
		})
	}
}

// TestCountedWhileARetryTakesItsTime: an answer that comes while a write is tried again
// leaves when it is counted, or a death then loses what nobody declares.
func TestCountedWhileARetryTakesItsTime(t *testing.T) {
	r := start(t, filepath.Join(t.TempDir(), "j"), WriterOptions{Wait: time.Minute})
	s := r.Stream("downcase")
	mend := breakDir(t, r)
	if _, err := s.Append(tail); err != nil {
		t.Fatal(err)
	}
	r.log.appendMu.Lock()
	testenv.Wait(t, "a retry", testenv.Patience, func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.inFlight > 0
	})
	last := make(chan uint64, 1)
	go func() {
		defer close(last)
		if _, err := s.Append(tail); err != nil {
			t.Error(err)
			return
		}
		r.last.mu.Lock()
		defer r.last.mu.Unlock()
		last <- r.last.most[s.slot]
	}()
	testenv.Wait(t, "an append", testenv.Patience, func() bool { return r.waiting.Load() > 0 })
	select {
	case n := <-last:
		t.Errorf("an answer left beside the retry, when %d were counted", n)
	default:
	}
	r.log.appendMu.Unlock()
	if n := <-last; n != 2 {
		t.Errorf("an answer left when %d were counted, want 2", n)
	}
	mend()
}

func TestClaims(t *testing.T) {
	root := t.TempDir()
	a, err := TakeFirst(root)
	if err != nil {
		t.Fatal(err)
	}
	b, err := TakeFirst(root)
	if err != nil || b.Dir == a.Dir {
		t.Fatalf("%v, %v", b, err)
	}
	if _, err := Take(a.Dir); err == nil {
		t.Error("a locked directory was taken")
	}
	if err := a.Release(); err != nil {
		t.Fatal(err)
	}
	c, err := TakeFirst(root)
	if err != nil || c.Dir != a.Dir {
		t.Errorf("took %v, want the free %s (%v)", c, a.Dir, err)
	}
	if s := StreamID(c.Instance(), "downcase"); !(record.Run{Stream: s}).Valid() || s == StreamID(b.Instance(), "downcase") {
		t.Errorf("stream id %q", s)
	}
}

func TestCommits(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cursors")
	now := time.Now()
	c := OpenCommits(path, time.Now())
	if _, ok := c.Committed(runA); ok {
		t.Error("without a store something is committed")
	}
	for _, x := range []struct {
		id   string
		next uint64
	}{{"s1", 50}, {"s2", 20}, {"s1", 200}} {
		if err := c.Commit(x.id, "", runA, x.next, 101, now); err != nil {
			t.Fatal(err)
		}
	}
	if n, ok := c.Committed(runA); n != 20 || !ok {
		t.Errorf("committed by all: %d, want 20", n)
	}
	if n, _ := c.Committed(runA, "s1"); n != 101 {
		t.Errorf("s1 committed %d, want the end 101", n)
	}
	if n, ok := c.Committed(runA, "s1", "never heard"); n != 101 || !ok {
		t.Errorf("one that counts is here: %d %v, want what it has", n, ok)
	}
	if n, ok := c.Committed(runA, "never heard"); n != 0 || !ok {
		t.Errorf("a store that is required and never came has %d %v, want nothing", n, ok)
	}
	if n, ok := c.Committed(runB); n != 0 || !ok {
		t.Errorf("a run that nobody committed: %d %v", n, ok)
	}
	if err := c.Save(time.Now()); err != nil {
		t.Fatal(err)
	}
	c = OpenCommits(path, time.Now())
	if n, _ := c.Committed(runA); n != 20 {
		t.Errorf("after reopening: %d, want 20", n)
	}
	if !c.Forget("s2") || c.Forget("s2") {
		t.Error("Forget")
	}
	if n, _ := c.Committed(runA); n != 101 {
		t.Errorf("after forgetting s2: %d, want 101", n)
	}
	if err := c.Hello("s1", "main", now); err != nil {
		t.Fatal(err)
	}
	if err := c.Hello("s3", "main", now.Add(time.Second)); err == nil {
		t.Error("a name in use was given to another store")
	}
	if err := c.Hello("s3", "main", now.Add(time.Minute)); err != nil {
		t.Errorf("a name whose store is silent: %v", err)
	}
	greeted := func(at time.Time) (names []string) {
		for _, st := range c.Greeted(at) {
			names = append(names, st.Name)
		}
		return names
	}
	if got := greeted(now.Add(2 * time.Minute)); !slices.Equal(got, []string{"main"}) { // s3
		t.Errorf("greeted: %v", got)
	}
	if err := c.Hello("s4", "", now.Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if got := greeted(now.Add(2 * time.Minute)); !slices.Equal(got, []string{"main", "s4"}) {
		t.Errorf("greeted: %v", got)
	}
	if got := greeted(now.Add(3 * time.Minute)); got != nil {
		t.Errorf("greeted after a minute: %v", got)
	}
	if err := c.Commit("s3", "main", runA, 1, 101, now); err != nil {
		t.Fatal(err)
	}
	if got := greeted(now.Add(2 * time.Minute)); !slices.Equal(got, []string{"s4"}) {
		t.Errorf("greeted once s3 has a cursor: %v", got)
	}
	c.Forget("s3")
	if gone := c.Expire(now.Add(8 * 24 * time.Hour)); len(gone) != 1 {
		t.Errorf("expired: %v", gone)
	}
}

func BenchmarkWriter(b *testing.B) {
	dir := b.TempDir()
	l, err := Open(dir, Options{})
	if err != nil {
		b.Fatal(err)
	}
	w, err := NewWriter(dir, l, "x", WriterOptions{})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	s := w.Stream("downcase")
	b.Run("one appender", func(b *testing.B) {
		for b.Loop() {
			if _, err := s.Append(tail); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("64 appenders", func(b *testing.B) {
		b.SetParallelism(32)
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if _, err := s.Append(tail); err != nil {
					b.Fatal(err)
				}
			}
		})
	})
	many := make([][]byte, 256)
	for i := range many {
		many[i] = tail
	}
	b.Run("256 at once", func(b *testing.B) {
		for b.Loop() {
			if _, err := s.Append(many...); err != nil {
				b.Fatal(err)
			}
		}
	})
	cancel()
	if err := <-done; err != nil {
		b.Fatal(err)
	}
}

// TestNextSegmentIsThereInTime: the next segment is allocated when a quarter of the present one
// is written, whenever the next fsync is.
func TestNextSegmentIsThereInTime(t *testing.T) {
	r := start(t, t.TempDir(), WriterOptions{SyncEvery: time.Hour})
	s := r.Stream("downcase")
	for range 3 {
		if _, err := s.Append(append(append([]byte(`","x":"`), bytes.Repeat([]byte("x"), 8<<10)...), "\"}\n"...)); err != nil {
			t.Fatal(err)
		}
	}
	testenv.Wait(t, "the next segment", testenv.Patience, func() bool {
		all, err := filepath.Glob(filepath.Join(r.dir, "*"+extOpen))
		return err == nil && len(all) == 2
	})
	if err := r.stop(); err != nil {
		t.Error(err)
	}
}
