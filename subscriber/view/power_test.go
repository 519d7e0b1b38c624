package view

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/earshot-mq/earshot/internal/journal"
	"github.com/earshot-mq/earshot/internal/testenv"
	"github.com/earshot-mq/earshot/publisher/record"
)

// chain is a publisher's journal on one machine, and on another a store that follows it with
// its log file. The power of both is cut, and their processes die, again and again.
type chain struct {
	t    *testing.T
	rnd  *rand.Rand
	p    *testenv.Power
	pub  string
	sub  string
	f    *Format
	said map[record.ID]string

	log    *journal.Log
	synced map[record.Run]uint64 // below: the publisher has synced it
	next   map[record.Run]uint64 // of this opening

	store     *journal.Log
	view      *File
	reader    *journal.Reader
	committed map[record.Run]uint64 // below: a store's sync that began later was good

	cuts, gaps int
}

const chainStream = "q7k3v9x2m1t8w"

func newChain(t *testing.T, seed uint64) *chain {
	t.Helper()
	f, err := ParseFormat("text", nil)
	if err != nil {
		t.Fatal(err)
	}
	p := testenv.NewPower(t)
	c := &chain{
		t: t, rnd: rand.New(rand.NewPCG(seed, 9)), p: p, pub: filepath.Join(p.Root, "publisher"), sub: filepath.Join(p.Root, "subscriber"), f: f,
		said: map[record.ID]string{}, synced: map[record.Run]uint64{}, committed: map[record.Run]uint64{},
	}
	c.openPublisher()
	c.openSubscriber()
	return c
}

func (c *chain) ok(err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
}

func (c *chain) openPublisher() {
	c.t.Helper()
	var err error
	c.log, err = journal.Open(c.pub, journal.Options{SegmentBytes: 8 << 10})
	c.ok(err)
	_, err = journal.EndRuns(c.pub, c.log)
	c.ok(err)
	c.next = map[record.Run]uint64{}
}

// openSubscriber starts the subscriber: it has what it committed, and its log file in the end
// shows what it has.
func (c *chain) openSubscriber() {
	c.t.Helper()
	var err error
	c.store, err = journal.Open(filepath.Join(c.sub, "store"), journal.Options{Arrivals: true, SegmentBytes: 8 << 10})
	c.ok(err)
	for run, next := range c.committed {
		if cur, _ := c.store.Cursor(run); cur.Next < next {
			c.t.Fatalf("%s: the store has what is below %d, and has committed %d", run, cur.Next, next)
		}
	}
	c.view, err = OpenFile(c.store, FileOptions{
		Path: filepath.Join(c.sub, "logs", "subscriber.log"), Checkpoint: filepath.Join(c.sub, "views", "log"), Format: c.f,
		RotateBytes: 32 << 10, Keep: 100_000, FreeFloor: 1e-9,
	})
	c.ok(err)
	c.reader = c.store.Reader(c.view.next)
}

// publish appends a batch, which the store may get before anything is synced.
func (c *chain) publish() {
	c.t.Helper()
	run := record.Run{Stream: chainStream, Epoch: c.log.Epoch()}
	first := max(c.next[run], 1)
	n := 1 + c.rnd.IntN(4)
	var lines []byte
	for i := range n {
		id := record.ID{Run: run, Seq: first + uint64(i)}
		start := len(lines)
		lines = record.Append(lines, &record.Record{
			ID: id, Source: "/downcase", Time: time.Unix(1e9, c.rnd.Int64N(1e9)), Subject: "/downcase/",
			HTTP: record.HTTP{Method: "GET", Path: "/downcase/", Status: 200, Body: fmt.Appendf(nil, "%d %0*d", id.Seq, 1+c.rnd.IntN(600), 0), BodyKind: record.BodyText},
		})
		c.said[id] = string(lines[start:])
	}
	raw := journal.AppendBatch(nil, run, first, n, lines)
	e := journal.Entry{Kind: journal.KindBatch, Run: run, First: first, Last: first + uint64(n) - 1, Lines: raw[len(raw)-len(lines):], Raw: raw}
	_, err := c.log.Append(e)
	c.ok(err)
	c.next[run] = e.Last + 1
	if at, known := c.store.Cursor(run); c.rnd.IntN(2) == 0 && (known && at.Next == first || !known && first == 1) {
		_, err := c.store.Append(e)
		c.ok(err)
	}
}

// fetch appends to the store what it lacks of every run.
func (c *chain) fetch() {
	c.t.Helper()
	for _, offered := range c.log.Runs() {
		run := offered.Run()
		at := uint64(1)
		if cur, known := c.store.Cursor(run); known {
			at = cur.Next
		}
		data, _, err := c.log.Read(nil, run, at, 1<<20)
		var hole *journal.Hole
		if errors.As(err, &hole) {
			if hole.From < c.synced[run] {
				c.t.Fatalf("%s: %d to %d are missing, and below %d was synced", run, hole.From, hole.To, c.synced[run])
			}
			c.gaps++
			_, err = c.store.Append(journal.NewGap(run, "downcase", hole.From, hole.To, "publisher: dropped"))
		}
		c.ok(err)
		for len(data) > 0 {
			e, err := journal.Next(data)
			c.ok(err)
			data = data[len(e.Raw):]
			part := e.Skip(at)
			_, err = c.store.Append(part)
			c.ok(err)
			at = e.Last + 1
		}
	}
}

// commit syncs the store, tells the publisher, and has that drop what need not be kept.
func (c *chain) commit() {
	c.t.Helper()
	next := map[record.Run]uint64{}
	for _, cur := range c.store.Runs() {
		next[cur.Run()] = cur.Next
	}
	c.ok(c.store.Sync())
	c.committed = next
	_, err := c.log.Retain(journal.Retention{MaxBytes: 16 << 10, Refuse: true, Committed: func(run record.Run) (uint64, bool) { return next[run], true }})
	c.ok(err)
}

func (c *chain) step() {
	c.t.Helper()
	switch c.rnd.IntN(12) {
	default:
		c.publish()
	case 0, 1:
		next := maps.Clone(c.next)
		c.ok(c.log.Sync())
		maps.Copy(c.synced, next)
	case 2, 3:
		c.fetch()
	case 4:
		c.commit()
	case 5:
		c.ok(errors.Join(c.store.Ahead(), c.log.Ahead()))
	case 6:
		c.ok(c.view.show(c.reader))
	case 7:
		c.ok(c.view.show(c.reader))
		tidy(c.view, func() { c.fetch(); c.ok(c.view.show(c.reader)) })
	}
}

// fault ends one of both processes, and mostly takes its machine's power.
func (c *chain) fault() {
	c.t.Helper()
	root := c.sub
	if c.rnd.IntN(2) == 0 {
		root = c.pub
	} else {
		_ = c.reader.Close()
		_ = c.view.Close()
	}
	if c.rnd.IntN(4) > 0 {
		c.cuts++
		c.p.Cut(c.rnd, root)
	}
	if root == c.pub {
		c.openPublisher()
	} else {
		c.openSubscriber()
	}
}

// judge lets the subscriber have everything, and compares.
func (c *chain) judge() {
	c.t.Helper()
	for range 10 {
		c.fetch()
	}
	c.ok(c.view.show(c.reader))
	tidy(c.view, func() {})
	next := map[record.Run]uint64{}
	var want []byte
	r := c.store.Reader(1)
	defer r.Close()
	c.ok(r.Read(func(e *journal.Entry, n uint64) error {
		if first := max(next[e.Run], 1); e.First != first {
			return fmt.Errorf("%s: %d to %d where %d should begin", e.Run, e.First, e.Last, first)
		}
		next[e.Run] = e.Last + 1
		if e.Kind == journal.KindGap {
			want = c.f.AppendGap(want, Gap{Time: e.Time, Run: e.Run, Service: e.Service, First: e.First, Last: e.Last, Reason: e.Reason})
			return nil
		}
		seq := e.First
		for line := range e.Records() {
			if id := (record.ID{Run: e.Run, Seq: seq}); c.said[id] != string(line) {
				return fmt.Errorf("%s is %q, and was %q", id, line, c.said[id])
			}
			want = c.f.Append(want, line)
			seq++
		}
		return nil
	}))
	for run, synced := range c.synced {
		if next[run] < synced {
			c.t.Fatalf("%s: the store ends below %d, the publisher has synced %d", run, next[run], synced)
		}
	}
	var got []byte
	for _, path := range append(c.view.left(), c.view.o.Path) {
		b, err := os.ReadFile(path)
		c.ok(err)
		got = append(got, b...)
	}
	if !bytes.Equal(got, want) {
		at := 0
		for at < min(len(got), len(want)) && got[at] == want[at] {
			at++
		}
		c.t.Fatalf("the log has %d lines, the store %d; they differ in line %d", bytes.Count(got, newline), bytes.Count(want, newline), bytes.Count(want[:at], newline)+1)
	}
}

// TestPowerCutsOfTheChain cuts a publisher and a subscriber at random: no number gets two
// contents, nothing committed or synced is lost, no line of the log file is missing or there
// twice.
func TestPowerCutsOfTheChain(t *testing.T) {
	worlds := uint64(12)
	if testenv.Long {
		worlds = 120
	}
	seed := testenv.Seed(t)
	cuts, records, gaps := 0, 0, 0
	for world := range worlds {
		c := newChain(t, seed+world)
		for range 25 {
			for range c.rnd.IntN(30) {
				c.step()
			}
			c.fault()
		}
		c.judge()
		cuts, records, gaps = cuts+c.cuts, records+len(c.said), gaps+c.gaps
	}
	t.Logf("%d cuts, %d records, %d gaps", cuts, records, gaps)
}
