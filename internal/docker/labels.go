package docker

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/earshot-mq/earshot/internal/config"
	"github.com/earshot-mq/earshot/internal/containers"
)

// Labels is what the labels of a container say.
type Labels struct {
	Service string
	Port    uint16
	Health  string // path; "" is none
	Balance string // as the gateway's file has it, like the next
	Records string
	Feed    uint16  // the port of the record feed; 0 is none
	Routes  []Route // in the order of their labels; at least one
}

// Route is one that labels say.
type Route struct {
	Label       string // that has the path
	Path        string
	Host        string
	Methods     []string
	StripPrefix string
	Timeout     time.Duration
	Body        *config.Size
}

const (
	enable = "earshot.enable"
	route  = "earshot.route"
)

// DefaultFeed is the port of the record feed in the image.
const DefaultFeed = 4445

// known are the labels that there is one of, and fields those of a route, without what
// comes before their names.
var (
	known  = []string{"enable", "service", "port", "route", "health", "balance", "records", "feed"}
	fields = []string{"host", "methods", "strip-prefix", "timeout", "body"}
)

// Parse reads labels. enabled is false, without an error, for those of a container that
// is of no service.
func Parse(labels map[string]string) (l Labels, enabled bool, err error) {
	switch v, ok := labels[enable]; {
	case !ok:
		return l, false, misspelt(labels)
	case v == "false":
		return l, false, nil
	case v != "true":
		return l, false, fmt.Errorf("%s: want true or false, got %q", enable, v)
	}
	p := parser{left: maps.Clone(labels), l: &l}
	delete(p.left, enable)
	p.service()
	p.routes()
	for _, name := range slices.Sorted(maps.Keys(p.left)) {
		if strings.HasPrefix(name, containers.Prefix) {
			p.fail(unknown(name))
		}
	}
	return l, true, errors.Join(p.errs...)
}

// misspelt finds the label that was to be earshot.enable.
func misspelt(labels map[string]string) error {
	for _, name := range slices.Sorted(maps.Keys(labels)) {
		bare, ok := strings.CutPrefix(name, containers.Prefix)
		if ok && config.Nearest(bare, slices.Concat(known, fields)) == "enable" {
			return unknown(name)
		}
	}
	return nil
}

// unknown says which label a wrong one is nearest to.
func unknown(name string) error {
	before, bare, all := containers.Prefix, strings.TrimPrefix(name, containers.Prefix), slices.Concat(known, fields)
	if of, field, ok := cutField(name); ok {
		before, bare, all = of+".", field, fields
	}
	if near := config.Nearest(bare, all); near != "" {
		return fmt.Errorf("unknown label %q; did you mean %q?", name, before+near)
	}
	return fmt.Errorf("unknown label %q; known: %s", name, before+strings.Join(all, ", "+before))
}

// cutField takes the field off earshot.route.NAME.FIELD.
func cutField(name string) (of, field string, ok bool) {
	rest, ok := strings.CutPrefix(name, route+".")
	if !ok {
		return "", "", false
	}
	of, field, ok = strings.Cut(rest, ".")
	return route + "." + of, field, ok
}

// parser takes from left what it understands.
type parser struct {
	left map[string]string
	l    *Labels
	errs []error
}

func (p *parser) fail(err error) {
	if err != nil {
		p.errs = append(p.errs, err)
	}
}

// take is the value of a label; an empty one is an error, since nothing means nothing.
func (p *parser) take(name string) (v string, ok bool) {
	v, ok = p.left[name]
	delete(p.left, name)
	if ok && v == "" {
		p.fail(fmt.Errorf("%s: has no value", name))
		ok = false
	}
	return v, ok
}

func (p *parser) need(name, such string) string {
	if _, there := p.left[name]; !there {
		p.fail(fmt.Errorf("has no %s; such as %s=%s", name, name, such))
	}
	v, _ := p.take(name)
	return v
}

func (p *parser) service() {
	p.l.Service = p.need("earshot.service", "downcase")
	if s := p.need("earshot.port", "8080"); s != "" {
		p.l.Port = p.port("earshot.port", "", s)
	}
	p.l.Health, _ = p.take("earshot.health")
	p.l.Balance, _ = p.take("earshot.balance")
	p.l.Records, _ = p.take("earshot.records")
	p.feed()
}

// feed is where a service publishes. One whose records the gateway makes is taken for
// foreign.
func (p *parser) feed() {
	if p.l.Records != "gateway" {
		p.l.Feed = DefaultFeed
	}
	switch s, ok := p.take("earshot.feed"); {
	case !ok:
	case s == "none":
		p.l.Feed = 0
	default:
		p.l.Feed = p.port("earshot.feed", ", or none", s)
	}
}

func (p *parser) port(label, or, s string) uint16 {
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil || n == 0 {
		p.fail(fmt.Errorf("%s: want a number from 1 to 65535%s, got %q", label, or, s))
	}
	return uint16(n)
}

// routes takes the route without a name, then the others.
func (p *parser) routes() {
	if path, ok := p.take(route); ok {
		p.route(route, path, containers.Prefix)
	}
	for _, name := range slices.Sorted(maps.Keys(p.left)) {
		if _, field, ok := cutField(name); !ok && strings.HasPrefix(name, route+".") && field == "" {
			if path, ok := p.take(name); ok {
				p.route(name, path, name+".")
			}
		}
	}
	if len(p.l.Routes) == 0 && len(p.errs) == 0 {
		p.fail(fmt.Errorf("has no %s; such as %s=/downcase/*", route, route))
	}
	p.orphans()
}

// orphans are fields of routes that are not there.
func (p *parser) orphans() {
	for _, name := range slices.Sorted(maps.Keys(p.left)) {
		of, field := route, strings.TrimPrefix(name, containers.Prefix)
		if named, f, ok := cutField(name); ok {
			of, field = named, f
		}
		if slices.Contains(fields, field) && !slices.ContainsFunc(p.l.Routes, func(r Route) bool { return r.Label == of }) {
			delete(p.left, name)
			p.fail(fmt.Errorf("%s: there is no %s, which has the path", name, of))
		}
	}
}

func (p *parser) route(label, path, prefix string) {
	r := Route{Label: label, Path: path}
	r.Host, _ = p.take(prefix + "host")
	r.StripPrefix, _ = p.take(prefix + "strip-prefix")
	if s, ok := p.take(prefix + "methods"); ok {
		for m := range strings.SplitSeq(s, ",") {
			r.Methods = append(r.Methods, strings.TrimSpace(m))
		}
	}
	var err error
	if s, ok := p.take(prefix + "timeout"); ok {
		if r.Timeout, err = config.ParseDuration(s); err != nil {
			p.fail(fmt.Errorf("%stimeout: %w", prefix, err))
		}
	}
	if s, ok := p.take(prefix + "body"); ok {
		n, err := config.ParseSize(s)
		if err != nil {
			p.fail(fmt.Errorf("%sbody: %w", prefix, err))
		}
		r.Body = &n
	}
	p.l.Routes = append(p.l.Routes, r)
}
