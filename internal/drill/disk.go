package drill

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// Disk is a small file system of its own, which can be filled.
type Disk struct {
	Path   string // its root
	filler string
	end    func() error
}

// Fill takes all the space that is left.
func (d *Disk) Fill() error {
	f, err := os.OpenFile(d.filler, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("drill: %w", err)
	}
	for size := 1 << 20; size > 0; size /= 2 {
		for err = nil; err == nil; {
			_, err = f.Write(make([]byte, size))
		}
		if !errors.Is(err, syscall.ENOSPC) {
			return fmt.Errorf("drill: %w", errors.Join(err, f.Close()))
		}
	}
	return f.Close()
}

// Free gives it back.
func (d *Disk) Free() error { return os.Remove(d.filler) }

// Close ends the file system with all that is on it.
func (d *Disk) Close() error { return d.end() }
