package view

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/earshot-mq/earshot/internal/journal"
	"github.com/earshot-mq/earshot/internal/problem"
	"github.com/earshot-mq/earshot/publisher/record"
)

// Positioned is a Source that knows its ends.
type Positioned interface {
	Source
	Arrival() uint64
	OldestArrival() uint64
}

// Tail serves the store as server-sent events, in order of arrival and as it arrives:
// history and present are one reading, so nothing is missing or twice where they meet.
// An event's data is a record's line, or a gap as the format json has it; its id is the
// store's id and the arrival after it, from which a client goes on with Last-Event-ID.
//
//	GET /v1/tail            from now on
//	GET /v1/tail?lines=10   and the last ten before
//	GET /v1/tail?from=1     from that arrival on
//
// A client that does not read holds up nobody but itself.
func Tail(src Positioned, storeID string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		from, err := tailFrom(src, storeID, r)
		if err != nil {
			problem.Write(w, problem.Document{Status: http.StatusBadRequest, Detail: err.Error()})
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		w.Header().Set("Cache-Control", "no-store")
		w.WriteHeader(http.StatusOK)
		follow(w, r, src, storeID, from)
	})
}

func tailFrom(src Positioned, storeID string, r *http.Request) (uint64, error) {
	if last := r.Header.Get("Last-Event-ID"); last != "" {
		id, n, _ := strings.Cut(last, ".")
		from, err := strconv.ParseUint(n, 10, 64)
		if err != nil || id != storeID {
			return 0, fmt.Errorf("Last-Event-ID %q is none of this store, whose ids begin with %s", last, storeID)
		}
		return from, nil
	}
	q := r.URL.Query()
	if v := q.Get("from"); v != "" {
		from, err := strconv.ParseUint(v, 10, 64)
		if err != nil || from == 0 {
			return 0, fmt.Errorf("from=%q is no arrival: a number from 1", v)
		}
		return from, nil
	}
	now := src.Arrival()
	if v := q.Get("lines"); v != "" {
		n, err := strconv.ParseUint(v, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("lines=%q is no number", v)
		}
		return now - min(n, now-src.OldestArrival()), nil
	}
	return now, nil
}

// heartbeat keeps proxies from closing a silent stream.
const heartbeat = 15 * time.Second

func follow(w http.ResponseWriter, r *http.Request, src Positioned, storeID string, from uint64) {
	rc := http.NewResponseController(w)
	reader := src.Reader(from)
	defer reader.Close()
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	var buf []byte
	for {
		changed := src.Changed()
		err := reader.Read(func(e *journal.Entry, n uint64) error {
			buf = appendEvents(buf[:0], e, n, from, storeID)
			if r.Context().Err() != nil {
				return r.Context().Err()
			}
			_, err := w.Write(buf)
			return err
		})
		if err != nil || rc.Flush() != nil {
			return
		}
		select {
		case <-r.Context().Done():
			return
		case <-changed:
		case <-beat.C:
			if _, err := w.Write([]byte(":\n\n")); err != nil {
				return
			}
		}
	}
}

func appendEvents(buf []byte, e *journal.Entry, n, from uint64, storeID string) []byte {
	event := func(data []byte) {
		buf = append(buf, "id: "...)
		buf = append(buf, storeID...)
		buf = append(buf, '.')
		buf = strconv.AppendUint(buf, n+1, 10)
		buf = append(buf, "\ndata: "...)
		buf = append(buf, data...)
		buf = append(buf, '\n') // the line has its own line feed
	}
	if e.Kind == journal.KindGap {
		g := Gap{Time: e.Time, Run: e.Run, Service: e.Service, First: e.First, Last: e.Last, Reason: e.Reason}
		event(jsonGap(nil, &g))
		return buf
	}
	for line := range e.Records() {
		if n >= from {
			event(line)
		}
		n++
	}
	return buf
}

// AppendEvent renders the data of an event of Tail: a record, or a gap.
func (f *Format) AppendEvent(dst, data []byte) []byte {
	if !bytes.HasPrefix(data, []byte(`{"gap":`)) {
		return f.Append(dst, data)
	}
	var e struct {
		Gap struct {
			Time                           time.Time
			Service, Stream, Epoch, Reason string
			First, Last                    uint64
		}
	}
	if err := json.Unmarshal(data, &e); err != nil {
		return f.Append(dst, data)
	}
	g := Gap{Time: e.Gap.Time, Run: record.Run{Stream: e.Gap.Stream}, Service: e.Gap.Service, First: e.Gap.First, Last: e.Gap.Last, Reason: e.Gap.Reason}
	g.Run.Epoch, _ = record.ParseEpoch(e.Gap.Epoch) // shown as zero when it is none
	return f.AppendGap(dst, g)
}
