package feed

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/earshot-mq/earshot/internal/journal"
	"github.com/earshot-mq/earshot/internal/queue"
	"github.com/earshot-mq/earshot/internal/room"
	"github.com/earshot-mq/earshot/internal/zmq"
	"github.com/earshot-mq/earshot/publisher/record"
)

// EventKind says what a Follower heard.
type EventKind uint8

// The kinds of events.
const (
	EventLive    EventKind = iota + 1 // batches of the record feed; may be dropped by the sink
	EventData                         // batches of a FETCH; the sink gives their bytes back as credit
	EventHead                         // Offers: what live runs have; Live tells which socket it came by
	EventWelcome                      // Offers: every run that is there
	EventEnd                          // Run: nothing above Last, although Given were given
	EventTrim                         // Run: First to Last are gone
	EventReset                        // every FETCH of this Follower is void
	EventSilent                       // nothing heard for three seconds
)

// Event is what a Follower heard.
type Event struct {
	Kind    EventKind
	From    *Follower
	Entries []journal.Entry // live, data: decoded, checked, in order
	Bytes   int             // live, data: size of Entries
	Room    *room.Room      // live, data: where Entries live; a sink that takes the event frees it when done
	Offers  []Offer
	State   string
	Trouble []string // head: what is not well with the publisher, in plain words
	Live    bool
	Run     record.Run
	First   uint64
	Last    uint64
	Given   uint64
	Reason  string
}

// FollowerOptions tunes a Follower. Every zero field means its default.
type FollowerOptions struct {
	Endpoint   string   // of the record feed, "tcp://127.0.0.1:4445"
	Advertised string   // replay's endpoint, if it is not the feed's host with the port that HEAD tells
	Store      string   // the store's id; empty: a reader that keeps no cursor
	Name       string   // the store's name, for people
	Services   []string // names of services; none means all
	Peers      int      // publishers that the memory is planned for; default 1
	Memory     int64    // bytes queued from all publishers; default 64 MiB
	Local      bool     // the publisher is in this process: its batches come by Hand, and the feed has HEAD alone

	Reconnects *atomic.Uint64 // counts with Stats.Reconnects those of all who share it; default none

	// Sink gets every event, from the Follower's goroutine or Hand's. It must not wait;
	// false says that a live message was dropped for want of room.
	Sink   func(Event) bool
	Logger *slog.Logger // default: discard
}

// FollowerStats counts what a Follower heard. All are totals but Heard.
type FollowerStats struct {
	Messages, Bytes, Dropped atomic.Uint64
	Malformed, Reconnects    atomic.Uint64
	Heard                    atomic.Int64 // Unix nanoseconds of the last message of the feed
}

// Follower follows one publisher: its record feed and, as its sink asks, its replay.
type Follower struct {
	o     FollowerOptions
	ctx   *zmq.Context
	Stats FollowerStats
	cmds  *queue.Queue[command]

	sub      *zmq.Socket
	dealer   *zmq.Socket
	replayAt string
	instance string
	roster   uint64
	port     int // of replay
	hello    helloState
	helloAt  time.Time
	fetching map[record.Run]bool
	owes     time.Time     // since when replay owes a word
	owing    time.Duration // how long it may
	left     atomic.Bool   // the feed: only HEAD is heard
	heard    time.Time
	again    time.Time // of the next reconnect, while silent
	silent   bool
	topic    string // of the last message
	usual    int    // entries of the last message
}

type helloState uint8

const (
	helloNone helloState = iota
	helloDue
	helloSent
	helloDone
)

type command struct {
	verb string
	run  record.Run
	body []byte
}

const (
	silence   = 3 * time.Second
	reconnect = 6 * time.Second // where a round trip takes 600 ms, a first HEAD takes 2.6 s; libzmq itself tries more often
	helloWait = 2 * time.Second
	followTic = 500 * time.Millisecond
	lastWords = 300 * time.Millisecond // for the last commit to leave

	unacknowledged = 10 * time.Second // a COMMIT has no answer
)

// NewFollower makes a Follower; Run connects it.
func NewFollower(ctx *zmq.Context, o FollowerOptions) (*Follower, error) {
	if o.Peers == 0 {
		o.Peers = 1
	}
	if o.Memory == 0 {
		o.Memory = 64 << 20
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if _, _, err := net.SplitHostPort(strings.TrimPrefix(o.Endpoint, "tcp://")); err != nil || !strings.HasPrefix(o.Endpoint, "tcp://") {
		return nil, fmt.Errorf("feed: endpoint %q is not of the form tcp://HOST:PORT", o.Endpoint)
	}
	return &Follower{o: o, ctx: ctx, cmds: queue.New[command](1 << 40), fetching: map[record.Run]bool{}, owing: silence}, nil
}

// Endpoint is the feed that is followed.
func (f *Follower) Endpoint() string { return f.o.Endpoint }

// Fetch asks for run from number from on, with a first credit. Safe for concurrent
// use, as are Credit, Stop, Live and Commit; they never wait. What can't be said is void:
// EventReset tells.
func (f *Follower) Fetch(run record.Run, from uint64, credit int64) {
	a := of(run)
	a.From, a.Credit = from, credit
	f.cmds.Put(command{verbFetch, run, encode(a)}, 0, true)
}

// Credit allows bytes more.
func (f *Follower) Credit(run record.Run, credit int64) {
	a := of(run)
	a.Credit = credit
	f.cmds.Put(command{verbCredit, run, encode(a)}, 0, true)
}

// Stop ends the FETCH of a run.
func (f *Follower) Stop(run record.Run) {
	f.cmds.Put(command{verbStop, run, encode(of(run))}, 0, true)
}

// Live leaves the feed but for HEAD, and joins it again. Who is too slow for it need not
// receive what FETCH brings anyway.
func (f *Follower) Live(on bool) {
	verb := verbLeave
	if on {
		verb = verbJoin
	}
	f.cmds.Put(command{verb: verb}, 0, true)
}

// Commit tells up to which numbers, exclusively, the store has the runs for good.
func (f *Follower) Commit(cursors []journal.StoreRun) {
	f.cmds.Put(command{verb: verbCommit, body: encode(commit{Version, cursors})}, 0, true)
}

// Run follows until ctx is done.
func (f *Follower) Run(ctx context.Context) (err error) {
	hwm := int(min(max(f.o.Memory/int64(f.o.Peers)/MaxFeedMessage, 2), 64))
	if f.sub, err = f.ctx.Sub(zmq.Options{RecvHWM: hwm, MaxMessage: journal.MaxMessage}); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.closeDealer(), f.sub.Close()) }()
	if err := f.subscribe(); err != nil {
		return err
	}
	f.heard = time.Now()
	tick := time.NewTicker(followTic)
	defer tick.Stop()
	for {
		var dealer <-chan struct{}
		if f.dealer != nil {
			dealer = f.dealer.Ready()
		}
		select {
		case <-ctx.Done():
			f.say() // the last commit
			return nil
		case <-f.sub.Ready():
		case <-dealer:
		case <-f.cmds.Wake:
		case now := <-tick.C:
			if err := f.watch(now); err != nil {
				return err
			}
		}
		if err := errors.Join(f.drainFeed(), f.drainReplay()); err != nil {
			return err
		}
		f.say()
		if err := f.drainReplay(); err != nil {
			return err
		}
	}
}

func (f *Follower) subscribe() error {
	for _, t := range append(f.topics(), HeadTopic) {
		if err := f.sub.Subscribe(t); err != nil {
			return err
		}
	}
	return errors.Join(f.sub.Watch(), f.sub.Connect(f.o.Endpoint))
}

// topics is what is subscribed to beside HEAD.
func (f *Follower) topics() (topics []string) {
	if f.o.Local {
		return nil
	}
	for _, s := range f.o.Services {
		topics = append(topics, Topic(s))
	}
	if len(topics) == 0 {
		return []string{""}
	}
	return topics
}

// live leaves the feed or joins it.
func (f *Follower) live(on bool) {
	if on == !f.left.Load() {
		return
	}
	f.left.Store(!on)
	for _, t := range f.topics() {
		var err error
		if on {
			err = f.sub.Subscribe(t)
		} else {
			err = f.sub.Unsubscribe(t)
		}
		if err != nil {
			f.o.Logger.Error("topic not changed", "endpoint", f.o.Endpoint, "topic", t, "error", err)
		}
	}
}

// Hand takes batches and gaps from a publisher of this process, in order, as its record feed
// would bring them: no socket, no copy, no wake-up of libzmq's. They are as little to be relied
// on as the feed, and what does not come is fetched. It never waits, and may be called from
// any goroutine.
func (f *Follower) Hand(entries []journal.Entry) {
	if f.left.Load() {
		return
	}
	for i := range entries {
		e := entries[i]
		if e.Kind != journal.KindBatch && e.Kind != journal.KindGap || !f.wants(e.Service) {
			continue
		}
		e.Room.Keep()
		f.Stats.Messages.Add(1)
		f.Stats.Bytes.Add(uint64(len(e.Raw)))
		if !f.o.Sink(Event{Kind: EventLive, From: f, Entries: []journal.Entry{e}, Bytes: len(e.Raw), Room: e.Room}) {
			f.Stats.Dropped.Add(1)
			e.Room.Free()
		}
	}
}

func (f *Follower) wants(service string) bool {
	return len(f.o.Services) == 0 || slices.Contains(f.o.Services, service)
}

// drainFeed takes all that the feed has, so that its publisher never has to drop for
// want of a reader; the sink may drop it then.
func (f *Follower) drainFeed() error {
	defer f.sub.Rearm()
	for {
		m, r, err := f.sub.RecvRoom()
		if errors.Is(err, zmq.ErrAgain) {
			return nil
		}
		if err != nil {
			return err
		}
		f.heard = time.Now()
		f.Stats.Heard.Store(f.heard.UnixNano())
		if f.silent {
			f.silent, f.again = false, time.Time{}
			f.o.Logger.Info("publisher heard again", "endpoint", f.o.Endpoint)
			f.hello = min(f.hello, helloDue)
		}
		switch {
		case len(m) != 2:
			f.malformed("feed", fmt.Errorf("feed: message of %d frames: %w", len(m), ErrWire))
		case string(m[0]) == HeadTopic:
			f.head(m[1], true)
		default:
			f.batches(EventLive, f.service(m[0]), m[1], r)
			continue
		}
		r.Free()
	}
}

// service is the service of a topic. Mostly it is the one before.
func (f *Follower) service(topic []byte) string {
	if string(topic) != f.topic {
		f.topic = string(topic)
	}
	return strings.TrimSuffix(f.topic, "/")
}

func (f *Follower) malformed(where string, err error) {
	f.Stats.Malformed.Add(1)
	f.o.Logger.Warn("message dropped", "endpoint", f.o.Endpoint, "socket", where, "error", err)
}

func (f *Follower) head(b []byte, live bool) {
	h, err := ParseHead(b)
	if err != nil {
		f.malformed("head", err)
		return
	}
	// The port too: an instance that was started again may have the same roster.
	if live && (h.Instance != f.instance || h.Roster != f.roster || h.Replay != f.port) {
		f.instance, f.roster, f.port = h.Instance, h.Roster, h.Replay
		f.meet(h.Replay)
	}
	f.o.Sink(Event{Kind: EventHead, From: f, Offers: h.Runs, State: h.State, Trouble: h.Troubles, Live: live})
}

// meet makes sure that a HELLO is said to the replay socket that HEAD names.
func (f *Follower) meet(port int) {
	at := f.o.Advertised
	if at == "" && port > 0 {
		host, _, _ := net.SplitHostPort(strings.TrimPrefix(f.o.Endpoint, "tcp://"))
		at = "tcp://" + net.JoinHostPort(host, strconv.Itoa(port))
	}
	if at != f.replayAt {
		f.dropDealer()
		f.replayAt = at
	}
	f.reset()
}

// reset makes every FETCH void and says HELLO again.
func (f *Follower) reset() {
	if f.replayAt == "" {
		return
	}
	f.hello = helloDue
	clear(f.fetching)
	f.o.Sink(Event{Kind: EventReset, From: f})
}

// batches decodes what is in a room and gives it to the sink.
func (f *Follower) batches(kind EventKind, service string, b []byte, r *room.Room) {
	ev := Event{Kind: kind, From: f, Bytes: len(b), Room: r, Entries: make([]journal.Entry, 0, max(f.usual, 1))}
	for len(b) > 0 {
		e, err := journal.Next(b)
		if err != nil || e.Kind != journal.KindBatch && e.Kind != journal.KindGap {
			f.malformed("batch", fmt.Errorf("feed: bytes that are no batch: %w", errors.Join(ErrWire, err)))
			break
		}
		b = b[len(e.Raw):]
		if e.Service == "" {
			e.Service = service
		}
		e.Room = r
		ev.Entries = append(ev.Entries, e)
	}
	f.Stats.Messages.Add(1)
	f.Stats.Bytes.Add(uint64(ev.Bytes))
	f.usual = len(ev.Entries)
	if !f.o.Sink(ev) {
		f.Stats.Dropped.Add(1)
		r.Free()
	}
}

// drainReplay takes all that the replay socket has.
func (f *Follower) drainReplay() error {
	if f.dealer == nil {
		return nil
	}
	defer f.dealer.Rearm()
	for {
		m, r, err := f.dealer.RecvRoom()
		if errors.Is(err, zmq.ErrAgain) {
			return nil
		}
		if err != nil {
			return err
		}
		f.owes = time.Now()
		if len(m) < 2 {
			f.malformed("replay", ErrWire)
		} else if err := f.replay(string(m[0]), m[1:], r); err != nil {
			f.malformed("replay", fmt.Errorf("feed: %s: %w", m[0], err))
		}
		r.Free()
	}
}

// replay handles one message. Its room stays the caller's; data takes a share of it.
func (f *Follower) replay(verb string, m [][]byte, r *room.Room) error {
	switch verb {
	case verbWelcome:
		return f.welcome(m[0])
	case verbHead:
		f.head(m[0], false)
		return nil
	case verbRefuse:
		var r refuse
		if err := decode(m[0], &r); err != nil {
			return err
		}
		f.o.Logger.Warn("publisher refuses", "endpoint", f.replayAt, "reason", r.Reason)
		if f.hello == helloDone {
			f.reset()
		}
		return nil
	}
	var a about
	if err := decode(m[0], &a); err != nil {
		return err
	}
	run, err := a.run()
	if err != nil {
		return err
	}
	f.owing = silence // what was fetched comes
	switch {
	case verb == verbData && len(m) == 2:
		r.Keep()
		f.batches(EventData, "", m[1], r)
	case verb == verbEnd:
		delete(f.fetching, run)
		f.o.Sink(Event{Kind: EventEnd, From: f, Run: run, Last: a.Last, Given: a.Given, Reason: a.Reason})
	case verb == verbTrim && a.From > 0 && a.To >= a.From && a.To < 1<<63:
		f.o.Sink(Event{Kind: EventTrim, From: f, Run: run, First: a.From, Last: a.To, Reason: a.Reason})
	default:
		return ErrWire
	}
	return nil
}

func (f *Follower) welcome(b []byte) error {
	var w welcome
	if err := decode(b, &w); err != nil {
		return err
	}
	if err := parseOffers(w.Runs); err != nil {
		return err
	}
	f.hello = helloDone
	f.o.Sink(Event{Kind: EventWelcome, From: f, Offers: w.Runs})
	return nil
}

// say sends HELLO when it is due, and what the sink wants to say once it is answered. What
// it says before is void, as EventWelcome begins anew: nothing gathers for a publisher that
// stays away.
func (f *Follower) say() {
	greeted := f.greet()
	for _, c := range f.cmds.Take(nil) {
		if c.verb == verbJoin || c.verb == verbLeave {
			f.live(c.verb == verbJoin)
			continue
		}
		if !greeted || f.hello != helloDone && c.verb != verbCommit {
			continue
		}
		if err := f.dealer.Send([]byte(c.verb), c.body); err != nil {
			if f.hello == helloDone {
				f.reset()
			}
			continue
		}
		switch c.verb {
		case verbFetch:
			f.asks()
			f.fetching[c.run] = true
		case verbStop:
			delete(f.fetching, c.run)
		}
	}
}

// greet sends HELLO when it is due; false says that it could not be sent.
func (f *Follower) greet() bool {
	if f.replayAt == "" {
		return false
	}
	if f.dealer == nil {
		if err := f.openDealer(); err != nil {
			f.o.Logger.Error("replay can't be connected", "endpoint", f.replayAt, "error", err)
			return false
		}
	}
	now := time.Now()
	if f.hello == helloDue || f.hello == helloSent && now.Sub(f.helloAt) > helloWait {
		if f.dealer.Send([]byte(verbHello), encode(hello{Version, f.o.Store, f.o.Name})) != nil {
			return false // not connected yet; the next tick tries again
		}
		f.asks()
		f.hello, f.helloAt = helloSent, now.Add(rand.N(helloWait/4))
	}
	return true
}

func (f *Follower) openDealer() (err error) {
	if f.dealer, err = f.ctx.Dealer(zmq.Options{RecvHWM: -1, MaxMessage: journal.MaxMessage, Linger: lastWords, Unacknowledged: unacknowledged}); err != nil {
		return err
	}
	return errors.Join(f.dealer.Watch(), f.dealer.Connect(f.replayAt))
}

func (f *Follower) closeDealer() error {
	if f.dealer == nil {
		return nil
	}
	d := f.dealer
	f.dealer = nil
	return d.Close()
}

// watch connects anew what is silent: libzmq does not see a half-open connection, and a
// refused key makes it give up for good.
func (f *Follower) watch(now time.Time) error {
	return errors.Join(f.watchFeed(now), f.watchReplay(now))
}

func (f *Follower) watchFeed(now time.Time) error {
	if now.Sub(f.heard) < silence || now.Before(f.again) {
		return nil
	}
	if err := f.drainFeed(); err != nil || time.Since(f.heard) < silence {
		return err
	}
	if !f.silent {
		f.silent = true
		f.o.Logger.Warn("publisher silent", "endpoint", f.o.Endpoint)
		f.o.Sink(Event{Kind: EventSilent, From: f})
		f.hello, f.instance, f.replayAt = helloNone, "", "" // HEAD will tell
		clear(f.fetching)
	}
	f.again = now.Add(reconnect)
	f.reconnects()
	f.dropDealer()
	return f.sub.Reconnect(f.o.Endpoint)
}
