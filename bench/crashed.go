package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/earshot-mq/earshot/bench/talk"
	"github.com/earshot-mq/earshot/internal/journal"
	"github.com/earshot-mq/earshot/publisher"
	"github.com/earshot-mq/earshot/publisher/record"
	"github.com/earshot-mq/earshot/subscriber/store"
)

// crashed is the start after kill -9.
func crashed() *table {
	return &table{
		name: "open", group: peersGroup,
		title: "Start after kill -9, with -size GB there and half a segment written since the last start",
		note: "From the start of the process to the first record that is published, or to the first that is read from the store. CPU of the\n" +
			"process until then. Not cached: the files were dropped from the page cache before. Lost: what was written before the kill and is not there.",
		columns: []column{
			{key: "ms", title: "ms", prec: 1},
			{key: "msx", of: "ms", title: "x empty", prec: 2},
			{key: "cpums", title: "CPU ms", prec: 1},
			{key: "lost", title: "lost", sum: true},
		},
		rows: []row{
			openRow{id: "open-empty", text: "publisher, nothing there", role: "reopen", empty: true},
			openRow{id: "open-journal", text: "publisher", role: "reopen"},
			openRow{id: "open-journal-cold", text: "publisher", role: "reopen", cold: true},
			openRow{id: "open-store", text: "store", role: "restore"},
			openRow{id: "open-store-cold", text: "store", role: "restore", cold: true},
		},
	}
}

// openRow starts a process, waits for its first record, lets it write more, and kills it.
type openRow struct {
	id, text, role string
	empty, cold    bool
}

func (r openRow) name() string { return r.id }

func (r openRow) title() string {
	if r.empty {
		return r.text
	}
	return titled(r.text, r.cold)
}

// halfSegment is how many records are half a segment.
const halfSegment = 32 << 20 / usualSize

func (r openRow) dir(b *bench) string {
	switch {
	case r.empty:
		return b.path("journals")
	case r.role == "restore":
		return filepath.Join(b.dir, "grown-store")
	}
	return b.journals()
}

// prepare grows what is to be opened, and kills who did it.
func (r openRow) prepare(ctx context.Context, b *bench) error {
	switch {
	case r.empty, r.role == "restore" && b.grownStore > 0:
		return nil
	case r.role == "restore":
		if err := b.hasRoom(); err != nil {
			return err
		}
		_, err := r.crash(ctx, b, b.o.size*1e9/usualSize)
		return err
	}
	if err := b.growJournal(ctx); err != nil {
		return err
	}
	_, err := r.crash(ctx, b, halfSegment)
	return err
}

func (r openRow) run(ctx context.Context, b *bench) (sample, error) {
	if !r.empty {
		if _, err := b.cache(r.dir(b), r.cold); err != nil {
			return nil, err
		}
	}
	return r.crash(ctx, b, halfSegment)
}

// crash is one start and its end, with so many records between.
func (r openRow) crash(ctx context.Context, b *bench, records int) (sample, error) {
	began := time.Now()
	c, err := b.spawn(ctx, task{Role: r.role, Records: records, Dir: r.dir(b)})
	if err != nil {
		return nil, err
	}
	defer c.kill()
	first, err := c.hear("first")
	if err != nil {
		return nil, err
	}
	s := sample{"ms": float64(time.Since(began).Microseconds()) / 1e3, "cpums": float64(cpuOfProcess(c.cmd.Process.Pid).Microseconds()) / 1e3}
	if _, err := c.hear("written"); err != nil {
		return nil, err
	}
	if err := c.cmd.Process.Kill(); err != nil {
		return nil, err
	}
	there := 0
	switch {
	case r.role == "restore":
		there, b.grownStore = b.grownStore, b.grownStore+records
	case !r.empty:
		there, b.grown = b.grown, b.grown+records+1
	}
	s["lost"] = float64(there) - first.Float("records")
	return s, nil
}

// reopenRole opens a journal, publishes a record, tells, publishes more, and waits to be
// killed.
func reopenRole(ctx context.Context, c *talk.Control, t task) (err error) {
	r, err := newRunning(ctx, t.Dir, true)
	if err != nil {
		return err
	}
	there := r.recorded()
	t.Callers, t.Batch = 1, 128
	one := t
	one.Records = 1
	streams := []*publisher.Stream{r.stream}
	if err := publishAll(ctx, streams, one); err != nil {
		return err
	}
	if err := c.Say("first", facts{"records": fmt.Sprint(there)}); err != nil {
		return err
	}
	if err := publishAll(ctx, streams, t); err != nil {
		return err
	}
	return errors.Join(c.Say("written", nil), c.Hear("killed"))
}

// restoreRole opens a store, reads the last of its records, tells, stores more, and waits
// to be killed.
func restoreRole(_ context.Context, c *talk.Control, t task) error {
	st, err := store.Open(t.Dir, store.Options{Logger: logger()})
	if err != nil {
		return err
	}
	there := st.Arrival() - 1
	read := uint64(0)
	r := st.Reader(max(there, 1))
	defer r.Close()
	if err := r.Read(func(e *journal.Entry, _ uint64) error {
		for range e.Records() {
			read++
		}
		return nil
	}); err != nil {
		return err
	}
	if there > 0 && read == 0 {
		return fmt.Errorf("%d records are there, and the last can't be read", there)
	}
	if err := c.Say("first", facts{"records": fmt.Sprint(there)}); err != nil {
		return err
	}
	run := record.Run{Stream: journal.NewID(), Epoch: st.Epoch()}
	for n := 0; n < t.Records; {
		k := min(128, t.Records-n)
		if _, err := st.Append(batch(run, n+1, k)); err != nil {
			return err
		}
		if n += k; n%(1<<17) == 0 { // about 50 MB
			if err := errors.Join(st.Sync(), st.Ahead()); err != nil {
				return err
			}
		}
	}
	return errors.Join(c.Say("written", nil), c.Hear("killed"))
}

// batch is n records of a run as they come from a feed.
func batch(run record.Run, first, n int) journal.Entry {
	var lines []byte
	for i := range n {
		var r record.Record
		fill(&r, -1, time.Now())
		r.ID = record.ID{Run: run, Seq: uint64(first + i)}
		lines = record.Append(lines, &r)
	}
	raw := journal.AppendBatch(nil, run, uint64(first), n, lines)
	return journal.Entry{
		Kind: journal.KindBatch, Run: run, First: uint64(first), Last: uint64(first + n - 1), Service: "downcase",
		Lines: raw[len(raw)-len(lines):], Raw: raw,
	}
}
