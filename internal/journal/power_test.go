package journal

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/earshot-mq/earshot/internal/durable"
	"github.com/earshot-mq/earshot/internal/testenv"
	"github.com/earshot-mq/earshot/publisher/record"
)

// said is a batch of run whose lines also hold a word, so that two contents of one number
// differ.
func said(run record.Run, first uint64, count, word int) Entry {
	var lines []byte
	for i := range count {
		lines = fmt.Appendf(lines, "{\"specversion\":\"1.0\",\"id\":\"%s/%d\",\"word\":\"%d %0*d\"}\n", run, first+uint64(i), word, 1+word%900, 0)
	}
	raw := AppendBatch(nil, run, first, count, lines)
	return Entry{Kind: KindBatch, Run: run, First: first, Last: first + uint64(count) - 1, Lines: raw[len(raw)-len(lines):], Raw: raw}
}

// outage is a log on a machine whose power is cut again and again, and all that was ever
// appended to it.
type outage struct {
	t        *testing.T
	rnd      *rand.Rand
	p        *testenv.Power
	dir      string
	o        Options
	log      *Log
	said     map[record.ID]string
	next     map[record.Run]uint64
	synced   map[record.Run]uint64 // below: a Sync that began later was good
	dropped  map[record.Run]uint64 // below: the retention has dropped it
	touched  map[record.Run]bool   // by this opening
	epochs   map[record.Epoch]int
	arrivals []record.ID // of a store, in order
	durable  int         // so many of them
	word     int
	failing  bool
	holes    int
	lost     int
}

func newOutage(t *testing.T, seed uint64, o Options) *outage {
	p := testenv.NewPower(t)
	return &outage{
		t: t, rnd: rand.New(rand.NewPCG(seed, 7)), p: p, dir: filepath.Join(p.Root, "journals", "downcase", "0000000000000"), o: o,
		said: map[record.ID]string{}, next: map[record.Run]uint64{}, synced: map[record.Run]uint64{},
		dropped: map[record.Run]uint64{}, epochs: map[record.Epoch]int{},
	}
}

// open begins an opening: with an epoch that never was, and with all that a cut may not take.
func (o *outage) open() {
	o.t.Helper()
	claim, err := Take(o.dir)
	if err != nil {
		o.t.Fatal(err)
	}
	if err := claim.Release(); err != nil {
		o.t.Fatal(err)
	}
	o.log = open(o.t, o.dir, o.o)
	if _, err := EndRuns(o.dir, o.log); err != nil {
		o.t.Fatal(err)
	}
	o.log.fsync = func(f *os.File) error {
		if o.failing && o.rnd.IntN(2) == 0 {
			return errors.New("input/output error")
		}
		return durable.Data(f)
	}
	o.check()
	o.touched = map[record.Run]bool{}
	if e := o.log.Epoch(); o.epochs[e] > 0 {
		o.t.Fatalf("epoch %s a second time", e)
	} else {
		o.epochs[e] = len(o.epochs) + 1
	}
}

// check compares what is there with all that was said.
func (o *outage) check() {
	o.t.Helper()
	if o.o.Arrivals {
		o.checkArrivals()
	}
	for run, next := range o.next {
		if run.Epoch > 1<<20 && o.epochs[run.Epoch] < len(o.epochs)-20 {
			delete(o.next, run) // looked at often enough
			continue
		}
		from, readable := uint64(1), uint64(0)
		for from < next {
			data, to, err := o.log.Read(nil, run, from, 1<<14)
			var h *Hole
			if errors.As(err, &h) {
				if h.To >= o.dropped[run] && max(h.From, o.dropped[run]) < o.synced[run] {
					o.t.Fatalf("%s: %d to %d are missing; synced is what is below %d, dropped below %d", run, h.From, h.To, o.synced[run], o.dropped[run])
				}
				o.holes++
				from = h.To + 1
				continue
			}
			if err != nil {
				o.t.Fatal(err)
			}
			if to == from {
				break
			}
			o.compare(data)
			from, readable = to, to
		}
		// Without any sync a segment's index may have survived of what the segment lost, and
		// lead behind the bad bytes.
		if c, ok := o.log.Cursor(run); ok && (c.Next > from || c.Next < from && !o.o.NoSync) {
			o.t.Fatalf("%s: the cursor says %d, and %d can be read", run, c.Next, from)
		}
		if readable < o.synced[run] && o.dropped[run] < o.synced[run] {
			o.t.Fatalf("%s: up to %d is there, synced is what is below %d", run, readable, o.synced[run])
		}
		o.lost += int(next - from)
		if o.o.Arrivals {
			o.next[run] = from // and will be stored again
		}
	}
}

// compare asks that each line of some entries is what was said.
func (o *outage) compare(data []byte) {
	o.t.Helper()
	for len(data) > 0 {
		e, err := Next(data)
		if err != nil {
			o.t.Fatal(err)
		}
		data = data[len(e.Raw):]
		n := e.First
		for line := range e.Records() {
			if id := (record.ID{Run: e.Run, Seq: n}); o.said[id] != string(line) {
				o.t.Fatalf("%s is %q, and was %q", id, line, o.said[id])
			}
			n++
		}
	}
}

// checkArrivals asks that the log of a store begins with all that was synced, in its order,
// and stands in each run where that ends.
func (o *outage) checkArrivals() {
	o.t.Helper()
	var got []record.ID
	r := o.log.Reader(1)
	defer r.Close()
	err := r.Read(func(e *Entry, n uint64) error {
		if n != uint64(len(got))+1 {
			return fmt.Errorf("arrival %d comes after %d", n, len(got))
		}
		for i := range e.Count() {
			got = append(got, record.ID{Run: e.Run, Seq: e.First + i})
		}
		return nil
	})
	if err != nil {
		o.t.Fatal(err)
	}
	if len(got) < o.durable || int(o.log.Arrival()) != len(got)+1 {
		o.t.Fatalf("%d arrivals, %d were synced, the next is %d", len(got), o.durable, o.log.Arrival())
	}
	next := map[record.Run]uint64{}
	for i, id := range got {
		if id != o.arrivals[i] {
			o.t.Fatalf("arrival %d is %s, and was %s", i+1, id, o.arrivals[i])
		}
		next[id.Run] = id.Seq + 1
	}
	for _, c := range o.log.Runs() {
		if c.Next != next[c.Run()] {
			o.t.Fatalf("%s: the cursor says %d, the next is %d", c.Run(), c.Next, next[c.Run()])
		}
	}
	for run, n := range next {
		if c, ok := o.log.Cursor(run); !ok || c.Next != n {
			o.t.Fatalf("%s: no cursor, the next is %d", run, n)
		}
	}
	o.arrivals = got
}

// step does one of the things that a process does with its log.
func (o *outage) step() {
	o.t.Helper()
	switch o.rnd.IntN(16) {
	default:
		o.append()
	case 0, 1, 2:
		o.failing = o.rnd.IntN(8) == 0
		now := maps.Clone(o.synced)
		for run := range o.touched {
			now[run] = o.next[run]
		}
		arrivals := len(o.arrivals)
		if err := o.log.Sync(); err == nil && !o.o.NoSync {
			o.synced, o.durable = now, arrivals
		}
		o.failing = false
	case 3:
		if err := o.log.Ahead(); err != nil {
			o.t.Fatal(err)
		}
	case 4:
		if o.o.Arrivals {
			return
		}
		dropped, err := o.log.Retain(Retention{MaxBytes: 48 << 10})
		if err != nil {
			o.t.Fatal(err)
		}
		for _, d := range dropped {
			o.dropped[d.Run] = max(o.dropped[d.Run], d.Last+1)
		}
	}
}

func (o *outage) append() {
	o.t.Helper()
	run := record.Run{Stream: []string{runA.Stream, runB.Stream}[o.rnd.IntN(2)], Epoch: o.log.Epoch()}
	if o.o.Arrivals { // a store goes on with the runs of publishers
		run.Epoch = record.Epoch(1 + o.rnd.IntN(6))
	}
	o.word++
	first := uint64(1)
	if c, ok := o.log.Cursor(run); ok {
		first = c.Next
	}
	e := said(run, first, 1+o.rnd.IntN(4), o.word)
	es := []Entry{e}
	if first == 1 && !o.o.Arrivals {
		es = []Entry{newEpoch(run, "downcase", durable.BootID(), time.Now()), e}
	}
	if _, err := o.log.Append(es...); err != nil {
		o.t.Fatal(err)
	}
	n := first
	for line := range e.Records() {
		id := record.ID{Run: run, Seq: n}
		o.said[id] = string(line)
		o.arrivals = append(o.arrivals, id)
		n++
	}
	o.next[run] = n
	o.touched[run] = true
}

// cut ends the process and takes the power away, or only one of both.
func (o *outage) cut() {
	o.t.Helper()
	for _, f := range o.log.files() {
		_ = f.Close()
	}
	if o.rnd.IntN(4) > 0 {
		o.p.Cut(o.rnd, o.p.Root)
	}
}

// files are those that the log has open.
func (l *Log) files() (all []*os.File) {
	for _, f := range []*os.File{l.f, l.ahead} {
		if f != nil {
			all = append(all, f)
		}
	}
	for _, r := range l.rolled {
		all = append(all, r.f)
	}
	return all
}

// TestPowerCuts takes the power from a machine again and again. Whatever a cut leaves of the
// files, what was synced is there with its own content, a number never gets another one, and
// a store's log goes on where what is left of it ends.
func TestPowerCuts(t *testing.T) {
	cuts := 300
	if testenv.Long {
		cuts = 3000
	}
	for name, options := range map[string]Options{
		"publisher": {SegmentBytes: 8 << 10},
		"never":     {SegmentBytes: 8 << 10, NoSync: true},
		"store":     {SegmentBytes: 8 << 10, Arrivals: true},
	} {
		t.Run(name, func(t *testing.T) {
			seed := testenv.Seed(t)
			records, lost, holes := 0, 0, 0
			for world := range uint64(50) {
				o := newOutage(t, seed+world, options)
				for range cuts / 50 {
					o.open()
					for range o.rnd.IntN(40) {
						o.step()
					}
					o.cut()
				}
				o.open()
				records, lost, holes = records+len(o.said), lost+o.lost, holes+o.holes
			}
			if lost == 0 {
				t.Error("no cut has taken anything")
			}
			t.Logf("%d records; each opening missed what was lost before it: %d, with %d holes", records, lost, holes)
		})
	}
}
