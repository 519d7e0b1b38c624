package gateway

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/earshot-mq/earshot/gateway/compose"
	"github.com/earshot-mq/earshot/gateway/static"
	"github.com/earshot-mq/earshot/gateway/upstream"
)

// Table is the routes and upstreams of one configuration. It never changes.
type Table struct {
	trusted    []netip.Prefix
	clientIdle time.Duration
	upstreams  map[string]target
	pages      map[string]*compose.Composition
	routes     []*Route

	exact    map[string]*node // by host
	wildcard map[string]*node // by what follows the star
	anyHost  *node
}

// target is an upstream as a Table knows it.
type target struct {
	folder  *static.Folder // whose files are the answers; then there is nothing else
	handler http.Handler   // that is asked in this process, instead of origins
	origins []string
	options upstream.Options
	stream  time.Duration // limit of a tunnel that is idle
	marked  bool          // its marks are trusted
	rewrite bool          // it is sent its own host
	openapi string        // path of its document, or NoOpenAPI
	found   bool          // in labels: replicas are what they say, instead of origins

	replicas []netip.AddrPort
}

// Route is one way from a request to an upstream, to a page, or to the document of all.
type Route struct {
	Name     string // where it stands in the configuration: routes[3]
	Host     string // in lower case; "" is any
	Path     string
	Methods  []string // sorted; none is all
	Upstream string
	Compose  string // the composition; then there is no Upstream
	OpenAPI  OpenAPI

	index   int
	pattern pattern
	strip   int // leading segments that the upstream does not see
	view    *compose.View
	total   time.Duration
	body    int // bytes of a foreign body in a record
}

// Pattern is the route as records name it: host and path.
func (r *Route) Pattern() string { return r.Host + r.Path }

// String is the route as people write it: methods, host, path.
func (r *Route) String() string {
	if len(r.Methods) == 0 {
		return r.Pattern()
	}
	return strings.Join(r.Methods, ",") + " " + r.Pattern()
}

// Timeout is the limit of a whole exchange. It is not for pages and files.
func (r *Route) Timeout() time.Duration { return r.total }

// node is a place in the tree of paths of one host.
type node struct {
	literal   map[string]*node
	parameter *node
	here      []*Route // end here
	rest      []*Route // go on with *
}

// Routes are the routes in the order of the configuration.
func (t *Table) Routes() []*Route { return slices.Clone(t.routes) }

// Trusted are the peers whose forwarding headers are believed.
func (t *Table) Trusted() []netip.Prefix { return slices.Clone(t.trusted) }

// add puts a route into the tree. It returns the one that has the place already.
func (t *Table) add(r *Route) *Route {
	n := t.root(r.Host)
	list := &n.here
	for _, seg := range r.pattern {
		if seg.kind == rest {
			list = &n.rest
			break
		}
		n = n.child(seg)
		list = &n.here
	}
	for _, other := range *list {
		if overlap(r.Methods, other.Methods) {
			return other
		}
	}
	*list = append(*list, r)
	return nil
}

func (t *Table) root(host string) *node {
	if host == "" {
		return t.anyHost
	}
	m, key := t.exact, host
	if host[0] == '*' {
		m, key = t.wildcard, host[1:]
	}
	if m[key] == nil {
		m[key] = &node{}
	}
	return m[key]
}

func (n *node) child(seg segment) *node {
	if seg.kind == parameter {
		if n.parameter == nil {
			n.parameter = &node{}
		}
		return n.parameter
	}
	if n.literal == nil {
		n.literal = map[string]*node{}
	}
	if n.literal[seg.text] == nil {
		n.literal[seg.text] = &node{}
	}
	return n.literal[seg.text]
}

// overlap tells whether two routes of one place would tie for a method.
func overlap(a, b []string) bool {
	if len(a) == 0 || len(b) == 0 {
		return len(a) == len(b)
	}
	return slices.ContainsFunc(a, func(m string) bool { return slices.Contains(b, m) })
}
