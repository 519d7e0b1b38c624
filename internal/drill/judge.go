package drill

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/earshot-mq/earshot/publisher/record"
)

// ErrLoss says that the promise was broken.
var ErrLoss = errors.New("the promise was broken")

// Verdict is what the oracle of PROTOCOL.md 9 finds of one subscriber.
type Verdict struct {
	Answers int    // whole ones
	Cut     int    // requests that failed or were cut
	Records int    // in the store
	Lines   int    // of records, in the log files
	Retried int    // records of requests that have another one with an answer
	Missing int    // answers whose line is not in both
	Doubled int    // records that are in one of them more than once
	Lost    uint64 // declared lost, in the store
	Strange int    // whatever else must not be
	Found   []string
}

// mostFound bounds how many findings are told in words.
const mostFound = 20

func (v *Verdict) found(count *int, format string, args ...any) {
	if *count++; len(v.Found) < mostFound {
		v.Found = append(v.Found, fmt.Sprintf(format, args...))
	}
}

// String is all numbers in a line.
func (v Verdict) String() string {
	return fmt.Sprintf("answers %d (cut or refused %d), records in the store %d, lines in the log %d, missing %d, doubled %d, declared lost %d, strange %d",
		v.Answers, v.Cut, v.Records, v.Lines, v.Missing, v.Doubled, v.Lost, v.Strange)
}

// Broken tells whether the promise was broken. What is declared lost is not: a fault may
// allow it.
func (v Verdict) Broken() bool { return v.Missing+v.Doubled+v.Strange > 0 }

// Expect says what may be.
type Expect struct {
	Late  bool // the store joined when its publishers may have dropped the oldest
	Named bool // each request had an id of its client's, so each record has a request
}

// Judge compares answers, some or all of a's, with the folders of the store and of the log
// files of a subscriber that has ended, or has all that it will get.
func Judge(answers []Answer, a *Answers, storeDir, logDir string, e Expect) (Verdict, error) {
	store, err := ReadStore(storeDir)
	if err != nil {
		return Verdict{}, fmt.Errorf("drill: %w", err)
	}
	log, err := ReadLog(logDir)
	if err != nil {
		return Verdict{}, fmt.Errorf("drill: %w", err)
	}
	return judge(answers, a, store, log, e), nil
}

func judge(answers []Answer, a *Answers, store, log *Held, e Expect) Verdict {
	v := Verdict{Answers: len(answers), Cut: a.Cut(), Records: len(store.Records), Lines: len(log.Records), Lost: store.Lost}
	for _, got := range answers {
		name := got.Record
		if inStore, inLog := store.has(name), log.has(name); (inStore == 0 || inLog == 0) && !store.inGap(name) {
			v.found(&v.Missing, "answer %s (request %s, status %d): in the store %d times, in the log %d", name, got.Request, got.Status, inStore, inLog)
		} else if inStore > 0 && store.inGap(name) {
			v.found(&v.Strange, "answer %s: it is stored, and declared lost", name)
		}
	}
	for _, name := range a.named() {
		v.found(&v.Strange, "two answers name the record %s", name)
	}
	for where, h := range map[string]*Held{"store": store, "log": log} {
		for id, n := range h.Records {
			if n > 1 {
				v.found(&v.Doubled, "%s: %s is there %d times", where, id, n)
			}
		}
		for _, w := range h.Wrong {
			v.found(&v.Strange, "%s", w)
		}
	}
	v.alike(store, log)
	if !e.Late {
		for run, began := range store.Began {
			if began != 1 {
				v.found(&v.Strange, "store: %s begins at %d", run, began)
			}
		}
	}
	if e.Named {
		v.owners(answers, a, store)
	}
	return v
}

// alike asks that the log is the store's records and gaps, and each run's in order.
func (v *Verdict) alike(store, log *Held) {
	for id := range store.Records {
		if log.Records[id] == 0 {
			v.found(&v.Strange, "%s is in the store and not in the log", id)
		}
	}
	for id := range log.Records {
		if store.Records[id] == 0 {
			v.found(&v.Strange, "%s is in the log and not in the store", id)
		}
	}
	if !slices.Equal(store.Gaps, log.Gaps) {
		v.found(&v.Strange, "the store declares %v lost, the log %v", store.Gaps, log.Gaps)
	}
	last := map[record.Run]uint64{}
	for _, id := range log.order {
		if id.Seq <= last[id.Run] {
			v.found(&v.Strange, "log: %s comes after %d", id, last[id.Run])
		}
		last[id.Run] = id.Seq
	}
}

// owners asks that a record says what its answer said, and that one without an answer is
// of a request that failed, or was made again below the client.
func (v *Verdict) owners(answers []Answer, a *Answers, store *Held) {
	of, answered := map[string]Answer{}, map[string]bool{}
	for _, got := range answers {
		of[got.Record], answered[got.Request] = got, true
	}
	for _, l := range store.Lines {
		got, ok := of[l.ID]
		if !ok {
			got, ok = of[l.Request]
		}
		switch {
		case ok && (got.Status != l.Status || got.Request != l.Request || l.whole && !sameBody(got.Body, l.Body)):
			v.found(&v.Strange, "%s says %d %q of request %s, the answer was %d %q of %s", l.ID, l.Status, l.Body, l.Request, got.Status, got.Body, got.Request)
		case !ok && answered[l.Request]:
			v.Retried++
		case !ok && !a.hasFailed(l.Request):
			v.found(&v.Strange, "%s: nobody made its request %q", l.ID, l.Request)
		}
	}
}

// sameBody compares a body with what a record has of it: JSON is compacted there.
func sameBody(body, recorded string) bool {
	if body == recorded {
		return true
	}
	var a, b bytes.Buffer
	return json.Compact(&a, []byte(body)) == nil && json.Compact(&b, []byte(recorded)) == nil && bytes.Equal(a.Bytes(), b.Bytes())
}
