package shop

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"sync"
	"syscall"
)

// MaxLog is how large the file of a Log may become, in bytes.
const MaxLog = 16 << 20

// ErrFull says that the file of a Log has reached its bound.
var ErrFull = errors.New("the file has reached its bound")

// Log keeps what a service is told: entries, each a line of JSON in a file that only
// grows. What the service knows is what apply has made of all entries, in their order.
//
// # Delivery
//
// When Update returns nil, its entry is on the disk (fsync) and applied. An entry is
// there whole or not at all: a last line without its end, from a process or a machine
// that died, is taken away. Any other line that can't be read is an error, never passed
// over.
//
// # Concurrency
//
// All methods may be called from many goroutines, and many processes may have the same
// file, as an old and a new version do during an update: an Update holds the file's lock
// (flock) and begins by applying what others have added. A View never waits for the disk.
type Log[T any] struct {
	path  string // "" keeps nothing beyond the process
	limit int64
	apply func(T)

	write sync.Mutex   // held while the file is read or written; taken before mu
	mu    sync.RWMutex // held for writing while apply runs; guards what it changes, and
	size  int64        // of the part of the file that has been applied
}

// OpenLog opens the file of a name in a folder, which are made if they are not there, and
// applies what it has. Without a folder nothing is kept beyond the process.
func OpenLog[T any](dir, name string, apply func(T)) (*Log[T], error) {
	l := &Log[T]{limit: MaxLog, apply: apply}
	if dir == "" {
		return l, nil
	}
	l.path = filepath.Join(dir, name)
	if err := create(dir, l.path); err != nil {
		return nil, fmt.Errorf("shop: %w", err)
	}
	return l, l.locked(syscall.LOCK_EX, func(f *os.File) error {
		if err := l.catchUp(f); err != nil {
			return err
		}
		return f.Truncate(l.size)
	})
}

// create makes a file that survives a power cut, if it is not there.
func create(dir, path string) error {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o640)
	if err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err == nil {
		err = errors.Join(d.Sync(), d.Close())
	}
	return errors.Join(err, f.Close())
}

// View calls f while nothing changes. What this process has added is there, and what
// another has within moments.
func (l *Log[T]) View(f func()) error {
	if err := l.refresh(); err != nil {
		return err
	}
	l.mu.RLock()
	defer l.mu.RUnlock()
	f()
	return nil
}

// refresh applies what other processes have added, unless somebody is writing: whoever
// that is has not been answered yet.
func (l *Log[T]) refresh() error {
	if l.path == "" {
		return nil
	}
	info, err := os.Stat(l.path)
	if err != nil {
		return fmt.Errorf("shop: %w", err)
	}
	l.mu.RLock()
	known := l.size
	l.mu.RUnlock()
	if info.Size() == known || !l.write.TryLock() {
		return nil
	}
	defer l.write.Unlock()
	err = l.locked(syscall.LOCK_SH|syscall.LOCK_NB, l.catchUp)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return nil
	}
	return err
}

// Update asks decide for an entry, and keeps and applies it; nil is none. Meanwhile there
// is no other Update, in no process, so that what decide sees is still so when its entry
// is applied. An error of decide is returned as it is. After any other error the entry
// is most likely not there, but it can be: whoever tries again has to be recognised.
func (l *Log[T]) Update(decide func() (*T, error)) error {
	l.write.Lock()
	defer l.write.Unlock()
	if l.path == "" {
		entry, err := decide()
		if err == nil && entry != nil {
			l.take(*entry, 0)
		}
		return err
	}
	return l.locked(syscall.LOCK_EX, func(f *os.File) error {
		if err := l.catchUp(f); err != nil {
			return err
		}
		entry, err := decide()
		if err != nil || entry == nil {
			return err
		}
		return l.append(f, *entry)
	})
}

// locked opens the file, holds its lock while f runs, and closes it.
func (l *Log[T]) locked(how int, f func(*os.File) error) (err error) {
	file, err := os.OpenFile(l.path, os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("shop: %w", err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	for {
		err = syscall.Flock(int(file.Fd()), how)
		if !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("shop: lock %s: %w", l.path, err)
	}
	return f(file)
}

// catchUp applies what the file has beyond what has been applied.
func (l *Log[T]) catchUp(f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("shop: %w", err)
	}
	if info.Size() < l.size {
		return fmt.Errorf("shop: %s has %d bytes, of which %d have been read already; was it replaced? start the service anew",
			l.path, info.Size(), l.size)
	}
	r := bufio.NewReader(io.NewSectionReader(f, l.size, math.MaxInt64-l.size))
	for {
		line, err := r.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return nil // what has no end was never answered
		}
		var entry T
		if err == nil {
			err = json.Unmarshal(line, &entry)
		}
		if err != nil {
			return fmt.Errorf("shop: %s: the line at byte %d can't be read: %w; mend or remove that line", l.path, l.size, err)
		}
		l.take(entry, int64(len(line)))
	}
}

// append writes an entry behind what has been applied, where a torn line may be.
func (l *Log[T]) append(f *os.File, entry T) error {
	line, err := json.Marshal(entry)
	if err != nil {
		return fmt.Errorf("shop: %w", err)
	}
	line = append(line, '\n')
	if l.size+int64(len(line)) > l.limit {
		return fmt.Errorf("shop: %s: %w of %d bytes", l.path, ErrFull, l.limit)
	}
	err = f.Truncate(l.size)
	if err == nil {
		_, err = f.WriteAt(line, l.size)
	}
	if err == nil {
		err = f.Sync()
	}
	if err != nil {
		return errors.Join(fmt.Errorf("shop: %w", err), f.Truncate(l.size))
	}
	l.take(entry, int64(len(line)))
	return nil
}

// take applies an entry that is a line of so many bytes.
func (l *Log[T]) take(entry T, bytes int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.apply(entry)
	l.size += bytes
}
