package journal

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/earshot-mq/earshot/internal/durable"
	"github.com/earshot-mq/earshot/publisher/record"
)

// The errors of taking a directory.
var (
	ErrLocked = errors.New("locked by another process") // it has an owner
	ErrNone   = errors.New("no journal")                // it is something else
)

// Claim is a directory that this process owns, as far as a lock can say so. The lock
// is for tidiness, not for truth: see the package's documentation.
type Claim struct {
	Dir  string
	lock *os.File
}

// Take locks a directory, and makes it when it is missing.
func Take(dir string) (*Claim, error) {
	if err := durable.MkdirAll(dir, 0o750); err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o640)
	if err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		if errors.Is(err, unix.EWOULDBLOCK) {
			err = ErrLocked
		}
		return nil, errors.Join(fmt.Errorf("journal: %s: %w", dir, err), f.Close())
	}
	return &Claim{Dir: dir, lock: f}, nil
}

// TakeFirst takes the first directory below root whose lock is free, else makes one
// with a new name. Host names, container ids and process ids play no part.
func TakeFirst(root string) (*Claim, error) {
	if err := durable.MkdirAll(root, 0o750); err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	free, err := TakeFree(root, 1)
	if err != nil || len(free) == 1 {
		return first(free), err
	}
	return Take(filepath.Join(root, NewID()))
}

func first(c []*Claim) *Claim {
	if len(c) == 0 {
		return nil
	}
	return c[0]
}

// TakeFree takes up to limit directories below root whose locks are free: those that a
// process that is gone has left.
func TakeFree(root string, limit int) (taken []*Claim, err error) {
	entries, err := os.ReadDir(root)
	if err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	for _, e := range entries {
		if len(taken) == limit || !e.IsDir() || !(record.Run{Stream: e.Name()}).Valid() {
			continue
		}
		c, err := Take(filepath.Join(root, e.Name()))
		if errors.Is(err, ErrLocked) {
			continue
		}
		if err != nil {
			return taken, err
		}
		taken = append(taken, c)
	}
	return taken, nil
}

// TakeLeft locks the journal of a publisher that is gone. Unlike Take it makes nothing, and
// what has anything in it that is not a publisher's is ErrNone: it may be removed whole.
func TakeLeft(dir string) (*Claim, error) {
	if err := left(dir); err != nil {
		return nil, fmt.Errorf("journal: %s: %w", dir, err)
	}
	return Take(dir)
}

// Below lists the journals of publishers that lie up to three folders below dir, as they
// do below the data folder.
func Below(dir string) (dirs []string) {
	for _, pattern := range []string{"*", "*/*", "*/*/*"} {
		found, _ := filepath.Glob(filepath.Join(escape(dir), pattern, "lock")) // the pattern is a good one
		for _, lock := range found {
			if d := filepath.Dir(lock); left(d) == nil {
				dirs = append(dirs, d)
			}
		}
	}
	return dirs
}

// escape writes a path so that filepath.Glob takes it as it is.
func escape(path string) string {
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`).Replace(path)
}

func left(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	locked := false
	for _, e := range entries {
		switch name := e.Name(); {
		case e.IsDir():
			return fmt.Errorf("%w, it has the folder %q", ErrNone, name)
		case name == "id":
			return fmt.Errorf("%w of a publisher but the store of a subscriber", ErrNone)
		case !ofJournal(name):
			return fmt.Errorf("%w, it has the file %q", ErrNone, name)
		default:
			locked = locked || name == "lock"
		}
	}
	if !locked {
		return fmt.Errorf("%w, it has no file \"lock\"", ErrNone)
	}
	return nil
}

// ofJournal tells whether a publisher's journal has a file of this name.
func ofJournal(name string) bool {
	if base, ok := strings.CutSuffix(name, ".tmp"); ok { // what WriteFile was writing
		name = strings.TrimSuffix(base, filepath.Ext(base))
	}
	switch ext := filepath.Ext(name); ext {
	case extOpen, extClosed, extIndex:
		_, ok := segmentEpoch(strings.TrimSuffix(name, ext))
		return ok
	}
	return name == "lock" || name == "last" || name == "cursors"
}

// Release gives the directory up.
func (c *Claim) Release() error { return c.lock.Close() }

// Remove deletes the directory, which must be drained, and gives it up.
func (c *Claim) Remove() error {
	return errors.Join(os.RemoveAll(c.Dir), c.lock.Close())
}

// Instance is the directory's name, which names this publisher.
func (c *Claim) Instance() string { return filepath.Base(c.Dir) }

const crockford = "0123456789abcdefghjkmnpqrstvwxyz"

// id64 is 64 bits as 13 digits of Crockford's base32.
func id64(n uint64) string {
	var b strings.Builder
	for shift := 60; shift >= 0; shift -= 5 {
		b.WriteByte(crockford[n>>shift&31])
	}
	return b.String()
}

// NewID is a new random id of a store or of a publisher's directory.
func NewID() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails, by its documentation
	return id64(binary.BigEndian.Uint64(b[:]))
}

// StreamID is the id of a service's stream from one publisher. It is computed, so that
// nothing has to be kept: a copied directory gives the same stream, and its own epochs.
func StreamID(instance, service string) string {
	sum := sha256.Sum256([]byte(instance + "/" + service))
	return id64(binary.BigEndian.Uint64(sum[:8]))
}
