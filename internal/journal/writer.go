package journal

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/earshot-mq/earshot/internal/queue"
	"github.com/earshot-mq/earshot/publisher/record"
)

// ErrClosed says that the writer has stopped.
var ErrClosed = errors.New("closed")

// SyncPolicy says what a power cut may take.
type SyncPolicy uint8

// The policies.
const (
	SyncInterval SyncPolicy = iota // fsync each Options.SyncEvery: that, and the fsync then running
	SyncAlways                     // fsync before an append returns: nothing
	SyncNever                      // what the kernel has not written by itself
)

// hungCount is how long answers whose write hangs also wait for the file "last".
const hungCount = 50 * time.Millisecond

// WriterOptions tunes a Writer. Every zero field means its default.
type WriterOptions struct {
	Sync      SyncPolicy
	SyncEvery time.Duration // default 100 ms
	Wait      time.Duration // how long an append waits for a disk that hangs; default 1 s
	Memory    int64         // bytes held while the journal can't be written; default 16 MiB

	// Hand gets every batch in order, once, as soon as it is written or, degraded,
	// held. It must not wait, must not change the entries, and not keep the slice;
	// whoever keeps an entry has to keep its Room.
	Hand   func(entries []Entry)
	Notice chan<- struct{} // gets a value when Stats.Degraded begins and ends; of capacity 1; default none
	Logger *slog.Logger    // default: discard
}

// Stats counts what a Writer did. All are totals since New.
type Stats struct {
	Records, Groups, Bytes atomic.Uint64
	Held                   atomic.Int64  // bytes held in memory now, in no file
	Lost                   atomic.Uint64 // records that fell out of the memory while degraded
	WriteErrors, SyncFails atomic.Uint64
	Degraded               atomic.Bool
	Why                    atomic.Pointer[string] // Degraded began
	Syncs                  atomic.Uint64          // that ended well
}

// Writer numbers records and writes them in groups: whoever appends waits for the
// group that holds his record, and what arrives while one group is written is the next.
//
// One goroutine writes, and not the first of those who wait: a write(2) that hangs
// would hold that client's answer for as long as the disk does.
type Writer struct {
	log      *Log
	o        WriterOptions
	instance string
	last     *lastFile
	Stats    Stats

	wake    chan struct{} // something is pending
	writing chan struct{} // a write has begun: watch
	written chan struct{} // something is to be synced

	expected atomic.Int64 // who has said that he will append soon
	inside   atomic.Int64 // who is in Append
	waiting  atomic.Int64 // of these, who has lines in the next group

	mu       sync.Mutex
	streams  map[string]*Stream
	pending  []*Stream // with lines that are in no batch yet
	ready    []Entry   // batches that are in no group yet
	gate     *gate     // of those who wait for these two
	held     []Entry   // taken, in no file yet
	handed   int       // how many of held the feeds have
	gates    []*gate   // of those who wait for held entries
	inFlight int       // how many of held are being written now
	since    time.Time // when that write began
	retry    time.Time // degraded: not before
	closed   bool
	begun    bool // this opening has a segment

	uncounted bool        // the last numbers could not be counted
	counting  atomic.Bool // they are being counted beside a write that hangs
}

// gate is what the appenders of one group wait at.
type gate struct{ open chan struct{} }

// NewWriter makes the writer of a directory's log. Run has to be running for an append
// to return.
func NewWriter(dir string, log *Log, instance string, o WriterOptions) (*Writer, error) {
	if o.SyncEvery == 0 {
		o.SyncEvery = 100 * time.Millisecond
	}
	if o.Wait == 0 {
		o.Wait = time.Second
	}
	if o.Memory == 0 {
		o.Memory = 16 << 20
	}
	if o.Hand == nil {
		o.Hand = func([]Entry) {}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	slots, err := EndRuns(dir, log)
	if err != nil {
		return nil, err
	}
	last, err := openLast(filepath.Join(dir, "last"), slots)
	if err != nil {
		return nil, err
	}
	return &Writer{
		wake: make(chan struct{}, 1), writing: make(chan struct{}, 1), written: make(chan struct{}, 1),
		log: log, o: o, instance: instance, last: last, streams: map[string]*Stream{},
	}, nil
}

// takeLocked makes batches of all pending lines, and drops the oldest of what is held
// beyond the memory.
func (w *Writer) takeLocked() {
	for _, s := range w.pending {
		s.takeLocked()
	}
	w.pending = w.pending[:0]
	w.holdLocked()
	if w.gate != nil {
		w.gates = append(w.gates, w.gate)
		w.gate = nil
		w.waiting.Store(0)
	}
	w.boundLocked()
}

// holdLocked makes a group of the batches that are in none yet.
func (w *Writer) holdLocked() {
	w.held = append(w.held, w.ready...)
	clear(w.ready)
	w.ready = w.ready[:0]
}

// boundLocked keeps what is held within the memory.
func (w *Writer) boundLocked() {
	if w.Stats.Held.Load() > w.o.Memory {
		w.shedLocked(w.o.Memory - w.o.Memory/16) // more than it must: it moves all that is held
	}
}

// shedLocked drops the oldest batches until no more than limit bytes are held, if it can:
// what is being written, and what the feeds have not, stays. What one run loses in a row
// is one gap, so that a disk that stays full for days takes no memory either.
func (w *Writer) shedLocked(limit int64) {
	gaps := map[record.Run]int{} // where the last gap of a run is
	to := w.inFlight
	for i := w.inFlight; i < w.handed; i++ {
		e := w.held[i]
		if e.Kind == KindBatch && w.Stats.Held.Load() > limit {
			w.Stats.Held.Add(-int64(len(e.Raw)))
			w.Stats.Lost.Add(e.Count())
			e.Room.Free()
			e = NewGap(e.Run, e.Service, e.First, e.Last, "not written: no room on disk and in memory")
		}
		if e.Kind == KindGap {
			if at, ok := gaps[e.Run]; ok && w.held[at].Last+1 == e.First {
				w.held[at] = NewGap(e.Run, e.Service, w.held[at].First, e.Last, e.Reason)
				continue
			}
			gaps[e.Run] = to
		}
		w.held[to] = e
		to++
	}
	rest := to + copy(w.held[to:], w.held[w.handed:])
	clear(w.held[rest:])
	w.held, w.handed = w.held[:rest], to
}

// handLocked gives the feeds what they do not have yet.
func (w *Writer) handLocked() {
	if w.handed < len(w.held) {
		w.o.Hand(w.held[w.handed:])
		w.handed = len(w.held)
	}
}

func openAll(gates []*gate) {
	for _, g := range gates {
		close(g.open)
	}
}

// Run writes until ctx is done, then what is left, with the end of every run, and
// syncs. The log stays open for readers.
func (w *Writer) Run(ctx context.Context) error {
	stop := make(chan struct{})
	var done sync.WaitGroup
	done.Go(func() { w.watch(stop) })
	done.Go(func() { w.syncLoop(stop) })
	done.Go(func() {
		w.log.AllocateAhead(stop, func(err error) {
			if !w.Stats.Degraded.Load() {
				w.o.Logger.Warn("next segment not allocated", "error", err)
			}
		})
	})
	for ctx.Err() == nil {
		select {
		case <-w.wake:
		case <-ctx.Done():
		case <-w.later():
		}
		w.gather()
		for w.write(false) {
			w.gather()
		}
	}
	err := w.finish()
	close(stop)
	done.Wait()
	return errors.Join(err, w.last.close())
}

// gather lets others join the next group, if there are any: a writer that was woken by
// one caller would run before all who could run by now, and write groups of one record.
// For a lone caller it would only cost, a third of what a record does.
func (w *Writer) gather() {
	if max(w.expected.Load(), w.inside.Load()) > w.waiting.Load() {
		runtime.Gosched()
	}
}

// later fires when what is held should be tried again.
func (w *Writer) later() <-chan time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.held) == 0 {
		return nil
	}
	return time.After(max(time.Until(w.retry), time.Millisecond))
}

// write writes all that waits, hands it to the feeds and lets the appenders go. It
// tells whether more came meanwhile.
func (w *Writer) write(must bool) (more bool) {
	w.mu.Lock()
	w.takeLocked()
	if len(w.held) == 0 || !must && time.Now().Before(w.retry) {
		w.releaseLocked()
		return false
	}
	entries := w.held[:w.fitLocked()]
	entries = entries[:len(entries):len(entries)]
	w.inFlight, w.since = len(entries), time.Now()
	w.mu.Unlock()
	queue.Signal(w.writing)
	_, err := w.log.Append(entries...)
	if err == nil && w.o.Sync == SyncAlways {
		if err := w.sync(); err != nil {
			w.o.Logger.Error("journal not synced; answers leave all the same", "error", err)
		}
	}
	w.mu.Lock()
	w.inFlight = 0
	if err != nil {
		w.failedLocked(err)
		w.takeLocked()
	} else {
		w.writtenLocked(len(entries))
	}
	more = err == nil && len(w.pending)+len(w.ready)+len(w.held) > 0
	w.releaseLocked()
	return more
}

// fitLocked is how many of the held entries the next write takes: all, and while degraded
// as many as make a batch of the largest size, so that what room there is gets used.
func (w *Writer) fitLocked() (n int) {
	if !w.Stats.Degraded.Load() {
		return len(w.held)
	}
	for size := 0; n < len(w.held); n++ {
		if size += len(w.held[n].Raw); n > 0 && size > MaxBatch {
			break
		}
	}
	return n
}

// releaseLocked ends a write, or what stands for one while degraded: the numbers are
// counted in the file "last", the feeds get the batches, the answers leave. It unlocks.
func (w *Writer) releaseLocked() {
	if w.Stats.Degraded.Load() && len(w.gates) > 0 {
		w.countLocked()
	}
	gates := w.gates
	w.gates = nil
	w.handLocked()
	w.mu.Unlock()
	openAll(gates)
}

// countLocked overwrites the last numbers given.
func (w *Writer) countLocked() { w.countedLocked(w.last.count(w.givenLocked())) }

// givenLocked is what the file "last" should say, by slot.
func (w *Writer) givenLocked() map[int]given {
	all := map[int]given{}
	for _, s := range w.streams {
		if s.next > 1 {
			all[s.slot] = given{run: s.run, service: s.service, last: s.next - 1}
		}
	}
	return all
}

func (w *Writer) countedLocked(failed error) {
	if failed != nil && !w.uncounted {
		w.o.Logger.Error("last numbers not counted; what a death of the process loses now is not known", "error", failed)
	}
	w.uncounted = failed != nil
}

// countBeside counts without the lock, since the file "last" may hang as the journal does:
// then nobody waits for it longer than hungCount, and nothing else is begun meanwhile.
func (w *Writer) countBeside(all map[int]given) {
	if !w.counting.CompareAndSwap(false, true) {
		return
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		err := w.last.count(all)
		w.counting.Store(false)
		w.mu.Lock()
		w.countedLocked(err)
		w.mu.Unlock()
	}()
	select {
	case <-done:
	case <-time.After(hungCount):
	}
}

func (w *Writer) failedLocked(err error) {
	w.Stats.WriteErrors.Add(1)
	w.retry = time.Now().Add(200 * time.Millisecond)
	w.degraded(err.Error())
}

// degraded notes why records are held in memory.
func (w *Writer) degraded(why string) {
	w.Stats.Why.Store(&why)
	if !w.Stats.Degraded.Swap(true) {
		queue.Signal(w.o.Notice)
	}
}

func (w *Writer) writtenLocked(n int) {
	queue.Signal(w.written)
	w.Stats.Groups.Add(1)
	for i := range w.held[:n] {
		w.Stats.Bytes.Add(uint64(len(w.held[i].Raw)))
		if w.held[i].Kind == KindBatch {
			w.Stats.Held.Add(-int64(len(w.held[i].Raw)))
		}
	}
	if !w.Stats.Degraded.Load() { // all that was held is written
		// Who waits goes first, so that who is handed the batches overtakes him: of those that
		// are woken the last runs next, and the line should not wait until the answers are sent.
		openAll(w.gates)
		w.gates = nil
	}
	if n > w.handed {
		w.o.Hand(w.held[w.handed:n])
		w.handed = n
	}
	for i := range w.held[:n] {
		w.held[i].Room.Free()
	}
	rest := copy(w.held, w.held[n:])
	clear(w.held[rest:])
	w.held = w.held[:rest]
	w.handed -= n
	w.retry = time.Time{}
	if rest > 0 && w.Stats.Degraded.Load() {
		return
	}
	if w.Stats.Degraded.Swap(false) {
		queue.Signal(w.o.Notice)
	}
	if !w.begun {
		w.begun = true
		if err := w.last.reset(); err != nil {
			w.o.Logger.Warn("last numbers not reset", "error", err)
		}
	}
}

// watch frees the appenders from a write that hangs. It sleeps while nothing is written.
func (w *Writer) watch(stop <-chan struct{}) {
	tick := time.NewTicker(min(w.o.Wait/4, 200*time.Millisecond))
	defer tick.Stop()
	for {
		tick.Stop()
		select {
		case <-stop:
			return
		case <-w.writing:
		}
		tick.Reset(min(w.o.Wait/4, 200*time.Millisecond))
		for busy := true; busy; {
			select {
			case <-stop:
				return
			case <-tick.C:
				busy = w.rescueHung()
			}
		}
	}
}

// rescueHung lets the appenders go whose write hangs, and tells whether there is one under
// way.
func (w *Writer) rescueHung() (busy bool) {
	w.mu.Lock()
	if w.inFlight == 0 || time.Since(w.since) < w.o.Wait {
		busy = w.inFlight > 0
		w.mu.Unlock()
		return busy
	}
	if !w.Stats.Degraded.Load() {
		w.degraded("a write does not end")
	}
	w.takeLocked()
	gates := w.gates
	w.gates = nil
	all := w.givenLocked()
	w.handLocked()
	w.mu.Unlock()
	w.countBeside(all)
	openAll(gates)
	return true
}

// syncLoop syncs beside the writes. It sleeps while there is nothing
// to sync.
func (w *Writer) syncLoop(stop <-chan struct{}) {
	pause := time.NewTimer(w.o.SyncEvery)
	defer pause.Stop()
	for {
		select {
		case <-stop:
			return
		case <-w.written:
		}
		pause.Reset(w.o.SyncEvery)
		select {
		case <-stop:
			return
		case <-pause.C:
		}
		if err := w.sync(); err != nil {
			w.o.Logger.Error("journal not synced", "error", err)
			queue.Signal(w.written) // try again
		}
	}
}

func (w *Writer) sync() error {
	err := w.log.Sync()
	if err != nil {
		w.Stats.SyncFails.Add(1)
		return err
	}
	w.Stats.Syncs.Add(1)
	return nil
}

// finish refuses new records, writes what is left and the end of every run, and syncs.
func (w *Writer) finish() error {
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	for w.write(true) {
	}
	w.mu.Lock()
	var ends []Entry
	for _, s := range w.streams {
		if s.next > 1 && len(w.held) == 0 {
			ends = append(ends, newEnd(s.run, s.next-1, s.next-1, true))
		}
	}
	left := w.Stats.Held.Load()
	w.mu.Unlock()
	if left > 0 {
		return fmt.Errorf("journal: %d bytes of records were held in memory at the end: %w", left, ErrNoSpace)
	}
	if _, err := w.log.Append(ends...); err != nil {
		return err
	}
	return w.sync()
}

// Runs lists the runs of this opening that have a record, also those that are in no file
// yet. Next is that of Writer.Next.
func (w *Writer) Runs() (runs []Cursor) {
	w.mu.Lock()
	for _, s := range w.streams {
		if s.next > 1 {
			runs = append(runs, Cursor{Stream: s.run.Stream, Epoch: s.run.Epoch, Service: s.service, Began: 1})
		}
	}
	w.mu.Unlock()
	for i := range runs {
		runs[i].Next = max(w.Next(runs[i].Run()), 1)
	}
	return runs
}

// Next is the number after the last of run that a reader can have: in a file, or held in
// memory and handed on. It is 0 for a run of another opening.
func (w *Writer) Next(run record.Run) (next uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range w.held[:w.handed] {
		if e := &w.held[i]; e.Run == run && (e.Kind == KindBatch || e.Kind == KindGap) {
			next = e.Last + 1
		}
	}
	if c, ok := w.log.Cursor(run); ok {
		next = max(next, c.Next)
	}
	return next
}

// Read is Log.Read, and beyond what is in a file what is held in memory.
func (w *Writer) Read(dst []byte, run record.Run, from uint64, limit int) (data []byte, next uint64, err error) {
	data, next, err = w.log.Read(dst, run, from, limit)
	if err != nil || len(data) >= limit {
		return data, next, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range w.held[:w.handed] {
		e := &w.held[i]
		if e.Run == run && e.First <= next && e.Last >= next && (e.Kind == KindBatch || e.Kind == KindGap) && len(data) < limit {
			data = append(data, e.Raw...)
			next = e.Last + 1
		}
	}
	return data, next, nil
}
