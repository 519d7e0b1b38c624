package testenv

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
)

// Disk is a small file system of its own, for a test to fill.
type Disk struct {
	Path   string // its root
	t      testing.TB
	filler string
}

// NewDisk mounts a file system of so many MiB: "tmpfs", or "ext4" in a file. Where mount(2)
// is refused, for want of the right to it or of a loop device, it is Missing.
//
// It is detached at once and lives only as long as somebody has it open, first of all this
// process, through which it is named: nothing stays mounted, whatever ends the test.
func NewDisk(t testing.TB, kind string, mib int) *Disk {
	t.Helper()
	if kind == "ext4" {
		return NewImage(t, filepath.Join(t.TempDir(), "image"), mib)
	}
	return mounted(t, kind, "-t", "tmpfs", "-o", fmt.Sprintf("size=%dm", mib), "earshot-test")
}

// NewImage is NewDisk of an ext4 whose file is named.
func NewImage(t testing.TB, image string, mib int) *Disk {
	t.Helper()
	if err := os.WriteFile(image, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(image, int64(mib)<<20); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), Need(t, "mkfs.ext4"), "-q", "-m", "0", image).CombinedOutput(); err != nil {
		t.Fatalf("mkfs.ext4: %v: %s", err, out)
	}
	return MountImage(t, image)
}

// MountImage is the ext4 that an image has.
func MountImage(t testing.TB, image string) *Disk {
	t.Helper()
	return mounted(t, "ext4", "-o", "loop", image)
}

func mounted(t testing.TB, kind string, args ...string) *Disk {
	t.Helper()
	at := t.TempDir()
	if out, err := exec.CommandContext(t.Context(), "mount", append(args, at)...).CombinedOutput(); err != nil {
		Missing(t, fmt.Sprintf("no %s can be mounted: %v: %s", kind, err, bytes.TrimSpace(out)))
	}
	root, err := os.Open(at)
	out, unmounted := exec.CommandContext(t.Context(), "umount", "--lazy", at).CombinedOutput()
	if err != nil || unmounted != nil {
		t.Fatalf("%v, umount: %v: %s", err, unmounted, out)
	}
	t.Cleanup(func() { _ = root.Close() })
	path := filepath.Join("/proc", strconv.Itoa(os.Getpid()), "fd", strconv.Itoa(int(root.Fd())))
	return &Disk{Path: path, t: t, filler: filepath.Join(path, "filler")}
}

// Still runs f while nothing is written to the file system, whose writers wait.
func (d *Disk) Still(f func()) {
	d.t.Helper()
	freeze := Need(d.t, "fsfreeze")
	if out, err := exec.CommandContext(d.t.Context(), freeze, "--freeze", d.Path).CombinedOutput(); err != nil {
		d.t.Fatalf("fsfreeze: %v: %s", err, out)
	}
	defer func() {
		if out, err := exec.Command(freeze, "--unfreeze", d.Path).CombinedOutput(); err != nil {
			d.t.Errorf("fsfreeze: %v: %s", err, out)
		}
	}()
	f()
}

// Fill takes all the space that is left but so many bytes.
func (d *Disk) Fill(leave int64) {
	d.t.Helper()
	f, err := os.OpenFile(d.filler, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		d.t.Fatal(err)
	}
	defer f.Close()
	for size := 1 << 20; size > 0; size /= 2 {
		for err = nil; err == nil; {
			_, err = f.Write(make([]byte, size))
		}
	}
	if leave > 0 {
		d.Give(leave)
	}
}

// Give gives so many bytes back.
func (d *Disk) Give(n int64) {
	d.t.Helper()
	info, err := os.Stat(d.filler)
	if err == nil {
		err = os.Truncate(d.filler, max(info.Size()-n, 0))
	}
	if err != nil {
		d.t.Fatal(err)
	}
}

// Free gives all of it back.
func (d *Disk) Free() {
	d.t.Helper()
	if err := os.Remove(d.filler); err != nil {
		d.t.Fatal(err)
	}
}
