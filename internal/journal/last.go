package journal

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/earshot-mq/earshot/publisher/record"
)

// lastSlot is the size of one line of the file "last". A slot never crosses a page, so
// that a process that dies in the middle of overwriting one leaves the old or the new.
const lastSlot = 64

const lastSlots = 64

// lastFile holds, for each run of this opening, the last number given while the
// journal could not be written. Its room is allocated beforehand: overwriting in place
// needs none, so that a full disk can still count.
//
// The first base slots are an earlier opening's; they stay until a segment says what
// they said.
type lastFile struct {
	f    *os.File
	base int
}

func openLast(path string, base int) (*lastFile, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o640)
	if err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	l := &lastFile{f, base}
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
		err = l.f.Sync()
	}
	if err != nil {
		return fmt.Errorf("journal: last: %w", err)
	}
	return nil
}

// set overwrites the i-th slot of this opening. Beyond the slots nothing is kept, and
// the count of what was lost is "at least".
func (l *lastFile) set(i int, run record.Run, n uint64) error {
	if i += l.base; i >= lastSlots {
		return nil
	}
	line := fmt.Appendf(make([]byte, 0, lastSlot), "%s %s %020d", run.Stream, run.Epoch, n)
	for len(line) < lastSlot-1 {
		line = append(line, ' ')
	}
	if _, err := l.f.WriteAt(append(line, '\n'), int64(i)*lastSlot); err != nil {
		return fmt.Errorf("journal: last: %w", err)
	}
	return nil
}

func (l *lastFile) close() error { return l.f.Close() }

// readLast reads what an earlier opening left.
func readLast(path string) (map[record.Run]uint64, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	given := map[record.Run]uint64{}
	for line := range strings.Lines(string(text)) {
		id, err := record.ParseID(lastID(strings.Fields(line)))
		if err == nil {
			given[id.Run] = id.Seq
		}
	}
	return given, nil
}

func lastID(f []string) string {
	if len(f) != 3 {
		return ""
	}
	return f[0] + "/" + f[1] + "/" + strings.TrimLeft(f[2], "0")
}
