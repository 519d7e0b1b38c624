package drill

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// ours has the kernel kill a process when this one dies, whatever kills it, and what is typed
// at a terminal be said to this one alone: Ctrl-C must not end what is being judged.
func ours(cmd *exec.Cmd) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig, cmd.SysProcAttr.Setpgid = syscall.SIGKILL, true
}

// NewDisk makes a file system of so many MiB of memory. It is mounted in a name space of
// its own, by a process that does nothing but hold it and through which everybody finds it,
// so that nothing is mounted for anybody else and nothing stays. hold is the command of
// that process; it calls HoldDisk. Who is not root needs user name spaces, which some
// machines forbid; the error says so.
func NewDisk(hold []string, at string, mib int) (*Disk, error) {
	if err := os.MkdirAll(at, 0o700); err != nil {
		return nil, fmt.Errorf("drill: %w", err)
	}
	d, err := newDisk(hold, at, mib, false)
	if err != nil {
		var second error
		if d, second = newDisk(hold, at, mib, true); second != nil {
			return nil, fmt.Errorf("drill: no disk of memory can be mounted here: %w; in a user name space: %w", err, second)
		}
	}
	return d, nil
}

func newDisk(hold []string, at string, mib int, user bool) (*Disk, error) {
	cmd := exec.Command(hold[0], append(hold[1:len(hold):len(hold)], at, strconv.Itoa(mib))...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
	if user {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
	}
	ours(cmd)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	var said strings.Builder
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	if word, err := bufio.NewReader(stdout).ReadString('\n'); err != nil || word != held {
		return nil, errors.Join(cmd.Wait(), errors.New(strings.TrimSpace(said.String())))
	}
	path := filepath.Join("/proc", strconv.Itoa(cmd.Process.Pid), "cwd")
	d := &Disk{Path: path, filler: filepath.Join(path, "filler"), end: func() error {
		return errors.Join(stdin.Close(), cmd.Wait())
	}}
	if err := os.Mkdir(filepath.Join(path, "probe"), 0o700); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

// held is what the holder says when it has the file system.
const held = "held\n"

// HoldDisk mounts a file system of memory in this process's name space and holds it until
// in is closed.
func HoldDisk(in io.Reader, out io.Writer, at string, mib int) error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	if err := unix.Mount("earshot-drill", at, "tmpfs", unix.MS_NODEV|unix.MS_NOSUID, fmt.Sprintf("size=%dm,mode=0700", mib)); err != nil {
		return fmt.Errorf("mount: %w", err)
	}
	if err := os.Chdir(at); err != nil {
		return err
	}
	if _, err := io.WriteString(out, held); err != nil {
		return err
	}
	_, err := io.Copy(io.Discard, in)
	return err
}
