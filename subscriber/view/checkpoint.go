package view

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/earshot-mq/earshot/internal/durable"
)

// checkpoint says how far a view is: every arrival below Arrival is in the file with
// these bytes, or in one before it, and that file's first Length bytes are durable.
type checkpoint struct {
	Seq     uint64    `json:"seq"`     // the higher of the two slots counts
	Arrival uint64    `json:"arrival"` // the next to be shown
	Inode   uint64    `json:"inode"`
	Length  int64     `json:"length"`
	Sum     uint32    `json:"sum,omitempty"` // of the bytes before Length; 0 for none, as in older files
	Began   time.Time `json:"began"`         // of the file, for rotation
	BootID  string    `json:"boot_id"`
	Format  string    `json:"format"`
}

// slotSize is the room of one checkpoint: one sector, so that a slot is never half new.
const slotSize = 512

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// checkpoints is a file of two slots, written in turn and allocated beforehand: saving
// one needs no free space, and a cut in the middle leaves the other.
type checkpoints struct {
	f *os.File
	checkpoint
}

func openCheckpoints(path string) (*checkpoints, error) {
	if err := durable.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return nil, fmt.Errorf("view: %w", err)
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o640)
	if err != nil {
		return nil, fmt.Errorf("view: %w", err)
	}
	c := &checkpoints{f: f, checkpoint: checkpoint{Arrival: 1}}
	buf := make([]byte, 2*slotSize)
	n, _ := f.ReadAt(buf, 0) // short: a new file
	for i := range n / slotSize {
		if cp, ok := decodeSlot(buf[i*slotSize : (i+1)*slotSize]); ok && cp.Seq > c.Seq {
			c.checkpoint = cp
		}
	}
	if c.Seq == 0 { // perhaps it was just made: without it all would be shown again
		if err := durable.Dir(filepath.Dir(path)); err != nil {
			return nil, errors.Join(fmt.Errorf("view: checkpoint: %w", err), f.Close())
		}
	}
	return c, nil
}

func decodeSlot(b []byte) (cp checkpoint, ok bool) {
	sum, text, found := strings.Cut(strings.TrimRight(string(b), " \n"), " ")
	if !found || fmt.Sprintf("%08x", crc32.Checksum([]byte(text), castagnoli)) != sum {
		return cp, false
	}
	return cp, json.Unmarshal([]byte(text), &cp) == nil
}

// save writes cp into the older slot and syncs it.
func (c *checkpoints) save(cp checkpoint) error {
	cp.Seq = c.Seq + 1
	text, err := json.Marshal(cp)
	if err != nil {
		return fmt.Errorf("view: checkpoint: %w", err)
	}
	slot := fmt.Appendf(nil, "%08x %s", crc32.Checksum(text, castagnoli), text)
	if len(slot) >= slotSize {
		return fmt.Errorf("view: checkpoint of %d bytes has no room in %d", len(slot), slotSize)
	}
	for len(slot) < slotSize-1 {
		slot = append(slot, ' ')
	}
	if _, err = c.f.WriteAt(append(slot, '\n'), int64(cp.Seq%2)*slotSize); err == nil {
		err = durable.Data(c.f)
	}
	if err != nil {
		return fmt.Errorf("view: checkpoint: %w", err)
	}
	c.checkpoint = cp
	return nil
}

func (c *checkpoints) close() error {
	if err := c.f.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
		return fmt.Errorf("view: %w", err)
	}
	return nil
}
