package e2e_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/earshot-mq/earshot/internal/drill"
	"github.com/earshot-mq/earshot/internal/journal"
	"github.com/earshot-mq/earshot/internal/metric"
	"github.com/earshot-mq/earshot/internal/testenv"
	"github.com/earshot-mq/earshot/internal/zmq"
	"github.com/earshot-mq/earshot/publisher"
	"github.com/earshot-mq/earshot/publisher/record"
	"github.com/earshot-mq/earshot/subscriber"
	"github.com/earshot-mq/earshot/subscriber/view"
)

// sealed is a segment of a journal that is not written any more.
type sealed struct {
	path    string
	text    []byte
	batches []placed
}

// placed is a batch of a segment, from off on.
type placed struct {
	journal.Entry
	off int
}

// sealedOf lists the segments of the one journal in a folder that are closed.
func sealedOf(t *testing.T, dir string) (all []sealed) {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "*", "*.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		s := sealed{path: path}
		if s.text, err = os.ReadFile(path); err != nil {
			t.Fatal(err)
		}
		for off := 0; off < len(s.text); {
			e, err := journal.Next(s.text[off:])
			if err != nil {
				t.Fatalf("%s at %d: %v", path, off, err)
			}
			if e.Kind == journal.KindBatch {
				s.batches = append(s.batches, placed{e, off})
			}
			off += len(e.Raw)
		}
		all = append(all, s)
	}
	return all
}

// flip changes one bit of a segment's file, where it lies.
func (s *sealed) flip(t *testing.T, off int) {
	t.Helper()
	f, err := os.OpenFile(s.path, os.O_WRONLY, 0)
	if err == nil {
		_, err = f.WriteAt([]byte{s.text[off] ^ 1}, int64(off))
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestBadByteOfAJournal has bytes of a publisher's closed segments go bad before its first
// subscriber comes. That one fetches, hears which numbers can't be read, and has a gap of
// exactly those in its store and in its log; all other records it has once, in order.
func TestBadByteOfAJournal(t *testing.T) {
	inLines := func(b placed) int { return b.off + len(b.Raw) - len(b.Lines)/2 }
	inHeader := func(b placed) int { return b.off + bytes.Index(b.Raw, []byte(`"count":`)) }
	type bad struct {
		segment, batch int // a negative batch is counted from the end
		at             func(placed) int
	}
	for name, c := range map[string]struct {
		again bool // the publisher is started again meanwhile
		bad   []bad
	}{
		"a record":                    {false, []bad{{1, 5, inLines}}},
		"the line of a batch":         {true, []bad{{1, 5, inHeader}}},
		"the first batch of all":      {true, []bad{{0, 0, inLines}}},
		"the last one of a segment":   {false, []bad{{1, -1, inHeader}}},
		"an end and a next beginning": {false, []bad{{0, -1, inLines}, {0, -2, inLines}, {1, 0, inLines}, {1, 1, inHeader}}},
		"several of two segments":     {true, []bad{{0, 3, inLines}, {2, 4, inLines}, {2, 9, inHeader}, {2, 10, inLines}}},
	} {
		t.Run(name, func(t *testing.T) {
			o := publisher.Options{Dir: filepath.Join(t.TempDir(), "journals"), MaxBytes: 16 << 20} // segments of 1 MiB
			ctx := zmqContext(t)
			p := newPublisher(t, ctx, o)
			r := run(t, p.Run)
			const each = 6000
			for range each / 100 {
				for _, service := range []string{"downcase", "gateway"} {
					many(t, stream(t, p, service), 100)
				}
			}
			testenv.Wait(t, "three closed segments", testenv.Patience, func() bool {
				paths, _ := filepath.Glob(filepath.Join(o.Dir, "*", "*.jsonl"))
				return len(paths) >= 3
			})
			if c.again {
				if err := r.stop(); err != nil {
					t.Fatal(err)
				}
			}
			segments := sealedOf(t, o.Dir)
			gone := map[record.ID]bool{}
			for _, b := range c.bad {
				s := &segments[b.segment]
				batch := s.batches[(b.batch+len(s.batches))%len(s.batches)]
				s.flip(t, b.at(batch))
				for n := batch.First; n <= batch.Last; n++ {
					gone[record.ID{Run: batch.Run, Seq: n}] = true
				}
			}
			if c.again {
				p = newPublisher(t, ctx, o)
				run(t, p.Run)
			}
			for _, service := range []string{"downcase", "gateway"} {
				many(t, stream(t, p, service), 100)
			}
			_, feed, _ := p.Endpoints()
			records := 2*(each+100) - len(gone)
			st, logs := late(t, ctx, feed, uint64(records), uint64(len(gone)))
			if fetches, trims := value(t, p.Metrics(), "earshot_replay_fetches_total"), value(t, p.Metrics(), "earshot_replay_trims_total"); fetches == 0 || trims == 0 {
				t.Errorf("%v FETCHes, %v TRIMs", fetches, trims)
			}
			exactlyGone(t, st, logs, gone, records)
		})
	}
}

// value is what a part tells by the name of a metric.
func value(t *testing.T, all []metric.Metric, name string) float64 {
	t.Helper()
	i := slices.IndexFunc(all, func(m metric.Metric) bool { return m.Name == name })
	if i < 0 {
		t.Fatalf("no metric %s", name)
	}
	return all[i].Value()
}

// late has a first subscriber, with its log, get so many records and gaps of so many, and
// stops it. It gives its folders.
func late(t *testing.T, c *zmq.Context, feed string, records, lost uint64) (storeDir, logDir string) {
	t.Helper()
	storeDir, logDir = filepath.Join(t.TempDir(), "store"), filepath.Join(t.TempDir(), "logs")
	sub, st := newSubscriber(t, c, storeDir, subscriber.Options{Connect: []string{feed}})
	format, err := view.ParseFormat("json", nil)
	if err != nil {
		t.Fatal(err)
	}
	file, err := view.OpenFile(st, view.FileOptions{
		Path: filepath.Join(logDir, "subscriber.log"), Checkpoint: filepath.Join(storeDir, "views", "log"), Format: format, FreeFloor: 1e-9, Logger: logger(t),
	})
	if err != nil {
		t.Fatal(err)
	}
	shown, heard := run(t, file.Run), run(t, sub.Run)
	testenv.Wait(t, fmt.Sprintf("%d records, and %d that are lost", records, lost), testenv.Patience, func() bool {
		return sub.Stats.Records.Load()+sub.Stats.Lost.Load() >= records+lost
	})
	for _, r := range []*running{heard, shown} {
		if err := r.stop(); err != nil {
			t.Fatal(err)
		}
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	return storeDir, logDir
}

// exactlyGone asks that a store and its log have each number of each run once, in order, as
// record or in a gap for bad bytes, and in gaps those that are gone and no others.
func exactlyGone(t *testing.T, storeDir, logDir string, gone map[record.ID]bool, records int) {
	t.Helper()
	v, err := drill.Judge(nil, &drill.Answers{}, storeDir, logDir, drill.Expect{})
	if err != nil {
		t.Fatal(err)
	}
	if v.Broken() || v.Records != records || v.Lost != uint64(len(gone)) {
		t.Errorf("%v: %q; want %d records and %d lost", v, v.Found, records, len(gone))
	}
	log, err := journal.Open(storeDir, journal.Options{Arrivals: true, ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	r := log.Reader(1)
	defer r.Close()
	err = r.Read(func(e *journal.Entry, _ uint64) error {
		for n := e.First; n <= e.Last; n++ {
			if id := (record.ID{Run: e.Run, Seq: n}); gone[id] != (e.Kind == journal.KindGap) {
				return fmt.Errorf("of %d to %d, %s is gone: %v", e.First, e.Last, id, gone[id])
			}
		}
		if e.Kind == journal.KindGap && (e.Reason != "publisher: corrupt" || e.Service == "") {
			return fmt.Errorf("the gap of %d to %d is of %q, for %q", e.First, e.Last, e.Service, e.Reason)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}
