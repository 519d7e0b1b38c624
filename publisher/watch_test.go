package publisher

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/earshot-mq/earshot/internal/testenv"
	"github.com/earshot-mq/earshot/publisher/record"
)

// hang makes reading the oldest closed segment of a journal never end, as a disk that hangs
// does: a FIFO has its name, and nobody writes into that.
func hang(t *testing.T, dir string) (mend func()) {
	t.Helper()
	closed, err := filepath.Glob(filepath.Join(dir, "*.jsonl"))
	if err != nil || len(closed) == 0 {
		t.Fatalf("no closed segment in %s: %v", dir, err)
	}
	path := closed[0]
	if err := os.Rename(path, path+".away"); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	return func() {
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			t.Error(err)
			return
		}
		if err := os.Rename(path+".away", path); err != nil { // who opens it from now on reads
			t.Error(err)
		}
		_ = f.Close() // and who has the FIFO open is at its end
	}
}

// TestHealthOfADiskThatHangs: what an operator asks does not wait for the disk, and says that
// it hangs.
func TestHealthOfADiskThatHangs(t *testing.T) {
	p, err := New(nil, Options{Dir: t.TempDir(), Drain: time.Millisecond, MaxBytes: 16 << 20})
	if err != nil {
		t.Fatal(err)
	}
	p.looks.after = 100 * time.Millisecond
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	s, err := p.Stream("downcase")
	if err != nil {
		t.Fatal(err)
	}
	body := strings.Repeat("x", 60<<10)
	for range 40 { // two segments of 1 MiB
		if err := s.Publish(ctx, &record.Record{Type: record.TypeHTTP, Time: time.Now(), HTTP: record.HTTP{Method: "GET", Path: "/", Body: []byte(body), BodyKind: record.BodyText}}); err != nil {
			t.Fatal(err)
		}
	}
	testenv.Wait(t, "a closed segment", testenv.Patience, func() bool {
		closed, _ := filepath.Glob(filepath.Join(p.claim.Dir, "*.jsonl"))
		return len(closed) > 0
	})
	mend := hang(t, p.claim.Dir)
	if err := p.commits.Commit("id", "shop", s.s.Run(), 2, 41, time.Now()); err != nil { // lacks what is in there
		t.Fatal(err)
	}
	testenv.Wait(t, "a state that says that the disk hangs", testenv.Patience, func() bool {
		said := make(chan string, 1)
		go func() {
			for _, m := range p.Metrics() {
				if m.Each != nil {
					m.Each(func(float64, ...string) {})
				} else {
					m.Value()
				}
			}
			said <- p.State()
		}()
		select {
		case state := <-said:
			return strings.Contains(state, "its disk hangs")
		case <-time.After(testenv.Patience):
			t.Error("health and metrics wait for the disk")
			return true
		}
	})
	mend()
	testenv.Wait(t, "a state that is well again", testenv.Patience, func() bool { return p.State() == "ok" })
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
