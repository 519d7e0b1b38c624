package journal

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/earshot-mq/earshot/publisher/record"
)

// Whatever the size of a draft and whoever else appends, its records have consecutive numbers,
// each line is in the log as it was written, and no feed gets it before the file.
func TestDrafts(t *testing.T) {
	dir := t.TempDir()
	var log *Log
	var written sync.WaitGroup
	written.Add(1)
	r := start(t, dir, WriterOptions{Hand: func(es []Entry) {
		written.Wait()
		for _, e := range es {
			if c, _ := log.Cursor(e.Run); e.Kind == KindBatch && c.Next <= e.Last {
				t.Errorf("the feeds have %d to %d, the log is at %d", e.First, e.Last, c.Next)
			}
		}
	}})
	log = r.log
	written.Done()
	const seed1, seed2, workers, each = 1, 2, 8, 60
	s := r.Stream("downcase")
	var mu sync.Mutex
	want := map[uint64]string{}
	var all sync.WaitGroup
	for w := range uint64(workers) {
		all.Go(func() {
			rnd := rand.New(rand.NewPCG(seed1, seed2+w))
			for i := range each {
				n := 1 + rnd.IntN(4)
				if rnd.IntN(3) == 0 {
					n = 1 + rnd.IntN(400)
				}
				long := 0
				if w == 0 && i%20 == 19 { // more than a batch, or a line that is one by itself
					n, long = 1+rnd.IntN(30), 100<<10
				}
				tails := make([]string, n)
				d := s.Draft(n)
				for k := range tails {
					tails[k] = fmt.Sprintf("\",\"source\":\"/downcase\",\"data\":{\"worker\":%d,\"draft\":%d,\"record\":%d,\"body\":%q}}\n", w, i, k, strings.Repeat("x", rnd.IntN(60)+long))
					d.B = append(d.Line(), tails[k]...)
				}
				first, err := d.Append()
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				for k, text := range tails {
					want[first+uint64(k)] = text
				}
				mu.Unlock()
			}
		})
	}
	all.Wait()
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	next := uint64(1)
	for data := mustRead(t, open(t, dir, Options{}), s.Run()); len(data) > 0; {
		e, err := Next(data)
		if err != nil {
			t.Fatal(err)
		}
		data = data[len(e.Raw):]
		for line := range e.Records() {
			if text := fmt.Sprintf(`{"specversion":"1.0","id":"%s/%d%s`, s.Run(), next, want[next]); string(line) != text {
				t.Fatalf("line %d is\n%.300s, want\n%.300s", next, line, text)
			}
			next++
		}
	}
	if int(next-1) != len(want) {
		t.Errorf("%d lines in the log, want %d", next-1, len(want))
	}
}

func mustRead(t *testing.T, l *Log, run record.Run) []byte {
	t.Helper()
	data, _, err := l.Read(nil, run, 1, 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// A draft becomes a batch where it is when it is large enough, and when its numbers have as
// many digits as were guessed.
func TestDraftIsABatch(t *testing.T) {
	const size = 1 << 10
	line := func(body int) string { return `","body":"` + strings.Repeat("x", body) + "\"}\n" }
	for _, at := range []struct {
		guess, next uint64
		records     int
		body        int
		want        bool
	}{
		{1, 1, 9, 2 * size, true},
		{1, 1, 10, 2 * size, false}, // 9 and 10
		{1, 10, 20, size, true},     // the guess is by the last number: 20
		{95, 95, 20, size, false},
		{100, 100, 20, size, true},
		{980, 980, 20, size, true},  // 980 to 999
		{981, 981, 20, size, false}, // 1000
		{90, 100, 20, size, true},   // others were there in between
		{70, 100, 20, size, false},
		{1<<63 - 8, 1<<63 - 8, 16, size, true}, // 9223372036854775800 to …815
		{100, 100, 10, size, false},            // too small
		{100, 100, 1, 100 * size, true},
		{100, 100, 12, 100 * size, false}, // too large
	} {
		dir := t.TempDir()
		w, err := NewWriter(dir, open(t, dir, Options{}), filepath.Base(dir), WriterOptions{})
		if err != nil {
			t.Fatal(err)
		}
		s := w.Stream("downcase")
		s.coming.Store(at.guess)
		s.next = at.next
		d := s.Draft(at.records)
		for range at.records {
			d.B = append(d.Line(), line(at.body)...)
		}
		d.room.B = d.B
		w.mu.Lock()
		got := s.adoptLocked(d)
		if !got {
			for i := range d.at {
				s.addLocked(d.tail(i))
			}
		}
		w.takeLocked()
		w.mu.Unlock()
		if got != at.want {
			t.Errorf("%+v: a batch where it is: %v", at, got)
		}
		next := at.next
		for _, e := range w.held {
			if e.Kind != KindBatch {
				continue
			}
			read, err := Next(e.Raw)
			if err != nil {
				t.Fatalf("%+v: %v", at, err)
			}
			for l := range read.Records() {
				if want := fmt.Sprintf(`{"specversion":"1.0","id":"%s/%d%s`, s.Run(), next, line(at.body)); string(l) != want {
					t.Fatalf("%+v: line %d is %.100q, want %.100q", at, next, l, want)
				}
				next++
			}
		}
		if next != at.next+uint64(at.records) {
			t.Errorf("%+v: %d records", at, next-at.next)
		}
		if err := w.last.close(); err != nil {
			t.Error(err)
		}
	}
}
