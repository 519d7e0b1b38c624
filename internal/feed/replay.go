package feed

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/earshot-mq/earshot/internal/journal"
	"github.com/earshot-mq/earshot/internal/queue"
	"github.com/earshot-mq/earshot/internal/zmq"
	"github.com/earshot-mq/earshot/publisher/record"
)

const (
	dataFirst   = 32 << 10        // bytes of a fetch's first DATA, about: a slow line is not to be silent for long
	dataLimit   = 512 << 10       // and of any; each is twice the one before
	replayBytes = 16 << 20        // read for all sessions and not sent yet
	sessionIdle = 5 * time.Minute // a peer that says nothing for so long, and fetches nothing, is forgotten
	readers     = 2
	maxSessions = 256
	maxFetches  = 4096 // of one session
)

// replayer owns the ROUTER socket. Reading goes on outside its goroutine.
type replayer struct {
	s        *Server
	sessions map[string]*session
	jobs     chan job
	results  chan result
	poked    chan struct{}
	waiting  atomic.Int64 // fetches that have all there is
	inFlight int          // reads asked for and not come back
}

// session is one subscriber.
type session struct {
	id      []byte
	store   string
	name    string
	heard   time.Time
	fetches map[record.Run]*fetch
}

// fetch is one open-ended FETCH.
type fetch struct {
	se      *session
	run     record.Run
	next    uint64
	credit  int64
	size    int64 // of the next DATA
	reading bool
	caught  bool // has all there is, waits for more
	failed  bool // could not be read; the next beat tries again
	gone    bool
}

// job is one read of a fetch.
type job struct {
	f     *fetch
	run   record.Run
	from  uint64
	limit int
}

type result struct {
	f    *fetch
	data []byte
	from uint64
	next uint64
	err  error
	buf  *[]byte
}

var dataBufs = sync.Pool{New: func() any { b := make([]byte, 0, dataLimit+(64<<10)); return &b }}

func newReplayer(s *Server) *replayer {
	return &replayer{
		s: s, sessions: map[string]*session{}, jobs: make(chan job, replayBytes/dataLimit),
		results: make(chan result, replayBytes/dataLimit), poked: make(chan struct{}, 1),
	}
}

// poke tells that the journal has more.
func (r *replayer) poke() {
	if r.waiting.Load() == 0 {
		return
	}
	queue.Signal(r.poked)
}

func (r *replayer) run(ctx context.Context) error {
	var wg sync.WaitGroup
	for range readers {
		wg.Go(r.read)
	}
	defer wg.Wait()
	defer close(r.jobs)
	tick := time.NewTicker(headEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-r.s.replay.Ready():
		case res := <-r.results:
			r.inFlight--
			r.done(res)
		case <-r.poked:
			r.wakeAll()
		case now := <-tick.C:
			r.beat(now)
		}
		if err := r.drain(); err != nil {
			return err
		}
		r.schedule()
	}
}

// read serves jobs until the channel closes. It never blocks on results: there are at
// most as many reads in flight as that channel holds.
func (r *replayer) read() {
	for j := range r.jobs {
		buf := dataBufs.Get().(*[]byte)
		data, next, err := r.s.source.Read((*buf)[:0], j.run, j.from, j.limit)
		*buf = data
		r.results <- result{j.f, data, j.from, next, err, buf}
	}
}

func (r *replayer) drain() error {
	defer r.s.replay.Rearm()
	for {
		m, err := r.s.replay.Recv()
		if errors.Is(err, zmq.ErrAgain) {
			return nil
		}
		if err != nil {
			return err
		}
		if len(m) < 3 {
			r.s.Stats.Refused.Add(1)
			continue
		}
		if err := r.message(m[0], string(m[1]), m[2]); err != nil {
			r.s.Stats.Refused.Add(1)
			r.s.o.Logger.Warn("replay message refused", "verb", string(m[1]), "error", err)
			r.send(m[0], verbRefuse, refuse{Version, err.Error()})
		}
	}
}

func (r *replayer) message(id []byte, verb string, body []byte) error {
	se := r.sessions[string(id)]
	if verb == verbHello {
		return r.hello(id, body)
	}
	if se == nil {
		r.send(id, verbRefuse, refuse{Version, "HELLO first"})
		return nil
	}
	se.heard = time.Now()
	if verb == verbCommit {
		return r.commit(se, body)
	}
	var a about
	if err := decode(body, &a); err != nil {
		return err
	}
	run, err := a.run()
	if err != nil {
		return err
	}
	switch verb {
	case verbFetch:
		r.fetch(se, run, a.From, a.Credit)
	case verbCredit:
		if f := se.fetches[run]; f != nil {
			f.credit = min(f.credit+a.Credit, 1<<40)
		}
	case verbStop:
		r.drop(se, run)
	}
	return nil
}

func (r *replayer) hello(id, body []byte) error {
	var h hello
	if err := decode(body, &h); err != nil {
		return err
	}
	if c := r.s.o.Commits; c != nil && h.Store != "" {
		if err := c.Hello(h.Store, h.Name, time.Now()); err != nil {
			return err
		}
	}
	if old := r.sessions[string(id)]; old != nil {
		r.forget(old)
	}
	if len(r.sessions) >= maxSessions {
		return errors.New("too many sessions")
	}
	r.sessions[string(id)] = &session{id: id, store: h.Store, name: h.Name, heard: time.Now(), fetches: map[record.Run]*fetch{}}
	offers, roster := r.s.source.Offers()
	if offers == nil {
		offers = []Offer{}
	}
	r.send(id, verbWelcome, welcome{Version, r.s.o.Instance, roster, offers})
	return nil
}

func (r *replayer) commit(se *session, body []byte) error {
	var c commit
	if err := decode(body, &c); err != nil {
		return err
	}
	if r.s.o.Commits == nil || se.store == "" {
		return nil
	}
	for _, cur := range c.Cursors {
		run, err := runOf(cur.Stream, cur.Epoch)
		if err != nil {
			return err
		}
		o, ok := r.s.source.Offer(run)
		if !ok {
			continue
		}
		end := max(o.Last, o.Given) + 1
		if err := r.s.o.Commits.Commit(se.store, se.name, run, cur.Next, end, time.Now()); err != nil {
			return err
		}
		r.s.Stats.Commits.Add(1)
	}
	return nil
}

func (r *replayer) fetch(se *session, run record.Run, from uint64, credit int64) {
	r.drop(se, run)
	if len(se.fetches) >= maxFetches {
		r.send(se.id, verbRefuse, refuse{Version, "too many fetches"})
		return
	}
	r.s.Stats.Fetches.Add(1)
	se.fetches[run] = &fetch{se: se, run: run, next: max(from, 1), credit: credit, size: dataFirst}
}

func (r *replayer) drop(se *session, run record.Run) {
	if f := se.fetches[run]; f != nil {
		f.gone = true
		r.wake(f)
		delete(se.fetches, run)
	}
}

func (r *replayer) forget(se *session) {
	for run := range se.fetches {
		r.drop(se, run)
	}
	delete(r.sessions, string(se.id))
}

func (r *replayer) wake(f *fetch) {
	if f.caught {
		f.caught = false
		r.waiting.Add(-1)
	}
}

func (r *replayer) wakeAll() {
	for _, se := range r.sessions {
		for _, f := range se.fetches {
			r.wake(f)
		}
	}
}

// schedule gives reads to the readers, as long as the shared memory allows.
func (r *replayer) schedule() {
	for _, se := range r.sessions {
		for _, f := range se.fetches {
			if r.inFlight == cap(r.jobs) {
				return
			}
			if f.reading || f.caught || f.failed || f.credit <= 0 {
				continue
			}
			f.reading = true
			r.inFlight++
			r.jobs <- job{f, f.run, f.next, int(min(f.credit, f.size))}
		}
	}
}

// done sends what a reader has read.
func (r *replayer) done(res result) {
	f := res.f
	f.reading = false
	defer dataBufs.Put(res.buf)
	if f.gone {
		return
	}
	a := of(f.run)
	var hole *journal.Hole
	switch {
	case errors.As(res.err, &hole):
		a.From, a.To, a.Reason = hole.From, hole.To, "dropped"
		if hole.Corrupt {
			a.Reason = "corrupt"
		}
		r.s.Stats.Trims.Add(1)
		f.next = hole.To + 1
		r.send(f.se.id, verbTrim, a)
	case res.err != nil:
		r.s.o.Logger.Error("replay can't read the journal", "run", f.run.String(), "from", res.from, "error", res.err)
		f.failed = true
	case len(res.data) > 0:
		f.next = res.next
		f.credit -= int64(len(res.data))
		f.size = min(2*f.size, dataLimit)
		r.s.Stats.DataBytes.Add(uint64(len(res.data)))
		r.send(f.se.id, verbData, a, res.data)
	default:
		r.end(f)
	}
}

// end waits for more of a run, or says that there will be none.
func (r *replayer) end(f *fetch) {
	o, ok := r.s.source.Offer(f.run)
	if ok && (!o.Ended || o.Last >= f.next) {
		r.wait(f)
		return
	}
	a := of(f.run)
	a.Last, a.Given = o.Last, o.Given
	if !ok {
		a.Reason = "unknown"
	}
	r.send(f.se.id, verbEnd, a)
	r.drop(f.se, f.run)
}

func (r *replayer) wait(f *fetch) {
	f.caught = true
	r.waiting.Add(1)
	// What came between the read and the count was not poked for.
	if o, ok := r.s.source.Offer(f.run); ok && o.Last >= f.next {
		r.wake(f)
	}
}

// beat sends HEAD to all who fetch, which also shows who is gone, and tries again what
// could not be read.
func (r *replayer) beat(now time.Time) {
	r.wakeAll()
	line := r.s.head(nil).line()
	for _, se := range r.sessions {
		for _, f := range se.fetches {
			f.failed = false
		}
		if len(se.fetches) > 0 {
			r.send(se.id, verbHead, nil, line)
		} else if now.Sub(se.heard) > sessionIdle {
			r.forget(se)
		}
	}
}

// send sends one message to a peer. A peer that is gone, or has let its queue fill up
// beyond its credit, is forgotten: it says HELLO again.
func (r *replayer) send(id []byte, verb string, body any, more ...[]byte) {
	frames := append([][]byte{id, []byte(verb)}, more...)
	if body != nil {
		frames = append([][]byte{id, []byte(verb), encode(body)}, more...)
	}
	err := r.s.replay.Send(frames...)
	if err == nil {
		return
	}
	if se := r.sessions[string(id)]; se != nil {
		r.s.o.Logger.Info("subscriber gone", "store", se.store, "name", se.name, "error", err)
		r.forget(se)
	}
}
