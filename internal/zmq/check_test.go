package zmq

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	zmq4 "github.com/pebbe/zmq4"

	"github.com/earshot-mq/earshot/internal/testenv"
)

// TestCheck fails on a library without the fix. With EARSHOT_TEST_LIBZMQ=unfixed and
// such a library in LD_LIBRARY_PATH it is the other way round.
func TestCheck(t *testing.T) {
	unfixed := os.Getenv("EARSHOT_TEST_LIBZMQ") == "unfixed"
	for name, busy := range map[string]int{"idle": 0, "under load": 2 * runtime.NumCPU()} {
		t.Run(name, func(t *testing.T) {
			load(t, busy)
			const n = 20
			failed := 0
			for range n {
				err := Check(t.Context())
				if err == nil {
					continue
				}
				failed++
				if got := err.Error(); !strings.Contains(got, Version()) || !strings.Contains(got, "install 4.3.5") || strings.Contains(got, "\n") {
					t.Errorf("Check() = %q, want one line with the version and what to install", got)
				}
			}
			if unfixed && failed < n-1 {
				t.Errorf("Check failed %d of %d times on a library without the fix", failed, n)
			}
			if !unfixed && failed > 0 {
				t.Errorf("Check failed %d of %d times", failed, n)
			}
		})
	}
}

// load keeps this many goroutines busy, with garbage, until the test ends.
func load(t *testing.T, n int) {
	var stop atomic.Bool
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			var keep []byte
			for !stop.Load() {
				keep = append(make([]byte, 0, 4096), keep...)[:min(len(keep)+1, 1024)]
			}
		})
	}
	t.Cleanup(func() { stop.Store(true); wg.Wait() })
}

// Without interruptions Check would pass every library.
func TestCheckInterruptsReceives(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	a, err := newAlarm()
	if errors.Is(err, errors.ErrUnsupported) {
		testenv.Missing(t, "signals to one thread: "+err.Error())
	}
	if err != nil {
		t.Fatal(err)
	}
	defer a.close()
	l, err := newLoop()
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := l.close(); err != nil {
			t.Error(err)
		}
	}()
	end := time.Now().Add(20 * time.Second)
	if _, err := lacksFix(t.Context(), l, a.interrupt, end); err != nil || time.Now().After(end) {
		t.Errorf("fewer than %d interruptions within 20 s: %v", enough, err)
	}
}

func TestCheckThatIsCutShort(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Check(ctx); err != nil {
		t.Errorf("Check with a context that is done: %v, want nil", err)
	}
}

// model is a wire that behaves as a libzmq socket does, with a place for the signal.
type model struct {
	strikes string // where signals strike: "first", "wake-up", "after"; what they mean is in Recv
	send    error

	struck, active, woken bool
	queued                int
}

func (m *model) Send() error {
	if m.send != nil {
		return m.send
	}
	m.queued++
	m.woken = m.woken || !m.active
	return nil
}

func (m *model) Pending() (bool, error) { return m.woken, nil }

func (m *model) Recv() error {
	eintr := zmq4.Errno(syscall.EINTR)
	struck := m.struck
	m.struck = false
	if struck && m.strikes == "first" { // the commands, before the queue: every 100th call does
		return eintr
	}
	if m.take() {
		return nil
	}
	m.active = false
	if struck && (!m.woken || m.strikes == "wake-up") { // poll(2), with nothing taken
		return eintr
	}
	woken := m.woken
	m.woken, m.active = false, woken
	if struck && m.strikes == "after" { // the fault
		return eintr
	}
	if m.take() {
		return nil
	}
	return zmq4.Errno(syscall.EAGAIN)
}

func (m *model) take() bool {
	if !m.active || m.queued == 0 {
		return false
	}
	m.queued--
	return true
}

func TestLacksFix(t *testing.T) {
	random := func(share float64) func() bool {
		r := rand.New(rand.NewPCG(4, 488))
		return func() bool { return r.Float64() < share }
	}
	down := errors.New("no send")
	for name, c := range map[string]struct {
		m     model
		hit   float64 // share of the calls that a signal strikes
		lacks bool
		err   error
	}{
		"fixed":                                {m: model{}, hit: 0.2},
		"fixed, always struck":                 {m: model{}, hit: 1},
		"fixed, struck before the queue":       {m: model{strikes: "first"}, hit: 0.2},
		"fixed, struck often before the queue": {m: model{strikes: "first"}, hit: 0.7},
		"a poll that prefers the signal":       {m: model{strikes: "wake-up"}, hit: 0.2},
		"unfixed":                              {m: model{strikes: "after"}, hit: 0.2, lacks: true},
		"unfixed, always struck":               {m: model{strikes: "after"}, hit: 1, lacks: true},
		"unfixed, never struck":                {m: model{strikes: "after"}},
		"cannot send":                          {m: model{send: down}, err: down},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			calls, hit := 0, random(c.hit)
			lacks, err := lacksFix(ctx, &c.m, func() {
				if calls++; calls == 1000 {
					cancel()
				}
				c.m.struck = hit()
			}, time.Now().Add(time.Minute))
			if lacks != c.lacks || !errors.Is(err, c.err) {
				t.Errorf("lacksFix() = %v, %v, want %v, %v", lacks, err, c.lacks, c.err)
			}
			if c.hit > 0 && !lacks && (calls < enough || calls >= 1000) {
				t.Errorf("it was sure after %d calls", calls)
			}
		})
	}
}
