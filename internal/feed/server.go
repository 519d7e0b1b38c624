package feed

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/earshot-mq/earshot/internal/journal"
	"github.com/earshot-mq/earshot/internal/queue"
	"github.com/earshot-mq/earshot/internal/room"
	"github.com/earshot-mq/earshot/internal/zmq"
	"github.com/earshot-mq/earshot/publisher/record"
)

// Source is what a Server replays.
type Source interface {
	// Offers lists every run that is held, live, ended or adopted, and a number that
	// changes when runs come or go.
	Offers() (offers []Offer, roster uint64)
	// Offer is what is held of one run now.
	Offer(run record.Run) (o Offer, ok bool)
	// Read is journal.Log.Read.
	Read(dst []byte, run record.Run, from uint64, limit int) ([]byte, uint64, error)
}

// ServerOptions tunes a Server. Every zero field means its default.
type ServerOptions struct {
	Text, Record, Replay string // endpoints, "tcp://127.0.0.1:4444"; empty: not served
	Instance             string
	Peers                int   // subscribers that the memory is planned for; default 20
	Memory               int64 // bytes queued for all peers of the record feed; default 64 MiB
	Commits              *journal.Commits
	Degraded             func() bool
	Troubles             func() []string // for HEAD: what is not well, in plain words
	Logger               *slog.Logger    // default: discard
}

// Stats counts what a Server did. All are totals.
type Stats struct {
	Batches, Records, Messages, Bytes, Heads atomic.Uint64
	Stalls                                   atomic.Uint64 // waits for a peer that were given up
	Paced                                    atomic.Uint64 // waits of Pace
	TextFrames                               atomic.Uint64
	Fetches, DataBytes, Trims                atomic.Uint64
	Commits, Refused                         atomic.Uint64
	TextListening                            atomic.Bool
}

// Server is a publisher's feeds and replay.
type Server struct {
	o      ServerOptions
	source Source
	Stats  Stats
	ended  atomic.Bool
	port   int

	text, record, replay *zmq.Socket
	textQ, recordQ       *queue.Queue[journal.Entry]
	drops                atomic.Uint64
	replayer             *replayer
	patient              patient // the record feed's way to send

	listening atomic.Bool   // somebody subscribes to the record feed; without, nothing wakes it
	emptied   chan struct{} // gets a value when the record feed's queue was taken
	missedMu  sync.Mutex
	missed    map[record.Run]uint64 // the last numbers that did not get into the record feed's queue
}

const (
	textHWM   = 100_000
	textQueue = 64 << 20
	liveQueue = 16 << 20
	peerGone  = 2 * time.Minute // what was queued for it is freed then; if it is only stopped, it connects anew
	headEvery = time.Second
	headAfter = 100 * time.Millisecond // of a new subscription; at most ten HEADs a second
)

// NewServer binds the sockets, so that a busy port is an error before anything runs.
// Run serves them, and closes them at its end; a Server that is not run has to be
// closed by Close.
func NewServer(ctx *zmq.Context, source Source, o ServerOptions) (s *Server, err error) {
	if o.Peers == 0 {
		o.Peers = 20
	}
	if o.Memory == 0 {
		o.Memory = 64 << 20
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Degraded == nil {
		o.Degraded = func() bool { return false }
	}
	s = &Server{o: o, source: source, textQ: queue.New[journal.Entry](textQueue), recordQ: queue.New[journal.Entry](liveQueue), missed: map[record.Run]uint64{}, emptied: make(chan struct{}, 1)}
	s.textQ.Drops, s.recordQ.Drops = &s.drops, &s.drops
	hwm := int(min(max(o.Memory/int64(o.Peers)/MaxFeedMessage, 2), 64))
	bind := func(sock **zmq.Socket, endpoint string, open func(string, zmq.Options) (*zmq.Socket, error), zo zmq.Options) {
		if endpoint == "" || err != nil {
			return
		}
		if *sock, err = open(endpoint, zo); err != nil {
			err = fmt.Errorf("feed: %w", err)
		}
	}
	bind(&s.text, o.Text, ctx.XPub, zmq.Options{SendHWM: textHWM, MaxMessage: 4 << 10})
	bind(&s.record, o.Record, ctx.XPub, zmq.Options{SendHWM: hwm, MaxMessage: 4 << 10, Unacknowledged: peerGone})
	bind(&s.replay, o.Replay, ctx.Router, zmq.Options{MaxMessage: journal.MaxMessage, Unacknowledged: peerGone})
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	if s.replay != nil {
		s.port = port(s.replay.Endpoint())
	}
	s.replayer = newReplayer(s)
	s.patient = patient{sock: s.record, stalls: &s.Stats.Stalls, every: retryEvery, most: patience, lossy: true, pause: leastLossy}
	return s, nil
}

func port(endpoint string) int {
	_, p, _ := net.SplitHostPort(strings.TrimPrefix(endpoint, "tcp://"))
	n, _ := strconv.Atoi(p)
	return n
}

// Endpoints is where the sockets are bound, with the ports that they really got.
func (s *Server) Endpoints() (text, rec, replay string) {
	at := func(sock *zmq.Socket) string {
		if sock == nil {
			return ""
		}
		return sock.Endpoint()
	}
	return at(s.text), at(s.record), at(s.replay)
}

// Close closes the sockets of a Server that was not run.
func (s *Server) Close() (err error) {
	for _, sock := range []*zmq.Socket{s.text, s.record, s.replay} {
		if sock != nil {
			err = errors.Join(err, sock.Close())
		}
	}
	return err
}

// Hand gives batches and gaps to the feeds, in order. It never waits.
func (s *Server) Hand(entries []journal.Entry) {
	for _, e := range entries {
		if e.Kind != journal.KindBatch && e.Kind != journal.KindGap {
			continue
		}
		if s.record != nil && !(s.listening.Load() && hand(s.recordQ, e)) {
			s.missedMu.Lock()
			s.missed[e.Run] = e.Last
			s.missedMu.Unlock()
		}
		if s.Stats.TextListening.Load() && e.Kind == journal.KindBatch {
			hand(s.textQ, e)
		}
	}
	if s.replay != nil {
		s.replayer.poke()
	}
}

// Pace waits while the record feed's queue is more than half full, but no longer than the
// feed waits for a peer: who publishes many records at once and can wait stays on the live
// feed so. What is handed without does not wait, and is fetched if it does not fit.
func (s *Server) Pace(ctx context.Context) {
	full := func() bool { return s.listening.Load() && s.recordQ.Bytes() > liveQueue/2 }
	if !full() {
		return
	}
	s.Stats.Paced.Add(1)
	end := time.NewTimer(s.patient.most)
	defer end.Stop()
	for full() {
		select {
		case <-ctx.Done():
			return
		case <-end.C:
			return
		case <-s.emptied:
		}
	}
	queue.Signal(s.emptied) // who else waits
}

func hand(q *queue.Queue[journal.Entry], e journal.Entry) (taken bool) {
	e.Room.Keep()
	if taken = q.Put(e, len(e.Raw), false); !taken {
		e.Room.Free()
	}
	return taken
}

// Ended makes the next HEAD say that this publisher stops in good order.
func (s *Server) Ended() { s.ended.Store(true) }

// Run serves until ctx is done.
func (s *Server) Run(ctx context.Context) error {
	for _, sock := range []*zmq.Socket{s.text, s.record, s.replay} {
		if sock != nil {
			if err := sock.Watch(); err != nil {
				return errors.Join(fmt.Errorf("feed: %w", err), s.Close())
			}
		}
	}
	var wg sync.WaitGroup
	errs := make([]error, 3)
	if s.text != nil {
		wg.Go(func() { errs[0] = s.runText(ctx) })
	}
	if s.record != nil {
		wg.Go(func() { errs[1] = s.runRecord(ctx) })
	}
	if s.replay != nil {
		wg.Go(func() { errs[2] = s.replayer.run(ctx) })
	}
	wg.Wait()
	return errors.Join(append(errs, s.Close())...)
}

// subscriptions notes what an XPUB socket's peers want, from its messages.
func subscriptions(sock *zmq.Socket, topics map[string]bool) (fresh bool, err error) {
	defer sock.Rearm()
	for {
		m, err := sock.RecvFrame()
		if errors.Is(err, zmq.ErrAgain) {
			return fresh, nil
		}
		if err != nil {
			return fresh, err
		}
		switch {
		case len(m) == 0:
		case m[0] == 1:
			topics[string(m[1:])] = true
			fresh = true
		case m[0] == 0:
			delete(topics, string(m[1:]))
		}
	}
}

// runText renders the answers' texts while somebody listens.
func (s *Server) runText(ctx context.Context) error {
	topics := map[string]bool{}
	var items []journal.Entry
	var frame []byte
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.text.Ready():
		case <-s.textQ.Wake:
		}
		if _, err := subscriptions(s.text, topics); err != nil {
			return err
		}
		s.Stats.TextListening.Store(len(topics) > 0)
		items = s.textQ.Take(items)
		for _, e := range items {
			for line := range e.Records() {
				var ok bool
				if frame, ok = record.AppendFrame(frame[:0], line); !ok {
					continue
				}
				if err := s.text.Send(frame); err != nil {
					return err
				}
				s.Stats.TextFrames.Add(1)
			}
			e.Room.Free()
		}
	}
}

// runRecord sends batches as soon as the socket is free, what gathered meanwhile in one
// message, and HEAD each second.
func (s *Server) runRecord(ctx context.Context) error {
	topics := map[string]bool{}
	sent := map[record.Run]uint64{}
	var out outgoing
	var items []journal.Entry
	send := func() error {
		// HEAD alone tells of what did not get into the queue, and must not speak of it before all
		// that was queued until then is sent.
		missed := s.takeMissed()
		items = s.recordQ.Take(items)
		queue.Signal(s.emptied)
		err := s.sendBatches(ctx, items, sent, &out)
		for run, last := range missed {
			sent[run] = max(sent[run], last)
		}
		return err
	}
	fresh := false
	s.patient.hear = func() error {
		more, err := subscriptions(s.record, topics)
		fresh = fresh || more
		s.listening.Store(len(topics) > 1 || len(topics) == 1 && !topics[HeadTopic]) // HEAD alone wants no batch
		return err
	}
	defer s.listening.Store(false)
	head := time.NewTimer(headEvery)
	defer head.Stop()
	for {
		beat := false
		select {
		case <-ctx.Done():
			return errors.Join(send(), s.sendHead(ctx, sent))
		case <-s.record.Ready():
		case <-s.recordQ.Wake:
		case <-head.C:
			beat = true
		}
		if err := s.patient.hear(); err != nil {
			return err
		}
		if err := send(); err != nil {
			return err
		}
		after := fresh
		fresh = false
		if beat {
			if err := s.sendHead(ctx, sent); err != nil {
				return err
			}
			head.Reset(headEvery)
		} else if after {
			head.Reset(headAfter)
		}
	}
}

// takeMissed gives the last numbers of the runs of which something did not get into the
// record feed's queue since the last call.
func (s *Server) takeMissed() map[record.Run]uint64 {
	s.missedMu.Lock()
	defer s.missedMu.Unlock()
	if len(s.missed) == 0 {
		return nil
	}
	missed := s.missed
	s.missed = map[record.Run]uint64{}
	return missed
}

// outgoing is one message being gathered.
type outgoing struct {
	service string
	entries []journal.Entry
	bytes   int
}

func (s *Server) sendBatches(ctx context.Context, items []journal.Entry, sent map[record.Run]uint64, out *outgoing) error {
	for _, e := range items {
		if len(out.entries) > 0 && (out.service != e.Service || out.bytes+len(e.Raw) > MaxFeedMessage) {
			if err := s.sendMessage(ctx, out); err != nil {
				return err
			}
		}
		out.service = e.Service
		out.entries = append(out.entries, e)
		out.bytes += len(e.Raw)
		sent[e.Run] = e.Last
	}
	return s.sendMessage(ctx, out)
}

func (s *Server) sendMessage(ctx context.Context, out *outgoing) error {
	if len(out.entries) == 0 {
		return nil
	}
	body, r := out.entries[0].Raw, out.entries[0].Room
	if len(out.entries) > 1 {
		r = room.Get(out.bytes)
		defer r.Free()
		for i := range out.entries {
			r.B = append(r.B, out.entries[i].Raw...)
		}
		body = r.B
	}
	err := s.patient.send(ctx, []byte(Topic(out.service)), body, r)
	for i := range out.entries {
		s.Stats.Batches.Add(1)
		s.Stats.Records.Add(out.entries[i].Count())
		out.entries[i].Room.Free()
	}
	s.Stats.Messages.Add(1)
	s.Stats.Bytes.Add(uint64(len(body)))
	clear(out.entries)
	out.entries, out.bytes = out.entries[:0], 0
	return err
}

func (s *Server) sendHead(ctx context.Context, sent map[record.Run]uint64) error {
	s.Stats.Heads.Add(1)
	return s.patient.send(ctx, []byte(HeadTopic), s.head(sent).line(), nil)
}

// head tells of the live runs; sent has what was handed to the feed's socket, or dropped
// on the way to it.
func (s *Server) head(sent map[record.Run]uint64) *Head {
	offers, roster := s.source.Offers()
	h := &Head{V: Version, Instance: s.o.Instance, Roster: roster, Replay: s.port, State: StateLive, Runs: []Offer{}}
	if s.o.Troubles != nil {
		all := s.o.Troubles()
		h.Troubles = all[:min(len(all), mostTroubles)]
	}
	switch {
	case s.ended.Load():
		h.State = StateEnded
	case s.o.Degraded():
		h.State = StateDegraded
	}
	for _, o := range offers {
		if last, ok := sent[o.Run]; ok {
			o.Last = max(last, o.Oldest-1)
			h.Runs = append(h.Runs, o)
		} else if sent == nil && !o.Ended {
			h.Runs = append(h.Runs, o)
		}
	}
	return h
}
