package process_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/earshot-mq/earshot/internal/process"
)

var quiet = slog.New(slog.DiscardHandler)

// trail notes what happened, in order.
type trail struct {
	mu  sync.Mutex
	all []string
}

func (tr *trail) note(s string) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.all = append(tr.all, s)
}

func (tr *trail) String() string {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	return strings.Join(tr.all, " ")
}

// stage takes a while to stop, and notes when it begins to and when it has.
func (tr *trail) stage(name string, takes time.Duration, err error) process.Stage {
	return process.Stage{Name: name, Run: func(ctx context.Context) error {
		<-ctx.Done()
		tr.note(name + "…")
		time.Sleep(takes) // by the clock of synctest
		tr.note(name)
		return err
	}}
}

func TestStagesStopInReverse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var tr trail
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Minute, cancel)
		err := process.Stages(ctx, quiet, nil, tr.stage("journal", time.Second, nil), tr.stage("services", time.Second, context.Canceled), tr.stage("gateway", 5*time.Second, nil))
		if err != nil {
			t.Errorf("Stages = %v, want nil", err)
		}
		if want := "gateway… gateway services… services journal… journal"; tr.String() != want {
			t.Errorf("stopped %s, want %s", &tr, want)
		}
	})
}

func TestStagesErrors(t *testing.T) {
	broken := errors.New("broken")
	for name, c := range map[string]struct {
		run  func(context.Context) error
		want string
	}{
		"fails":                    {func(context.Context) error { return broken }, "feed: ended by itself: broken\nlast: late"},
		"ends":                     {func(context.Context) error { return nil }, "feed: ended by itself\nlast: late"},
		"gives up its own context": {func(context.Context) error { return context.Canceled }, "feed: ended by itself: context canceled\nlast: late"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var tr trail
				err := process.Stages(t.Context(), quiet, nil, tr.stage("first", 0, nil), process.Stage{Name: "feed", Run: c.run}, tr.stage("last", 0, errors.New("late")))
				if err == nil || err.Error() != c.want || !errors.Is(err, process.ErrEnded) {
					t.Errorf("Stages = %v, want %s", err, c.want)
				}
				if want := "last… last first… first"; tr.String() != want {
					t.Errorf("stopped %s, want %s", &tr, want)
				}
			})
		})
	}
}

func TestStagesHurry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var tr trail
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		hurry := make(chan struct{})
		time.AfterFunc(time.Second, func() { close(hurry) })
		polite := process.Stage{Name: "gateway", Run: func(ctx context.Context) error {
			<-ctx.Done()
			select {
			case <-process.Rush(ctx):
				tr.note("gateway cut")
			case <-time.After(5 * time.Second):
				tr.note("gateway")
			}
			return nil
		}}
		began := time.Now()
		err := process.Stages(ctx, quiet, hurry, tr.stage("journal", 300*time.Millisecond, nil), tr.stage("slow", time.Second, nil), polite)
		if err != nil {
			t.Errorf("Stages = %v, want nil", err)
		}
		// The slow one is not waited for before the journal is told to stop.
		if want := "gateway cut slow… journal… journal slow"; tr.String() != want {
			t.Errorf("stopped %s, want %s", &tr, want)
		}
		if took := time.Since(began); took != 2*time.Second {
			t.Errorf("took %v, want the 1 s until the second signal and the 1 s of the slow part", took)
		}
	})
}

func TestStagesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var tr trail
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		release := make(chan struct{})
		hangs := process.Stage{Name: "hangs", Run: func(context.Context) error { <-release; return nil }}
		var log bytes.Buffer
		began := time.Now()
		err := process.Stages(ctx, slog.New(slog.NewTextHandler(&log, nil)), nil, tr.stage("journal", time.Second, nil), hangs, tr.stage("gateway", time.Second, nil))
		if !errors.Is(err, process.ErrStop) || err.Error() != "hangs: did not stop in time" {
			t.Errorf("Stages = %v, want ErrStop of hangs alone", err)
		}
		if want := "gateway… gateway journal… journal"; tr.String() != want {
			t.Errorf("stopped %s, want %s", &tr, want)
		}
		if took := time.Since(began); took != process.Grace+2*time.Second {
			t.Errorf("took %v, want %v and 2 s", took, process.Grace)
		}
		if !strings.Contains(log.String(), "part=hangs") || !strings.Contains(log.String(), "level=WARN") {
			t.Errorf("the log does not say what hangs: %s", log.String())
		}
		close(release)
	})
}

func TestStagesNone(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := process.Stages(ctx, quiet, nil); err != nil {
		t.Errorf("Stages of nothing = %v", err)
	}
}

func TestSignals(t *testing.T) {
	ctx, hurry, stop := process.Signals(t.Context())
	defer stop()
	kill := func() {
		t.Helper()
		if err := syscall.Kill(os.Getpid(), syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
	}
	kill()
	wait(t, "the context", ctx.Done())
	select {
	case <-hurry:
		t.Fatal("hurry after the first signal")
	default:
	}
	kill()
	wait(t, "hurry", hurry)
	stop()
	stop()
}

func TestSignalsStop(t *testing.T) {
	ctx, hurry, stop := process.Signals(t.Context())
	stop()
	wait(t, "the context", ctx.Done())
	select {
	case <-hurry:
		t.Error("hurry without a signal")
	default:
	}
}

// wait waits for c with a deadline.
func wait(t *testing.T, what string, c <-chan struct{}) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(10 * time.Second):
		t.Fatalf("%s did not come", what)
	}
}

func ExampleStages() {
	part := func(name string) process.Stage {
		return process.Stage{Name: name, Run: func(ctx context.Context) error {
			<-ctx.Done()
			fmt.Println(name, "has stopped")
			return nil
		}}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	fmt.Println(process.Stages(ctx, slog.New(slog.DiscardHandler), nil, part("journal"), part("gateway")))
	// Output:
	// gateway has stopped
	// journal has stopped
	// <nil>
}
