package compose

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
)

// Request is what a page is made for.
type Request struct {
	// Do sends a request to an upstream. Its errors are *upstream.Error or those of the
	// request's context. It must end when that is done.
	Do func(upstream string, r *http.Request) (*http.Response, error)
	// Parameter is the value of a parameter of the route's path, as it is read.
	Parameter func(name string) string
	Query     string      // of the client, as it came
	Client    http.Header // of the client, from which the allowed fields are taken
	Always    http.Header // what every part gets: the request's id, who asks
}

// Page is what the client gets.
type Page struct {
	Body    []byte // JSON
	Missing []Missing
}

// Missing is a part that a page goes without.
type Missing struct {
	Part   string `json:"part"`
	Reason Reason `json:"reason"`
	Status int    `json:"status,omitempty"` // with the reason status
	Needs  string `json:"needs,omitempty"`  // with the reason needs: the part that is missing too

	upstream string
	detail   string      // for the client, without addresses
	header   http.Header // of the upstream's answer, for the client
	blame    int         // the status for a client where the request was at fault; 0: it was not
	err      error       // for the log
}

// Err is why the part is missing, with all that is known.
func (m *Missing) Err() error { return m.err }

// Upstream is who was asked.
func (m *Missing) Upstream() string { return m.upstream }

func (m *Missing) String() string { return m.Part + ": " + m.detail }

// Reason says in one word why a part is missing.
type Reason string

// The reasons.
const (
	Timeout     Reason = "timeout"     // its time, or the page's, was up
	Unreachable Reason = "unreachable" // no connection
	Failed      Reason = "failed"      // the connection broke, or what came was not HTTP
	Status      Reason = "status"      // the answer has a status that is no success
	NotJSON     Reason = "not-json"    // the answer is no JSON that all readers read in the same way
	TooLarge    Reason = "too-large"   // the answer is longer than the part may be
	NoValue     Reason = "no-value"    // its request needs a value that is not there, or can't stand in a path
	Needs       Reason = "needs"       // it needs a part that is missing
)

// Error is why there is no page.
type Error struct {
	Status  int // for the client
	Missing     // the part to blame
}

// Error names the part and the cause.
func (e *Error) Error() string {
	if e.Part == "" {
		return "compose: " + e.err.Error()
	}
	return fmt.Sprintf("compose: part %q: %v", e.Part, e.err)
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.err }

// Detail says in words for the client what happened.
func (e *Error) Detail() string { return e.detail }

// Header are fields that belong to the status: Retry-After, WWW-Authenticate.
func (e *Error) Header() http.Header { return e.header }

// result is what became of a part. All nil: it was not wanted.
type result struct {
	value   []byte
	missing *Missing
	done    chan struct{} // closed by ask
}

// run is one page in the making.
type run struct {
	*View
	r       *Request
	query   url.Values
	results []result
}

// Compose makes the page. Its errors are an *Error, or that of ctx when it is done.
func (v *View) Compose(ctx context.Context, r Request) (*Page, error) {
	x := &run{View: v, r: &r, results: make([]result, len(v.c.parts))}
	if err := x.readQuery(); err != nil {
		return nil, err
	}
	whole, cancel := context.WithTimeout(ctx, v.c.timeout)
	for _, i := range v.asked {
		x.results[i].done = make(chan struct{})
	}
	var all sync.WaitGroup
	for _, i := range v.asked {
		all.Go(func() {
			defer close(x.results[i].done)
			x.ask(whole, i)
		})
	}
	err := x.required()
	if err != nil {
		cancel()
	}
	all.Wait()
	cancel()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if err != nil {
		return nil, err
	}
	return x.page()
}

// readQuery refuses a query that could be read in two ways by those who read it.
func (x *run) readQuery() error {
	wanted := map[string]bool{}
	for _, i := range x.asked {
		p := &x.c.parts[i]
		if p.when != "" {
			wanted[p.when] = true
		}
		for _, ref := range p.url.references() {
			for _, c := range ref.choices {
				if c.source == fromQuery {
					wanted[c.name] = true
				}
			}
		}
	}
	if len(wanted) == 0 {
		return nil
	}
	refuse := func(err error) error {
		return &Error{Status: http.StatusBadRequest, Missing: Missing{Reason: NoValue, detail: err.Error(), err: err}}
	}
	var err error
	if x.query, err = url.ParseQuery(x.r.Query); err != nil {
		return refuse(errors.New("the query can't be read"))
	}
	for name := range wanted {
		if len(x.query[name]) > 1 {
			return refuse(fmt.Errorf("the query has %q more than once", name))
		}
	}
	return nil
}

// required waits for the required parts, in their order, and returns the first that
// fails: which one is to blame does not depend on which was faster.
func (x *run) required() error {
	for _, i := range x.asked {
		if !x.c.parts[i].required {
			continue
		}
		<-x.results[i].done
		if m := x.results[i].missing; m != nil {
			return m.fatal()
		}
	}
	return nil
}

// fatal is the error of a page that can't be without this part.
func (m *Missing) fatal() *Error {
	status := http.StatusBadGateway
	switch {
	case m.blame != 0:
		status = m.blame
	case m.Reason == Timeout:
		status = http.StatusGatewayTimeout
	}
	return &Error{Status: status, Missing: *m}
}

// page puts the values together.
func (x *run) page() (*Page, error) {
	var p Page
	any := false
	for _, i := range x.asked {
		any = any || x.results[i].value != nil
		if m := x.results[i].missing; m != nil {
			p.Missing = append(p.Missing, *m)
		}
	}
	if !any && len(p.Missing) > 0 {
		return nil, x.nothing(p.Missing)
	}
	b := append(make([]byte, 0, x.size()), '{')
	for i := range x.fields {
		f := &x.fields[i]
		if whole := x.results[f.part].value; whole != nil {
			if v, ok := find(whole, f.path); ok {
				b = appendPicked(appendMember(b, f.name), v, f.pick)
			}
		}
		if len(b) > x.c.maxBytes {
			return nil, x.tooLong(f.part)
		}
	}
	if len(p.Missing) > 0 {
		list, err := json.Marshal(p.Missing)
		if err != nil {
			return nil, err
		}
		b = append(appendMember(b, nameOf(missingName)), list...)
	}
	p.Body = append(b, '}', '\n')
	return &p, nil
}

// nothing is the error of a page of which there is nothing at all: the first part that
// failed by itself decides.
func (x *run) nothing(missing []Missing) error {
	i := slices.IndexFunc(missing, func(m Missing) bool { return m.Reason != Needs })
	return missing[max(i, 0)].fatal()
}

// size is about how long the page will be.
func (x *run) size() (n int) {
	for _, i := range x.asked {
		n += len(x.results[i].value)
	}
	return min(n, x.c.maxBytes) + 512
}

func (x *run) tooLong(part int) error {
	p := &x.c.parts[part]
	err := fmt.Errorf("the page is longer than %d bytes", x.c.maxBytes)
	return &Error{Status: http.StatusBadGateway, Missing: Missing{
		Part: p.name, Reason: TooLarge, upstream: p.upstream, detail: err.Error(), err: err,
	}}
}

// lookup finds a value. The parts that may have it have answered.
func (x *run) lookup(c *choice) (string, bool) {
	switch c.source {
	case fromRoute:
		return x.r.Parameter(c.name), true
	case fromQuery:
		return x.query.Get(c.name), true
	}
	whole := x.results[c.part].value
	if whole == nil {
		return "", false
	}
	v, ok := find(whole, c.path)
	if !ok {
		return "", false
	}
	return textOf(v)
}

// names of the fields that go with a status.
var statusFields = []string{"Retry-After", "Www-Authenticate"}

// retold tells whether a status of the part is also the page's, since it is about what
// the client has said, not about what another part has.
func (p *part) retold(status int) bool {
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusTooManyRequests, http.StatusUnavailableForLegalReasons,
		http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	case http.StatusNotFound, http.StatusGone:
		return !uses(p.url.segments, fromPart)
	case http.StatusBadRequest, http.StatusUnprocessableEntity:
		return uses(p.url.all(), fromRoute) || uses(p.url.all(), fromQuery)
	}
	return false
}

// mediaType is a Content-Type without its parameters.
func mediaType(h http.Header) string {
	t, _, _ := strings.Cut(h.Get("Content-Type"), ";")
	return strings.ToLower(strings.TrimSpace(t))
}
