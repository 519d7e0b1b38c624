package journal

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"iter"
	"strconv"
	"time"

	"github.com/earshot-mq/earshot/internal/room"
	"github.com/earshot-mq/earshot/publisher/record"
)

// Version is the version of every control line that this package writes, and the
// only one that it reads so far.
const Version = 1

// Limits of the format, the same on disk and on the wire.
const (
	MaxBatch   = 1 << 20 // bytes of a batch's lines
	MaxMessage = 2 << 20 // bytes of a message on the wire: one or more whole entries
	MaxHeader  = 160     // bytes of a batch's control line
	MaxControl = 8 << 20 // bytes of any other control line; "cursors" grows with the runs
)

// The errors of decoding. Each is wrapped with what was wrong.
var (
	ErrCorrupt = errors.New("corrupt")
	ErrShort   = errors.New("short")
	ErrVersion = errors.New("unknown version")
)

// Kind tells what a control line controls.
type Kind uint8

// The kinds of entries.
const (
	KindBatch   Kind = iota + 1 // consecutive records of one run
	KindGap                     // numbers of one run that nobody has
	KindEpoch                   // the beginning of a run
	KindEnd                     // the end of a run, when known
	KindArrival                 // store: the arrival number of the next record or gap
	KindCursors                 // the first line of a segment: where every run stands
)

var crcTable = crc32.MakeTable(crc32.Castagnoli)

// Entry is one control line and, for a batch, its lines.
type Entry struct {
	Kind  Kind
	Run   record.Run
	First uint64 // number of the first record, or the first one missing
	Last  uint64 // number of the last record, or the last one missing
	Lines []byte // a batch's records, each with its line feed
	Raw   []byte // the whole entry, as it stands in files and messages

	// Room is where Lines and Raw live, nil if that is nowhere in particular. An entry is no
	// holder by itself: whoever keeps one keeps its Room.
	Room *room.Room

	Service string    // epoch, gap: the service, for people
	Reason  string    // gap: why
	Given   uint64    // end: the last number that was given, even if nothing holds it
	Clean   bool      // end: the process stopped in good order
	BootID  string    // epoch: the boot of the machine
	Time    time.Time // epoch: when it began; arrival: when it came
	N       uint64    // arrival: the number of the next record or gap
	Cursors []Cursor  // cursors
}

// Count is how many records a batch has; 1 for a gap, which is one line in every view.
func (e *Entry) Count() uint64 {
	switch e.Kind {
	case KindBatch:
		return e.Last - e.First + 1
	case KindGap:
		return 1
	}
	return 0
}

// Records iterates over the lines of a batch, each with its line feed.
func (e *Entry) Records() iter.Seq[[]byte] { return bytes.Lines(e.Lines) }

// Cursor is where a log stands in one run: it holds Began to Next-1.
type Cursor struct {
	Stream  string       `json:"stream"`
	Epoch   record.Epoch `json:"-"`
	EpochS  string       `json:"epoch"`
	Service string       `json:"service,omitempty"`
	Began   uint64       `json:"began"`
	Next    uint64       `json:"next"`
	Given   uint64       `json:"given,omitempty"` // the last number given, of an ended run
	Ended   bool         `json:"ended,omitempty"`
	Seen    int64        `json:"seen,omitempty"` // Unix seconds when it was last offered
}

// Run is the run that the cursor is of.
func (c *Cursor) Run() record.Run { return record.Run{Stream: c.Stream, Epoch: c.Epoch} }

const (
	batchOpen   = `{"batch":{"v":1,"stream":"`
	arrivalOpen = `{"arrival":{"v":1,"n":`
	crcMember   = `,"crc32c":"`
	crcLen      = len(crcMember) + 8 + len(`"}}`+"\n")
	hexDigits   = "0123456789abcdef"
	batchLeast  = len(batchOpen) + record.StreamLen + len(`","epoch":"`) + 16 + len(`","first":1,"count":1,"bytes":2`) + crcLen
)

// AppendBatch appends the control line of a batch and its lines, which must be
// count whole lines of at most MaxBatch bytes.
func AppendBatch(dst []byte, run record.Run, first uint64, count int, lines []byte) []byte {
	return append(appendBatchHead(dst, run, first, count, lines), lines...)
}

func appendBatchHead(dst []byte, run record.Run, first uint64, count int, lines []byte) []byte {
	start := len(dst)
	dst = append(dst, batchOpen...)
	dst = append(dst, run.Stream...)
	dst = append(dst, `","epoch":"`...)
	dst = run.Epoch.Append(dst)
	dst = append(dst, `","first":`...)
	dst = strconv.AppendUint(dst, first, 10)
	dst = append(dst, `,"count":`...)
	dst = strconv.AppendInt(dst, int64(count), 10)
	dst = append(dst, `,"bytes":`...)
	dst = strconv.AppendInt(dst, int64(len(lines)), 10)
	crc := crc32.Update(crc32.Checksum(dst[start:], crcTable), crcTable, lines)
	return appendCRC(dst, crc)
}

// sealBatch makes a batch of b, which has MaxHeader bytes of room and then the lines:
// the control line is written right before them, and nothing is copied.
func sealBatch(b []byte, run record.Run, first uint64, count int) (raw, lines []byte) {
	lines = b[MaxHeader:]
	var room [MaxHeader]byte
	head := appendBatchHead(room[:0], run, first, count, lines)
	start := MaxHeader - len(head)
	copy(b[start:], head)
	return b[start:len(b):len(b)], lines[:len(lines):len(lines)]
}

func appendCRC(dst []byte, crc uint32) []byte {
	dst = append(dst, crcMember...)
	for shift := 28; shift >= 0; shift -= 4 {
		dst = append(dst, hexDigits[crc>>shift&15])
	}
	return append(dst, '"', '}', '}', '\n')
}

// Next decodes the first entry of b. Lines and Raw alias b. An error wraps ErrShort
// when b ends before the entry does, and ErrCorrupt or ErrVersion otherwise.
func Next(b []byte) (Entry, error) {
	if len(b) >= len(batchOpen) && string(b[:len(batchOpen)]) == batchOpen {
		return nextBatch(b)
	}
	if e, ok := nextArrival(b); ok {
		return e, nil
	}
	nl := bytes.IndexByte(b[:min(len(b), MaxControl)], '\n')
	if nl < 0 {
		if len(b) >= MaxControl {
			return Entry{}, fmt.Errorf("journal: no line feed in %d bytes: %w", len(b), ErrCorrupt)
		}
		return Entry{}, ErrShort
	}
	return control(b[:nl+1])
}

// scanner reads the fixed form of a batch's control line.
type scanner struct {
	b  []byte
	i  int
	ok bool
}

func (s *scanner) lit(l string) {
	if s.ok = s.ok && len(s.b)-s.i >= len(l) && string(s.b[s.i:s.i+len(l)]) == l; s.ok {
		s.i += len(l)
	}
}

func (s *scanner) take(n int) []byte {
	if s.ok = s.ok && len(s.b)-s.i >= n; !s.ok {
		return nil
	}
	s.i += n
	return s.b[s.i-n : s.i]
}

func (s *scanner) uint() (n uint64) {
	start := s.i
	for s.i < len(s.b) && s.b[s.i] >= '0' && s.b[s.i] <= '9' && s.i-start < 19 {
		n = n*10 + uint64(s.b[s.i]-'0')
		s.i++
	}
	s.ok = s.ok && s.i > start && (s.b[start] != '0' || s.i == start+1)
	return n
}

func nextBatch(b []byte) (Entry, error) {
	nl := bytes.IndexByte(b[:min(len(b), MaxHeader)], '\n')
	if nl < 0 {
		if len(b) < MaxHeader {
			return Entry{}, ErrShort
		}
		return Entry{}, fmt.Errorf("journal: a batch's control line has over %d bytes: %w", MaxHeader, ErrCorrupt)
	}
	s := scanner{b: b[:nl+1], i: len(batchOpen), ok: true}
	stream := s.take(record.StreamLen)
	s.lit(`","epoch":"`)
	epochText := s.take(16)
	s.lit(`","first":`)
	first := s.uint()
	s.lit(`,"count":`)
	count := s.uint()
	s.lit(`,"bytes":`)
	size := s.uint()
	covered := s.i
	s.lit(crcMember)
	sum := s.take(8)
	s.lit("\"}}\n")
	if !s.ok || s.i != nl+1 {
		return Entry{}, fmt.Errorf("journal: batch %q: %w", b[:nl], ErrCorrupt)
	}
	epoch, err := record.ParseEpoch(epochText)
	if err != nil || first == 0 || count == 0 || size < 2*count || size > MaxBatch || first+count < first {
		return Entry{}, fmt.Errorf("journal: batch %q: %w", b[:nl], ErrCorrupt)
	}
	if uint64(len(b)-nl-1) < size {
		return Entry{}, ErrShort
	}
	lines := b[nl+1 : nl+1+int(size)]
	crc := crc32.Update(crc32.Checksum(b[:covered], crcTable), crcTable, lines)
	if !sameCRC(sum, crc) || uint64(bytes.Count(lines, newline)) != count || lines[len(lines)-1] != '\n' {
		return Entry{}, fmt.Errorf("journal: checksum or count of batch %q: %w", b[:nl], ErrCorrupt)
	}
	run := record.Run{Stream: string(stream), Epoch: epoch}
	if !run.Valid() {
		return Entry{}, fmt.Errorf("journal: stream of batch %q: %w", b[:nl], ErrCorrupt)
	}
	return Entry{
		Kind: KindBatch, Run: run, First: first, Last: first + count - 1,
		Lines: lines, Raw: b[:nl+1+int(size)],
	}, nil
}

var newline = []byte{'\n'}

func sameCRC(text []byte, crc uint32) bool {
	for i, shift := 0, 28; shift >= 0; i, shift = i+1, shift-4 {
		if text[i] != hexDigits[crc>>shift&15] {
			return false
		}
	}
	return true
}

// Skip drops the records of a batch, or the numbers of a gap, below next and gives the rest
// a control line of its own: the unit of identity is the line, so nobody needs equal
// boundaries.
func (e *Entry) Skip(next uint64) Entry {
	switch {
	case next <= e.First:
		return *e
	case e.Kind == KindGap:
		return NewGap(e.Run, e.Service, next, e.Last, e.Reason)
	case e.Kind != KindBatch:
		return *e
	}
	lines := e.Lines
	for range next - e.First {
		lines = lines[bytes.IndexByte(lines, '\n')+1:]
	}
	count := int(e.Last - next + 1)
	raw := AppendBatch(make([]byte, 0, MaxHeader+len(lines)), e.Run, next, count, lines)
	return Entry{Kind: KindBatch, Run: e.Run, First: next, Last: e.Last, Lines: raw[len(raw)-len(lines):], Raw: raw}
}

// nextArrival decodes an arrival's line as it is written, which every view does for each
// batch. What is not whole, or is bad, control tells apart.
func nextArrival(b []byte) (e Entry, ok bool) {
	s := scanner{b: b[:min(len(b), MaxHeader)], ok: true}
	s.lit(arrivalOpen)
	e.Kind, e.N = KindArrival, s.uint()
	s.lit(`,"time":"`)
	start := s.i
	if n := bytes.IndexByte(s.b[s.i:], '"'); s.ok && n >= 0 {
		s.i += n
	}
	text := s.b[start:s.i]
	s.lit(`"`)
	covered := s.i
	s.lit(crcMember)
	sum := s.take(8)
	s.lit("\"}}\n")
	if !s.ok || !sameCRC(sum, crc32.Checksum(s.b[:covered], crcTable)) {
		return Entry{}, false
	}
	e.Raw = b[:s.i]
	e.Time, ok = record.ParseTime(text)
	return e, ok
}

// body is what every other control line may hold.
type body struct {
	V       int       `json:"v"`
	Stream  string    `json:"stream,omitempty"`
	Epoch   string    `json:"epoch,omitempty"`
	Service string    `json:"service,omitempty"`
	First   uint64    `json:"first,omitempty"`
	Last    *uint64   `json:"last,omitempty"`
	Given   *uint64   `json:"given,omitempty"`
	Clean   *bool     `json:"clean,omitempty"`
	Reason  string    `json:"reason,omitempty"`
	BootID  string    `json:"boot_id,omitempty"`
	Started string    `json:"started,omitempty"`
	N       uint64    `json:"n,omitempty"`
	Time    string    `json:"time,omitempty"`
	Runs    *[]Cursor `json:"runs,omitempty"`
}

var kindNames = [...]string{KindGap: "gap", KindEpoch: "epoch", KindEnd: "end", KindArrival: "arrival", KindCursors: "cursors"}

// appendControl writes b under the name of k, with its checksum as the last member.
func appendControl(dst []byte, k Kind, b *body) []byte {
	b.V = Version
	text, err := json.Marshal(b)
	if err != nil { // no member of body can fail to be written
		text = []byte(`{"v":1}`)
	}
	start := len(dst)
	dst = append(dst, '{', '"')
	dst = append(dst, kindNames[k]...)
	dst = append(dst, '"', ':')
	dst = append(dst, text[:len(text)-1]...)
	return appendCRC(dst, crc32.Checksum(dst[start:], crcTable))
}

// control decodes a control line that is no batch.
func control(line []byte) (Entry, error) {
	bad := func(what string) (Entry, error) {
		return Entry{}, fmt.Errorf("journal: %s of control line %.160q: %w", what, line, ErrCorrupt)
	}
	if len(line) < 2+crcLen || line[0] != '{' || line[1] != '"' {
		return bad("form")
	}
	name, _, ok := bytes.Cut(line[2:min(len(line), 2+len(kindNames[KindArrival])+1)], []byte(`"`))
	if !ok {
		return bad("name")
	}
	kind := kindOf(name)
	if kind == 0 && string(name) != "batch" {
		return bad("name")
	}
	covered := line[:len(line)-crcLen]
	tail := line[len(line)-crcLen:]
	var b body
	if err := json.Unmarshal(line[len(name)+4:len(line)-2], &b); err == nil && b.V != Version {
		return Entry{}, fmt.Errorf("journal: %s line of version %d: %w", name, b.V, ErrVersion)
	} else if err != nil || kind == 0 {
		return bad("members")
	}
	if !isSealed(tail) || !sameCRC(tail[len(crcMember):], crc32.Checksum(covered, crcTable)) {
		return bad("checksum")
	}
	e := Entry{Kind: kind, Raw: line, Service: b.Service}
	if err := e.fill(kind, &b); err != nil {
		return bad(err.Error())
	}
	return e, nil
}

// isSealed tells whether a line ends as a control line does, whatever the checksum is.
func isSealed(line []byte) bool {
	tail := line[max(len(line)-crcLen, 0):]
	return len(tail) == crcLen && string(tail[:len(crcMember)]) == crcMember && string(tail[len(crcMember)+8:]) == "\"}}\n"
}

func kindOf(name []byte) Kind {
	for k := KindGap; int(k) < len(kindNames); k++ {
		if kindNames[k] == string(name) {
			return k
		}
	}
	return 0
}

var errMember = errors.New("members")

// fill takes b's members over into e and checks those that the kind needs.
func (e *Entry) fill(kind Kind, b *body) (err error) {
	switch kind {
	case KindArrival:
		e.N = b.N
		e.Time, err = time.Parse(time.RFC3339Nano, b.Time)
		return err
	case KindCursors:
		e.N = b.N
		if b.Runs == nil {
			return errMember
		}
		e.Cursors = *b.Runs
		for i := range e.Cursors {
			c := &e.Cursors[i]
			if c.Epoch, err = record.ParseEpoch(c.EpochS); err != nil || !c.Run().Valid() || c.Began > c.Next {
				return errMember
			}
		}
		return nil
	}
	e.Run.Stream = b.Stream
	if e.Run.Epoch, err = record.ParseEpoch(b.Epoch); err != nil || !e.Run.Valid() {
		return errMember
	}
	switch kind {
	case KindGap:
		if b.Last == nil || b.First == 0 || *b.Last < b.First || *b.Last == 1<<64-1 {
			return errMember
		}
		e.First, e.Last, e.Reason = b.First, *b.Last, b.Reason
	case KindEpoch:
		e.BootID = b.BootID
		e.Time, err = time.Parse(time.RFC3339Nano, b.Started)
	case KindEnd:
		if b.Last == nil || b.Given == nil || b.Clean == nil || *b.Given < *b.Last {
			return errMember
		}
		e.Last, e.Given, e.Clean = *b.Last, *b.Given, *b.Clean
	}
	return err
}

// NewGap is the entry that stands for the numbers first to last of run, which nobody
// has any more.
func NewGap(run record.Run, service string, first, last uint64, reason string) Entry {
	raw := appendControl(nil, KindGap, &body{
		Stream: run.Stream, Epoch: run.Epoch.String(), Service: service,
		First: first, Last: &last, Reason: reason,
	})
	return Entry{Kind: KindGap, Run: run, First: first, Last: last, Service: service, Reason: reason, Raw: raw}
}

func newEpoch(run record.Run, service, bootID string, started time.Time) Entry {
	raw := appendControl(nil, KindEpoch, &body{
		Stream: run.Stream, Epoch: run.Epoch.String(), Service: service,
		BootID: bootID, Started: started.UTC().Format(time.RFC3339Nano),
	})
	return Entry{Kind: KindEpoch, Run: run, Service: service, BootID: bootID, Time: started, Raw: raw}
}

func newEnd(run record.Run, last, given uint64, clean bool) Entry {
	raw := appendControl(nil, KindEnd, &body{Stream: run.Stream, Epoch: run.Epoch.String(), Last: &last, Given: &given, Clean: &clean})
	return Entry{Kind: KindEnd, Run: run, Last: last, Given: given, Clean: clean, Raw: raw}
}

// appendArrival is on the store's path, so it is written by hand.
func appendArrival(dst []byte, n uint64, at time.Time) []byte {
	start := len(dst)
	dst = append(dst, arrivalOpen...)
	dst = strconv.AppendUint(dst, n, 10)
	dst = append(dst, `,"time":"`...)
	dst = at.UTC().AppendFormat(dst, time.RFC3339Nano)
	dst = append(dst, '"')
	return appendCRC(dst, crc32.Checksum(dst[start:], crcTable))
}

func appendCursors(dst []byte, n uint64, runs []Cursor) []byte {
	for i := range runs {
		runs[i].EpochS = runs[i].Epoch.String()
	}
	return appendControl(dst, KindCursors, &body{N: n, Runs: &runs})
}
