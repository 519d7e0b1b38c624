package process

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// ServeOptions tunes Serve. Every zero field means its default.
type ServeOptions struct {
	ReadHeader time.Duration // for a request's header; default 10 s
	Idle       time.Duration // of a kept connection; default 75 s
	Grace      time.Duration // answers in flight may take so long at the end, then they are cut; default 5 s
	Logger     *slog.Logger  // default: discard
}

// maxHeader is the most that a request's line and header may have.
const maxHeader = 16 << 10

// Serve makes the Run of an HTTP server on l. When its ctx is done it closes the
// listener, lets the answers in flight finish, and cuts what is left after Grace.
func Serve(l net.Listener, h http.Handler, o ServeOptions) func(context.Context) error {
	if o.ReadHeader == 0 {
		o.ReadHeader = 10 * time.Second
	}
	if o.Idle == 0 {
		o.Idle = 75 * time.Second
	}
	if o.Grace == 0 {
		o.Grace = 5 * time.Second
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return func(ctx context.Context) error {
		s := &http.Server{
			Handler: h, ReadHeaderTimeout: o.ReadHeader, IdleTimeout: o.Idle, MaxHeaderBytes: maxHeader,
			ErrorLog: slog.NewLogLogger(o.Logger.Handler(), slog.LevelDebug),
		}
		served := make(chan error, 1)
		go func() { served <- s.Serve(l) }()
		select {
		case err := <-served:
			return fmt.Errorf("process: serve %s: %w", l.Addr(), err)
		case <-ctx.Done():
		}
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), o.Grace)
		defer cancel()
		err := s.Shutdown(grace)
		if err != nil { // streams, and answers that took too long
			err = s.Close()
		}
		_ = <-served // http.ErrServerClosed
		if errors.Is(err, http.ErrServerClosed) {
			return nil
		}
		return err
	}
}
