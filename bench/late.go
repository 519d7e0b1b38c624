package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// late is a subscriber that comes when all is published.
func late() *table {
	return &table{
		name: "late", group: peersGroup,
		title: "Fetching a journal of -size GB by a subscriber that comes late, until all is in its store and synced, beside cp of the same files, synced",
		note:  "Cached: the journal's files are in the page cache. Not cached: dropped from it before. CPU in seconds a GB, of all processes.",
		columns: []column{
			{key: "mb", title: "MB/s"},
			{key: "mbx", of: "mb", title: "x cp", prec: 2},
			{key: "cpugb", title: "CPU s/GB", prec: 2},
			{key: "cpugbx", of: "cpugb", title: "x cp", prec: 2},
			{key: "lost", title: "lost", sum: true},
			{key: "declared", title: "declared", sum: true},
		},
		rows: []row{copyRow{}, lateRow{}, copyRow{cold: true}, lateRow{cold: true}},
	}
}

type copyRow struct{ cold bool }

func suffixed(name string, cold bool) string {
	if cold {
		return name + "-cold"
	}
	return name
}

func titled(text string, cold bool) string {
	if cold {
		return text + ", not cached"
	}
	return text + ", cached"
}

func (r copyRow) name() string                              { return suffixed("cp", r.cold) }
func (r copyRow) title() string                             { return titled("cp and sync", r.cold) }
func (r copyRow) reference(string) string                   { return r.name() }
func (copyRow) prepare(ctx context.Context, b *bench) error { return b.growJournal(ctx) }
func (r copyRow) run(ctx context.Context, b *bench) (sample, error) {
	size, err := b.cache(b.journals(), r.cold)
	if err != nil {
		return nil, err
	}
	if err := os.Mkdir(b.folder(), 0o750); err != nil {
		return nil, err
	}
	cp := exec.CommandContext(ctx, "sh", "-c", `cp -r "$0" "$1" && find "$1" -type f -exec sync -d {} +`, b.journals(), b.path("copy"))
	began := time.Now()
	if out, err := cp.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("cp: %w\n%s", err, out)
	}
	took := time.Since(began)
	used := cp.ProcessState.UserTime() + cp.ProcessState.SystemTime()
	return sample{"mb": size / 1e6 / took.Seconds(), "cpugb": used.Seconds() / (size / 1e9)}, nil
}

type lateRow struct{ cold bool }

func (r lateRow) name() string                              { return suffixed("fetch", r.cold) }
func (r lateRow) title() string                             { return titled("Earshot, late subscriber", r.cold) }
func (r lateRow) reference(string) string                   { return suffixed("cp", r.cold) }
func (lateRow) prepare(ctx context.Context, b *bench) error { return b.growJournal(ctx) }

func (r lateRow) run(ctx context.Context, b *bench) (sample, error) {
	size, err := b.cache(b.journals(), r.cold)
	if err != nil {
		return nil, err
	}
	pub, err := b.spawn(ctx, task{Role: "publish", Callers: 1, Dir: b.journals()})
	if err != nil {
		return nil, err
	}
	defer pub.kill()
	bound, err := pub.hear("bound")
	if err != nil {
		return nil, err
	}
	sub, err := b.spawn(ctx, task{Role: "store", Late: true, Records: b.grown, Feed: bound["feed"], Dir: b.path("store")})
	if err != nil {
		return nil, err
	}
	defer sub.kill()
	if err := allReady(pub, sub); err != nil {
		return nil, err
	}
	s, _, err := race(pub, sub, b.grown)
	if err != nil {
		return nil, err
	}
	took := float64(b.grown) / s["rate"]
	return sample{
		"mb": size / 1e6 / took, "cpugb": s["cpu"] * float64(b.grown) / 1e6 / (size / 1e9),
		"lost": s["lost"], "declared": s["declared"],
	}, nil
}

// journals is the folder of the large journal that the rows of some tables share.
func (b *bench) journals() string { return filepath.Join(b.dir, "grown") }

// growJournal publishes the large journal, once.
func (b *bench) growJournal(ctx context.Context) error {
	if b.grown > 0 {
		return nil
	}
	if err := b.hasRoom(); err != nil {
		return err
	}
	n := b.o.size * 1e9 / usualSize
	pub, err := b.spawn(ctx, task{Role: "publish", Records: n, Callers: 1, Batch: 128, Patient: true, Dir: b.journals()})
	if err != nil {
		return err
	}
	defer pub.kill()
	if _, err := pub.hear("bound"); err != nil {
		return err
	}
	if err := allReady(pub); err != nil {
		return err
	}
	if _, err := pub.tell("go", "done"); err != nil {
		return err
	}
	b.grown = n
	_, err = pub.end()
	return err
}

// hasRoom tells whether the disk has room for three times -size and a tenth of itself.
func (b *bench) hasRoom() error {
	var fs syscall.Statfs_t
	if err := syscall.Statfs(b.dir, &fs); err != nil {
		return err
	}
	free, want := int64(fs.Bavail)*fs.Bsize, 3*int64(b.o.size)*1e9+int64(fs.Blocks)*fs.Bsize/10
	if free < want {
		return fmt.Errorf("%s has %d GB free, and %d are wanted: a smaller -size, or another -dir", b.dir, free/1e9, want/1e9)
	}
	return nil
}

// cache brings a folder's files into the page cache, or drops them from it, and tells
// their size.
func (b *bench) cache(dir string, cold bool) (size float64, err error) {
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		if cold {
			info, err := f.Stat()
			if err != nil {
				return err
			}
			size += float64(info.Size())
			return f.Sync() // what is not on disk can't be dropped
		}
		n, err := io.Copy(io.Discard, f)
		size += float64(n)
		return err
	})
	if cold {
		err = errors.Join(err, forget(dir))
	}
	return size, err
}
