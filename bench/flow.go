package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// flow is publishers with their journals, and processes that each take all that they
// publish: role count is a reader without a store, role store a subscriber until all is
// in its store and synced. Every zero number means one, but for batch.
type flow struct {
	id, text, role string
	ref            string // row that it is compared with, if not the table's first
	pubs, subs     int
	callers        int // goroutines of a publisher
	batch          int // records of a call; default 128
	streams        int // of a publisher
	size           int // bytes of a record; default is the usual ones
	part           int // of the records, one in so many
}

func (f flow) name() string  { return f.id }
func (f flow) title() string { return f.text }

func (f flow) reference(first string) string {
	if f.ref != "" {
		return f.ref
	}
	return first
}

func (f flow) run(ctx context.Context, b *bench) (sample, error) {
	if f.batch == 0 {
		f.batch = 128
	}
	n := b.o.records
	if f.size > usualSize { // the same bytes in all
		n = max(n*usualSize/f.size, 1000)
	}
	n /= max(f.part, 1)
	each := max(n/max(f.pubs, 1), 1)
	n = each * max(f.pubs, 1)
	var pubs, subs []*child
	defer func() { kill(append(pubs, subs...)) }()
	for i := range max(f.pubs, 1) {
		pub, err := b.spawn(ctx, task{
			Role: "publish", Records: each, Callers: max(f.callers, 1), Batch: f.batch, Streams: f.streams, Size: f.size,
			Dir: b.path(fmt.Sprint("journals-", i)),
		})
		if err != nil {
			return nil, err
		}
		pubs = append(pubs, pub)
	}
	var feeds []string
	for _, pub := range pubs {
		bound, err := pub.hear("bound")
		if err != nil {
			return nil, err
		}
		feeds = append(feeds, bound["feed"])
	}
	for i := range max(f.subs, 1) {
		sub, err := b.spawn(ctx, task{Role: f.role, Records: n, Feed: strings.Join(feeds, ","), Dir: b.path(fmt.Sprint("store-", i))})
		if err != nil {
			return nil, err
		}
		subs = append(subs, sub)
	}
	if err := errors.Join(allReady(pubs...), allReady(subs...)); err != nil {
		return nil, err
	}
	s, _, err := raceAll(pubs, subs, n)
	if err == nil {
		s["bytes"] = float64(lineSize(f.size))
	}
	return s, err
}

func kill(children []*child) {
	for _, c := range children {
		c.kill()
	}
}

// growing is what more of anything costs.
func growing() *table {
	return &table{
		name: "growing", group: peersGroup,
		title: "What a record costs as there is more of something: publishers -> store on disk, synced, or counters",
		note: "CPU in us a record, of all processes, compared with the first row of its kind. All publishers of a row are processes of their own.\n" +
			"The rows with streams publish a tenth of the records.\n" +
			"MiB: resident memory of one publisher and of one subscriber at the end.",
		columns: []column{
			{key: "bytes", title: "bytes"},
			{key: "cpu", title: "CPU all", prec: 2},
			{key: "cpux", of: "cpu", title: "x", prec: 2},
			{key: "pub", title: "publishers", prec: 2},
			{key: "sub", title: "subscribers", prec: 2},
			{key: "rate", title: "records/s"},
			{key: "pubmem", title: "publisher MiB"},
			{key: "submem", title: "subscriber MiB"},
			{key: "lost", title: "lost", sum: true},
			{key: "declared", title: "declared", sum: true},
		},
		rows: []row{
			flow{id: "usual", text: "one publisher, one stream, 128 records a call", role: "store"},
			flow{id: "smallest", text: "the smallest record", role: "store", size: 100},
			flow{id: "2k", text: "2 KiB", role: "store", size: 2 << 10},
			flow{id: "16k", text: "16 KiB", role: "store", size: 16 << 10},
			flow{id: "pubs-8", text: "8 publishers", role: "store", pubs: 8},
			flow{id: "pubs-32", text: "32 publishers", role: "store", pubs: 32},
			flow{id: "pubs-200", text: "200 publishers", role: "store", pubs: 200},
			flow{id: "streams-1", text: "64 callers, a record a call, one stream", role: "store", callers: 64, batch: 1, part: 10, ref: "streams-1"},
			flow{id: "streams-100", text: "the same, 100 streams in turn", role: "store", callers: 64, batch: 1, streams: 100, part: 10, ref: "streams-1"},
			flow{id: "streams-1000", text: "the same, 1,000 streams in turn", role: "store", callers: 64, batch: 1, streams: 1000, part: 10, ref: "streams-1"},
			flow{id: "subs-1", text: "128 records a call, one counter", role: "count", ref: "subs-1"},
			flow{id: "subs-20", text: "the same, 20 counters", role: "count", subs: 20, ref: "subs-1"},
		},
	}
}
