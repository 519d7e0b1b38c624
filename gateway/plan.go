package gateway

import (
	"context"
	"net/http"
)

// Plan is what would become of a request.
type Plan struct {
	// Status and Refusal say why it is answered by a problem; 0 if it is not.
	Status  int
	Refusal string
	Allow   []string // with status 405

	Verdicts []Verdict // of all routes; none if it is refused before
	Route    *Route    // that takes it; nil: none
	// Request is what the upstream of the route is sent, of a page the parts' base; nil
	// without a Route. Its Host is empty if it is the upstream's own.
	Request *http.Request
}

// Plan says what would become of r, as a server has read it, without doing it.
func (t *Table) Plan(r *http.Request) Plan {
	c := &call{now: &snapshot{table: t}, r: r, peer: peerOf(r)}
	c.trusted = contains(t.trusted, c.peer)
	c.identify()
	var p Plan
	if p.Status, p.Refusal = objection(r); p.Status != 0 {
		return p
	}
	p.Verdicts = t.Explain(r.Method, r.Host, r.URL.Path)
	m := t.Match(r.Method, r.Host, r.URL.Path)
	switch {
	case m.Route == nil && len(m.Allow) > 0:
		p.Status, p.Refusal, p.Allow = http.StatusMethodNotAllowed, r.Method+" is not allowed there", m.Allow
		return p
	case m.Route == nil:
		p.Status, p.Refusal = http.StatusNotFound, "no route leads there"
		return p
	}
	p.Route, c.route, c.target = m.Route, m.Route, t.upstreams[m.Route.Upstream]
	path, ok := cutSegments(r.URL.EscapedPath(), c.route.strip)
	if !ok {
		p.Status, p.Refusal = http.StatusBadRequest, emptySegment
		return p
	}
	p.Request = c.request(context.Background(), path)
	return p
}
