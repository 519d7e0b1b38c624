package main

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
)

// pause sleeps as precisely as the kernel can; a timer of the runtime may be late by a
// millisecond where nothing else runs.
func pause(d time.Duration) {
	if d > 0 {
		t := syscall.NsecToTimespec(int64(d))
		_ = syscall.Nanosleep(&t, nil) // a signal ends it early, and the next pause is longer
	}
}

// growth tells when a file has grown.
type growth struct {
	events *os.File
	buf    []byte
}

func watchGrowth(path string) (*growth, error) {
	fd, err := syscall.InotifyInit1(syscall.IN_CLOEXEC | syscall.IN_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("inotify: %w", err)
	}
	if _, err := syscall.InotifyAddWatch(fd, path, syscall.IN_MODIFY); err != nil {
		return nil, errors.Join(fmt.Errorf("inotify %s: %w", path, err), syscall.Close(fd))
	}
	return &growth{os.NewFile(uintptr(fd), "inotify"), make([]byte, 4096)}, nil
}

// wait waits for the file to grow; after close it is an error.
func (g *growth) wait() error {
	_, err := g.events.Read(g.buf)
	return err
}

func (g *growth) close() { _ = g.events.Close() } // a second close changes nothing
