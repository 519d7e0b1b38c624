package drill

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/earshot-mq/earshot/internal/journal"
	"github.com/earshot-mq/earshot/publisher/record"
)

var run1 = record.Run{Stream: "0123456789abc", Epoch: 0x19a8f3c2e4b00d17}

// line is the record of a run's number, of request r-number.
func line(n uint64) []byte {
	return record.Append(nil, &record.Record{
		ID: record.ID{Run: run1, Seq: n}, Source: "/downcase", Time: time.Unix(1_800_000_000, 0),
		HTTP: record.HTTP{
			Method: "GET", Path: "/downcase/", Status: 200, Request: fmt.Sprint("r-", n), Bytes: 5,
			MediaType: "text/plain", Body: fmt.Appendf(nil, "body %d", n), BodyKind: record.BodyText,
		},
	})
}

// entries are a batch for each number, and a gap for each pair that begins with 0.
func entries(numbers []uint64) (all []journal.Entry) {
	for i := 0; i < len(numbers); i++ {
		if numbers[i] == 0 {
			all = append(all, journal.NewGap(run1, "downcase", numbers[i+1], numbers[i+2], "a test"))
			i += 2
			continue
		}
		e, err := journal.Next(journal.AppendBatch(nil, run1, numbers[i], 1, line(numbers[i])))
		if err != nil {
			panic(err)
		}
		all = append(all, e)
	}
	return all
}

// folders writes a store and a log with numbers, and gaps as entries has them.
func folders(t *testing.T, stored, logged []uint64) (store, logs string) {
	t.Helper()
	store, logs = filepath.Join(t.TempDir(), "store"), t.TempDir()
	l, err := journal.Open(store, journal.Options{Arrivals: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries(stored) {
		if _, err := l.Append(e); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	for _, e := range entries(logged) {
		if e.Kind == journal.KindGap {
			fmt.Fprintf(&text, `{"gap":{"stream":"%s","epoch":"%s","first":%d,"last":%d,"lost":%d}}`+"\n", run1.Stream, run1.Epoch, e.First, e.Last, e.Last-e.First+1)
		} else {
			text.Write(e.Lines)
		}
	}
	// A file that was left, and the current one: the lines of both are one log.
	all := slices.Collect(strings.Lines(text.String()))
	half := len(all) / 2
	for name, part := range map[string][]string{"subscriber-20260101.log": all[:half], "subscriber.log": all[half:]} {
		if err := os.WriteFile(filepath.Join(logs, name), []byte(strings.Join(part, "")), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return store, logs
}

// answered is the whole answers of those requests.
func answered(numbers ...uint64) *Answers {
	a := &Answers{failed: map[string]bool{}}
	for _, n := range numbers {
		a.whole = append(a.whole, Answer{Record: record.ID{Run: run1, Seq: n}.String(), Request: fmt.Sprint("r-", n), Status: 200, Body: fmt.Sprint("body ", n)})
	}
	return a
}

func TestJudge(t *testing.T) {
	one := []uint64{1, 2, 3, 4}
	type want struct{ missing, doubled, strange, lost int }
	for name, c := range map[string]struct {
		stored, logged []uint64 // 0, a, b: a gap from a to b
		answers        *Answers
		with           func(a *Answers)
		want           want
	}{
		"all is well":                   {stored: one, logged: one, answers: answered(1, 2, 3, 4)},
		"not in the log":                {stored: one, logged: []uint64{1, 2, 4}, answers: answered(1, 2, 3, 4), want: want{missing: 1, strange: 1}},
		"not in the store":              {stored: []uint64{1, 2, 3}, logged: one, answers: answered(1, 2, 3, 4), want: want{missing: 1, strange: 1}},
		"in neither, and a hole":        {stored: []uint64{1, 2, 4}, logged: []uint64{1, 2, 4}, answers: answered(1, 2, 3, 4), want: want{missing: 1, strange: 1}},
		"in neither, at the end":        {stored: []uint64{1, 2, 3}, logged: []uint64{1, 2, 3}, answers: answered(1, 2, 3, 4), want: want{missing: 1}},
		"twice in the log":              {stored: one, logged: []uint64{1, 2, 2, 3, 4}, answers: answered(1, 2, 3, 4), want: want{doubled: 1, strange: 1}},
		"the log in another order":      {stored: one, logged: []uint64{1, 3, 2, 4}, answers: answered(1, 2, 3, 4), want: want{strange: 1}},
		"declared":                      {stored: []uint64{1, 0, 2, 3, 4}, logged: []uint64{1, 0, 2, 3, 4}, answers: answered(1, 2, 4), want: want{lost: 2}},
		"declared in the store alone":   {stored: []uint64{1, 0, 2, 3, 4}, logged: []uint64{1, 4}, answers: answered(1, 4), want: want{lost: 2, strange: 1}},
		"declared too little":           {stored: []uint64{1, 0, 2, 2, 4}, logged: []uint64{1, 0, 2, 2, 4}, answers: answered(1, 4), want: want{lost: 1, strange: 1}},
		"the beginning is not there":    {stored: []uint64{3, 4}, logged: []uint64{3, 4}, answers: answered(3, 4), want: want{strange: 1}},
		"a line without an answer":      {stored: one, logged: one, answers: answered(1, 2, 3), want: want{strange: 1}},
		"a line of a request that fell": {stored: one, logged: one, answers: answered(1, 2, 3), with: func(a *Answers) { a.fail("r-4") }},
		"another body":                  {stored: one, logged: one, answers: answered(1, 2, 3, 4), with: func(a *Answers) { a.whole[2].Body = "body" }, want: want{strange: 1}},
		"another status":                {stored: one, logged: one, answers: answered(1, 2, 3, 4), with: func(a *Answers) { a.whole[2].Status = 500 }, want: want{strange: 1}},
		"two answers of one record":     {stored: one, logged: one, answers: answered(1, 2, 3, 4), with: func(a *Answers) { a.twice = []string{"x"} }, want: want{strange: 1}},
		"known by its request":          {stored: one, logged: one, answers: answered(1, 2, 3, 4), with: func(a *Answers) { a.whole[2].Record = "r-3" }},
	} {
		t.Run(name, func(t *testing.T) {
			if c.with != nil {
				c.with(c.answers)
			}
			store, logs := folders(t, c.stored, c.logged)
			v, err := Judge(c.answers.Whole(), c.answers, store, logs, Expect{Named: true})
			if err != nil {
				t.Fatal(err)
			}
			if got := (want{v.Missing, v.Doubled, v.Strange, int(v.Lost)}); got != c.want {
				t.Errorf("got %+v, want %+v: %q", got, c.want, v.Found)
			}
		})
	}
}

// TestLogAsItGrows reads a log between its writes, a line torn in two and a rotation.
func TestLogAsItGrows(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "subscriber.log")
	l := NewLog(dir)
	add := func(text []byte, want int) {
		t.Helper()
		f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err == nil {
			_, err = f.Write(text)
		}
		if err != nil {
			t.Fatal(err)
		}
		f.Close()
		if err := l.Read(); err != nil || len(l.Records) != want {
			t.Fatalf("%d records are read (%v), want %d", len(l.Records), err, want)
		}
	}
	add(line(1), 1)
	two := line(2)
	add(two[:20], 1)
	add(append(two[20:], line(3)...), 3)
	if err := os.Rename(path, filepath.Join(dir, "subscriber-20260101.log")); err != nil {
		t.Fatal(err)
	}
	add(line(4), 4)
	for id, n := range l.Records {
		if n != 1 {
			t.Errorf("%s is read %d times", id, n)
		}
	}
}

// TestDeck deals: one seed is one sequence, and each fault comes once before any comes again.
func TestDeck(t *testing.T) {
	deal := func(seed uint64) (names []string, dice []Dice) {
		d := newDeck(seed, Faults())
		for range 3 * len(Faults()) {
			f, c := d.next()
			names, dice = append(names, f.Name), append(dice, c)
		}
		return names, dice
	}
	names, dice := deal(7)
	again, diceAgain := deal(7)
	if !slices.Equal(names, again) || !slices.Equal(dice, diceAgain) {
		t.Error("seed 7 is not seed 7")
	}
	if other, _ := deal(8); slices.Equal(names, other) {
		t.Error("seed 8 is as seed 7")
	}
	for round := range slices.Chunk(names, len(Faults())) {
		if slices.Sort(round); len(slices.Compact(round)) != len(Faults()) {
			t.Errorf("a round has not each fault: %q", round)
		}
	}
}
