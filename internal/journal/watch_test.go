package journal

import (
	"errors"
	"os"
	"testing"
	"time"

	"github.com/earshot-mq/earshot/publisher/record"
)

// made is a batch of records of which number i was made i seconds after began.
func made(run record.Run, began time.Time, first, n uint64) Entry {
	var lines []byte
	for i := first; i < first+n; i++ {
		lines = record.Append(lines, &record.Record{ID: record.ID{Run: run, Seq: i}, Type: "note", Time: began.Add(time.Duration(i) * time.Second)})
	}
	raw := AppendBatch(nil, run, first, int(n), lines)
	return Entry{Kind: KindBatch, Run: run, First: first, Last: first + n - 1, Lines: raw[len(raw)-len(lines):], Raw: raw}
}

// What is not synced is counted until an fsync ends well, and is a trouble when none does.
func TestStuckSync(t *testing.T) {
	l, err := Open(t.TempDir(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	now := time.Now()
	e := made(record.Run{Stream: NewID(), Epoch: l.Epoch()}, now, 1, 3)
	if _, err := l.Append(e); err != nil {
		t.Fatal(err)
	}
	n := l.Unsynced()
	if n < int64(len(e.Raw)) {
		t.Errorf("%d bytes are not synced, want %d at least", n, len(e.Raw))
	}
	var w SyncWatch
	stuck := func(after time.Duration, syncs uint64, want int64) {
		t.Helper()
		if got, _ := w.Stuck(l, syncs, now.Add(after)); got != want {
			t.Errorf("after %s and %d syncs %d bytes are stuck, want %d", after, syncs, got, want)
		}
	}
	stuck(0, 0, 0)
	stuck(syncStuck-1, 0, 0)
	stuck(syncStuck, 0, n)
	stuck(syncStuck+1, 1, 0) // one ended well, and more was written since
	stuck(2*syncStuck+1, 1, n)
	if err := l.Sync(); err != nil {
		t.Fatal(err)
	}
	if got := l.Unsynced(); got != 0 {
		t.Errorf("%d bytes are not synced after a Sync", got)
	}
	stuck(3*syncStuck, 1, 0)
	l.fsync = func(*os.File) error { return errors.New("no") }
	if _, err := l.Append(made(e.Run, now, 4, 1)); err != nil {
		t.Fatal(err)
	}
	if err := l.Sync(); err == nil || l.Unsynced() == 0 {
		t.Errorf("Sync = %v, and %d bytes are not synced", err, l.Unsynced())
	}
}

func TestRateAndTimes(t *testing.T) {
	l, err := Open(t.TempDir(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	now := time.Now()
	if rate, oldest, err := l.Rate(now); rate != 0 || oldest != 0 || err != nil {
		t.Errorf("Rate of an empty log = %v, %v, %v", rate, oldest, err)
	}
	run := record.Run{Stream: NewID(), Epoch: l.Epoch()}
	for first := uint64(1); first < 1000; first += 10 {
		if _, err := l.Append(made(run, now.Add(-2000*time.Second), first, 10)); err != nil {
			t.Fatal(err)
		}
	}
	rate, oldest, err := l.Rate(now)
	if want := float64(l.Bytes()) / 1999; err != nil || rate < want*0.99 || rate > want*1.01 || oldest.Round(time.Second) != 1999*time.Second {
		t.Errorf("Rate = %.2f bytes/s, %v, %v, want %.2f and 1999s", rate, oldest, err, want)
	}
	for _, n := range []uint64{1, 5, 555, 1000} {
		data, _, err := l.Read(nil, run, n, 1)
		if err != nil {
			t.Fatal(err)
		}
		if at, ok := TimeOf(data, n); !ok || now.Sub(at).Round(time.Second) != time.Duration(2000-n)*time.Second {
			t.Errorf("record %d is of %v ago, %v", n, now.Sub(at), ok)
		}
	}
	if _, ok := TimeOf([]byte("nonsense"), 1); ok {
		t.Error("nonsense has a time")
	}
}

// A log that is being written can be asked how fast it grows.
func TestRateWhileWritten(t *testing.T) {
	l, err := Open(t.TempDir(), Options{Arrivals: true})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	run := record.Run{Stream: NewID(), Epoch: 1}
	done := make(chan error, 1)
	go func() {
		var err error
		for n := uint64(1); n <= 500 && err == nil; n++ {
			_, err = l.Append(made(run, time.Now(), n, 1))
		}
		done <- err
	}()
	for {
		if _, _, err := l.Rate(time.Now()); err != nil {
			t.Error(err)
		}
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
			return
		default:
		}
	}
}
