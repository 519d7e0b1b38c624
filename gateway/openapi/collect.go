package openapi

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/earshot-mq/earshot/gateway/upstream"
)

// Limits of what is asked for.
const (
	Fresh    = 5 * time.Second // between two questions to one service
	Patience = time.Second     // for one answer
	MaxSize  = 4 << 20         // bytes of one document
	MaxTotal = 32 << 20        // bytes of all documents
)

// State is what is known of a service's document.
type State string

// The states.
const (
	Present State = "present"
	Stale   State = "stale"    // the last one that could be used; why there is no newer one is the reason
	LeftOut State = "left out" // there is none that could be used
	Without State = "without"  // the service has none
)

// Source is a service that may have a document.
type Source struct {
	Name string
	// Key is who is asked: of another one, what was said before does not count. It is
	// comparable.
	Key any
	// Get asks for the document. It ends soon after its context is done. nil: the service
	// is known to have none.
	Get func(ctx context.Context) (*http.Response, error)
}

// Found is what is known of a service's document.
type Found struct {
	Name     string
	Document *Document // nil: there is none
	State    State
	Reason   string    // in words, without addresses
	Since    time.Time // of a stale one: when it was the service's last
}

// Collector asks services for their documents and keeps what they say.
type Collector struct {
	fresh time.Duration // default Fresh
	total int           // default MaxTotal

	mu         sync.Mutex // guards what follows
	entries    map[string]*entry
	generation uint64
}

// entry is what is known of one service.
type entry struct {
	key    any
	due    time.Time
	busy   chan struct{}     // closed by ask; nil: nobody asks
	digest [sha256.Size]byte // of found.Document's text
	seen   time.Time         // when it was there the last time
	found  Found
}

// Collect says what is known of the services, after asking those who have not said
// anything for a while. It waits for them no longer than Patience. What it returns
// is the same as long as the generation is, for the same services.
func (c *Collector) Collect(sources []Source) (found []Found, generation uint64) {
	var asked sync.WaitGroup
	var others []chan struct{}
	c.mu.Lock()
	c.forget(sources)
	for _, s := range sources {
		e := c.entry(s)
		switch {
		case s.Get == nil || time.Now().Before(e.due):
		case e.busy != nil:
			others = append(others, e.busy)
		default:
			e.busy = make(chan struct{})
			asked.Go(func() { c.ask(s, e) })
		}
	}
	c.mu.Unlock()
	asked.Wait()
	for _, done := range others {
		<-done
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range sources {
		found = append(found, c.entry(s).found)
	}
	return found, c.generation
}

// forget drops what is known of services that are no longer there.
func (c *Collector) forget(sources []Source) {
	for name := range c.entries {
		if !slices.ContainsFunc(sources, func(s Source) bool { return s.Name == name }) {
			delete(c.entries, name)
			c.generation++
		}
	}
}

func (c *Collector) entry(s Source) *entry {
	e := c.entries[s.Name]
	if e != nil && e.key == s.Key {
		return e
	}
	e = &entry{key: s.Key, found: Found{Name: s.Name, State: Without}}
	if c.entries == nil {
		c.entries = map[string]*entry{}
	}
	c.entries[s.Name] = e
	c.generation++
	return e
}

// errPatience ends a question. It is no deadline: for those a replica is blamed.
var errPatience = fmt.Errorf("no whole answer within %v", Patience)

// ask asks one service.
func (c *Collector) ask(s Source, e *entry) {
	ctx, cancel := context.WithCancelCause(context.Background())
	timer := time.AfterFunc(Patience, func() { cancel(errPatience) })
	raw, err := fetch(ctx, s)
	timer.Stop()
	cancel(nil)
	digest := sha256.Sum256(raw)
	c.mu.Lock()
	d := e.found.Document
	same := d != nil && e.digest == digest
	c.mu.Unlock()
	if err == nil && raw != nil && !same {
		d, err = Parse(raw)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	defer close(e.busy)
	e.busy, e.due = nil, time.Now().Add(cmp.Or(c.fresh, Fresh))
	before := e.found
	if err == nil && d != e.found.Document && c.size(e)+len(raw) > c.most() {
		err = fmt.Errorf("%w: with it all documents are longer than %d MiB", ErrMalformed, c.most()>>20)
	}
	switch {
	case err != nil && e.found.Document != nil:
		e.found.State, e.found.Reason, e.found.Since = Stale, reason(err), e.seen
	case err != nil:
		e.found.State, e.found.Reason = LeftOut, reason(err)
	case raw == nil:
		e.found = Found{Name: s.Name, State: Without}
	default:
		e.digest, e.seen = digest, time.Now()
		e.found = Found{Name: s.Name, Document: d, State: Present}
	}
	if e.found != before {
		c.generation++
	}
}

// size is how long all documents but e's are.
func (c *Collector) size(but *entry) (n int) {
	for _, e := range c.entries {
		if e != but && e.found.Document != nil {
			n += e.found.Document.size
		}
	}
	return n
}

func (c *Collector) most() int { return cmp.Or(c.total, MaxTotal) }

// fetch gets a document; nil: the service has none.
func fetch(ctx context.Context, s Source) ([]byte, error) {
	answer, err := s.Get(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { _ = answer.Body.Close() }() // only read from
	switch answer.StatusCode {
	case http.StatusOK:
	case http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusGone, http.StatusNotImplemented:
		return nil, nil
	default:
		return nil, fmt.Errorf("%w: it answers %d", ErrMalformed, answer.StatusCode)
	}
	if coding := answer.Header.Get("Content-Encoding"); coding != "" && !strings.EqualFold(coding, "identity") {
		return nil, fmt.Errorf("%w: it is compressed, which was not asked for", ErrMalformed)
	}
	b, err := io.ReadAll(io.LimitReader(answer.Body, MaxSize+1))
	switch {
	case err != nil:
		return nil, err
	case len(b) > MaxSize:
		return nil, fmt.Errorf("%w: it is longer than %d MiB", ErrMalformed, MaxSize>>20)
	case len(b) == 0:
		return nil, fmt.Errorf("%w: it is empty", ErrMalformed)
	}
	return b, nil
}

// reason is an error in words for everybody.
func reason(err error) string {
	var e *upstream.Error
	switch {
	case errors.Is(err, ErrMalformed):
		return strings.TrimPrefix(err.Error(), ErrMalformed.Error()+": ")
	case errors.As(err, &e):
		return e.Reason()
	case errors.Is(err, errPatience) || errors.Is(err, context.Canceled):
		return errPatience.Error()
	}
	return "it can't be asked"
}
