// Package store is what a subscriber has heard: one log of all runs in order of
// arrival, with an id that publishers know it by.
//
// # Delivery
//
// What Append has taken survives the death of the process; what Sync has covered
// survives the death of the machine. A number of a run is stored once, and where the
// log stands in a run is the only cursor.
//
// # Concurrency
//
// One goroutine appends, one syncs, any number read.
package store

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/earshot-mq/earshot/internal/journal"
	"github.com/earshot-mq/earshot/publisher/record"
)

// Options tunes a Store. Every zero field means its default.
type Options struct {
	SegmentBytes int64 // default 64 MiB
	Logger       *slog.Logger

	Now func() time.Time // tells how old entries are; default time.Now
}

// Store is a directory with a log and the file "id".
type Store struct {
	*journal.Log
	claim *journal.Claim
	id    string
}

// Open opens the store in dir, or makes it. journal.ErrLocked says that another process
// has it.
func Open(dir string, o Options) (*Store, error) {
	claim, err := journal.Take(dir)
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	id, err := identity(dir)
	if err != nil {
		return nil, errors.Join(err, claim.Release())
	}
	log, err := journal.Open(dir, journal.Options{Arrivals: true, SegmentBytes: o.SegmentBytes, Logger: o.Logger, Now: o.Now})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("store: %w", err), claim.Release())
	}
	return &Store{Log: log, claim: claim, id: id}, nil
}

// identity is the store's id, made with the store and never again: a cursor at a
// publisher belongs to it.
func identity(dir string) (string, error) {
	path := filepath.Join(dir, "id")
	text, err := os.ReadFile(path)
	if err == nil {
		id := strings.TrimSpace(string(text))
		if !(record.Run{Stream: id}).Valid() {
			return "", fmt.Errorf("store: %s holds %q, which is no id of a store", path, id)
		}
		return id, nil
	}
	if !errors.Is(err, os.ErrNotExist) {
		return "", fmt.Errorf("store: %w", err)
	}
	id := journal.NewID()
	if err := journal.WriteFile(path, []byte(id+"\n")); errors.Is(err, unix.ENOSPC) {
		return "", fmt.Errorf("store: %w; a new store needs some KiB", err)
	} else if err != nil {
		return "", fmt.Errorf("store: %w", err)
	}
	return id, nil
}

// Dir is where the store is.
func (s *Store) Dir() string { return s.claim.Dir }

// ID is the store's id.
func (s *Store) ID() string { return s.id }

// Close syncs and gives the directory up.
func (s *Store) Close() error {
	if err := errors.Join(s.Log.Close(), s.claim.Release()); err != nil {
		return fmt.Errorf("store: %w", err)
	}
	return nil
}
