package journal

import (
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/earshot-mq/earshot/internal/durable"
	"github.com/earshot-mq/earshot/internal/queue"
	"github.com/earshot-mq/earshot/internal/room"
	"github.com/earshot-mq/earshot/publisher/record"
)

// Stream numbers one service's records of this opening, from 1.
type Stream struct {
	w       *Writer
	id      string
	service string
	slot    int

	begin  sync.Once // guards the writing of run and prefix
	run    record.Run
	prefix []byte        // of every line, up to the number
	coming atomic.Uint64 // next, or a little less
	length atomic.Int64  // of a line, on average

	// Guarded by Writer.mu.
	next  uint64
	room  *room.Room // where lines are
	lines []byte     // pending, behind MaxHeader bytes of room
	usual int        // size of a batch, on average
	first uint64
	count int
}

// Stream is the stream of a service; its name is [a-z0-9-]. The same name is the same
// stream.
func (w *Writer) Stream(service string) *Stream {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.streams[service]
	if s == nil {
		s = &Stream{w: w, service: service, id: StreamID(w.instance, service), slot: len(w.streams), next: 1}
		s.coming.Store(1)
		w.streams[service] = s
	}
	return s
}

// Service is the stream's service.
func (s *Stream) Service() string { return s.service }

// Run is the stream and the epoch of this opening.
func (s *Stream) Run() record.Run {
	s.begin.Do(func() {
		s.run = record.Run{Stream: s.id, Epoch: s.w.log.Epoch()}
		s.prefix = record.AppendPrefix(nil, s.run)
	})
	return s.run
}

// Expect says whether somebody is about to append, +1, or done with it, -1. It is a hint
// for the size of groups.
func (s *Stream) Expect(n int64) { s.w.expected.Add(n) }

// Draft is records of one stream on their way into it: lines that lack only their numbers,
// for which there is room. Many records become a batch where they are: their numbers are
// filled in, and nothing is copied. Fewer go into a batch with those of others.
//
// One goroutine makes a draft and appends it, and has it no more then.
type Draft struct {
	B []byte // the lines; whoever has called Line appends the rest of that line

	s      *Stream
	room   *room.Room // where B is
	digits int        // of each number, by the guess
	at     []int      // where numbers end
}

// ownBatch is how many bytes of lines get a batch of their own. Less is copied, since a
// batch costs its control line at every reader.
const ownBatch = 16 << 10

var drafts = sync.Pool{New: func() any { return new(Draft) }}

// Draft begins a draft of so many records.
func (s *Stream) Draft(records int) *Draft {
	s.Run()
	d, _ := drafts.Get().(*Draft)
	d.s, d.at = s, d.at[:0]
	d.digits = digits(s.coming.Load() + uint64(records) - 1)
	least := MaxHeader + records*(int(s.length.Load())*9/8+64)
	if d.room != nil && cap(d.room.B) < least {
		d.room.Free()
		d.room = nil
	}
	if d.room == nil {
		d.room = room.Get(least)
	}
	d.B = d.room.B[:MaxHeader]
	return d
}

func digits(n uint64) (d int) {
	for d = 1; n > 9; d++ {
		n /= 10
	}
	return d
}

const blank = "00000000000000000000"

// Line begins the next line, up to its number.
func (d *Draft) Line() []byte {
	d.B = append(d.B, d.s.prefix...)
	d.B = append(d.B, blank[:d.digits]...)
	d.at = append(d.at, len(d.B))
	return d.B
}

// tail is what follows the number in line i.
func (d *Draft) tail(i int) []byte {
	end := len(d.B)
	if i+1 < len(d.at) {
		end = d.at[i+1] - d.digits - len(d.s.prefix)
	}
	return d.B[d.at[i]:end]
}

// Append numbers the records and returns the first number when they are written; after
// WriterOptions.Wait, or while the journal can't be written, when they are held in memory.
// From numbering on nothing takes them back. ErrClosed is the only error.
func (d *Draft) Append() (first uint64, err error) {
	s, n := d.s, len(d.at)
	w := s.w
	w.inside.Add(1)
	defer w.inside.Add(-1)
	d.room.B = d.B // which may have grown
	s.length.Store(int64((len(d.B) - MaxHeader) / max(n, 1)))
	w.mu.Lock()
	if w.closed {
		w.mu.Unlock()
		d.giveBack()
		return 0, fmt.Errorf("journal: append: %w", ErrClosed)
	}
	first = s.next
	if !s.adoptLocked(d) {
		for i := range d.at {
			s.addLocked(d.tail(i))
		}
	}
	s.coming.Store(s.next)
	if w.gate == nil {
		w.gate = &gate{make(chan struct{})}
	}
	g := w.gate
	w.waiting.Add(1)
	idle := w.inFlight == 0
	// A write that is tried again may take its time before it fails; what leaves meanwhile
	// is not counted yet.
	hung := w.inFlight > 0 && w.Stats.Degraded.Load() && time.Since(w.since) >= w.o.Wait
	if hung && len(w.ready) > 0 {
		w.holdLocked()
		w.handLocked() // full batches: a flood is too fast for the watchdog, and for the memory
		w.boundLocked()
	}
	w.mu.Unlock()
	d.giveBack()
	w.Stats.Records.Add(uint64(n))
	if idle {
		queue.Signal(w.wake)
	}
	if hung {
		return first, nil // the watchdog takes it
	}
	<-g.open
	return first, nil
}

// giveBack lets the draft be used again, with its room unless that is a batch now.
func (d *Draft) giveBack() {
	if d.room != nil && cap(d.room.B) > keepDraft {
		d.room.Free()
		d.room = nil
	}
	d.s, d.B = nil, nil
	drafts.Put(d)
}

// keepDraft is the most that a draft which waits to be used again may have.
const keepDraft = 1 << 20

// adoptLocked makes a batch of the draft's lines where they are, if they are enough for one
// and the numbers fit into the room that was left for them.
func (s *Stream) adoptLocked(d *Draft) bool {
	size, last := len(d.B)-MaxHeader, s.next+uint64(len(d.at))-1
	if size < ownBatch || size > MaxBatch || digits(s.next) != d.digits || digits(last) != d.digits {
		return false
	}
	s.takeLocked()
	var number [20]byte
	text := strconv.AppendUint(number[:0], s.next, 10)
	for _, at := range d.at {
		copy(d.B[at-len(text):at], text)
		increment(text)
	}
	s.sealLocked(d.room, s.next, len(d.at))
	s.next, d.room = last+1, nil
	return true
}

// increment adds one to a decimal number, whose digits are enough for that or not looked at
// any more.
func increment(text []byte) {
	for i := len(text) - 1; i >= 0; i-- {
		if text[i]++; text[i] <= '9' {
			return
		}
		text[i] = '0'
	}
}

// addLocked numbers one line into the pending batch, and begins another when it is full.
func (s *Stream) addLocked(tail []byte) {
	if len(s.lines)+len(s.prefix)+20+len(tail) > MaxHeader+MaxBatch {
		s.takeLocked()
	}
	if s.count == 0 {
		s.first = s.next
		s.w.pending = append(s.w.pending, s)
		s.room = room.Get(max(s.usual, MaxHeader+len(s.prefix)+20+len(tail)))
		s.lines = s.room.B[:MaxHeader]
	}
	s.lines = append(s.lines, s.prefix...)
	s.lines = strconv.AppendUint(s.lines, s.next, 10)
	s.lines = append(s.lines, tail...)
	s.next++
	s.count++
}

// takeLocked makes a batch of the stream's pending lines.
func (s *Stream) takeLocked() {
	if s.count == 0 {
		return
	}
	s.usual = (3*s.usual + len(s.lines) + 64) / 4
	s.room.B = s.lines // which may have grown
	s.sealLocked(s.room, s.first, s.count)
	s.count, s.lines, s.room = 0, nil, nil
}

// sealLocked makes a batch of the lines in a room, which is the batch's from then on.
func (s *Stream) sealLocked(r *room.Room, first uint64, count int) {
	w := s.w
	if first == 1 {
		w.ready = append(w.ready, newEpoch(s.run, s.service, durable.BootID(), w.log.o.Now()))
	}
	raw, lines := sealBatch(r.B, s.run, first, count)
	w.ready = append(w.ready, Entry{
		Kind: KindBatch, Run: s.run, First: first, Last: first + uint64(count) - 1, Service: s.service,
		Lines: lines, Raw: raw, Room: r,
	})
	w.Stats.Held.Add(int64(len(raw)))
}
