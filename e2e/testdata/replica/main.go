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
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	name, _ := os.Hostname()
	s := &http.Server{Addr: ":8080", Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		time.Sleep(5 * time.Millisecond) // so that there is always something in flight
		fmt.Fprint(w, name)
	})}
	ended := make(chan error, 1)
	go func() {
		<-ctx.Done()
		// As docs/discovery.md asks of a program: a POST that meets a connection that is
		// being closed is nobody's to repeat.
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
