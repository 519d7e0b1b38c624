package process

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// ServeOptions tunes Serve. Every zero field means its default.
type ServeOptions struct {
	ReadHeader time.Duration // for a request's header; default 10 s
	Idle       time.Duration // of a kept connection; default 75 s
	Grace      time.Duration // answers in flight may take so long at the end, then they are cut; default 5 s
	Logger     *slog.Logger  // default: discard

	// Cut ends the streams, which end for nobody by themselves, and returns when they have
	// ended or ctx is done. It is called when the server begins to stop. Without it they
	// are cut after Grace.
	Cut func(ctx context.Context) error

	// Own is called with the status of each answer that net/http gave by itself, before
	// any handler, and of which there is no record therefore: 400, 417, 431, 501, 505,
	// and 200 for OPTIONS *. It is called from many goroutines. Of HTTP/1 only.
	Own func(status int)
}

const (
	// maxHeader is the most that a request's line and header may have.
	maxHeader = 16 << 10
	// fresh is how long, at the end, a connection is waited for that has not sent
	// anything yet; net/http alone would wait 5 s for it.
	fresh = 500 * time.Millisecond
	// leave is how long handlers have to return whose connection was cut.
	leave = time.Second
)

// Serve makes the Run of an HTTP server on l. When its ctx is done it closes the
// listener, lets the answers in flight finish, and cuts what is left after Grace, or
// when Rush says so. It returns after the handlers have; a handler that stays although
// its connection was cut is ErrStop.
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
	s := &server{listener: &listener{Listener: l, own: o.Own}, o: o}
	s.http = http.Server{
		Handler:           s.counted(h),
		ReadHeaderTimeout: o.ReadHeader,
		IdleTimeout:       o.Idle,
		MaxHeaderBytes:    maxHeader,
		ConnContext:       func(ctx context.Context, c net.Conn) context.Context { return context.WithValue(ctx, connKey{}, c) },
		ConnState:         s.state,
		ErrorLog:          slog.NewLogLogger(errorLog{o.Logger.Handler()}, slog.LevelDebug),
	}
	return s.run
}

// server is an HTTP server and what runs in it.
type server struct {
	http     http.Server
	listener *listener
	o        ServeOptions
	handlers atomic.Int64 // that run now
}

func (s *server) run(ctx context.Context) error {
	served := make(chan error, 1)
	go func() { served <- s.http.Serve(s.listener) }()
	select {
	case err := <-served:
		return errors.Join(fmt.Errorf("process: serve %s: %w", s.listener.Addr(), err), s.http.Close())
	case <-ctx.Done():
	}
	err := s.shutdown(ctx)
	if end := <-served; !errors.Is(end, http.ErrServerClosed) {
		err = errors.Join(err, end)
	}
	return err
}

// shutdown ends the server: politely first, then by force.
func (s *server) shutdown(ctx context.Context) (err error) {
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.o.Grace)
	var helpers sync.WaitGroup
	defer func() {
		cancel()
		helpers.Wait()
	}()
	helpers.Go(func() {
		select {
		case <-Rush(ctx):
			cancel()
		case <-grace.Done():
		}
	})
	if s.o.Cut != nil {
		helpers.Go(func() {
			if err := s.o.Cut(grace); err != nil {
				s.o.Logger.Warn("streams left open", "at", s.listener.Addr().String(), "error", err)
			}
		})
	}
	silent := time.AfterFunc(fresh, s.listener.closeFresh)
	defer silent.Stop()
	if s.http.Shutdown(grace) == nil && s.idle(grace) { // Shutdown does not wait for what was hijacked
		return nil
	}
	err = errors.Join(s.http.Close(), s.listener.closeAll())
	left, stop := context.WithTimeout(context.WithoutCancel(ctx), leave)
	defer stop()
	if !s.idle(left) {
		err = errors.Join(err, fmt.Errorf("process: serve %s: %d handlers: %w", s.listener.Addr(), s.handlers.Load(), ErrStop))
	}
	return err
}

// idle waits until no handler runs; false says that ctx was done before.
func (s *server) idle(ctx context.Context) bool {
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	for s.handlers.Load() > 0 {
		select {
		case <-look.C:
		case <-ctx.Done():
			return s.handlers.Load() == 0
		}
	}
	return true
}

// counted counts the handlers that run, and notes that a request has reached one.
func (s *server) counted(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.handlers.Add(1)
		defer s.handlers.Add(-1)
		if c, ok := r.Context().Value(connKey{}).(*conn); ok {
			c.handled.Store(true)
		}
		h.ServeHTTP(w, r)
	})
}

// state is called by net/http with StateIdle after each answer, also between requests
// that came in one piece.
func (s *server) state(nc net.Conn, state http.ConnState) {
	if c, ok := nc.(*conn); ok && state == http.StateIdle {
		c.next()
	}
}
