package gateway

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/earshot-mq/earshot/gateway/compose"
	"github.com/earshot-mq/earshot/internal/config"
	"github.com/earshot-mq/earshot/publisher/record"
)

// addPages understands a composition. One that has errors is not added.
func (t *Table) addPages(name string, c *Config) error {
	if !isParameter(name) {
		return config.At("compositions", fmt.Errorf("the name %q is not made of letters, digits, - and _", name))
	}
	pages, err := compose.New(c.Compositions[name], c.asked())
	if err != nil {
		return config.At("compositions."+name, err)
	}
	t.pages[name] = pages
	return nil
}

// asked are the names of the upstreams that are asked over the network.
func (c *Config) asked() (names []string) {
	for name, u := range c.Upstreams {
		if u.Static == "" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// setPage makes a route of a view. It comes after the path and the methods.
func (r *Route) setPage(c *RouteConfig, pages map[string]*compose.Composition, all *Config) error {
	if c.Upstream != "" {
		return errors.New(`has "upstream" and "compose"; want one`)
	}
	if c.StripPrefix != "" {
		return config.At("strip-prefix", errors.New("is for an upstream; the parts of a page have paths of their own"))
	}
	if c.Timeout != 0 {
		return config.At("timeout", errors.New("is for an upstream; a page has the timeout of its composition"))
	}
	if err := r.setRead(c, "a page"); err != nil {
		return err
	}
	if _, ok := all.Compositions[c.Compose]; !ok {
		return config.At("compose", config.Unknown("composition", c.Compose, slices.Sorted(maps.Keys(all.Compositions))))
	}
	composition, ok := pages[c.Compose]
	if !ok {
		return nil // its errors are said where it stands
	}
	view, err := composition.View(c.View)
	if err != nil {
		return config.At("view", err)
	}
	body := config.Size(record.MaxBody)
	if c.Body != nil {
		body = *c.Body
	}
	r.view, r.body = view, int(body)
	return errors.Join(config.At("body", checkBody(body)), config.At("path", view.Check(r.pattern.parameters())))
}

// setRead makes a route's methods those of what is only read.
func (r *Route) setRead(c *RouteConfig, what string) error {
	for i, m := range c.Methods {
		if m != http.MethodGet && m != http.MethodHead {
			return config.At(fmt.Sprintf("methods[%d]", i), fmt.Errorf("%s is read: GET or HEAD, not %s", what, m))
		}
	}
	if len(c.Methods) == 0 {
		r.Methods = []string{http.MethodGet}
	}
	return nil
}

// always are the fields that every part gets, whatever is allowed, beside those that say
// where a request comes from.
var always = set("X-Request-Id", "Traceparent", "Tracestate", "Via")

// compose answers with a page.
func (c *call) compose() {
	h := c.header()
	own := make(http.Header, 8)
	for name, values := range h {
		if always[name] || isForwarding(name) {
			own[name] = values
		}
	}
	page, err := c.route.view.Compose(c.r.Context(), compose.Request{
		Do:        c.ask,
		Parameter: func(name string) string { return c.route.pattern.value(name, c.r.URL.Path) },
		Query:     c.r.URL.RawQuery, Client: h, Always: own,
	})
	if err != nil {
		c.noPage(err)
		return
	}
	for i := range page.Missing {
		c.missing(&page.Missing[i])
	}
	c.exchange.SetError(summary(page.Missing))
	c.exchange.SetBodyLimit(c.route.body)
	c.page(page.Body)
}

// ask sends the request of a part.
func (c *call) ask(name string, r *http.Request) (*http.Response, error) {
	r.Host = c.r.Host
	if c.now.table.upstreams[name].rewrite {
		r.Host = "" // its own
	}
	return c.now.backends[name].Do(r, nil)
}

// page writes the answer. It is made of what the parts have said just now, for this
// client: nobody may keep it.
func (c *call) page(body []byte) {
	h := c.w.Header()
	h["Content-Type"] = []string{"application/json"}
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	h["Cache-Control"] = []string{"no-store"}
	if c.exchange == nil { // otherwise the recorder sets it
		h["X-Request-Id"] = []string{c.id}
	}
	if asksWebSocket(c.r) {
		h["Connection"] = []string{"close"} // the strict listener judges nothing after it
	}
	c.w.WriteHeader(http.StatusOK)
	if c.r.Method != http.MethodHead {
		c.write(body)
	}
}

// noPage answers for a page without a part that it can't be without.
func (c *call) noPage(err error) {
	var e *compose.Error
	if c.r.Context().Err() != nil || !errors.As(err, &e) {
		c.gone(err)
	}
	if e.Part == "" {
		c.refuse(e.Status, e.Detail(), "", nil)
		return
	}
	c.missing(&e.Missing)
	c.exchange.SetError(e.Missing.String())
	maps.Copy(c.w.Header(), e.Header())
	c.refuse(e.Status, fmt.Sprintf("part %q of the page: %s", e.Part, e.Detail()), e.Error(),
		map[string]any{"part": e.Part, "upstream": e.Upstream(), "reason": e.Reason})
}

// missing counts a part. The log has it for those who look for it: it would be a line for
// each page, and the record says it anyway.
func (c *call) missing(m *compose.Missing) {
	n, _ := c.g.missing.LoadOrStore(missingPart{c.route.Compose, m.Part, m.Reason}, new(atomic.Uint64))
	n.(*atomic.Uint64).Add(1)
	c.g.log.Debug("part is missing", "request", c.id, "route", c.route.Pattern(), "part", m.Part,
		"upstream", m.Upstream(), "reason", string(m.Reason), "error", m.Err())
}

// missingPart is what is counted of a part that is missing.
type missingPart struct {
	composition, part string
	reason            compose.Reason
}

func summary(missing []compose.Missing) string {
	all := make([]string, len(missing))
	for i := range missing {
		all[i] = missing[i].String()
	}
	return strings.Join(all, "; ")
}
