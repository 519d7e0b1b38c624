package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/earshot-mq/earshot/internal/admin"
	"github.com/earshot-mq/earshot/internal/docker"
	"github.com/earshot-mq/earshot/internal/journal"
	"github.com/earshot-mq/earshot/internal/problem"
	"github.com/earshot-mq/earshot/internal/process"
	"github.com/earshot-mq/earshot/internal/zmq"
	"github.com/earshot-mq/earshot/publisher"
	"github.com/earshot-mq/earshot/publisher/setup"
	"github.com/earshot-mq/earshot/subscriber"
	"github.com/earshot-mq/earshot/subscriber/store"
	"github.com/earshot-mq/earshot/subscriber/view"
)

// program is what the roles share: the context of libzmq, the logger, and the admin door.
type program struct {
	s     *settings
	log   *slog.Logger
	zmq   *zmq.Context
	admin *admin.Server
	parts []process.Stage // started first to last, stopped last to first
	close []func() error  // after the last stage, last to first

	unrecorded func(status string) // counts an answer that net/http gave by itself
	answered   func(service, route string, status int, took time.Duration)
	containers *docker.Follower // of containers; nil without an agent, or until it is needed
}

func newProgram(s *settings) (*program, error) {
	if err := writable(s.String("data")); err != nil {
		return nil, err
	}
	p, err := newClient(s)
	if err != nil {
		return nil, err
	}
	p.unrecorded, err = p.admin.Counts("earshot_unrecorded_answers_total",
		"Answers that net/http gave before any handler, by status; they have no record.", "status")
	if err == nil {
		p.answered, err = p.admin.Answers()
	}
	if err != nil {
		return nil, errors.Join(err, p.end())
	}
	return p, nil
}

// newClient makes a program that has no data folder and answers no requests.
func newClient(s *settings) (*program, error) {
	// On a machine that is too busy to tell within this time, it is not told.
	ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	if err := zmq.Check(ctx); err != nil {
		return nil, err
	}
	c, err := zmq.NewContext()
	if err != nil {
		return nil, err
	}
	p := &program{s: s, log: s.log, zmq: c, close: []func() error{c.Close}}
	p.admin, err = admin.New(admin.Options{Addr: s.String("admin.listen"), Token: s.String("admin.token"), Private: s.Bool("admin.private"), Version: version})
	if err != nil {
		return nil, errors.Join(usage(err), p.end())
	}
	return p, nil
}

// writable makes the data folder and tries it, so that what is wrong with it is said in
// one line, with the setting that chooses another.
func writable(dir string) error {
	err := os.MkdirAll(dir, 0o750)
	if err == nil {
		var f *os.File
		if f, err = os.CreateTemp(dir, ".try*"); err == nil {
			err = errors.Join(f.Close(), os.Remove(f.Name()))
		}
	}
	if err != nil {
		return fmt.Errorf("the data folder %s can't be written: %w; choose another with --data", dir, err)
	}
	return nil
}

// end gives up what the program holds, last taken first.
func (p *program) end() (err error) {
	for i := len(p.close) - 1; i >= 0; i-- {
		err = errors.Join(err, p.close[i]())
	}
	return err
}

func (p *program) add(name string, run func(context.Context) error) {
	p.parts = append(p.parts, process.Stage{Name: name, Run: run})
}

// serve adds an HTTP server on an address, whose answers are recorded.
func (p *program) serve(name, addr, setting string, rec *publisher.Recorder, h http.Handler) (actual string, err error) {
	l, err := process.Listen(addr, setting)
	if err != nil {
		return "", err
	}
	p.add(name, process.Serve(l, rec.Wrap(h), p.serveOptions(rec)))
	return l.Addr().String(), nil
}

func (p *program) serveOptions(rec *publisher.Recorder) process.ServeOptions {
	return process.ServeOptions{Logger: p.log, Cut: rec.Cut, Own: func(status int) { p.unrecorded(strconv.Itoa(status)) }}
}

// run runs the parts until a signal. ready is called once they run.
func (p *program) run(ctx context.Context, ready func()) error {
	ctx, hurry, stop := process.Signals(ctx)
	defer stop()
	ready()
	err := process.Stages(ctx, p.log, hurry, p.parts...)
	return errors.Join(err, p.end())
}

// publisher adds the journal, the feeds and replay of a role.
func (p *program) publisher(role string) (*publisher.Publisher, error) {
	o := setup.Publisher(p.s.Values, role)
	o.Logger = p.log.With("part", "publisher")
	pub, err := publisher.New(p.zmq, o)
	if errors.Is(err, zmq.ErrInUse) {
		err = busyFeed(p.s, err, feeds...)
	}
	if err != nil {
		return nil, err
	}
	p.add("publisher", pub.Run)
	if err := p.admin.Register(pub.Metrics()); err != nil {
		return nil, errors.Join(err, pub.Close())
	}
	p.admin.Check("journal", admin.Ready, func(context.Context) (string, error) { return pub.State(), nil })
	p.cursors(pub)
	return pub, nil
}

// keeper keeps records for stores.
type keeper interface {
	Cursors() []journal.Store
	ForgetCursor(idOrName string) bool
}

// cursors lets people see and forget the stores that records are kept for.
func (p *program) cursors(k keeper) {
	p.admin.Handle("GET /v1/cursors", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(k.Cursors()) // fails only when the client is gone
	}))
	p.admin.Handle("DELETE /v1/cursors/{name}", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !k.ForgetCursor(r.PathValue("name")) {
			problem.Write(w, problem.Document{Status: http.StatusNotFound, Detail: fmt.Sprintf("no store has the name or id %q", r.PathValue("name"))})
			return
		}
		w.WriteHeader(http.StatusNoContent)
	}))
}

// feeds are the settings of a publisher's feeds.
var feeds = []string{"feed.text", "feed.record", "feed.replay"}

// busyFeed names the setting of the first of these feeds whose port is taken.
func busyFeed(s *settings, err error, names ...string) error {
	for _, name := range names {
		if addr := s.String(name); addr != "" && process.Taken(addr) {
			return process.Busy(addr, "--"+dashed(name))
		}
	}
	return err
}

// recorder makes the recorder of one service.
func (p *program) recorder(pub *publisher.Publisher, service string, trusted []netip.Prefix, conceal bool, skip func(*http.Request) bool) (*publisher.Recorder, error) {
	o, err := setup.Recorder(p.s.Values)
	if err != nil {
		return nil, usage(err)
	}
	stream, err := pub.Stream(service)
	if err != nil {
		return nil, usage(err)
	}
	o.Trusted, o.Conceal, o.Skip = trusted, conceal, skip
	o.Observe = func(o publisher.Observation) {
		if !o.Stream {
			p.answered(service, o.Route, o.Status, o.Took)
		}
	}
	o.Logger = p.log.With("part", "recorder", "service", service)
	rec, err := publisher.NewRecorder(stream, o)
	return rec, usage(err)
}

// subscriber adds a store, what it follows, the feed of a publisher in this process among it,
// and its log file. A hub publishes again what is stored.
func (p *program) subscriber(local string, connect []string, hub bool) (*subscriber.Subscriber, error) {
	s := p.s
	zone, err := location(s.String("subscriber.tz"))
	if err != nil {
		return nil, usage(err)
	}
	format, err := view.ParseFormat(s.String("subscriber.format"), zone)
	if err != nil {
		return nil, usage(err)
	}
	log := p.log.With("part", "subscriber")
	st, err := store.Open(filepath.Join(s.String("data"), "store"), store.Options{Logger: log})
	if err != nil {
		return nil, err
	}
	p.close = append(p.close, st.Close)
	bound := s.Size("store.max-bytes")
	if bound == 0 {
		if bound, err = journal.Bound(s.String("data"), 0.5, 256<<20, 1<<60); err != nil {
			return nil, err
		}
	}
	if local != "" {
		connect = append([]string{local}, connect...)
	}
	o := subscriber.Options{
		Connect:   connect,
		Local:     local,
		Advertise: s.String("feed.advertise"),
		Plain:     s.Strings("subscriber.plain"),
		Services:  s.Strings("subscriber.topics"),
		Name:      s.String("subscriber.name"),
		FromNow:   s.String("subscriber.from") == "now",
		Retention: journal.Retention{MaxBytes: bound, MaxAge: s.Duration("store.max-age")},
		Logger:    log,
	}
	if hub {
		o.Text, o.Record, o.Replay = s.String("feed.text"), s.String("feed.record"), s.String("feed.replay")
		o.Peers = s.Int("feed.peers")
	}
	sub, err := subscriber.New(p.zmq, st, o)
	switch {
	case errors.Is(err, zmq.ErrInUse):
		return nil, busyFeed(s, err, feeds...)
	case err != nil:
		return nil, usage(err)
	}
	p.close = append(p.close, sub.Close)
	if _, err := p.found(sub.Found); err != nil {
		return nil, err
	}
	file, err := view.OpenFile(st, view.FileOptions{
		Path:        p.logPath(),
		Checkpoint:  filepath.Join(s.String("data"), "store", "views", "log"),
		Format:      format,
		RotateBytes: s.Size("subscriber.rotate-bytes"),
		RotateEvery: s.Duration("subscriber.rotate-every"),
		Keep:        s.Int("subscriber.keep"),
		FreeFloor:   float64(s.Int("subscriber.free-floor")) / 100,
		Logger:      log,
	})
	if err != nil {
		return nil, err
	}
	if err := p.admin.Register(append(sub.Metrics(), file.Metrics()...)); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	p.add("log file", file.Run)
	p.add("subscriber", sub.Run)
	p.admin.Check("store", admin.Ready, func(context.Context) (string, error) { return sub.State() })
	p.admin.Check("log file", admin.Ready, func(context.Context) (string, error) { return file.State() })
	p.admin.Handle("GET /v1/tail", view.Tail(st, st.ID()))
	return sub, nil
}

// found has a part told of the containers that there are; false without an agent
// to ask. All parts of a program share one that asks.
func (p *program) found(told func([]docker.Member)) (bool, error) {
	agent := p.s.String("discover.docker.agent")
	if agent == "" {
		return false, nil
	}
	if p.containers == nil {
		p.containers = docker.NewFollower(agent, p.s.String("discover.docker.network"), p.log.With("part", "docker"))
		if err := p.admin.Register(p.containers.Metrics()); err != nil {
			return false, err
		}
		p.admin.Check("docker", admin.Ready, func(context.Context) (string, error) { return p.containers.State() })
		p.add("docker", p.containers.Run)
	}
	p.containers.Tell(told)
	return true, nil
}

// logPath is the log file's.
func (p *program) logPath() string {
	if path := p.s.String("subscriber.log"); path != "" {
		return path
	}
	return filepath.Join(p.s.String("data"), "logs", "subscriber.log")
}

// console adds the admin door itself, which is the first to start and the last to stop.
func (p *program) console() (addr string, err error) {
	l, err := process.Listen(p.s.String("admin.listen"), "--admin-listen")
	if err != nil {
		return "", err
	}
	serve := process.Stage{Name: "admin", Run: process.Serve(l, p.admin.Handler(), process.ServeOptions{Logger: p.log, Grace: 500 * time.Millisecond})}
	p.parts = append([]process.Stage{serve}, p.parts...)
	return l.Addr().String(), nil
}
