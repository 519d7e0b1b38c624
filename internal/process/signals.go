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
