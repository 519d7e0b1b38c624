package journal

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"strings"
	"testing"
	"time"

	"github.com/earshot-mq/earshot/publisher/record"
)

var (
	runA = record.Run{Stream: "q7k3v9x2m1t8w", Epoch: 0x19a8f3c2e4b00d17}
	runB = record.Run{Stream: "0000000000001", Epoch: 0x19a8f3c2e4b00d18}
)

// batch makes a batch of run whose line i is a short JSON object with its number.
func batch(run record.Run, first uint64, count int) Entry {
	var lines []byte
	for i := range count {
		lines = fmt.Appendf(lines, "{\"specversion\":\"1.0\",\"id\":\"%s/%d\"}\n", run, first+uint64(i))
	}
	raw := AppendBatch(nil, run, first, count, lines)
	return Entry{Kind: KindBatch, Run: run, First: first, Last: first + uint64(count) - 1, Lines: raw[len(raw)-len(lines):], Raw: raw}
}

func TestNextReadsWhatWasWritten(t *testing.T) {
	at := time.Date(2026, 11, 22, 10, 35, 12, 123456789, time.UTC)
	cursors := appendCursors(nil, 7, []Cursor{{Stream: runA.Stream, Epoch: runA.Epoch, Began: 1, Next: 9, Service: "downcase"}})
	for name, want := range map[string]Entry{
		"batch":   batch(runA, 1001, 3),
		"gap":     NewGap(runA, "downcase", 5, 9, "journal past its bound"),
		"epoch":   newEpoch(runA, "downcase", "boot", at),
		"end":     newEnd(runA, 10, 12, true),
		"arrival": {Kind: KindArrival, N: 77, Time: at, Raw: appendArrival(nil, 77, at)},
		"cursors": {Kind: KindCursors, N: 7, Raw: cursors},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Next(append(bytes.Clone(want.Raw), "{"...))
			if err != nil {
				t.Fatalf("Next(%q): %v", want.Raw, err)
			}
			if got.Kind != want.Kind || got.Run != want.Run || got.First != want.First || got.Last != want.Last ||
				!bytes.Equal(got.Raw, want.Raw) || !bytes.Equal(got.Lines, want.Lines) || !got.Time.Equal(want.Time) ||
				got.N != want.N || got.Reason != want.Reason || got.Given != want.Given || got.Clean != want.Clean {
				t.Errorf("Next = %+v, want %+v", got, want)
			}
			for i := range want.Raw {
				if _, err := Next(want.Raw[:i]); !errors.Is(err, ErrShort) {
					t.Fatalf("Next of the first %d bytes: %v, want ErrShort", i, err)
				}
				flipped := bytes.Clone(want.Raw)
				flipped[i] ^= 1
				if _, err := Next(append(flipped, want.Raw...)); err == nil {
					t.Fatalf("Next with byte %d changed took it: %q", i, flipped)
				}
			}
		})
	}
}

func TestNextNamesALaterVersion(t *testing.T) {
	for _, line := range []string{
		`{"batch":{"v":2,"stream":"q7k3v9x2m1t8w","crc32c":"00000000"}}` + "\n",
		`{"gap":{"v":3,"crc32c":"00000000"}}` + "\n",
	} {
		if _, err := Next([]byte(line)); !errors.Is(err, ErrVersion) {
			t.Errorf("Next(%q) = %v, want ErrVersion", line, err)
		}
	}
}

func TestSkipCutsABatch(t *testing.T) {
	b := batch(runA, 10, 5)
	s := b.Skip(13)
	got, err := Next(s.Raw)
	if err != nil || got.First != 13 || got.Last != 14 || !bytes.Equal(got.Lines, batch(runA, 13, 2).Lines) {
		t.Errorf("Skip(13) = %+v, %v", got, err)
	}
	if s := b.Skip(10); !bytes.Equal(s.Raw, b.Raw) {
		t.Error("Skip of nothing changed the batch")
	}
}

func TestSkipCutsAGap(t *testing.T) {
	g := NewGap(runA, "downcase", 10, 20, "why")
	s := g.Skip(13)
	got, err := Next(s.Raw)
	if err != nil || got.Kind != KindGap || got.First != 13 || got.Last != 20 || got.Service != "downcase" || got.Reason != "why" {
		t.Errorf("Skip(13) = %+v, %v", got, err)
	}
	if s := g.Skip(10); !bytes.Equal(s.Raw, g.Raw) {
		t.Error("Skip of nothing changed the gap")
	}
}

func TestBatchHeaderIsShort(t *testing.T) {
	lines := strings.Repeat("x\n", MaxBatch/2)
	raw := AppendBatch(nil, runA, 1<<63-1, MaxBatch/2, []byte(lines))
	if n := len(raw) - len(lines); n > MaxHeader {
		t.Errorf("header has %d bytes, want at most %d", n, MaxHeader)
	}
}

func FuzzNext(f *testing.F) {
	b := batch(runA, 1, 2)
	f.Add(b.Raw)
	f.Add(NewGap(runA, "x", 1, 2, "why").Raw)
	f.Add(newEpoch(runA, "downcase", "boot", time.Now()).Raw)
	f.Add(newEnd(runA, 1, 2, false).Raw)
	f.Add(appendArrival(nil, 1, time.Now()))
	f.Add(appendCursors(nil, 1, []Cursor{{Stream: runA.Stream, Epoch: runA.Epoch, Next: 1}}))
	f.Fuzz(func(t *testing.T, in []byte) {
		e, err := Next(in)
		if err != nil {
			if !errors.Is(err, ErrShort) && !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrVersion) {
				t.Errorf("Next(%q): %v wraps none of the package's errors", in, err)
			}
			return
		}
		if len(e.Raw) == 0 || !bytes.HasPrefix(in, e.Raw) {
			t.Errorf("Next(%q): Raw %q is not its beginning", in, e.Raw)
		}
		if e.Kind == KindBatch && uint64(bytes.Count(e.Lines, newline)) != e.Count() {
			t.Errorf("Next(%q): %d lines, count %d", in, bytes.Count(e.Lines, newline), e.Count())
		}
	})
}

// FuzzArrival: the quick way to read an arrival's line takes none that the other one refuses,
// reads the same of it, and takes every one that is written.
func FuzzArrival(f *testing.F) {
	f.Add(uint64(1), int64(0), "", 0)
	f.Add(uint64(1<<63), int64(1e18), `{"arrival":{"v":1,"n":1,"time":"2026-11-22T10:35:12.1Z"`, 3)
	f.Add(uint64(7), int64(-1), `{"arrival":{"v":1,"n":01,"time":"2026-11-22T10:35:12+01:00"`, 9)
	f.Add(uint64(7), int64(-1), `{"arrival":{"v":1,"n":0,"time":"2026-11-22T10:35:12,1Z"`, -1)
	f.Fuzz(func(t *testing.T, n uint64, at int64, text string, cut int) {
		written := time.Unix(0, at)
		raw := appendArrival(nil, n, written)
		e, ok := nextArrival(append(raw, "more"...))
		if inScope := n < 1e18; inScope && !ok {
			t.Errorf("%q is not taken", raw)
		}
		if ok && (e.N != n || !e.Time.Equal(written) || !bytes.Equal(e.Raw, raw)) {
			t.Errorf("%q is read as %+v", raw, e)
		}
		if _, ok := nextArrival(raw[:max(0, min(cut, len(raw)-1))]); ok {
			t.Errorf("the first %d bytes of %q are taken", cut, raw)
		}
		line := appendCRC([]byte(text), crc32.Checksum([]byte(text), crcTable))
		got, ok := nextArrival(line)
		if !ok {
			return
		}
		want, err := control(line)
		if err != nil || got.N != want.N || !got.Time.Equal(want.Time) || got.Kind != want.Kind || !bytes.Equal(got.Raw, want.Raw) {
			t.Errorf("%q is read as %+v; it is %+v, %v", line, got, want, err)
		}
	})
}
