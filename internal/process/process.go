// Package process runs the parts of a program: started first to last, stopped last to
// first, each waited for. It makes the program's logger, its context of signals and its
// HTTP servers.
//
// # Concurrency
//
// Stages runs every stage in a goroutine of its own and returns after the last of them.
//
// # Errors
//
// The error of a stage names it. A stage that ends by itself, with or without an error,
// stops the others.
package process

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// Exit codes, the same for every command.
const (
	ExitOK        = 0
	ExitFailed    = 1
	ExitUsage     = 2
	ExitUnhealthy = 3
	ExitLoss      = 4
)

// Stage is one part of a program. Run blocks until ctx is done or the part fails, and
// returns after all that it started.
type Stage struct {
	Name string
	Run  func(ctx context.Context) error
}

// ErrStop says that a stage did not end in time.
var ErrStop = errors.New("did not stop in time")

// Grace is how long a program may take to stop, in all.
const Grace = 8 * time.Second

// part is a stage that runs.
type part struct {
	Stage
	cancel context.CancelFunc
	done   chan error
}

// Stages runs the stages until ctx is done or one of them ends. Then it stops them last
// to first, each after the one before has ended: a stop that cancels everything at once
// loses the answer in flight. When hurry is closed, or Grace has passed, it cancels all
// that are left and gives them two seconds.
func Stages(ctx context.Context, log *slog.Logger, hurry <-chan struct{}, stages ...Stage) error {
	parts := make([]part, len(stages))
	ended := make(chan struct{}, len(stages))
	for i, s := range stages {
		c, cancel := context.WithCancel(context.WithoutCancel(ctx))
		p := part{s, cancel, make(chan error, 1)}
		parts[i] = p
		go func() {
			p.done <- p.Run(c)
			ended <- struct{}{}
		}()
	}
	select {
	case <-ctx.Done():
	case <-ended:
	}
	end := time.NewTimer(Grace)
	defer end.Stop()
	var errs error
	for i := len(parts) - 1; i >= 0; i-- {
		p := parts[i]
		p.cancel()
		select {
		case err := <-p.done:
			errs = errors.Join(errs, named(p.Name, err))
			log.Debug("stopped", "part", p.Name)
			continue
		case <-hurry:
		case <-end.C:
		}
		return errors.Join(errs, abandon(parts[:i+1]))
	}
	return errs
}

// abandon cancels all parts at once and waits for them a little.
func abandon(parts []part) (errs error) {
	for _, p := range parts {
		p.cancel()
	}
	end := time.NewTimer(2 * time.Second)
	defer end.Stop()
	for _, p := range parts {
		select {
		case err := <-p.done:
			errs = errors.Join(errs, named(p.Name, err))
		case <-end.C:
			return errors.Join(errs, fmt.Errorf("process: %s: %w", p.Name, ErrStop))
		}
	}
	return errs
}

func named(name string, err error) error {
	if err == nil || errors.Is(err, context.Canceled) {
		return nil
	}
	return fmt.Errorf("%s: %w", name, err)
}

// Signals is a context that is done at the first SIGINT or SIGTERM; hurry is closed at
// the second.
func Signals(parent context.Context) (ctx context.Context, hurry <-chan struct{}, stop func()) {
	ctx, cancel := context.WithCancel(parent)
	sigs := make(chan os.Signal, 2)
	signal.Notify(sigs, os.Interrupt, syscall.SIGTERM)
	second := make(chan struct{})
	quit := make(chan struct{})
	go func() {
		for range 2 {
			select {
			case <-sigs:
				if ctx.Err() != nil {
					close(second)
					return
				}
				cancel()
			case <-quit:
				return
			}
		}
	}()
	return ctx, second, func() {
		signal.Stop(sigs)
		close(quit)
		cancel()
	}
}
