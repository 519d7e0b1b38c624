package agent

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	mathrand "math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/earshot-mq/earshot/internal/containers"
)

const (
	again      = 5 * time.Minute        // all containers are asked for, whatever the events said
	firstPause = 100 * time.Millisecond // before the second try to reach the Engine
	longPause  = 5 * time.Second        // between the later ones
	memory     = 10 * time.Minute       // the age of events that a new Agent asks for
)

// DefaultSocket is where the Engine listens.
const DefaultSocket = "/var/run/docker.sock"

// Options tunes an Agent. Every zero field means its default.
type Options struct {
	Socket string        // of the Engine; default DefaultSocket
	Wait   time.Duration // the longest that an answer waits for a change; default containers.Wait
	Logger *slog.Logger  // default: discard
}

// Agent follows the containers of an Engine and tells of them.
type Agent struct {
	engine *engine
	wait   time.Duration
	log    *slog.Logger
	life   string        // the beginning of each version: no two Agents have the same
	seats  chan struct{} // of answers that wait
	ended  chan struct{} // closed by Close

	close  sync.Once
	opened bool // the stream of events has been there; Run's

	mu      sync.Mutex // guards what follows
	all     map[string]*entry
	synced  bool
	count   int           // of the changes
	changed chan struct{} // closed at the next one
	heard   time.Time     // when the last event was
	away    error         // why the Engine does not answer
	listed  time.Time     // when all were asked for last, or when there was nobody to

	stats stats
}

// stats are totals.
type stats struct {
	lists, events, failures, reconnects, answers atomic.Uint64
}

// New makes an Agent. Nothing is asked yet.
func New(o Options) *Agent {
	if o.Socket == "" {
		o.Socket = DefaultSocket
	}
	if o.Wait == 0 {
		o.Wait = containers.Wait
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Agent{
		engine: newEngine(o.Socket), wait: o.Wait, log: o.Logger, life: rand.Text()[:8],
		seats: make(chan struct{}, maxWaiting), ended: make(chan struct{}),
		all: map[string]*entry{}, changed: make(chan struct{}), heard: time.Now().Add(-memory), listed: time.Now(),
	}
}

// Run follows the Engine until ctx is done.
func (a *Agent) Run(ctx context.Context) error {
	defer a.engine.http.CloseIdleConnections()
	pause := firstPause
	for {
		synced, err := a.follow(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if synced {
			pause = firstPause
		}
		a.lost(err)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause/2 + mathrand.N(pause)): // several agents do not come back in step
		}
		pause = min(2*pause, longPause)
	}
}

// Ready asks whether the Engine is there, and says whether the list is its.
func (a *Agent) Ready(ctx context.Context) (string, error) {
	if err := a.engine.ping(ctx); err != nil {
		return "", err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case !a.synced:
		return "", errors.New("the containers are not known yet")
	case a.away != nil:
		return "degraded: the events of the Engine are not followed", nil
	}
	return fmt.Sprintf("ok: %d containers", len(a.all)), nil
}

// lost notes that the Engine does not answer, and tells the log once.
func (a *Agent) lost(err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.away == nil {
		a.log.Warn("the Engine is away; what is known stays", "error", err)
	}
	a.away = err
	a.stats.failures.Add(1)
}

// follow asks for all containers and applies the events until their stream ends. The
// stream is there before the question, so that nothing happens in between unseen.
func (a *Agent) follow(ctx context.Context) (synced bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	a.mu.Lock()
	since := a.heard
	a.mu.Unlock()
	stream, err := a.engine.events(ctx, since)
	if err != nil {
		cancel()
		return false, err
	}
	if a.opened {
		a.stats.reconnects.Add(1)
	}
	a.opened = true
	events, ended := make(chan event), make(chan error, 1)
	var reader sync.WaitGroup
	reader.Go(func() { ended <- decode(ctx, stream, events) })
	defer func() {
		cancel()
		stream.Close()
		reader.Wait()
	}()

	asked := time.Now()
	if err := a.sync(ctx); err != nil {
		return false, err
	}
	tick := time.NewTicker(again)
	defer tick.Stop()
	for {
		select {
		case e := <-events:
			a.stats.events.Add(1)
			err = a.apply(ctx, e, asked)
		case <-tick.C:
			asked = time.Now()
			err = a.sync(ctx)
		case err = <-ended:
		}
		if err != nil {
			return true, err
		}
	}
}

// decode passes the events of a stream on.
func decode(ctx context.Context, stream io.Reader, to chan<- event) error {
	for d := json.NewDecoder(stream); ; {
		var e event
		if err := d.Decode(&e); err != nil {
			return fmt.Errorf("agent: the stream of events has ended: %w", err)
		}
		select {
		case to <- e:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// sync asks for all containers.
func (a *Agent) sync(ctx context.Context) error {
	ids, err := a.engine.labelled(ctx)
	if err != nil {
		return err
	}
	all := map[string]*entry{}
	for _, id := range ids {
		c, err := a.engine.inspect(ctx, id)
		switch {
		case err == nil:
			all[c.ID] = c
		case !errors.Is(err, errNotFound):
			return err
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for id, c := range all {
		c.inherit(a.all[id])
	}
	same := a.synced && maps.EqualFunc(a.all, all, equal)
	a.all, a.synced, a.listed = all, true, time.Now()
	a.stats.lists.Add(1)
	if a.away != nil {
		a.log.Info("the Engine is back", "containers", len(all))
		a.away = nil
	}
	if !same {
		a.publish()
	}
	return nil
}

// inherit keeps that a container was told to end, which the Engine does not tell. Started
// again it is another.
func (c *entry) inherit(before *entry) {
	if before != nil && before.State == containers.Stopping && before.started.Equal(c.started) && c.State == containers.Running {
		c.State = containers.Stopping
	}
}

func equal(a, b *entry) bool {
	return a.Name == b.Name && a.State == b.State && a.Health == b.Health && a.started.Equal(b.started) &&
		maps.Equal(a.Labels, b.Labels) && maps.Equal(a.Addresses, b.Addresses)
}

// apply applies one event. One from before asked is in what was answered then, but that
// a container was told to end.
func (a *Agent) apply(ctx context.Context, e event, asked time.Time) error {
	at := time.Unix(0, e.TimeNano)
	action, _, _ := strings.Cut(e.Action, ":") // health_status: healthy
	id := e.Actor.ID
	if e.Type == "network" {
		id = e.Actor.Attributes["container"]
	}
	known := a.hear(short(id), at)
	switch {
	case !known && (e.Type == "network" || len(ours(e.Actor.Attributes)) == 0):
		return nil
	case action == "kill":
		a.told(short(id), e.Actor.Attributes["signal"], at)
		return nil
	case at.Before(asked):
		return nil
	}
	c, err := a.engine.inspect(ctx, id)
	if err != nil && !errors.Is(err, errNotFound) {
		return err
	}
	a.put(short(id), c)
	return nil
}

// hear notes the time of an event, and tells whether its container is known.
func (a *Agent) hear(id string, at time.Time) (known bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if at.After(a.heard) {
		a.heard = at
	}
	return a.all[id] != nil
}

// told notes that a container was sent a signal. The Engine says so before it has ended:
// Docker waits ten seconds for it, and it may use them to end what it has begun.
func (a *Agent) told(id, signal string, at time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	c := a.all[id]
	ends := c != nil && (signal == c.end || signal == signalNumber("KILL"))
	if !ends || c.State == containers.Stopping || at.Before(c.started) {
		return
	}
	next := *c
	next.State = containers.Stopping
	a.all[id] = &next
	a.publish()
}

// put notes what a container is now; nil, that it does not run.
func (a *Agent) put(id string, c *entry) {
	a.mu.Lock()
	defer a.mu.Unlock()
	before := a.all[id]
	switch {
	case c == nil && before == nil:
		return
	case c == nil:
		delete(a.all, id)
	default:
		c.inherit(before)
		if before != nil && equal(before, c) {
			return
		}
		a.all[id] = c
	}
	a.publish()
}

// publish is called with mu held, after a change.
func (a *Agent) publish() {
	a.count++
	close(a.changed)
	a.changed = make(chan struct{})
}

// list is what is known now; changed is closed when it is no longer so.
func (a *Agent) list() (now containers.List, changed <-chan struct{}, synced bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now = containers.List{Version: fmt.Sprintf("%s-%d", a.life, a.count), Containers: []containers.Container{}}
	for _, c := range a.all {
		now.Containers = append(now.Containers, c.Container)
	}
	slices.SortFunc(now.Containers, func(x, y containers.Container) int { return strings.Compare(x.Name, y.Name) })
	return now, a.changed, a.synced
}
