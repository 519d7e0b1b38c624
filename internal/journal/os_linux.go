package journal

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

// fallocate takes room for f to grow to n bytes, where the file system can. See fallocate(2).
func fallocate(f *os.File, n int64) error {
	err := unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_KEEP_SIZE, 0, n)
	if errors.Is(err, unix.EOPNOTSUPP) {
		return nil
	}
	return err
}
