package process

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/earshot-mq/earshot/publisher/record"
)

// Listen listens on a TCP address. The error of a busy port names its likely owner and
// the setting that chooses another.
func Listen(addr, setting string) (net.Listener, error) {
	l, err := net.Listen("tcp", addr)
	if err == nil {
		return l, nil
	}
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, Busy(addr, setting)
	}
	return nil, fmt.Errorf("process: listen on %s: %w; choose another address with %s", addr, err, setting)
}

// Busy is the error of an address that another process has.
func Busy(addr, setting string) error {
	_, port, _ := net.SplitHostPort(strings.TrimPrefix(addr, "tcp://"))
	n, _ := strconv.Atoi(port)
	owner := PortOwner(n)
	if owner != "" {
		owner = " by " + owner
	}
	return fmt.Errorf("process: port %s is taken%s: stop that, or choose another with %s: %w", port, owner, setting, syscall.EADDRINUSE)
}

// Taken tells whether something listens on the port of an address.
func Taken(addr string) bool {
	_, port, err := net.SplitHostPort(strings.TrimPrefix(addr, "tcp://"))
	n, err2 := strconv.Atoi(port)
	return err == nil && err2 == nil && len(listeners(n)) > 0
}

// PortOwner names the process that listens on a TCP port, as far as /proc tells:
// "python3 (pid 4711)", or nothing.
func PortOwner(port int) string {
	inodes := listeners(port)
	if len(inodes) == 0 {
		return ""
	}
	fds, _ := filepath.Glob("/proc/[0-9]*/fd/*")
	for _, fd := range fds {
		target, err := os.Readlink(fd)
		if err != nil || !inodes[target] {
			continue
		}
		pid := strings.Split(fd, "/")[2]
		if name := named(pid); name != "" {
			return name
		}
	}
	return ""
}

// named is a process for people: "python3 (pid 4711)", or nothing if it is gone.
func named(pid string) string {
	name, err := os.ReadFile("/proc/" + pid + "/comm")
	if err != nil {
		return ""
	}
	return fmt.Sprintf("%s (pid %s)", record.Escaped(string(bytes.TrimSpace(name))), pid)
}

// LockOwner names the process that has a file locked by flock(2), as far as /proc tells,
// as PortOwner does.
func LockOwner(path string) string {
	var st unix.Stat_t
	if unix.Stat(path, &st) != nil {
		return ""
	}
	inode := fmt.Sprintf("%02x:%02x:%d", unix.Major(uint64(st.Dev)), unix.Minor(uint64(st.Dev)), st.Ino)
	text, _ := os.ReadFile("/proc/locks") // where there is none nobody is named
	for line := range strings.Lines(string(text)) {
		// 1: FLOCK  ADVISORY  WRITE 4711 fe:00:131077 0 EOF
		if f := strings.Fields(line); len(f) > 5 && f[1] == "FLOCK" && f[5] == inode {
			return named(f[4])
		}
	}
	return ""
}

// listeners is the set of "socket:[inode]" that listen on a port.
func listeners(port int) map[string]bool {
	inodes := map[string]bool{}
	for _, path := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		text, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(text)) {
			f := strings.Fields(line)
			const listening = "0A"
			if len(f) > 9 && f[3] == listening && strings.HasSuffix(f[1], fmt.Sprintf(":%04X", port)) {
				inodes["socket:["+f[9]+"]"] = true
			}
		}
	}
	return inodes
}
