package drill

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/earshot-mq/earshot/internal/journal"
	"github.com/earshot-mq/earshot/publisher/record"
)

// Held is what a store, or a log of the format json, has.
type Held struct {
	Records  map[string]int // how often each record is there, by its id
	Requests map[string]int // how many records each request has, by its id
	Gaps     []Gap          // in the order of the store
	Lost     uint64         // numbers that gaps stand for
	Began    map[record.Run]uint64
	Lines    []Line      // of a store: what the records say
	order    []record.ID // of a log: its lines
	Wrong    []string    // what no store may have: a number out of its place
}

// Gap is numbers of a run that are declared lost.
type Gap struct {
	Run         record.Run
	First, Last uint64
}

// Line is what a record says of an answer.
type Line struct {
	ID, Request string
	Status      int
	Body        string
	whole       bool // Body is all of it
}

func newHeld() *Held {
	return &Held{Records: map[string]int{}, Requests: map[string]int{}, Began: map[record.Run]uint64{}}
}

// wrong notes what must not be.
func (h *Held) wrong(format string, args ...any) {
	h.Wrong = append(h.Wrong, fmt.Sprintf(format, args...))
}

// ReadStore reads a store, whether or not its subscriber runs.
func ReadStore(dir string) (*Held, error) {
	log, err := journal.Open(dir, journal.Options{Arrivals: true, ReadOnly: true})
	if err != nil {
		return nil, err
	}
	h := newHeld()
	next := map[record.Run]uint64{}
	r := log.Reader(1)
	defer r.Close()
	err = r.Read(func(e *journal.Entry, _ uint64) error {
		if want := next[e.Run]; want == 0 {
			h.Began[e.Run] = e.First
		} else if e.First != want {
			h.wrong("store: %s: %d to %d stand where %d should begin", e.Run, e.First, e.Last, want)
		}
		next[e.Run] = e.Last + 1
		if e.Kind == journal.KindGap {
			h.Gaps = append(h.Gaps, Gap{e.Run, e.First, e.Last})
			h.Lost += e.Last - e.First + 1
			return nil
		}
		n := e.First
		for line := range e.Records() {
			rec, err := record.Parse(line)
			if err != nil {
				return err
			}
			if want := (record.ID{Run: e.Run, Seq: n}); rec.ID != want {
				h.wrong("store: %s stands where %s should", rec.ID, want)
			}
			n++
			h.note(rec.ID.String(), rec.HTTP.Request)
			h.Lines = append(h.Lines, Line{
				ID: rec.ID.String(), Request: rec.HTTP.Request, Status: rec.HTTP.Status, Body: string(rec.HTTP.Body),
				whole: rec.HTTP.BodyKind != record.BodyNone && !rec.HTTP.Truncated && !rec.HTTP.Aborted,
			})
		}
		return nil
	})
	return h, err
}

func (h *Held) note(id, request string) {
	h.Records[id]++
	if request != "" {
		h.Requests[request]++
	}
}

// has tells how often what an answer names is there.
func (h *Held) has(name string) int { return max(h.Records[name], h.Requests[name]) }

// inGap tells whether a record is one of those that are declared lost.
func (h *Held) inGap(name string) bool {
	id, err := record.ParseID(name)
	return err == nil && slices.ContainsFunc(h.Gaps, func(g Gap) bool { return g.Run == id.Run && g.First <= id.Seq && id.Seq <= g.Last })
}

// Log reads log files of the format json as they grow: those that are there and those that
// were left, each line once. It is for one goroutine.
type Log struct {
	*Held
	dir  string
	read map[uint64]int64 // how far, by the file's number
}

// NewLog begins to read the log files of a folder.
func NewLog(dir string) *Log {
	return &Log{Held: newHeld(), dir: dir, read: map[uint64]int64{}}
}

// ReadLog reads what is there now.
func ReadLog(dir string) (*Held, error) {
	l := NewLog(dir)
	return l.Held, l.Read()
}

// Read reads the whole lines that are new. What is left for a new file meanwhile is read by
// the next call.
func (l *Log) Read() error {
	files, err := filepath.Glob(filepath.Join(l.dir, "*.log"))
	if err != nil {
		return err
	}
	// In order: those that were left have a hyphen and their time, the current one a dot.
	for _, f := range files {
		if err := l.file(f); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}

func (l *Log) file(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	number, err := inode(f)
	if err != nil {
		return err
	}
	at := l.read[number]
	if _, err := f.Seek(at, io.SeekStart); err != nil {
		return err
	}
	r := bufio.NewReaderSize(f, 256<<10)
	for {
		text, err := r.ReadBytes('\n')
		if err == io.EOF {
			l.read[number] = at
			return nil // what has no end yet is being written
		}
		if err != nil {
			return err
		}
		at += int64(len(text))
		if err := l.line(text); err != nil {
			return fmt.Errorf("%s: %q: %w", path, text, err)
		}
	}
}

// line notes one line.
func (l *Log) line(text []byte) error {
	var line struct {
		ID   string
		Data struct{ Request string }
		Gap  struct {
			Stream, Epoch string
			First, Last   uint64
			Lost          uint64
		}
	}
	if err := json.Unmarshal(text, &line); err != nil {
		return err
	}
	if g := line.Gap; g.Lost > 0 {
		epoch, err := record.ParseEpoch(g.Epoch)
		l.Lost += g.Lost
		l.Gaps = append(l.Gaps, Gap{record.Run{Stream: g.Stream, Epoch: epoch}, g.First, g.Last})
		return err
	}
	id, err := record.ParseID(line.ID)
	if err != nil {
		return err
	}
	l.order = append(l.order, id)
	l.note(line.ID, line.Data.Request)
	return nil
}
