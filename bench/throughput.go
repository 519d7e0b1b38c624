package main

import (
	"context"
	"errors"
	"fmt"
	"os"
)

func throughput() *table {
	return &table{
		name:  "throughput",
		title: "From publisher to subscriber, two processes, tcp loopback, the same bytes in every row",
		note: "CPU in us a record; ratios to the C pair inside one round. Earshot's publisher encodes each record and writes it to its\n" +
			"journal; C sends lines that were made before. Lost: in the store for the chain, at the receiver for the others.",
		columns: []column{
			{key: "cpu", title: "CPU both", prec: 2},
			{key: "cpux", of: "cpu", title: "x C", prec: 2},
			{key: "pub", title: "publisher", prec: 2},
			{key: "sub", title: "subscriber", prec: 2},
			{key: "rate", title: "records/s"},
			{key: "ratex", of: "rate", title: "x C", prec: 2},
			{key: "sent", title: "published/s"},
			{key: "repairs", title: "fetches"},
			{key: "fetched", title: "% by fetch"},
			{key: "lost", title: "lost", sum: true},
			{key: "declared", title: "declared", sum: true},
		},
		rows: []row{
			pairRow{},
			pairRow{logs: true},
			flow{id: "bulk", text: "publisher -> counter, 8 callers, 512 records a call", role: "count", callers: 8, batch: 512},
			flow{id: "batches", text: "publisher -> counter, 16 callers, 128 records a call", role: "count", callers: 16},
			flow{id: "caller", text: "publisher -> counter, one caller, 128 records a call", role: "count"},
			flow{id: "callers", text: "publisher -> counter, 64 callers, one record a call", role: "count", callers: 64, batch: 1},
			flow{id: "chain-bulk", text: "the chain: 8 callers, 512 records a call -> store on disk, synced", role: "store", callers: 8, batch: 512},
			flow{id: "chain", text: "the chain: 16 callers -> store on disk, synced", role: "store", callers: 16},
			flow{id: "chain-caller", text: "the chain: one caller -> store on disk, synced", role: "store"},
		},
	}
}

// pairRow is the reference in C; with logs each end also writes each record to a file,
// which is the least that keeps it.
type pairRow struct {
	in   string // before the name, in a table that is not the first with it
	logs bool
}

func (r pairRow) name() string {
	if r.logs {
		return r.in + "c-logs"
	}
	return r.in + "c"
}

func (r pairRow) title() string {
	if r.logs {
		return "libzmq in C, and a write(2) a record at both ends"
	}
	return "libzmq in C, one record a message"
}

func (pairRow) needs() string { return needPair }

func (r pairRow) run(ctx context.Context, b *bench) (sample, error) {
	pubArgs, subArgs, err := r.args(b)
	if err != nil {
		return nil, err
	}
	pub, err := start(ctx, "C publisher", b.pair, pubArgs...)
	if err != nil {
		return nil, err
	}
	defer pub.kill()
	bound, err := pub.hear("bound")
	if err != nil {
		return nil, err
	}
	subArgs[1] = bound["feed"]
	sub, err := start(ctx, "C subscriber", b.pair, subArgs...)
	if err != nil {
		return nil, err
	}
	defer sub.kill()
	if err := allReady(pub, sub); err != nil {
		return nil, err
	}
	s, _, err := race(pub, sub, b.o.records)
	return s, err
}

// args is what the two programs are called with; where the publisher is bound comes
// later.
func (r pairRow) args(b *bench) (pub, sub []string, err error) {
	n := fmt.Sprint(b.o.records)
	pub, sub = []string{"pub", b.lines, n}, []string{"sub", "", n}
	if r.logs {
		pub, sub = append(pub, b.path("sent")), append(sub, b.path("received"))
		err = os.Mkdir(b.folder(), 0o750)
	}
	return pub, sub, err
}

func allReady(children ...*child) (err error) {
	for _, c := range children {
		_, e := c.hear("ready")
		err = errors.Join(err, e)
	}
	return err
}
