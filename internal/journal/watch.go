package journal

import (
	"bytes"
	"time"

	"github.com/earshot-mq/earshot/publisher/record"
)

// Unsynced is how many bytes were written and are in no good fsync yet: what a power cut may
// take.
func (l *Log) Unsynced() (n int64) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	for _, s := range l.segs {
		n += max(s.Size-s.synced, 0)
	}
	return n
}

// SyncWatch tells when fsyncs of a log get stuck. It is for one goroutine.
type SyncWatch struct {
	syncs uint64
	since time.Time
}

// syncStuck is how long something may wait for an fsync without being a trouble.
const syncStuck = 3 * time.Second

// Stuck is how many bytes wait for an fsync, and for how long none has ended well; 0 unless
// that is long. syncs counts those that did. Call it once a second or so.
func (w *SyncWatch) Stuck(l *Log, syncs uint64, now time.Time) (n int64, since time.Duration) {
	n = l.Unsynced()
	if n == 0 || l.o.NoSync || syncs != w.syncs || w.since.IsZero() {
		w.syncs, w.since = syncs, now
	}
	if since = now.Sub(w.since); since < syncStuck {
		return 0, 0
	}
	return n, since
}

// Rate is how fast the log grows, in bytes a second, by what is in it of the last day; and
// how old its oldest entry is of all. Both are 0 of an empty log. It reads the beginning of
// two segments.
func (l *Log) Rate(now time.Time) (bytesPerSecond float64, oldest time.Duration, err error) {
	written, from, _, err := l.Written(now.Add(-24 * time.Hour))
	if err != nil {
		return 0, 0, err
	}
	if written > 0 {
		bytesPerSecond = float64(written) / max(now.Sub(from), time.Second).Seconds()
	}
	all, from, _, err := l.Written(time.Time{})
	if err != nil || all == 0 {
		return bytesPerSecond, 0, err
	}
	return bytesPerSecond, max(now.Sub(from), 0), nil
}

// TimeOf is when record number n was made, by one that data has, which Read gave: n itself,
// or the first behind it. ok is false when there is none.
func TimeOf(data []byte, n uint64) (at time.Time, ok bool) {
	for len(data) > 0 {
		e, err := Next(data)
		if err != nil {
			return at, false
		}
		data = data[len(e.Raw):]
		if e.Kind != KindBatch || e.Last < n {
			continue
		}
		rest := e.Skip(n)
		line, err := record.Scan(rest.Lines[:bytes.IndexByte(rest.Lines, '\n')+1])
		return line.Time, err == nil
	}
	return at, false
}
