package gateway

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// Match is what a Table finds for a request.
type Match struct {
	Route *Route   // nil: none takes it
	Allow []string // without a Route: the methods that would find one; none: the path is unknown
}

// Match finds the route for a method, a host as it stands in a request, and a decoded
// path that begins with a slash.
func (t *Table) Match(method, host, path string) Match {
	s := search{method: method}
	if !strings.HasPrefix(path, "/") {
		return Match{}
	}
	host = canonicalHost(host)
	if n := t.exact[host]; n != nil && s.walk(n, path) {
		return Match{Route: s.found}
	}
	if len(t.wildcard) > 0 {
		for i := strings.IndexByte(host, '.'); i >= 0; i = nextDot(host, i) {
			if n := t.wildcard[host[i:]]; i > 0 && n != nil && s.walk(n, path) {
				return Match{Route: s.found}
			}
		}
	}
	if s.walk(t.anyHost, path) {
		return Match{Route: s.found}
	}
	slices.Sort(s.allow)
	return Match{Allow: slices.Compact(s.allow)}
}

func nextDot(s string, after int) int {
	i := strings.IndexByte(s[after+1:], '.')
	if i < 0 {
		return -1
	}
	return after + 1 + i
}

// search is one walk through the trees.
type search struct {
	method string
	found  *Route
	allow  []string
}

// walk looks below n for what is left of the path, a slash and on, or nothing.
func (s *search) walk(n *node, path string) bool {
	if path == "" {
		return s.pick(n.here) || s.pick(n.rest)
	}
	part, left := path[1:], ""
	if i := strings.IndexByte(part, '/'); i >= 0 {
		part, left = part[:i], part[i:]
	}
	if c := n.literal[part]; c != nil && s.walk(c, left) {
		return true
	}
	if n.parameter != nil && part != "" && s.walk(n.parameter, left) {
		return true
	}
	return s.pick(n.rest)
}

// pick takes the route of one place whose methods fit best.
func (s *search) pick(routes []*Route) bool {
	best := -1
	for _, r := range routes {
		if rank := r.rank(s.method); rank > best {
			best, s.found = rank, r
		}
	}
	if best >= 0 {
		return true
	}
	for _, r := range routes {
		s.allow = append(s.allow, r.allowed()...)
	}
	return false
}

// rank says how well the route's methods fit: below zero, not at all.
func (r *Route) rank(method string) int {
	switch {
	case method == http.MethodConnect || method == http.MethodTrace:
		return -1
	case len(r.Methods) == 0:
		return 0
	case slices.Contains(r.Methods, method):
		return 2
	case method == http.MethodHead && slices.Contains(r.Methods, http.MethodGet):
		return 1
	}
	return -1
}

// usual are the methods that a route without methods is said to allow.
var usual = []string{
	http.MethodDelete, http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodPatch, http.MethodPost, http.MethodPut,
}

func (r *Route) allowed() []string {
	if len(r.Methods) == 0 {
		return usual
	}
	if slices.Contains(r.Methods, http.MethodGet) {
		return append([]string{http.MethodHead}, r.Methods...)
	}
	return r.Methods
}

// Verdict says of one route why it takes a request or not.
type Verdict struct {
	Route  *Route
	Taken  bool
	Reason string
}

// Explain says of each route, in the order of the configuration, why it takes the
// request or not. It goes by the rules one by one and not by Match's tree, so that each
// judges the other.
func (t *Table) Explain(method, host, path string) []Verdict {
	host = canonicalHost(host)
	verdicts := make([]Verdict, len(t.routes))
	var winner *Route
	for i, r := range t.routes {
		verdicts[i] = Verdict{Route: r, Reason: r.mismatch(method, host, path)}
		if verdicts[i].Reason == "" && (winner == nil || r.compare(winner, method) < 0) {
			winner = r
		}
	}
	for i := range verdicts {
		switch v := &verdicts[i]; {
		case v.Route == winner:
			v.Taken, v.Reason = true, "matches, and is the most specific"
		case v.Reason == "":
			v.Reason = fmt.Sprintf("matches, but %s is more specific", winner.Name)
		}
	}
	return verdicts
}

func (r *Route) mismatch(method, host, path string) string {
	if !strings.HasPrefix(path, "/") {
		return "the path does not begin with a slash"
	}
	if !hostMatches(r.Host, host) {
		return fmt.Sprintf("the host is %q, not %q", host, r.Host)
	}
	if why := r.pattern.mismatch(path); why != "" {
		return why
	}
	if r.rank(method) < 0 {
		return fmt.Sprintf("the method is %s, not %s", method, strings.Join(r.allowed(), " or "))
	}
	return ""
}

// compare says which of two routes takes a request that both match: below zero, r.
func (r *Route) compare(o *Route, method string) int {
	if c := compareHosts(r.Host, o.Host); c != 0 {
		return c
	}
	if c := r.pattern.compare(o.pattern); c != 0 {
		return c
	}
	return o.rank(method) - r.rank(method)
}
