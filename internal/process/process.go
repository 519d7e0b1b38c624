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

// Stages runs the stages until ctx is done or one of them ends. Then it stops them last
// to first, each after the one before has ended: a stop that cancels everything at once
// loses the answer in flight. hurry, when it is closed, cancels all that are left.
func Stages(ctx context.Context, log *slog.Logger, hurry <-chan struct{}, stages ...Stage) error {
	type part struct {
		Stage
		cancel context.CancelFunc
		done   chan error
	}
	var parts []part
	ended := make(chan struct{}, len(stages))
	for _, s := range stages {
		c, cancel := context.WithCancel(context.WithoutCancel(ctx))
		p := part{s, cancel, make(chan error, 1)}
		parts = append(parts, p)
		go func() {
			p.done <- p.Run(c)
			ended <- struct{}{}
		}()
	}
	select {
	case <-ctx.Done():
	case <-ended:
	}
	deadline := time.NewTimer(Grace)
	defer deadline.Stop()
	var errs error
	for i := len(parts) - 1; i >= 0; i-- {
		p := parts[i]
		p.cancel()
		began := time.Now()
		select {
		case err := <-p.done:
			errs = errors.Join(errs, named(p.Name, err))
			log.Debug("stopped", "part", p.Name, "took", time.Since(began))
			continue
		case <-hurry:
		case <-deadline.C:
			errs = errors.Join(errs, fmt.Errorf("process: %s: %w", p.Name, ErrStop))
		}
		for _, q := range parts[:i] {
			q.cancel()
		}
		hurry = nil
		select { // the journal is what is left to write, and it is quick
		case err := <-parts[0].done:
			errs = errors.Join(errs, named(parts[0].Name, err))
		case <-time.After(2 * time.Second):
		}
		return errs
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
