package gateway

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/earshot-mq/earshot/gateway/openapi"
	"github.com/earshot-mq/earshot/internal/config"
)

// setDocument makes a route of one to the document.
func (r *Route) setDocument(c *RouteConfig) error {
	if c.Upstream != "" || c.Compose != "" {
		return errors.New(`has "openapi" and "upstream" or "compose"; want one`)
	}
	for _, other := range []struct {
		key string
		set bool
	}{{"view", c.View != ""}, {"strip-prefix", c.StripPrefix != ""}, {"timeout", c.Timeout != 0}} {
		if other.set {
			return config.At(other.key, errors.New(`is not for "openapi"`))
		}
	}
	if err := r.setRead(c, "the document"); err != nil {
		return err
	}
	if c.Body != nil {
		r.body = int(*c.Body)
	}
	return errors.Join(
		config.At("openapi", new(OpenAPI).UnmarshalText([]byte(c.OpenAPI))), config.At("body", checkBody(config.Size(r.body))))
}

// merged is the document of a table, of what services have said up to a generation.
type merged struct {
	table      *Table
	generation uint64
	*openapi.Merged
}

// document answers with the document of what is behind the gateway, or with its page.
func (c *call) document() {
	c.exchange.SetBodyLimit(c.route.body)
	if asksWebSocket(c.r) {
		c.w.Header()["Connection"] = []string{"close"} // the strict listener judges nothing after it
	}
	m, err := c.g.document(c.now)
	var body []byte
	h := c.w.Header()
	switch {
	case err != nil:
	case c.route.OpenAPI == OpenAPIPage:
		h["Content-Type"] = []string{"text/html; charset=utf-8"}
		h["Content-Security-Policy"] = []string{openapi.Policy}
		h["Referrer-Policy"] = []string{"no-referrer"}
		body, err = m.Page(c.origin(), c.now.table.documentPath(c.r.Host))
	default:
		h["Content-Type"] = []string{"application/json"}
		body = m.JSON
	}
	if err != nil {
		c.g.log.Error("OpenAPI document can't be made", "request", c.id, "error", err)
		c.refuse(http.StatusInternalServerError, "the document can't be made", err.Error(), nil)
		return
	}
	sum := sha256.Sum256(body)
	h["Etag"] = []string{`"` + hex.EncodeToString(sum[:12]) + `"`}
	h["Cache-Control"] = []string{"no-cache"}
	h["X-Content-Type-Options"] = []string{"nosniff"}
	if c.exchange == nil { // otherwise the recorder sets it
		h["X-Request-Id"] = []string{c.id}
	}
	http.ServeContent(&patient{c.w, c}, c.r, "", time.Time{}, bytes.NewReader(body))
}

// origin is where the client finds the gateway.
func (c *call) origin() string {
	proto := "http"
	if v := c.r.Header["X-Forwarded-Proto"]; c.r.TLS != nil || c.trusted && len(v) == 1 && v[0] == "https" {
		proto = "https"
	}
	other := func(r rune) bool { return !strings.ContainsRune("-._:[]", r) && !isParameter(string(r)) }
	if host := c.r.Host; host != "" && strings.IndexFunc(host, other) < 0 {
		return proto + "://" + host
	}
	return proto + "://localhost"
}

// documentPath is where the document is as JSON, for a host; "" if it is nowhere.
func (t *Table) documentPath(host string) string {
	for _, r := range t.routes {
		if r.OpenAPI == OpenAPIJSON && t.Match(http.MethodGet, host, r.Path).Route == r {
			return r.Path
		}
	}
	return ""
}

// document is the document of a snapshot. It asks the services if they have not been
// asked for a while.
func (g *Gateway) document(now *snapshot) (*openapi.Merged, error) {
	services, pages := now.table.documented()
	sources := make([]openapi.Source, len(services))
	for i := range services {
		sources[i] = now.source(services[i].Name)
	}
	found, generation := g.documents.Collect(sources)
	g.merging.Lock() // one that waits finds it made
	defer g.merging.Unlock()
	if m := g.merged; m != nil && m.table == now.table && m.generation == generation {
		return m.Merged, nil
	}
	for i := range services {
		services[i].Found = found[i]
	}
	m, err := openapi.Merge(services, pages)
	if err != nil {
		return nil, err
	}
	g.merged = &merged{now.table, generation, m}
	return m, nil
}

// documented are the upstreams to which routes or pages lead, and the pages.
func (t *Table) documented() (services []openapi.Service, pages []openapi.Page) {
	by := map[string][]openapi.Route{}
	for _, r := range t.routes {
		way := openapi.Route{Host: r.Host, Path: r.Path, Strip: r.strip, Leads: t.leads(r)}
		switch {
		case r.view != nil:
			page := openapi.Page{Route: way, Composition: r.Compose, Description: r.view.Describe()}
			pages = append(pages, page)
			for _, part := range page.Parts {
				if _, ok := by[part.Upstream]; !ok {
					by[part.Upstream] = nil
				}
			}
		case r.Upstream != "" && t.upstreams[r.Upstream].folder == nil:
			by[r.Upstream] = append(by[r.Upstream], way)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(by)) {
		services = append(services, openapi.Service{Found: openapi.Found{Name: name}, Routes: by[name]})
	}
	return services, pages
}

// leads tells of requests whether the table has r for them, at r's host.
func (t *Table) leads(r *Route) func(method, path string) bool {
	host := strings.Replace(r.Host, "*", openapi.Any, 1)
	return func(method, path string) bool { return t.Match(method, host, path).Route == r }
}

// source asks an upstream for its document, with nothing of a client.
func (s *snapshot) source(name string) openapi.Source {
	b, path := s.backends[name], s.table.upstreams[name].openapi
	if path == NoOpenAPI {
		return openapi.Source{Name: name, Key: path}
	}
	return openapi.Source{Name: name, Key: [2]any{b, path}, Get: func(ctx context.Context) (*http.Response, error) {
		u, err := url.ParseRequestURI(path)
		if err != nil {
			return nil, fmt.Errorf("gateway: openapi of %s: %w", name, err) // it was judged when the table was made
		}
		r := &http.Request{
			Method: http.MethodGet, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, URL: u,
			Header: http.Header{
				"Accept": {"application/json"}, "Accept-Encoding": {"identity"}, "User-Agent": {pseudonym},
				"Via": {"1.1 " + pseudonym}, "X-Request-Id": {rand.Text()},
			},
		}
		return b.Do(r.WithContext(ctx), nil)
	}}
}
