package view

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// TestBadBytesOfTheStore: the log file has the lines behind them and one gap line, once, also
// when the view dies at any byte of that, in the same boot and in another.
func TestBadBytesOfTheStore(t *testing.T) {
	for _, boot := range []string{"same boot", "another boot"} {
		t.Run(boot, func(t *testing.T) {
			s := newShelf(t)
			for range 40 {
				s.add(4)
			}
			if err := s.log.Sync(); err != nil {
				t.Fatal(err)
			}
			all, err := filepath.Glob(filepath.Join(s.dir, "store", "*.jsonl"))
			if err != nil || len(all) < 3 {
				t.Fatalf("%d closed segments, %v", len(all), err)
			}
			spoilt := 0
			for _, path := range all {
				text, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				at := bytes.Index(text, []byte("record 50")) // 49 to 52 are a batch
				if at < 0 {
					continue
				}
				spoilt++
				text[at] ^= 1
				if err := os.WriteFile(path, text, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if spoilt != 1 {
				t.Fatalf("record 50 is in %d closed segments", spoilt)
			}
			lines := bytes.SplitAfter(s.want, newline)
			v := s.open(FileOptions{})
			s.show(v, s.log.Reader(1))
			shown := s.shown(v)
			got := bytes.SplitAfter(shown, newline)
			gap := got[48]
			if !bytes.Equal(bytes.Join(append(slices.Clone(lines[:48]), append([][]byte{gap}, lines[52:]...)...), nil), shown) ||
				!bytes.Contains(gap, []byte("4 ")) || !bytes.Contains(gap, []byte("corrupt")) || v.next != s.next {
				t.Fatalf("line 49 is %q, next %d", gap, v.next)
			}
			if err := v.Close(); err != nil {
				t.Fatal(err)
			}
			first := len(bytes.Join(lines[:48], nil))
			for cut := first - 3; cut < first+len(gap)+len(lines[52])+3; cut++ {
				if err := os.RemoveAll(filepath.Join(s.dir, "view")); err != nil {
					t.Fatal(err)
				}
				if err := os.Remove(v.o.Path); err != nil {
					t.Fatal(err)
				}
				v = s.open(FileOptions{}) // its checkpoint is before all
				if boot == "another boot" {
					cp := v.cps.checkpoint
					cp.BootID = "another"
					if err := v.cps.save(cp); err != nil {
						t.Fatal(err)
					}
				}
				if _, err := v.f.Write(shown[:cut]); err != nil {
					t.Fatal(err)
				}
				_ = v.Close()
				v = s.open(FileOptions{})
				s.show(v, s.log.Reader(v.next))
				if again := s.shown(v); !bytes.Equal(again, shown) {
					i := 0
					for i < min(len(again), len(shown)) && again[i] == shown[i] {
						i++
					}
					t.Fatalf("left at byte %d: other from byte %d on, %s", cut, i, fmt.Sprintf("%q, want %q", again[i:min(i+200, len(again))], shown[i:min(i+200, len(shown))]))
				}
				_ = v.Close()
			}
		})
	}
}
