package durable

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// fdatasync makes what f has durable. See fdatasync(2).
func fdatasync(f *os.File) error {
	for {
		err := unix.Fdatasync(int(f.Fd()))
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
