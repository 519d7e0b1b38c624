//go:build !linux

package drill

import (
	"errors"
	"io"
	"os/exec"
	"syscall"
)

// ours has what is typed at a terminal be said to this process alone.
func ours(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }

var errLinux = errors.New("drill: only Linux has disks of memory in a name space")

// NewDisk works on Linux only.
func NewDisk([]string, string, int) (*Disk, error) { return nil, errLinux }

// HoldDisk works on Linux only.
func HoldDisk(io.Reader, io.Writer, string, int) error { return errLinux }
