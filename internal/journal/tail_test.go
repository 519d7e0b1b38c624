package journal

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/earshot-mq/earshot/internal/testenv"
	"github.com/earshot-mq/earshot/publisher/record"
)

// TestReadBesideAppends reads a run while it grows and its segments are closed: a
// reader must never be told that a record is missing which is there.
func TestReadBesideAppends(t *testing.T) {
	for name, size := range map[string]int64{"one segment": 64 << 20, "many segments": 16 << 10} {
		t.Run(name, func(t *testing.T) {
			l, err := Open(t.TempDir(), Options{SegmentBytes: size})
			if err != nil {
				t.Fatal(err)
			}
			run := record.Run{Stream: NewID(), Epoch: l.Epoch()}
			stop, done := make(chan struct{}), make(chan error, 2)
			go func() { done <- growUntil(stop, l, run) }()
			go func() { done <- syncUntil(stop, l) }()
			next := uint64(1)
			for end := time.Now().Add(time.Second); time.Now().Before(end) && !t.Failed(); {
				from := max(next, 501) - 500 // into segments that are being closed
				_, n, err := l.Read(nil, run, from, 1<<20)
				if err != nil || n < next {
					t.Errorf("Read from %d: up to %d, was %d: %v", from, n, next, err)
				}
				next = n
			}
			close(stop)
			if err := errors.Join(<-done, <-done, l.Close()); err != nil {
				t.Error(err)
			}
			if next < 1000 {
				t.Errorf("only %d records were read", next-1)
			}
		})
	}
}

func growUntil(stop <-chan struct{}, l *Log, run record.Run) error {
	for n := uint64(1); ; n++ {
		select {
		case <-stop:
			return nil
		default:
		}
		raw := AppendBatch(nil, run, n, 1, []byte("{}\n"))
		e := Entry{Kind: KindBatch, Run: run, First: n, Last: n, Lines: raw[len(raw)-3:], Raw: raw}
		if _, err := l.Append(e); err != nil {
			return err
		}
	}
}

func syncUntil(stop <-chan struct{}, l *Log) error {
	for {
		select {
		case <-stop:
			return nil
		default:
		}
		if err := errors.Join(l.Sync(), l.Ahead()); err != nil {
			return err
		}
	}
}

// TestReadWhileRenamed reads a segment whose file has its last name already, which the
// log does not know yet: the name changes before it is noted.
func TestReadWhileRenamed(t *testing.T) {
	dir := t.TempDir()
	l, err := Open(dir, Options{SegmentBytes: 1 << 10})
	if err != nil {
		t.Fatal(err)
	}
	run := record.Run{Stream: NewID(), Epoch: l.Epoch()}
	for n := uint64(1); n <= 20; n++ {
		raw := AppendBatch(nil, run, n, 1, []byte("{}\n"))
		if _, err := l.Append(Entry{Kind: KindBatch, Run: run, First: n, Last: n, Lines: raw[len(raw)-3:], Raw: raw}); err != nil {
			t.Fatal(err)
		}
	}
	first := filepath.Join(dir, l.segs[0].Name)
	if err := os.Rename(first+extOpen, first+extClosed); err != nil {
		t.Fatal(err)
	}
	if _, next, err := l.Read(nil, run, 1, 1<<20); err != nil || next != 21 {
		t.Errorf("Read from 1: up to %d, %v, want 21", next, err)
	}
}

// TestReaderKeepsUp reads a store while it grows, in appends of all sizes: what is given from
// memory and what from files are the same entries, each once, with their arrivals.
func TestReaderKeepsUp(t *testing.T) {
	l, err := Open(t.TempDir(), Options{Arrivals: true, SegmentBytes: 512 << 10})
	if err != nil {
		t.Fatal(err)
	}
	run := record.Run{Stream: NewID(), Epoch: l.Epoch()}
	stop, done := make(chan struct{}), make(chan error, 2)
	go func() { done <- syncUntil(stop, l) }()
	const appends = 3000
	written := make(chan []byte, appends)
	go func() {
		for n := range uint64(appends) {
			size := 10 << (n % 14) // up to 80 KiB, more than is kept
			line := append(bytes.Repeat([]byte{'a' + byte(n%26)}, size), '\n')
			raw := AppendBatch(nil, run, n+1, 1, line)
			written <- raw
			if _, err := l.Append(Entry{Kind: KindBatch, Run: run, First: n + 1, Last: n + 1, Lines: raw[len(raw)-len(line):], Raw: raw}); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	r := l.Reader(1)
	next, inMemory := uint64(1), 0
	for next <= appends && !t.Failed() {
		changed := l.Changed()
		before := next
		err := r.Read(func(e *Entry, n uint64) error {
			if want := <-written; n != next || !bytes.Equal(e.Raw, want) {
				return fmt.Errorf("arrival %d, want %d: %.80q, want %.80q", n, next, e.Raw, want)
			}
			if len(r.kept.b) > 0 {
				inMemory++
			}
			next++
			return nil
		})
		if err != nil {
			t.Error(err)
		}
		if next > before {
			continue
		}
		select {
		case <-changed:
		case <-time.After(testenv.Patience):
			t.Fatalf("nothing comes after arrival %d", next-1)
		}
	}
	close(stop)
	if err := errors.Join(<-done, <-done, r.Close(), l.Close()); err != nil {
		t.Error(err)
	}
	if inMemory == 0 || inMemory == appends {
		t.Errorf("%d of %d were read from memory; both ways are to be tried", inMemory, appends)
	}
}
