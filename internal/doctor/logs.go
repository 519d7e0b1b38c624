package doctor

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/earshot-mq/earshot/internal/config"
	"github.com/earshot-mq/earshot/internal/journal"
)

// Running is what a process that runs tells of its journal.
type Running struct {
	Bytes   int64         // on disk now
	Bound   int64         // of these
	Written int64         // bytes since its start
	Up      time.Duration // since then
}

// today is how far a rate looks back.
const today = 24 * time.Hour

// least is how long a journal should last at today's rate: a subscriber may be away for
// an hour.
const least = time.Hour

// Journals looks at the journals in the data folder: what they hold, and for how long
// their bound lasts at today's rate while no store takes anything. maxBytes is the bound
// that is configured, 0 for the default; run is what a running process tells, or nil.
// newest is when a record was written last, zero if there is none.
func Journals(data string, maxBytes int64, run *Running, now time.Time) (f Finding, newest time.Time) {
	f = Finding{Check: "journals", Status: OK}
	dir := filepath.Join(data, "journals")
	if _, err := os.ReadDir(dir); err != nil && !missing(err) {
		return f.unread(err, data), time.Time{}
	}
	h, err := look(journal.Below(dir), now)
	if err != nil {
		return f.unread(err, data), time.Time{}
	}
	bound := bounded(data, maxBytes, 0.1, 16<<30)
	if run != nil {
		bound = run.Bound
		if h.logs == 0 { // they are elsewhere
			h.logs, h.bytes = 1, run.Bytes
		}
		if run.Written > 0 && run.Up <= today {
			h.written, h.during = run.Written, run.Up
		}
	}
	f.Found = "no traffic yet: nobody has written a journal"
	if h.logs > 0 {
		each := "1 journal"
		if h.logs > 1 {
			each = fmt.Sprintf("%d journals, each", h.logs)
		}
		f.Found = fmt.Sprintf("%s in %s of at most %s", config.Size(h.bytes).Approx(), each, config.Size(bound).Approx())
	}
	f.lasts(&h, bound, "full in %s if no store takes anything")
	if d := h.lasts(bound); d > 0 && d < least {
		f.Status = Note
		f.Fix = "raise --journal-max-bytes, or take a larger disk: what a subscriber misses for longer is lost"
	}
	return f, h.newest
}

// Store looks at the store in the data folder, as Journals does at them.
func Store(data string, maxBytes int64, now time.Time) (f Finding, newest time.Time) {
	f = Finding{Check: "store", Status: OK}
	dir := filepath.Join(data, "store")
	if _, err := os.Stat(dir); err != nil && missing(err) {
		f.Found = "there is none yet"
		return f, time.Time{}
	}
	h, err := look([]string{dir}, now)
	if err != nil {
		return f.unread(err, data), time.Time{}
	}
	bound := bounded(data, maxBytes, 0.5, 1<<60)
	f.Found = fmt.Sprintf("%s of at most %s", config.Size(h.bytes).Approx(), config.Size(bound).Approx())
	f.lasts(&h, bound, "it keeps what %s bring")
	return f, h.newest
}

// missing tells whether there is no such folder, or can't be, which Folder tells of.
func missing(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)
}

func (f *Finding) unread(err error, data string) Finding {
	f.Status, f.Found = Fails, err.Error()
	f.Fix = fmt.Sprintf("look as the user who has %s", data)
	if errors.Is(err, journal.ErrVersion) {
		f.Fix = "a later version of Earshot wrote it: use that one"
	}
	return *f
}

// lasts adds the rate, and in words how long the bound lasts.
func (f *Finding) lasts(h *held, bound int64, words string) {
	f.Facts = map[string]any{"logs": h.logs, "bytes": h.bytes, "bound_bytes": bound}
	switch {
	case h.bytes == 0 && h.logs > 0:
		f.Found += "; no traffic yet"
	case h.written == 0 && h.logs > 0:
		f.Found += "; no traffic today"
	case h.logs > 0:
		d := h.lasts(bound)
		f.Facts["bytes_per_second"], f.Facts["lasts_seconds"] = h.rate(), int64(d/time.Second)
		f.Found += fmt.Sprintf("; %s/s in the last %s: "+words, config.Size(h.rate()).Approx(), rough(h.during), rough(d))
	}
}

// held is what logs have, and what of it is of today.
type held struct {
	logs    int
	bytes   int64
	written int64         // bytes within during
	during  time.Duration // up to now, at least a second
	newest  time.Time
}

func (h *held) rate() float64 { return float64(h.written) / h.during.Seconds() }

// lasts is how long bound bytes last; 0 without a rate.
func (h *held) lasts(bound int64) time.Duration {
	if h.written == 0 {
		return 0
	}
	const most = 200 * 365 * 24 * time.Hour
	return time.Duration(min(float64(bound)/h.rate(), most.Seconds()) * float64(time.Second))
}

// look opens logs without changing them. A process may be writing them.
func look(dirs []string, now time.Time) (h held, err error) {
	began := now
	for _, dir := range dirs {
		log, err := journal.Open(dir, journal.Options{ReadOnly: true})
		if err != nil {
			return h, err
		}
		written, from, newest, err := log.Written(now.Add(-today))
		if err != nil {
			return h, err
		}
		if written > 0 && from.Before(began) {
			began = from
		}
		if newest.After(h.newest) {
			h.newest = newest
		}
		h.logs++
		h.bytes += log.Bytes()
		h.written += written
	}
	h.during = max(now.Sub(began), time.Second)
	return h, nil
}

// bounded is the bound of logs below data.
func bounded(data string, configured int64, share float64, most int64) int64 {
	if configured > 0 {
		return configured
	}
	bound, _ := journal.Bound(existing(data), share, 256<<20, most) // Disk tells of the error
	return bound
}
