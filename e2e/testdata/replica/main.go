// Command replica says which container it is, and ends cleanly when it is told to. It
// needs nothing of the container that it runs in.
package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	name, _ := os.Hostname()
	var late atomic.Bool
	s := &http.Server{Addr: ":8080", Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if late.Load() {
			http.Error(w, name+" was asked a second after its signal", http.StatusInternalServerError)
			return
		}
		time.Sleep(5 * time.Millisecond) // so that there is always something in flight
		fmt.Fprint(w, name)
	})}
	ended := make(chan error, 1)
	go func() {
		<-ctx.Done()
		// As docs/discovery.md asks of a program: a POST that meets a connection that is
		// being closed is nobody's to repeat. The gateway has that second to hear of the
		// signal; whoever asks in the next one is told that it has not.
		time.Sleep(time.Second)
		late.Store(true)
		time.Sleep(time.Second)
		ended <- s.Shutdown(context.Background())
	}()
	if err := s.ListenAndServe(); err != http.ErrServerClosed {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	if err := <-ended; err != nil {
		os.Exit(1)
	}
}
