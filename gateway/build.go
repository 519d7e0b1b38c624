package gateway

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"

	"github.com/earshot-mq/earshot/gateway/compose"
	"github.com/earshot-mq/earshot/gateway/static"
	"github.com/earshot-mq/earshot/gateway/upstream"
	"github.com/earshot-mq/earshot/internal/config"
)

// ReadTable reads a file that has a Config and nothing else.
func ReadTable(path string) (*Table, error) {
	var c Config
	if err := config.DecodeFile(path, &c); err != nil {
		return nil, err
	}
	return NewTable(c)
}

// NewTable makes a Table of a configuration. The errors are all that is wrong, each with
// its place (config.At).
func NewTable(c Config) (*Table, error) {
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(c.Upstreams)) {
		u := c.Upstreams[name]
		errs = append(errs, config.At("upstreams."+name, errors.Join(u.Validate(), u.Timeouts.Validate())))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("gateway: %w", err)
	}
	t, err := newTable(&c)
	if err != nil {
		return nil, fmt.Errorf("gateway: %w", err)
	}
	return t, nil
}

// newTable expects that each upstream by itself is valid.
func newTable(c *Config) (*Table, error) {
	t := &Table{
		trusted:    slices.Clone(c.Trusted),
		clientIdle: cmp.Or(c.ClientIdle, DefaultClientIdle),
		upstreams:  map[string]target{},
		pages:      map[string]*compose.Composition{},
		exact:      map[string]*node{}, wildcard: map[string]*node{}, anyHost: &node{},
	}
	errs := []error{config.At("client-idle", notNegative(c.ClientIdle))}
	for _, name := range slices.Sorted(maps.Keys(c.Upstreams)) {
		errs = append(errs, t.addUpstream(name, c.Upstreams[name]))
	}
	for _, name := range slices.Sorted(maps.Keys(c.Compositions)) {
		errs = append(errs, t.addPages(name, c))
	}
	for i := range c.Routes {
		errs = append(errs, config.At(fmt.Sprintf("routes[%d]", i), t.addRoute(i, &c.Routes[i], c)))
	}
	return t, errors.Join(errs...)
}

func (t *Table) addUpstream(name string, c UpstreamConfig) error {
	at := "upstreams." + name
	if !isParameter(name) {
		return config.At("upstreams", fmt.Errorf("the name %q is not made of letters, digits, - and _", name))
	}
	if c.Static != "" {
		folder, err := static.New(c.Static)
		t.upstreams[name] = target{folder: folder}
		return config.At(at+".static", err)
	}
	d := c.Timeouts
	u := target{
		handler: c.Handler,
		origins: slices.Clone(c.origins()),
		options: upstream.Options{
			Dial: d.Dial, TLS: d.TLS, Header: d.Header, BodyIdle: d.BodyIdle, StreamIdle: d.StreamIdle,
			MaxIdle: c.MaxIdle, Keep: c.Keep, Balance: upstream.Balance(c.Balance), Resolve: c.Resolve,
		},
		stream: cmp.Or(d.StreamIdle, upstream.DefaultStreamIdle),
		marked: c.Records != RecordsGateway, rewrite: c.Host == HostUpstream,
		openapi: cmp.Or(c.OpenAPI, DefaultOpenAPI),
	}
	if c.Health != nil {
		u.options.Health = upstream.Health(*c.Health)
	}
	if c.CA != "" {
		b, err := os.ReadFile(c.CA)
		if err != nil {
			return config.At(at+".ca", err)
		}
		u.options.RootCAs = string(b)
	}
	if c.Handler == nil {
		if _, err := upstream.NewHTTP(name, u.origins, u.options); err != nil {
			return config.At(at+".ca", err) // all else is valid
		}
	}
	t.upstreams[name] = u
	return nil
}

func (t *Table) addRoute(i int, c *RouteConfig, all *Config) error {
	r := &Route{Name: fmt.Sprintf("routes[%d]", i), Path: c.Path, Upstream: c.Upstream, Compose: c.Compose, OpenAPI: c.OpenAPI, index: i}
	t.routes = append(t.routes, r)
	if err := r.set(c, t.pages, all); err != nil {
		return err
	}
	if other := t.add(r); other != nil {
		return fmt.Errorf("%q takes the same requests as %s, %q", r, other.Name, other)
	}
	return nil
}

// set understands what the configuration says of a route.
func (r *Route) set(c *RouteConfig, pages map[string]*compose.Composition, all *Config) error {
	steps := []error{
		config.At("host", r.setHost(c.Host)),
		r.setPath(c),
		r.setMethods(c.Methods),
		r.setUpstream(c, all),
	}
	switch {
	case c.OpenAPI != "":
		steps[len(steps)-1] = r.setDocument(c)
	case c.Compose != "":
		steps[len(steps)-1] = r.setPage(c, pages, all)
	}
	return errors.Join(steps...)
}

func (r *Route) setHost(s string) (err error) {
	r.Host, err = parseHost(s)
	return err
}

func (r *Route) setPath(c *RouteConfig) (err error) {
	if c.Path == "" {
		return errors.New(`has no "path"`)
	}
	if r.pattern, err = parsePattern(c.Path); err != nil {
		return config.At("path", fmt.Errorf("%q %w", c.Path, err))
	}
	switch c.StripPrefix {
	case "":
		return nil
	case "/":
		return config.At("strip-prefix", errors.New(`"/" leaves nothing away`))
	}
	prefix, err := parsePattern(strings.TrimSuffix(c.StripPrefix, "/"))
	if err != nil {
		return config.At("strip-prefix", fmt.Errorf("%q %w", c.StripPrefix, err))
	}
	for i, seg := range prefix {
		if seg != r.pattern.at(i) || seg.kind == rest {
			return config.At("strip-prefix", fmt.Errorf("%q is not the beginning of the path %q", c.StripPrefix, c.Path))
		}
	}
	r.strip = len(prefix)
	return nil
}

func (r *Route) setMethods(methods []string) error {
	for i, m := range methods {
		at := fmt.Sprintf("methods[%d]", i)
		switch {
		case m == "CONNECT" || m == "TRACE":
			return config.At(at, fmt.Errorf("%s is never passed on", m))
		case !httpguts.ValidHeaderFieldName(m): // a method is a token too
			return config.At(at, fmt.Errorf("%q is no method", m))
		case m != strings.ToUpper(m):
			return config.At(at, fmt.Errorf("unknown method %q; did you mean %q?", m, strings.ToUpper(m)))
		case slices.Contains(r.Methods, m):
			return config.At(at, fmt.Errorf("%s is there twice", m))
		}
		r.Methods = append(r.Methods, m)
	}
	slices.Sort(r.Methods)
	return nil
}

func (r *Route) setUpstream(c *RouteConfig, all *Config) error {
	if c.View != "" {
		return config.At("view", errors.New(`is for "compose"`))
	}
	if c.Upstream == "" {
		return errors.New(`has no "upstream", no "compose" and no "openapi"`)
	}
	u, ok := all.Upstreams[c.Upstream]
	if !ok {
		known := slices.Sorted(maps.Keys(all.Upstreams))
		return config.At("upstream", config.Unknown("upstream", c.Upstream, known))
	}
	if u.Static != "" {
		if err := r.setFolder(c); err != nil {
			return err
		}
	}
	r.total = cmp.Or(c.Timeout, u.Timeouts.Total, DefaultTotal)
	body := u.Body
	if c.Body != nil {
		body = *c.Body
	}
	r.body = int(body)
	return errors.Join(config.At("timeout", notNegative(c.Timeout)), config.At("body", checkBody(body)))
}
