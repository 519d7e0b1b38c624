package view

import (
	"bytes"
	"context"
	"errors"
	"fmt"
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
	OldestArrival() uint64
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
	shown  uint64    // lines behind the checkpoint, when it is opened
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
	o.Path = filepath.Clean(o.Path) // the files that were left are compared with it
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
	if v.length == 0 || v.began.IsZero() || v.began.After(time.Now()) { // the clock was set back
		v.began = time.Now()
	}
	return nil
}

// Close gives up a File that is not run.
func (v *File) Close() error { return errors.Join(v.f.Close(), v.cps.close()) }

// leftLayout is the time in the name of a file that was left.
const leftLayout = "20060102T150405.000000Z"

// left lists the files that were left, oldest first. Others whose names begin and end so are
// somebody else's.
func (v *File) left() (all []string) {
	dir := filepath.Dir(v.o.Path)
	entries, _ := os.ReadDir(dir) // in the order of their names
	for _, e := range entries {
		if path := filepath.Join(dir, e.Name()); !v.leftAt(path).IsZero() {
			all = append(all, path)
		}
	}
	return all
}

func (v *File) leftAs(at string) string {
	ext := filepath.Ext(v.o.Path)
	return strings.TrimSuffix(v.o.Path, ext) + "-" + at + ext
}

// leftAt is when a file was left by its name, zero for one that is not ours.
func (v *File) leftAt(path string) time.Time {
	before, after, _ := strings.Cut(v.leftAs("\n"), "\n")
	text := strings.TrimSuffix(strings.TrimPrefix(path, before), after)
	at, err := time.Parse(leftLayout, text)
	if err != nil || v.leftAs(at.Format(leftLayout)) != path {
		return time.Time{}
	}
	return at
}

// leaveAs is a name behind all that were given before, whatever the clock says now.
func (v *File) leaveAs(now time.Time) string {
	now = now.UTC().Truncate(time.Microsecond)
	if left := v.left(); len(left) > 0 {
		if last := v.leftAt(left[len(left)-1]); !now.After(last) {
			now = last.Add(time.Microsecond)
		}
	}
	return v.leftAs(now.Format(leftLayout))
}

// Run shows what arrives until ctx is done, then what is stored, and saves its place. What
// is shown does not wait for the three fsyncs that this takes.
func (v *File) Run(ctx context.Context) (err error) {
	r := v.src.Reader(v.next)
	defer func() { err = errors.Join(err, r.Close(), v.Close()) }()
	tick := time.NewTicker(checkpointIn)
	defer tick.Stop()
	var saving chan error // gets the end of a save under way
	for {
		changed := v.src.Changed()
		if err := v.show(r); err != nil {
			v.saved(saving)
			return err
		}
		select {
		case <-ctx.Done():
			v.saved(saving)
			return errors.Join(v.show(r), v.checkpoint())
		case <-changed:
		case err := <-saving:
			saving = nil
			v.noteSave(err)
		case <-tick.C:
			if !v.hasRoom() || saving != nil {
				continue
			}
			if save := v.housekeep(); save != nil {
				done := make(chan error, 1)
				saving = done
				go func() { done <- save() }()
			}
		}
	}
}

// saved waits for a save under way.
func (v *File) saved(saving <-chan error) {
	if saving != nil {
		v.noteSave(<-saving)
	}
}

func (v *File) noteSave(err error) {
	if err != nil {
		v.o.Logger.Warn("view's place not saved", "file", v.o.Path, "error", err)
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
			v.buf = v.o.Format.AppendGap(v.buf, gapOf(e))
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

func gapOf(e *journal.Entry) Gap {
	return Gap{Time: e.Time, Run: e.Run, Service: e.Service, First: e.First, Last: e.Last, Reason: e.Reason}
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

// hasRoom makes room, and writes what could not be written, if there is some now.
func (v *File) hasRoom() bool {
	err := v.makeRoom()
	if v.low = err != nil; v.low {
		v.pause(err)
		return false
	}
	if len(v.buf) == 0 {
		v.pause(nil)
	}
	v.flush()
	return true
}

// housekeep leaves a file that is old or long, and gives what saves the view's place, or
// nil. Nothing else of this may be called until that has ended, but what shows.
func (v *File) housekeep() (save func() error) {
	if inodeOf(v.o.Path) != v.inode { // somebody moved it away
		if err := v.reopen(); err != nil {
			v.pause(err)
			return nil
		}
	}
	v.noteCut()
	if len(v.buf)+len(v.torn) == 0 && v.length > 0 && (v.length >= v.o.RotateBytes || time.Since(v.began) >= v.o.RotateEvery) {
		if err := v.leave(); err != nil {
			v.pause(err)
			return nil
		}
	}
	save, err := v.place()
	v.noteSave(err)
	return save
}

// noteCut finds out whether somebody has cut the file.
func (v *File) noteCut() {
	if info, err := v.f.Stat(); err == nil && info.Size() < v.length {
		v.length, v.torn = info.Size(), nil
	}
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
	name := v.leaveAs(time.Now())
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

// checkpoint saves the view's place.
func (v *File) checkpoint() error {
	save, err := v.place()
	if err != nil || save == nil {
		return err
	}
	return save()
}

// place gives what saves the view's present place, never ahead of what is durable, or nil
// when it is saved already.
func (v *File) place() (save func() error, err error) {
	v.noteCut()
	cp := checkpoint{Seq: v.cps.Seq, Arrival: v.next, Inode: v.inode, Length: v.length - int64(len(v.torn)), Sum: v.cps.Sum, Began: v.began.Round(0), BootID: v.boot, Format: v.o.Format.mark()}
	if len(v.buf) > 0 || cp == v.cps.checkpoint {
		return nil, nil
	}
	if cp.Sum, err = sumBefore(v.f, cp.Length); err != nil {
		return nil, fmt.Errorf("view: checkpoint of %s: %w", v.o.Path, err)
	}
	f, cps := v.f, v.cps
	return func() error {
		if err := durable.Data(f); err != nil {
			return fmt.Errorf("view: %w", err)
		}
		if cp.Inode != cps.Inode { // made or left: a file that is named must be found
			if err := durable.Dir(filepath.Dir(v.o.Path)); err != nil {
				return fmt.Errorf("view: %w", err)
			}
		}
		if err := v.src.Sync(); err != nil {
			return err
		}
		return cps.save(cp)
	}, nil
}
