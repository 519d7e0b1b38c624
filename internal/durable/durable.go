// Package durable makes files and directories survive a loss of power. It alone says so to
// the kernel, for the journal, the store and the views, and it alone knows which boot of the
// machine this is: one place to ask for it, one place where a test can be the machine.
//
// # Delivery
//
// After Data a file has what it had when the call began; its name survives only after Dir.
// A rename is durable after the Dir of its folder, too. An error means that nothing is known
// of what the call was to cover: the kernel tells of a failed write once.
//
// # Concurrency
//
// All functions are safe for concurrent use.
package durable

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
)

// Machine stands for the kernel in a test that takes the power away.
type Machine interface {
	Sync(f *os.File) error // of a file or a folder
	BootID() string
}

var machine atomic.Pointer[Machine]

// Pretend has m be the machine for the whole process until restore is called. It is for
// tests.
func Pretend(m Machine) (restore func()) {
	machine.Store(&m)
	return func() { machine.Store(nil) }
}

// Data makes the bytes and the size of f durable.
func Data(f *os.File) error {
	if m := machine.Load(); m != nil {
		return (*m).Sync(f)
	}
	return fdatasync(f)
}

// Dir makes the names in a folder durable.
func Dir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("durable: %w", err)
	}
	defer d.Close()
	if m := machine.Load(); m != nil {
		err = (*m).Sync(d)
	} else {
		err = d.Sync()
	}
	if err != nil {
		return fmt.Errorf("durable: sync %s: %w", dir, err)
	}
	return nil
}

// MkdirAll makes a folder and those above it, as os.MkdirAll does, and makes the names of
// those that were missing durable.
func MkdirAll(dir string, perm fs.FileMode) error {
	dir = filepath.Clean(dir)
	missing := dir
	for {
		if _, err := os.Stat(missing); !errors.Is(err, fs.ErrNotExist) || missing == filepath.Dir(missing) {
			break
		}
		missing = filepath.Dir(missing)
	}
	if missing == dir {
		return os.MkdirAll(dir, perm) // there; or an error that says why not
	}
	if err := os.MkdirAll(dir, perm); err != nil {
		return err
	}
	for at := dir; at != missing; {
		at = filepath.Dir(at)
		if err := Dir(at); err != nil {
			return err
		}
	}
	return nil
}

// BootID names this boot of the machine, or is empty where the system does not tell.
func BootID() string {
	if m := machine.Load(); m != nil {
		return (*m).BootID()
	}
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}
