package journal

import (
	"bytes"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/earshot-mq/earshot/internal/testenv"
)

// TestFullDisk fills real file systems: what is held goes to disk as room for it comes, and
// in the end each number is in a file once, as record or in a gap.
func TestFullDisk(t *testing.T) {
	for _, kind := range []string{"tmpfs", "ext4"} {
		t.Run(kind, func(t *testing.T) {
			d := testenv.NewDisk(t, kind, 48)
			const memory = 6 << 20
			r := start(t, filepath.Join(d.Path, "j"), WriterOptions{SyncEvery: 10 * time.Millisecond, Memory: memory})
			s := r.Stream("downcase")
			line := fmt.Appendf(nil, `","data":{"body":"%s"}}`+"\n", bytes.Repeat([]byte("x"), 8<<10))
			given := 0
			add := func(n int) {
				for range n {
					if _, err := s.Append(line); err != nil {
						t.Fatal(err)
					}
				}
				given += n
			}
			held := func() int64 { return r.Stats.Held.Load() }
			add(20)
			d.Fill(0)
			for held() < memory/2 {
				add(1)
			}
			if !r.Stats.Degraded.Load() || r.Stats.Lost.Load() > 0 {
				t.Fatalf("degraded %v, lost %d", r.Stats.Degraded.Load(), r.Stats.Lost.Load())
			}
			before := held()
			d.Give(2 << 20)
			testenv.Wait(t, "use of the room that there is", testenv.Patience, func() bool { return held() < before-(1<<19) })
			if !r.Stats.Degraded.Load() {
				t.Error("not degraded any more, with records in memory")
			}
			add(2 * memory / (8 << 10))
			if held() > memory || r.Stats.Lost.Load() == 0 {
				t.Errorf("held %d of at most %d, lost %d", held(), memory, r.Stats.Lost.Load())
			}
			if all, _, err := readLast(filepath.Join(r.dir, "last")); err != nil || len(all) != 1 || all[0].last != uint64(given) {
				t.Errorf("the file last has %v (%v), want %d", all, err, given)
			}
			d.Free()
			testenv.Wait(t, "recovery", testenv.Patience, func() bool { return !r.Stats.Degraded.Load() && held() == 0 })
			add(5)
			lost := r.Stats.Lost.Load()
			if err := r.stop(); err != nil {
				t.Fatal(err)
			}
			next, gaps, lines := uint64(1), uint64(0), 0
			for l := open(t, r.dir, Options{}); next <= uint64(given); {
				data, _, err := l.Read(nil, s.Run(), next, 1<<20)
				if err != nil || len(data) == 0 {
					t.Fatalf("nothing at %d: %v", next, err)
				}
				for len(data) > 0 {
					e, err := Next(data)
					if err != nil || e.First != next {
						t.Fatalf("at %d: %d to %d, %v", next, e.First, e.Last, err)
					}
					if e.Kind == KindGap {
						gaps += e.Last - e.First + 1
						lines++
					}
					next, data = e.Last+1, data[len(e.Raw):]
				}
			}
			if gaps != lost || lines != 1 {
				t.Errorf("gaps of %d in %d lines, want %d in one", gaps, lines, lost)
			}
		})
	}
}
