// Package process runs the parts of a program: started first to last, stopped last to
// first, each waited for. It makes the program's logger, its context of signals, its
// listeners and its HTTP servers.
//
// # Concurrency
//
// Stages runs every stage in a goroutine of its own and returns after the last of them.
// It does not wait for a stage to be ready before it starts the next: whatever the
// others need of a part, its socket or its listener, was made before its Run.
//
// # Errors
//
// The error of a stage names it. ErrEnded: a stage returned without having been stopped.
// ErrStop: one did not return in time, and is still running.
package process

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
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

var (
	// ErrStop says that a stage did not return in time.
	ErrStop = errors.New("did not stop in time")
	// ErrEnded says that a stage returned although nobody had stopped it.
	ErrEnded = errors.New("ended by itself")
)

// The bounds of a stop. After Grace, or a second signal, nobody is waited for any more
// than step before the next stage is stopped too, and all have ended after rushed.
const (
	Grace  = 8 * time.Second
	step   = 250 * time.Millisecond
	rushed = 2 * time.Second
)

// part is a stage that runs.
type part struct {
	Stage
	cancel context.CancelFunc
	done   chan struct{} // closed by its goroutine, after err is set
	err    error
}

// Stages runs the stages until ctx is done or one of them returns. Then it stops them
// last to first, each after the one before has returned: a stop that cancels everything
// at once loses the answer in flight. When hurry is closed, or Grace is over, servers
// cut their connections, and a stage that still does not return no longer keeps the
// next from being stopped.
//
// The error joins those of all stages, that of the one that returned first in front.
// What a stage returns only since it was stopped, context.Canceled, is no error.
func Stages(ctx context.Context, log *slog.Logger, hurry <-chan struct{}, stages ...Stage) error {
	rush := make(chan struct{})
	first := make(chan *part, len(stages))
	parts := make([]*part, len(stages))
	for i, s := range stages {
		// Not the caller's ctx: its end stops the stages one after the other.
		c, cancel := context.WithCancel(context.WithValue(context.WithoutCancel(ctx), rushKey{}, (<-chan struct{})(rush)))
		p := &part{Stage: s, cancel: cancel, done: make(chan struct{})}
		parts[i] = p
		go func() {
			defer close(p.done)
			p.err = p.Run(c)
			first <- p
		}()
	}
	var early error
	select {
	case <-ctx.Done():
	case p := <-first:
		if ctx.Err() == nil {
			early = p.ended()
		}
	}
	return errors.Join(early, stop(log, hurry, rush, parts))
}

// ended is the error of a part that nobody had stopped. It is told once.
func (p *part) ended() error {
	if p.err == nil {
		return fmt.Errorf("%s: %w", p.Name, ErrEnded)
	}
	err := fmt.Errorf("%s: %w: %w", p.Name, ErrEnded, p.err)
	p.err = nil
	return err
}

// stop ends the parts, last to first.
func stop(log *slog.Logger, hurry <-chan struct{}, rush chan struct{}, parts []*part) (errs error) {
	grace := time.NewTimer(Grace)
	defer grace.Stop()
	end, cancel := context.WithCancel(context.Background())
	defer cancel()
	rushing := false
	for _, p := range slices.Backward(parts) {
		p.cancel()
		if !rushing {
			reason := p.await(hurry, grace.C)
			if reason == "" {
				continue
			}
			log.Warn("stopping without waiting for answers", "part", p.Name, "reason", reason)
			rushing = true
			close(rush)
			defer time.AfterFunc(rushed, cancel).Stop() // once
		}
		p.returned(end, step)
	}
	for _, p := range slices.Backward(parts) {
		switch {
		case !p.returned(end, rushed):
			errs = errors.Join(errs, fmt.Errorf("%s: %w", p.Name, ErrStop))
		case p.err != nil && !errors.Is(p.err, context.Canceled):
			errs = errors.Join(errs, fmt.Errorf("%s: %w", p.Name, p.err))
		}
	}
	return errs
}

// await waits for p to return, or says why nobody waits any more.
func (p *part) await(hurry <-chan struct{}, grace <-chan time.Time) (reason string) {
	select {
	case <-p.done:
		return ""
	case <-hurry:
		return "a second signal"
	case <-grace:
		return "the time to stop is over"
	}
}

// returned tells whether p has returned, or does so within d and before end is done.
func (p *part) returned(end context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-p.done:
		return true
	case <-t.C:
	case <-end.Done():
	}
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

type rushKey struct{}

// Rush is closed when a stage that is being stopped should no longer wait for anybody
// else: after a second signal, or when the time to stop is over. ctx is that of its Run.
// Without Stages it is never closed.
func Rush(ctx context.Context) <-chan struct{} {
	c, _ := ctx.Value(rushKey{}).(<-chan struct{})
	return c
}
