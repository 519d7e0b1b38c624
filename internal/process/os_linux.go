package process

import (
	"bufio"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// isTerminal asks for what only a terminal has; /dev/null is a device too.
func isTerminal(fd int) bool {
	_, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	return err == nil
}

// Brief is for a command that ends at once and is run again and again, as health checks
// are: with its end the kernel does not take the program's pages for used once more. It
// did, and where containers do not share them (fuse-overlayfs) `docker stats` showed the
// whole program as in use in each: 27 MiB instead of 9. See madvise(2), MADV_RANDOM. It is
// advice; where it fails nothing else does.
func Brief() {
	maps, err := os.Open("/proc/self/maps") // proc_pid_maps(5)
	if err != nil {
		return
	}
	defer maps.Close()
	for lines := bufio.NewScanner(maps); lines.Scan(); {
		var from, to, inode uintptr
		var may, offset, device string
		if _, err := fmt.Sscanf(lines.Text(), "%x-%x %s %s %s %d", &from, &to, &may, &offset, &device, &inode); err == nil && inode != 0 {
			_, _, _ = unix.Syscall(unix.SYS_MADVISE, from, to-from, unix.MADV_RANDOM)
		}
	}
}
