package journal

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

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

// WriterOptions tunes a Writer. Every zero field means its default.
type WriterOptions struct {
	Sync      SyncPolicy
	SyncEvery time.Duration // default 100 ms
	Wait      time.Duration // how long an append waits for a disk that hangs; default 1 s
	Memory    int64         // bytes held while the journal can't be written; default 16 MiB

	// Hand gets every batch in order, once, as soon as it is written or, degraded,
	// held. It must not wait, must not change the entries, and not keep the slice.
	Hand   func(entries []Entry)
	Logger *slog.Logger // default: discard
}

// Stats counts what a Writer did. All are totals since New.
type Stats struct {
	Records, Groups, Bytes atomic.Uint64
	Held                   atomic.Int64  // bytes held in memory now, in no file
	Lost                   atomic.Uint64 // records that fell out of the memory while degraded
	WriteErrors, SyncFails atomic.Uint64
	Degraded               atomic.Bool
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

	wake chan struct{}

	mu       sync.Mutex
	streams  map[string]*Stream
	pending  []*Stream // with lines that are in no group yet
	gate     *gate     // of those who wait for the pending lines
	held     []Entry   // taken, in no file yet
	handed   int       // how many of held the feeds have
	gates    []*gate   // of those who wait for held entries
	inFlight int       // how many of held are being written now
	since    time.Time // when that write began
	retry    time.Time // degraded: not before
	closed   bool
	begun    bool // this opening has a segment
}

// gate is what the appenders of one group wait at.
type gate struct{ open chan struct{} }

// Stream numbers one service's records of this opening, from 1.
type Stream struct {
	w       *Writer
	id      string
	service string
	slot    int

	// Guarded by Writer.mu.
	run    record.Run
	prefix []byte // of every line, up to the number
	next   uint64
	lines  []byte // pending, behind MaxHeader bytes of room
	usual  int    // size of a batch, on average
	first  uint64
	count  int
}

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
	path := filepath.Join(dir, "last")
	given, err := EndRuns(log, path)
	if err != nil {
		return nil, err
	}
	last, err := openLast(path, given)
	if err != nil {
		return nil, err
	}
	return &Writer{log: log, o: o, instance: instance, last: last, wake: make(chan struct{}, 1), streams: map[string]*Stream{}}, nil
}

// EndRuns marks every run of a log that its writer has left as ended, with the last
// number that was given: what is whole, or what the file "last" says beyond it. It
// returns how many slots of that file are taken.
func EndRuns(log *Log, path string) (slots int, err error) {
	given, err := readLast(path)
	if err != nil {
		return 0, err
	}
	for _, c := range log.Runs() {
		if !c.Ended {
			log.End(c.Run(), max(given[c.Run()], c.Next-1))
		}
	}
	return len(given), nil
}

// Stream is the stream of a service; its name is [a-z0-9-]. The same name is the same
// stream.
func (w *Writer) Stream(service string) *Stream {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.streams[service]
	if s == nil {
		s = &Stream{w: w, service: service, id: StreamID(w.instance, service), slot: len(w.streams), next: 1}
		w.streams[service] = s
	}
	return s
}

// Service is the stream's service.
func (s *Stream) Service() string { return s.service }

// Run is the stream and the epoch of this opening.
func (s *Stream) Run() record.Run {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	s.beginLocked()
	return s.run
}

// beginLocked gives the stream its run.
func (s *Stream) beginLocked() {
	if s.run.Epoch == 0 {
		s.run = record.Run{Stream: s.id, Epoch: s.w.log.Epoch()}
		s.prefix = AppendPrefix(nil, s.run)
	}
}

// AppendPrefix appends what stands before the number in every line of run.
func AppendPrefix(dst []byte, run record.Run) []byte {
	dst = append(dst, `{"specversion":"1.0","id":"`...)
	dst = append(dst, run.Stream...)
	dst = append(dst, '/')
	dst = run.Epoch.Append(dst)
	return append(dst, '/')
}

// Append numbers records, given as what follows the number in their lines, and returns
// the first number when they are written; after WriterOptions.Wait, or while the
// journal can't be written, when they are held in memory. From numbering on nothing
// takes them back. ErrClosed is the only error.
func (s *Stream) Append(tails ...[]byte) (first uint64, err error) {
	w := s.w
	w.mu.Lock()
	if w.closed {
		w.mu.Unlock()
		return 0, fmt.Errorf("journal: append: %w", ErrClosed)
	}
	s.beginLocked()
	first = s.next
	for _, t := range tails {
		s.addLocked(t)
	}
	if w.gate == nil {
		w.gate = &gate{make(chan struct{})}
	}
	g := w.gate
	idle := w.inFlight == 0
	hung := w.inFlight > 0 && w.Stats.Degraded.Load()
	w.mu.Unlock()
	w.Stats.Records.Add(uint64(len(tails)))
	if idle {
		select {
		case w.wake <- struct{}{}:
		default:
		}
	}
	if hung {
		return first, nil // the watchdog takes it
	}
	<-g.open
	return first, nil
}

// addLocked numbers one line into the pending batch, and begins another when it is full.
func (s *Stream) addLocked(tail []byte) {
	if len(s.lines)+len(s.prefix)+20+len(tail) > MaxHeader+MaxBatch {
		s.takeLocked()
	}
	if s.count == 0 {
		s.first = s.next
		s.w.pending = append(s.w.pending, s)
		s.lines = make([]byte, MaxHeader, max(s.usual, MaxHeader+len(s.prefix)+20+len(tail)))
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
	w := s.w
	if s.first == 1 {
		w.held = append(w.held, newEpoch(s.run, s.service, BootID(), time.Now()))
	}
	raw, lines := sealBatch(s.lines, s.run, s.first, s.count)
	w.held = append(w.held, Entry{
		Kind: KindBatch, Run: s.run, First: s.first, Last: s.next - 1, Service: s.service,
		Lines: lines, Raw: raw,
	})
	w.Stats.Held.Add(int64(len(raw)))
	s.usual = (3*s.usual + len(s.lines) + 64) / 4
	s.count, s.lines = 0, nil // the entry has it
}

// takeLocked makes batches of all pending lines, and drops the oldest of what is held
// beyond the memory.
func (w *Writer) takeLocked() {
	for _, s := range w.pending {
		s.takeLocked()
	}
	w.pending = w.pending[:0]
	if w.gate != nil {
		w.gates = append(w.gates, w.gate)
		w.gate = nil
	}
	for i := w.inFlight; i < w.handed && w.Stats.Held.Load() > w.o.Memory; i++ {
		w.dropLocked(i)
	}
}

// dropLocked turns a held batch into the gap that it leaves.
func (w *Writer) dropLocked(i int) {
	e := &w.held[i]
	if e.Kind != KindBatch {
		return
	}
	w.Stats.Held.Add(-int64(len(e.Raw)))
	w.Stats.Lost.Add(e.Count())
	*e = NewGap(e.Run, e.Service, e.First, e.Last, "not written: no room on disk and in memory")
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
	for ctx.Err() == nil {
		select {
		case <-w.wake:
		case <-ctx.Done():
		case <-w.later():
		}
		for w.write(false) {
		}
	}
	err := w.finish()
	close(stop)
	done.Wait()
	return errors.Join(err, w.last.close())
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
	entries := w.held[:len(w.held):len(w.held)]
	w.inFlight, w.since = len(entries), time.Now()
	w.mu.Unlock()
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
	more = err == nil && len(w.pending)+len(w.held) > 0
	w.releaseLocked()
	return more
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
func (w *Writer) countLocked() {
	for _, s := range w.streams {
		if s.run.Epoch == 0 {
			continue
		}
		if err := w.last.set(s.slot, s.run, s.next-1); err != nil {
			w.o.Logger.Error("last number not counted", "stream", s.id, "sequence", s.next-1, "error", err)
		}
	}
}

func (w *Writer) failedLocked(err error) {
	w.Stats.WriteErrors.Add(1)
	w.retry = time.Now().Add(200 * time.Millisecond)
	if !w.Stats.Degraded.Swap(true) {
		w.o.Logger.Error("journal can't be written; holding records in memory", "error", err)
	}
}

func (w *Writer) writtenLocked(n int) {
	w.Stats.Groups.Add(1)
	for i := range w.held[:n] {
		w.Stats.Bytes.Add(uint64(len(w.held[i].Raw)))
		if w.held[i].Kind == KindBatch {
			w.Stats.Held.Add(-int64(len(w.held[i].Raw)))
		}
	}
	if n > w.handed {
		w.o.Hand(w.held[w.handed:n])
		w.handed = n
	}
	rest := copy(w.held, w.held[n:])
	clear(w.held[rest:])
	w.held = w.held[:rest]
	w.handed -= n
	w.retry = time.Time{}
	if w.Stats.Degraded.Swap(false) {
		w.o.Logger.Warn("journal is written again", "lost", w.Stats.Lost.Load())
	}
	if !w.begun {
		w.begun = true
		if err := w.last.blank(0); err != nil {
			w.o.Logger.Warn("last numbers not reset", "error", err)
		}
		w.last.base = 0
	}
}

// watch frees the appenders from a write that hangs.
func (w *Writer) watch(stop <-chan struct{}) {
	tick := time.NewTicker(min(w.o.Wait/4, 200*time.Millisecond))
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return
		case <-tick.C:
			w.rescueHung()
		}
	}
}

func (w *Writer) rescueHung() {
	w.mu.Lock()
	if w.inFlight == 0 || time.Since(w.since) < w.o.Wait {
		w.mu.Unlock()
		return
	}
	if !w.Stats.Degraded.Swap(true) {
		w.o.Logger.Error("journal hangs; holding records in memory", "since", w.since.UTC())
	}
	w.takeLocked()
	gates := w.gates
	w.gates = nil
	w.handLocked()
	w.mu.Unlock()
	openAll(gates)
}

// syncLoop syncs and allocates ahead, beside the writes.
func (w *Writer) syncLoop(stop <-chan struct{}) {
	tick := time.NewTicker(w.o.SyncEvery)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return
		case <-tick.C:
		}
		if err := w.sync(); err != nil {
			w.o.Logger.Error("journal not synced", "error", err)
		}
		if err := w.log.Ahead(); err != nil && !w.Stats.Degraded.Load() {
			w.o.Logger.Warn("next segment not allocated", "error", err)
		}
	}
}

func (w *Writer) sync() error {
	err := w.log.Sync()
	if err != nil {
		w.Stats.SyncFails.Add(1)
	}
	return err
}

// finish refuses new records, writes what is left and the end of every run, and syncs.
func (w *Writer) finish() error {
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	w.write(true)
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
