package drill

import (
	"io"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/earshot-mq/earshot/publisher/record"
)

// Answer is what a client got whole.
type Answer struct {
	Record  string // id of its record, or the request's where the mark has no number
	Request string // id of the request
	URL     string // what was asked for
	Status  int
	Body    string
}

// Answers is what clients got whole, and which requests they know to have failed. The zero
// value is ready to use.
type Answers struct {
	mu     sync.Mutex
	whole  []Answer        // as they came; only appended to
	known  map[string]bool // their records
	cut    int
	failed map[string]bool // requests without a whole answer, by id, where the client gave one
	marked int
	twice  []string // records that two answers named
}

// Get is Ask, and tells whether the answer came whole.
func (a *Answers) Get(client *http.Client, url, id string) (whole bool) {
	_, whole = a.Ask(client, url, id)
	return whole
}

// Ask makes one request and gives its answer, if that came whole. id is the request's, if
// the client gives it one; it must be believed, so that a record tells whose it is.
func (a *Answers) Ask(client *http.Client, url, id string) (got Answer, whole bool) {
	req, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		return Answer{}, a.fail(id)
	}
	if id != "" {
		req.Header.Set("X-Request-Id", id)
	}
	resp, err := client.Do(req)
	if err != nil {
		return Answer{}, a.fail(id)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return Answer{}, a.fail(id)
	}
	got = Answer{URL: url, Record: resp.Header.Get("Earshot-Record"), Request: resp.Header.Get("X-Request-Id"), Status: resp.StatusCode, Body: string(body)}
	_, err = record.ParseID(got.Record)
	a.mu.Lock()
	defer a.mu.Unlock()
	if err == nil {
		a.marked++
	} else {
		got.Record = got.Request
	}
	if a.known == nil {
		a.known = map[string]bool{}
	}
	if a.known[got.Record] {
		a.twice = append(a.twice, got.Record)
		return got, true
	}
	a.known[got.Record] = true
	a.whole = append(a.whole, got)
	return got, true
}

func (a *Answers) fail(id string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.cut++
	if a.failed == nil {
		a.failed = map[string]bool{}
	}
	if id != "" {
		a.failed[id] = true
	}
	return false
}

// Loop makes one request after the other until stop is closed: the url and the id of the
// n-th are those that next says. What failed is followed by a pause.
func (a *Answers) Loop(client *http.Client, stop <-chan struct{}, next func(n int) (url, id string)) {
	for n := 0; ; n++ {
		select {
		case <-stop:
			return
		default:
		}
		url, id := next(n)
		if !a.Get(client, url, id) {
			pause(stop, 20*time.Millisecond) // it is down
		}
	}
}

// Count is how many answers came whole.
func (a *Answers) Count() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.whole)
}

// Cut is how many requests failed or were cut.
func (a *Answers) Cut() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.cut
}

// Marked is how many answers named their record by its number.
func (a *Answers) Marked() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.marked
}

// Whole is all answers until now, as they came, no two of one record.
func (a *Answers) Whole() []Answer {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.whole[:len(a.whole):len(a.whole)]
}

// hasFailed tells whether a request has no whole answer, as far as the client knows.
func (a *Answers) hasFailed(id string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.failed[id]
}

// named is the records that more than one answer named.
func (a *Answers) named() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.twice)
}

// pause waits for d, or until stop is closed.
func pause(stop <-chan struct{}, d time.Duration) {
	select {
	case <-stop:
	case <-time.After(d):
	}
}
