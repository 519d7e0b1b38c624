package journal

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// fallocate takes room for f to grow to n bytes, where the file system can. See fallocate(2).
func fallocate(f *os.File, n int64) error {
	err := unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_KEEP_SIZE, 0, n)
	if errors.Is(err, unix.EOPNOTSUPP) {
		return nil
	}
	return err
}

// uncache has the kernel free the pages of a file that are clean. See posix_fadvise(2).
func uncache(f *os.File) { _ = unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED) } // only advice
