package process

import (
	"context"
	"os"
	"os/signal"
	"sync"
	"syscall"
)

// Signals is a context that is done at the first SIGINT or SIGTERM; hurry is closed at
// the second, and a third kills the process as if nobody had asked. stop gives the
// signals back; it may be called more than once.
func Signals(parent context.Context) (ctx context.Context, hurry <-chan struct{}, stop func()) {
	ctx, cancel := context.WithCancel(parent)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	second, quit := make(chan struct{}), make(chan struct{})
	var wait sync.WaitGroup
	wait.Go(func() {
		defer signal.Stop(signals)
		for _, act := range []func(){cancel, func() { close(second) }} {
			select {
			case <-signals:
				act()
			case <-quit:
				return
			}
		}
	})
	var once sync.Once
	return ctx, second, func() {
		once.Do(func() {
			close(quit)
			wait.Wait()
			cancel()
		})
	}
}

// Hangup is SIGHUP, by which people ask a program to read its file again. It is also what
// comes when the terminal is closed that the program was started from; then it is told to
// end, as by SIGTERM, unless nohup was to prevent that.
type Hangup struct {
	signals  chan os.Signal
	terminal bool // there is one whose end is ours
}

// NewHangup makes a Hangup; from now on SIGHUP ends nothing by itself.
func NewHangup() *Hangup {
	h := &Hangup{signals: make(chan os.Signal, 1), terminal: !signal.Ignored(syscall.SIGHUP) && hasTerminal()}
	signal.Notify(h.signals, syscall.SIGHUP)
	return h
}

// Run calls again after each SIGHUP until ctx is done. Those that come while it is called
// are one.
func (h *Hangup) Run(ctx context.Context, again func()) error {
	defer signal.Stop(h.signals)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-h.signals:
		}
		if !h.terminal || hasTerminal() {
			again()
			continue
		}
		if err := syscall.Kill(os.Getpid(), syscall.SIGTERM); err != nil {
			return err
		}
	}
}

// hasTerminal tells whether the process has a terminal that controls it; see tty(4).
func hasTerminal() bool {
	f, err := os.Open("/dev/tty")
	if err != nil {
		return false
	}
	return f.Close() == nil
}
