package services

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"time"

	"github.com/earshot-mq/earshot/internal/admin"
	"github.com/earshot-mq/earshot/internal/process"
	"github.com/earshot-mq/earshot/internal/zmq"
	"github.com/earshot-mq/earshot/publisher"
)

// Options tunes a Server. Every zero field means its default.
type Options struct {
	Listen string // address of the service; default 127.0.0.1:8080

	Admin        string // address of health and metrics for operators; default none
	AdminToken   string // without one the address has to be loopback
	AdminPrivate bool   // or its network private, as a container's is

	Publisher publisher.Options         // Dir defaults to data/journals/NAME; no feed is bound unless named
	Recorder  publisher.RecorderOptions // Skip is asked beside Unrecorded
	Handler   HandlerOptions

	Hurry  <-chan struct{} // closed: stop without waiting for clients; default never
	Logger *slog.Logger    // of all parts that have none of their own; default slog.Default()
}

// grace is how long answers in flight may take at the end; streams are cut at once.
const grace = 5 * time.Second

// Server is a service in a process of its own: its port, its journal, its feeds.
type Server struct {
	o        Options
	name     string
	zmq      *zmq.Context
	pub      *publisher.Publisher
	recorder *publisher.Recorder
	handler  http.Handler
	listener net.Listener
	door     *admin.Server // nil without Options.Admin
	back     net.Listener  // of door
	meters   meters
}

// NewServer opens the journal and binds all addresses: whatever can't work is an error
// here. A Server that is not run has to be closed.
func NewServer(s *Service, o Options) (*Server, error) {
	srv := &Server{o: o.withDefaults(s.name), name: s.name}
	for _, step := range []func(*Service) error{srv.open, srv.build, srv.bind, srv.publish} {
		if err := step(s); err != nil {
			return nil, errors.Join(err, srv.Close())
		}
	}
	return srv, nil
}

func (o Options) withDefaults(name string) Options {
	if o.Listen == "" {
		o.Listen = "127.0.0.1:8080"
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	for _, log := range []**slog.Logger{&o.Publisher.Logger, &o.Recorder.Logger, &o.Handler.Logger} {
		if *log == nil {
			*log = o.Logger
		}
	}
	if o.Publisher.Dir == "" {
		o.Publisher.Dir = filepath.Join("data", "journals", name)
	}
	skip := o.Recorder.Skip
	o.Recorder.Skip = func(r *http.Request) bool {
		return Unrecorded(r) || skip != nil && skip(r)
	}
	return o
}

// open makes the operators' door, which the other parts hang their numbers in.
func (srv *Server) open(*Service) (err error) {
	if srv.o.Admin == "" {
		return nil
	}
	srv.door, err = admin.New(admin.Options{
		Addr: srv.o.Admin, Token: srv.o.AdminToken, Private: srv.o.AdminPrivate, Version: srv.o.Handler.Version,
	})
	if err != nil {
		return err
	}
	srv.meters, err = newMeters(srv.door)
	return err
}

func (srv *Server) build(s *Service) (err error) {
	o := srv.o.Handler
	o.Observe = srv.meters.observed(o.Observe)
	srv.handler, err = s.Handler(o)
	return err
}

func (srv *Server) bind(*Service) (err error) {
	if srv.listener, err = process.Listen(srv.o.Listen, "EARSHOT_HTTP_LISTEN"); err != nil || srv.door == nil {
		return err
	}
	srv.back, err = process.Listen(srv.o.Admin, "EARSHOT_ADMIN_LISTEN")
	return err
}

func (srv *Server) publish(s *Service) (err error) {
	if srv.zmq, err = zmq.NewContext(); err != nil {
		return err
	}
	if srv.pub, err = publisher.New(srv.zmq, srv.o.Publisher); err != nil {
		return srv.named(err)
	}
	if srv.door != nil {
		srv.door.Check("journal", admin.Ready, func(context.Context) (string, error) { return srv.pub.State(), nil })
		if err := srv.door.Register(srv.pub.Metrics()); err != nil {
			return err
		}
	}
	stream, err := srv.pub.Stream(s.name)
	if err != nil {
		return err
	}
	o := srv.o.Recorder
	o.Observe = srv.meters.left(s.name, o.Observe)
	srv.recorder, err = publisher.NewRecorder(stream, o)
	return err
}

// named says of a feed whose port is taken by whom, and which setting chooses another: a
// second service on the same machine meets this first.
func (srv *Server) named(err error) error {
	if !errors.Is(err, zmq.ErrInUse) {
		return err
	}
	o := srv.o.Publisher
	for _, feed := range []struct{ endpoint, setting string }{
		{o.Text, "EARSHOT_FEED_TEXT"}, {o.Record, "EARSHOT_FEED_RECORD"}, {o.Replay, "EARSHOT_FEED_REPLAY"},
	} {
		if feed.endpoint != "" && process.Taken(feed.endpoint) {
			return process.Busy(feed.endpoint, feed.setting)
		}
	}
	return err
}

// Addr is where the service listens, with the port that it really got.
func (srv *Server) Addr() net.Addr { return srv.listener.Addr() }

// Publisher is what the service is recorded by.
func (srv *Server) Publisher() *publisher.Publisher { return srv.pub }

// Run answers until ctx is done. Then the listener closes, streams are cut, the answers
// in flight leave, and the journal is ended and served until the subscribers that are
// connected have all of it.
func (srv *Server) Run(ctx context.Context) error {
	stages := []process.Stage{{Name: "publisher", Run: srv.pub.Run}}
	if srv.door != nil {
		door := process.Serve(srv.back, srv.door.Handler(), process.ServeOptions{Logger: srv.o.Logger, Grace: grace / 10})
		stages = append(stages, process.Stage{Name: "admin", Run: door})
	}
	front := process.Serve(srv.listener, srv.recorder.Wrap(srv.handler), process.ServeOptions{
		Logger: srv.o.Logger, Grace: grace, Cut: srv.recorder.Cut, Own: srv.meters.own,
	})
	stages = append(stages, process.Stage{Name: srv.name, Run: front})
	srv.o.Logger.Info("service is up", "service", srv.name, "listen", srv.Addr().String())
	err := process.Stages(ctx, srv.o.Logger, srv.o.Hurry, stages...)
	if !errors.Is(err, process.ErrStop) { // else a socket may be open, and the end of its context would wait for it
		err = errors.Join(err, srv.zmq.Close())
	}
	if err != nil {
		return fmt.Errorf("services: %s: %w", srv.name, err)
	}
	return nil
}

// Close gives up what NewServer took, for a Server that was not run.
func (srv *Server) Close() (err error) {
	for _, l := range []net.Listener{srv.listener, srv.back} {
		if l != nil {
			err = errors.Join(err, l.Close())
		}
	}
	if srv.pub != nil {
		err = errors.Join(err, srv.pub.Close())
	}
	if srv.zmq != nil {
		err = errors.Join(err, srv.zmq.Close())
	}
	return err
}
