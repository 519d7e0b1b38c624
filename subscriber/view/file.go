package view

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/earshot-mq/earshot/internal/durable"
	"github.com/earshot-mq/earshot/internal/journal"
	"github.com/earshot-mq/earshot/internal/trouble"
)

// Source is the store, as a view needs it.
type Source interface {
	Reader(n uint64) *journal.Reader
	Changed() <-chan struct{}
	Sync() error
	Arrival() uint64
}

// FileOptions tunes a File. Every zero field means its default.
type FileOptions struct {
	Path        string        // "data/logs/subscriber.log"; required
	Checkpoint  string        // file of the view's position; required
	Format      *Format       // required
	RotateBytes int64         // a file is left when it has as many bytes; default 64 MiB
	RotateEvery time.Duration // or is as old; default 24 h
	Keep        int           // files that were left and are kept; default 14
	FreeFloor   float64       // share of the file system that stays free; default 0.05
	Logger      *slog.Logger  // default: discard
}

// FileStats counts what a File did.
type FileStats struct {
	Lines, Bytes, Rotations atomic.Uint64
	Errors                  atomic.Uint64
	Paused                  atomic.Bool   // now: no room for the file; the store goes on
	Arrival                 atomic.Uint64 // now: the next arrival to be shown
}

// File is the view that is a log file: one line for each record and each gap, in order
// of arrival, each once, also across a crash. Old files are named after the time when
// they were left.
type File struct {
	o     FileOptions
	src   Source
	cps   *checkpoints
	Stats FileStats

	troubles trouble.List

	f      *os.File
	inode  uint64
	length int64     // bytes of the file that are written
	began  time.Time // of the file
	next   uint64    // arrival after the last one rendered
	buf    []byte    // rendered, not written
	low    bool      // too little is free: nothing is rendered
	torn   []byte    // the beginning of line next that a crash has left at the file's end
	boot   string
}

const (
	flushAt      = 256 << 10
	checkpointIn = time.Second
)

// OpenFile opens the file where the checkpoint, and what was written after it, ends.
func OpenFile(src Source, o FileOptions) (*File, error) {
	if o.RotateBytes == 0 {
		o.RotateBytes = 64 << 20
	}
	if o.RotateEvery == 0 {
		o.RotateEvery = 24 * time.Hour
	}
	if o.Keep == 0 {
		o.Keep = 14
	}
	if o.FreeFloor == 0 {
		o.FreeFloor = 0.05
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if err := durable.MkdirAll(filepath.Dir(o.Path), 0o750); err != nil {
		return nil, fmt.Errorf("view: %w", err)
	}
	cps, err := openCheckpoints(o.Checkpoint)
	if err != nil {
		return nil, err
	}
	v := &File{o: o, src: src, cps: cps, boot: durable.BootID(), troubles: trouble.List{Logger: o.Logger}}
	if err := v.resume(); err != nil {
		return nil, errors.Join(err, cps.close())
	}
	if err := v.checkpoint(); err != nil {
		return nil, errors.Join(err, v.Close())
	}
	v.Stats.Arrival.Store(v.next)
	return v, nil
}

// resume finds out what has been shown. In the boot of the checkpoint whatever was
// written is there, so the lines behind it are counted, not cut: a tail -f of the file
// prints all of it again after a truncation. In another boot the file may have lost or
// kept any of that, so it is cut and rendered again.
func (v *File) resume() error {
	cp := v.cps.checkpoint
	v.next, v.began = cp.Arrival, cp.Began
	if err := v.openCurrent(); err != nil {
		return err
	}
	sameBoot := cp.BootID == v.boot && v.boot != ""
	var err error
	switch {
	case cp.Inode == v.inode && v.length >= cp.Length && sameBoot:
		err = v.count(v.o.Path, cp.Length)
	case cp.Inode == v.inode && v.length >= cp.Length:
		if err = v.f.Truncate(cp.Length); err == nil {
			v.length = cp.Length
		}
	case cp.Inode != v.inode && cp.Seq > 0:
		err = v.resumeLeft(cp, sameBoot)
	}
	if err != nil {
		return fmt.Errorf("view: resume %s: %w", v.o.Path, err)
	}
	if have := v.src.Arrival(); v.next > have { // a store from a backup: it will have other arrivals there
		v.o.Logger.Warn("store has less than the log file has shown; a new file goes on from there", "file", v.o.Path, "shown", v.next, "stored", have)
		v.next = have
		return v.leave()
	}
	if v.length > 0 && (cp.Seq == 0 || cp.Format != v.o.Format.mark()) {
		return v.leave() // another format, or a file that is not ours
	}
	return nil
}

// resumeLeft resumes when the checkpoint's file was left and the process died before it
// could say so. A file that is gone was moved away by somebody: what it had is not
// shown again.
func (v *File) resumeLeft(cp checkpoint, sameBoot bool) error {
	for _, p := range v.left() {
		switch {
		case inodeOf(p) != cp.Inode:
		case sameBoot:
			return errors.Join(v.count(p, cp.Length), v.count(v.o.Path, 0))
		default:
			v.length = 0
			return errors.Join(os.Truncate(p, cp.Length), v.f.Truncate(0))
		}
	}
	return nil
}

// count takes the whole lines of a file behind off as shown. What follows the last of
// them is the beginning of the next line, which will be completed.
func (v *File) count(path string, off int64) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.Seek(off, io.SeekStart); err != nil {
		return err
	}
	v.torn = nil
	buf := make([]byte, 64<<10)
	for {
		n, err := f.Read(buf)
		b := buf[:n]
		v.next += uint64(bytes.Count(b, newline))
		if i := bytes.LastIndexByte(b, '\n'); i >= 0 {
			v.torn, b = v.torn[:0], b[i+1:]
		}
		v.torn = append(v.torn, b...)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

var newline = []byte{'\n'}

func inodeOf(path string) uint64 {
	info, err := os.Stat(path)
	if err != nil {
		return 0
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return uint64(st.Ino)
	}
	return 0
}

func (v *File) openCurrent() error {
	f, err := os.OpenFile(v.o.Path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o640)
	if err != nil {
		return fmt.Errorf("view: %w", err)
	}
	info, err := f.Stat()
	if err != nil {
		return errors.Join(fmt.Errorf("view: %w", err), f.Close())
	}
	v.f, v.length, v.inode = f, info.Size(), inodeOf(v.o.Path)
	if v.length == 0 || v.began.IsZero() {
		v.began = time.Now()
	}
	return nil
}

// Close gives up a File that is not run.
func (v *File) Close() error { return errors.Join(v.f.Close(), v.cps.close()) }

// left lists the files that were left, oldest first.
func (v *File) left() []string {
	ext := filepath.Ext(v.o.Path)
	all, _ := filepath.Glob(strings.TrimSuffix(v.o.Path, ext) + "-*" + ext)
	slices.Sort(all)
	return all
}

// Run shows what arrives until ctx is done, then what is stored, and saves its place.
func (v *File) Run(ctx context.Context) (err error) {
	r := v.src.Reader(v.next)
	defer func() { err = errors.Join(err, r.Close(), v.Close()) }()
	tick := time.NewTicker(checkpointIn)
	defer tick.Stop()
	for {
		changed := v.src.Changed()
		if err := v.show(r); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return errors.Join(v.show(r), v.checkpoint())
		case <-changed:
		case <-tick.C:
			if err := v.housekeep(); err != nil {
				return err
			}
		}
	}
}

// show renders and writes what there is. What can't be written stays in memory, and
// nothing more is read until it can: the store has it.
func (v *File) show(r *journal.Reader) error {
	if len(v.buf) > 0 || v.low {
		return nil // paused
	}
	err := r.Read(func(e *journal.Entry, n uint64) error {
		v.render(e, n)
		if len(v.buf) >= flushAt {
			v.flush()
			if len(v.buf) > 0 {
				return errPaused
			}
		}
		return nil
	})
	v.flush()
	v.Stats.Arrival.Store(v.next)
	if err != nil && !errors.Is(err, errPaused) {
		return fmt.Errorf("view: %w", err)
	}
	return nil
}

var errPaused = errors.New("paused")

// render appends the lines of an entry whose first record is arrival n, from v.next on.
func (v *File) render(e *journal.Entry, n uint64) {
	if e.Kind == journal.KindGap {
		if n >= v.next {
			start := len(v.buf)
			v.buf = v.o.Format.AppendGap(v.buf, Gap{Time: e.Time, Run: e.Run, Service: e.Service, First: e.First, Last: e.Last, Reason: e.Reason})
			v.rendered(start, n)
		}
		return
	}
	for line := range e.Records() {
		if n >= v.next {
			start := len(v.buf)
			v.buf = v.o.Format.Append(v.buf, line)
			v.rendered(start, n)
		}
		n++
	}
}

// rendered counts a line, and completes the one that a crash has torn.
func (v *File) rendered(start int, n uint64) {
	v.next = n + 1
	v.Stats.Lines.Add(1)
	if v.torn == nil {
		return
	}
	if torn := v.torn; bytes.HasPrefix(v.buf[start:], torn) {
		v.buf = append(v.buf[:start], v.buf[start+len(torn):]...)
	} else if len(torn) > 0 { // not the beginning of this line: end it where it is
		v.buf = slices.Insert(v.buf, start, '\n')
	}
	v.torn = nil
}

// flush writes what is rendered.
func (v *File) flush() {
	if len(v.buf) == 0 {
		return
	}
	n, err := v.f.Write(v.buf)
	v.length += int64(n)
	v.Stats.Bytes.Add(uint64(n))
	rest := copy(v.buf, v.buf[n:])
	v.buf = v.buf[:rest]
	v.pause(err)
}

func (v *File) pause(err error) {
	if err != nil {
		v.Stats.Errors.Add(1)
	}
	words := ""
	if v.Stats.Paused.Store(err != nil); err != nil {
		words = fmt.Sprintf("the log file %s can't be written, and the store goes on; make room on its disk, or mend it: %v", v.o.Path, err)
	}
	v.troubles.Note("log", words, time.Now())
}

// State is how the file is, in plain words.
func (v *File) State() (string, error) {
	return v.troubles.State(time.Now()), nil
}

// housekeep writes what could not be written, makes room, leaves a file that is old or
// long, and saves the view's place.
func (v *File) housekeep() error {
	err := v.makeRoom()
	if v.low = err != nil; v.low {
		v.pause(err)
		return nil
	}
	if len(v.buf) == 0 {
		v.pause(nil)
	}
	v.flush()
	if inodeOf(v.o.Path) != v.inode { // somebody moved it away
		if err := v.reopen(); err != nil {
			v.pause(err)
			return nil
		}
	}
	if len(v.buf)+len(v.torn) == 0 && v.length > 0 && (v.length >= v.o.RotateBytes || time.Since(v.began) >= v.o.RotateEvery) {
		if err := v.leave(); err != nil {
			v.pause(err)
			return nil
		}
	}
	if err := v.checkpoint(); err != nil {
		v.o.Logger.Warn("view's place not saved", "file", v.o.Path, "error", err)
	}
	return nil
}

func (v *File) reopen() error {
	if err := v.f.Close(); err != nil {
		v.o.Logger.Warn("log file not closed", "file", v.o.Path, "error", err)
	}
	v.began = time.Time{}
	return v.openCurrent()
}

// makeRoom keeps the file system's floor free, at the cost of files that were left.
func (v *File) makeRoom() error {
	for {
		var fs unix.Statfs_t
		if err := unix.Statfs(filepath.Dir(v.o.Path), &fs); err != nil {
			return fmt.Errorf("view: free space of %s: %w", filepath.Dir(v.o.Path), err)
		}
		if fs.Blocks == 0 || float64(fs.Bavail) >= v.o.FreeFloor*float64(fs.Blocks) {
			return nil
		}
		left := v.left()
		if len(left) == 0 {
			return fmt.Errorf("view: less than %.0f %% of the file system of %s is free", v.o.FreeFloor*100, v.o.Path)
		}
		v.o.Logger.Warn("old log file removed for want of space", "file", left[0])
		if err := os.Remove(left[0]); err != nil {
			return fmt.Errorf("view: make room: %w", err)
		}
	}
}

// leave renames the file after the present time, begins a new one and removes the
// oldest beyond FileOptions.Keep.
func (v *File) leave() error {
	if err := v.f.Truncate(v.length - int64(len(v.torn))); err != nil {
		return fmt.Errorf("view: rotate: %w", err)
	}
	if err := durable.Data(v.f); err != nil {
		return fmt.Errorf("view: %w", err)
	}
	ext := filepath.Ext(v.o.Path)
	name := strings.TrimSuffix(v.o.Path, ext) + "-" + time.Now().UTC().Format("20060102T150405.000000Z") + ext
	if err := os.Rename(v.o.Path, name); err != nil {
		return fmt.Errorf("view: rotate: %w", err)
	}
	v.torn = nil
	v.Stats.Rotations.Add(1)
	if err := v.reopen(); err != nil {
		return err
	}
	for left := v.left(); len(left) > v.o.Keep; left = left[1:] {
		if err := os.Remove(left[0]); err != nil {
			return fmt.Errorf("view: rotate: %w", err)
		}
	}
	return v.checkpoint()
}

// checkpoint saves the view's place, never ahead of what is durable.
func (v *File) checkpoint() error {
	cp := checkpoint{Seq: v.cps.Seq, Arrival: v.next, Inode: v.inode, Length: v.length - int64(len(v.torn)), Began: v.began.Round(0), BootID: v.boot, Format: v.o.Format.mark()}
	if len(v.buf) > 0 || cp == v.cps.checkpoint {
		return nil
	}
	if err := durable.Data(v.f); err != nil {
		return fmt.Errorf("view: %w", err)
	}
	if cp.Inode != v.cps.Inode { // made or left: a file that is named must be found
		if err := durable.Dir(filepath.Dir(v.o.Path)); err != nil {
			return fmt.Errorf("view: %w", err)
		}
	}
	if err := v.src.Sync(); err != nil {
		return err
	}
	return v.cps.save(cp)
}
