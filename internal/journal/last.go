package journal

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/earshot-mq/earshot/internal/durable"
	"github.com/earshot-mq/earshot/publisher/record"
)

// lastSlot is the size of one line of the file "last", which has room for the longest name
// of a service. A slot never crosses a page, so that a process that dies in the middle of
// overwriting one leaves the old or the new.
const lastSlot = 128

const lastSlots = 64

// lastFile holds, for each run of this opening, the last number given while the
// journal could not be written. Its room is allocated beforehand: overwriting in place
// needs none, so that a full disk can still count.
//
// The first base slots are an earlier opening's; they stay until a segment says what
// they said.
type lastFile struct {
	f    *os.File
	mu   sync.Mutex
	base int
	most [lastSlots]uint64 // what each slot says
}

func openLast(path string, base int) (*lastFile, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o640)
	if err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	l := &lastFile{f: f, base: base}
	if err := l.blank(base); err != nil && !errors.Is(err, unix.ENOSPC) { // starting needs no free byte
		return nil, errors.Join(err, f.Close())
	}
	return l, nil
}

// blank empties the slots from i on, and so allocates them.
func (l *lastFile) blank(i int) error {
	text := strings.Repeat(strings.Repeat(" ", lastSlot-1)+"\n", lastSlots-min(i, lastSlots))
	_, err := l.f.WriteAt([]byte(text), int64(i)*lastSlot)
	if err == nil {
		err = durable.Data(l.f)
	}
	if err != nil {
		return fmt.Errorf("journal: last: %w", err)
	}
	return nil
}

// reset gives all slots to this opening.
func (l *lastFile) reset() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.base = 0
	clear(l.most[:])
	return l.blank(0)
}

// set overwrites the i-th slot of this opening, with nothing smaller. Beyond the slots
// nothing is kept, and the count of what was lost is "at least".
func (l *lastFile) set(i int, run record.Run, service string, n uint64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if i += l.base; i >= lastSlots || n <= l.most[i] {
		return nil
	}
	line := fmt.Appendf(make([]byte, 0, lastSlot), "%s %s %020d %s", run.Stream, run.Epoch, n, service)
	for len(line) < lastSlot-1 {
		line = append(line, ' ')
	}
	if _, err := l.f.WriteAt(append(line[:lastSlot-1], '\n'), int64(i)*lastSlot); err != nil {
		return fmt.Errorf("journal: last: %w", err)
	}
	l.most[i] = n
	return nil
}

// count sets all, by slot.
func (l *lastFile) count(all map[int]given) (failed error) {
	for i, g := range all {
		failed = errors.Join(failed, l.set(i, g.run, g.service, g.last))
	}
	return failed
}

func (l *lastFile) close() error { return l.f.Close() }

// given is what a slot says of a run.
type given struct {
	run     record.Run
	service string
	last    uint64
}

// readLast reads what an earlier opening left, and how many slots that takes.
func readLast(path string) (all []given, slots int, err error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, fmt.Errorf("journal: %w", err)
	}
	off := 0
	for line := range strings.Lines(string(text)) {
		off += len(line)
		if g, ok := parseGiven(strings.Fields(line)); ok {
			all = append(all, g)
			slots = (off + lastSlot - 1) / lastSlot
		}
	}
	return all, slots, nil
}

func parseGiven(f []string) (g given, ok bool) {
	if len(f) < 3 {
		return g, false
	}
	if len(f) > 3 {
		g.service = f[3]
	}
	epoch, err := record.ParseEpoch([]byte(f[1]))
	if err != nil {
		return g, false
	}
	g.run = record.Run{Stream: f[0], Epoch: epoch}
	g.last, err = strconv.ParseUint(f[2], 10, 64)
	return g, err == nil && g.run.Valid() && g.last > 0
}

// EndRuns marks every run of a directory's log that its writer has left as ended, with the
// last number that was given: what is whole, or what the file "last" says beyond it. A run
// that is in no file, since the disk was full from its first record on, is known from
// there alone. It returns how many slots of that file are taken.
func EndRuns(dir string, log *Log) (slots int, err error) {
	all, slots, err := readLast(filepath.Join(dir, "last"))
	if err != nil {
		return 0, err
	}
	last := map[record.Run]uint64{}
	for _, g := range all {
		last[g.run] = g.last
		log.know(g)
	}
	for _, c := range log.Runs() {
		if !c.Ended {
			log.End(c.Run(), max(last[c.Run()], c.Next-1))
		}
	}
	return slots, nil
}

// know makes the cursor of a run of which only its last number was kept.
func (l *Log) know(g given) {
	l.epochMu.Lock()
	l.highest = max(l.highest, g.run.Epoch)
	l.epochMu.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.runs[g.run] == nil {
		l.cursor(g.run, 1).Service = g.service
	}
}
