package compose

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net/textproto"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"

	"github.com/earshot-mq/earshot/internal/config"
)

// Composition is parts and views that were understood. It never changes.
type Composition struct {
	timeout  time.Duration
	maxBytes int
	parts    []part
	views    map[string]*View
}

// part is a PartConfig that was understood.
type part struct {
	name, upstream string
	url            template
	required       bool
	when           string // the parameter without which it is not asked; "" is always
	timeout        time.Duration
	maxBytes       int64
	headers        []string
	uses           []int // the parts whose answers its URL has values of
}

// View is one form of the page.
type View struct {
	c      *Composition
	name   string
	fields []field
	asked  []int // the parts it takes from and those that these use, as declared
}

// builder collects what is wrong.
type builder struct {
	config *Config
	names  []string // of the parts
	shared []string // fields that every part gets
	c      *Composition
	errs   []error
}

func (b *builder) fail(err error, path ...any) {
	b.errs = append(b.errs, config.At(fmt.Sprint(path...), err))
}

func (b *builder) failf(at, format string, args ...any) { b.fail(fmt.Errorf(format, args...), at) }

// New understands a configuration; upstreams are the names of those that there are. The
// errors are all that is wrong, each with its place (config.At).
func New(c Config, upstreams []string) (*Composition, error) {
	b := builder{config: &c, c: &Composition{
		timeout: cmp.Or(c.Timeout, DefaultTimeout), maxBytes: int(cmp.Or(c.MaxBytes, DefaultPageSize)),
		views: map[string]*View{},
	}}
	if c.Timeout < 0 {
		b.failf("timeout", "want a duration above zero, got %v", c.Timeout)
	}
	b.size("max-bytes", c.MaxBytes)
	b.shared = b.headers("headers", c.Headers)
	b.parts(upstreams)
	if len(b.errs) == 0 {
		b.order()
	}
	b.allViews()
	if err := errors.Join(b.errs...); err != nil {
		return nil, err
	}
	return b.c, nil
}

func (b *builder) parts(upstreams []string) {
	for _, p := range b.config.Parts {
		b.names = append(b.names, p.Name)
	}
	switch n := len(b.names); {
	case n == 0:
		b.errs = append(b.errs, errors.New(`has no "parts"`))
	case n > MaxParts:
		b.failf("parts", "are %d; at most %d", n, MaxParts)
	}
	for i := range b.config.Parts {
		b.part(i, &b.config.Parts[i], upstreams)
	}
}

func (b *builder) part(i int, c *PartConfig, upstreams []string) {
	at := "parts[" + strconv.Itoa(i) + "]"
	p := part{
		name: c.Name, upstream: c.Upstream, required: c.Required,
		timeout: cmp.Or(c.Timeout, b.c.timeout), maxBytes: int64(cmp.Or(c.MaxBytes, DefaultPartSize)),
		headers: slices.Concat(b.shared, b.headers(at+".headers", c.Headers)),
	}
	first := slices.Index(b.names, c.Name)
	switch {
	case c.Name == "":
		b.failf(at, `has no "name"`)
	case !isName(c.Name):
		b.failf(at+".name", "%q is not made of letters, digits, - and _", c.Name)
	case first < i:
		b.failf(at+".name", "%q is the name of parts[%d] too", c.Name, first)
	}
	if c.Upstream == "" {
		b.failf(at, `has no "upstream"`)
	} else if !slices.Contains(upstreams, c.Upstream) {
		b.fail(config.Unknown("upstream", c.Upstream, upstreams), at, ".upstream")
	}
	if c.Timeout < 0 {
		b.failf(at+".timeout", "want a duration above zero, got %v", c.Timeout)
	} else if c.Timeout > b.c.timeout {
		b.failf(at+".timeout", "%v is longer than the page's %v", c.Timeout, b.c.timeout)
	}
	p.when = b.when(at, c.When)
	b.size(at+".max-bytes", c.MaxBytes)
	b.url(at, c, &p)
	b.c.parts = append(b.c.parts, p)
}

func (b *builder) when(at, s string) string {
	name, ok := strings.CutPrefix(s, string(fromQuery)+".")
	if s != "" && (!ok || name == "") {
		b.failf(at+".when", "want query.NAME, got %q", s)
	}
	return name
}

func (b *builder) url(at string, c *PartConfig, p *part) {
	if c.Path == "" {
		b.failf(at, `has no "path"`)
		return
	}
	var err error
	if p.url, err = parseTemplate(c.Path); err != nil {
		b.failf(at+".path", "%q %w", c.Path, err)
		return
	}
	for _, ref := range p.url.references() {
		for i := range ref.choices {
			c := &ref.choices[i]
			if c.source != fromPart {
				continue
			}
			if c.part = slices.Index(b.names, c.name); c.part < 0 {
				b.failf(at+".path", "%v: %w", ref, config.Unknown("part", c.name, b.names))
			} else if !slices.Contains(p.uses, c.part) {
				p.uses = append(p.uses, c.part)
			}
		}
	}
}

// own are the fields that are never taken from the client: they belong to a connection,
// to a body, are set here, or would make of a value something else.
var own = []string{
	"Accept", "Accept-Encoding", "Connection", "Expect", "Host", "Keep-Alive", "Proxy", "Proxy-Authorization",
	"Proxy-Connection", "Range", "Te", "Trailer", "Transfer-Encoding", "Upgrade", "Forwarded", "Via", "X-Real-Ip",
	"Earshot-Record",
}

// ownFamilies are the same by how they begin.
var ownFamilies = []string{"Content-", "If-", "X-Forwarded-", "X-Original-"}

// headers are the names in the form that a http.Header has.
func (b *builder) headers(at string, names []string) (canonical []string) {
	for i, name := range names {
		c := textproto.CanonicalMIMEHeaderKey(name)
		isOwn := slices.ContainsFunc(ownFamilies, func(f string) bool { return strings.HasPrefix(c, f) })
		switch here := at + "[" + strconv.Itoa(i) + "]"; {
		case !httpguts.ValidHeaderFieldName(name) || strings.Contains(name, "_"):
			b.failf(here, "%q is no name of a header field that is passed on", name)
		case isOwn || slices.Contains(own, c):
			b.failf(here, "%s is never taken from the client", c)
		}
		canonical = append(canonical, c)
	}
	return canonical
}

func (b *builder) size(at string, n config.Size) {
	if n < 0 || n > MaxSize {
		b.failf(at, "want a size up to %v, got %v", config.Size(MaxSize), n)
	}
}

// order refuses parts that wait for each other, and required ones that wait for what is
// not.
func (b *builder) order() {
	const (
		fresh = iota
		open
		closed
	)
	state := make([]int, len(b.c.parts))
	var way []int
	var visit func(i int)
	visit = func(i int) {
		if state[i] == closed {
			return
		}
		way = append(way, i)
		defer func() { way = way[:len(way)-1] }()
		if state[i] == open {
			b.failf(b.at(i, "path"), "the parts wait for each other: %s", b.chain(way[slices.Index(way, i):]))
			return
		}
		state[i] = open
		for _, n := range b.c.parts[i].uses {
			visit(n)
		}
		state[i] = closed
	}
	for i := range b.c.parts {
		visit(i)
		if b.c.parts[i].required {
			b.needs(i)
		}
	}
}

// needs refuses a required part that can't be asked without one that is not.
func (b *builder) needs(i int) {
	for _, ref := range b.c.parts[i].url.references() {
		c := &ref.choices[0]
		if len(ref.choices) == 1 && ref.fallback == nil && c.source == fromPart && !b.c.parts[c.part].required {
			b.failf(b.at(i, "required"), "%q needs %q, which is not required", b.names[i], c.name)
		}
	}
}

func (b *builder) at(part int, key string) string {
	return "parts[" + strconv.Itoa(part) + "]." + key
}

func (b *builder) chain(parts []int) string {
	var s []string
	for _, i := range parts {
		s = append(s, b.names[i])
	}
	return strings.Join(s, " uses ")
}

func (b *builder) allViews() {
	if len(b.config.Views) == 0 {
		b.errs = append(b.errs, errors.New(`has no "views"`))
		return
	}
	used := make([]bool, len(b.c.parts))
	for _, name := range slices.Sorted(maps.Keys(b.config.Views)) {
		if !isName(name) {
			b.failf("views", "the name %q is not made of letters, digits, - and _", name)
			continue
		}
		before := len(b.errs)
		v := &View{c: b.c, name: name, fields: b.fields("views."+name, b.config.Views[name], true)}
		if len(b.errs) == before {
			v.asked = b.asked(v.fields)
		}
		for _, i := range v.asked {
			used[i] = true
		}
		b.c.views[name] = v
	}
	if len(b.errs) > 0 {
		return
	}
	for i, ok := range used {
		if !ok {
			b.failf("parts["+strconv.Itoa(i)+"]", "no view takes from %q, and no other part uses it", b.names[i])
		}
	}
}

// asked are the parts that fields need, as declared.
func (b *builder) asked(fields []field) (asked []int) {
	needed := make([]bool, len(b.c.parts))
	var need func(i int)
	need = func(i int) {
		if needed[i] {
			return
		}
		needed[i] = true
		for _, n := range b.c.parts[i].uses {
			need(n)
		}
	}
	for _, f := range fields {
		need(f.part)
	}
	for i, ok := range needed {
		if ok {
			asked = append(asked, i)
		}
	}
	return asked
}

// fields understands picks. top: they take from the parts, not from a value.
func (b *builder) fields(at string, picks []Pick, top bool) []field {
	if len(picks) == 0 {
		b.failf(at, "is empty")
	}
	fields := make([]field, len(picks))
	seen := map[string]int{}
	for i := range picks {
		here := at + "[" + strconv.Itoa(i) + "]"
		f, name := b.field(here, &picks[i], top)
		first, twice := seen[name]
		switch {
		case name == "":
		case twice:
			b.failf(here, "the name %q is given already, at [%d]; give another one with \"as\"", name, first)
		case top && name == missingName:
			b.failf(here, "%q is where the page says what is missing; give another name with \"as\"", name)
		default:
			seen[name] = i
		}
		fields[i] = f
	}
	return fields
}

func (b *builder) field(at string, p *Pick, top bool) (f field, name string) {
	words, ok := words(p.Take)
	if !ok {
		b.failf(at+".take", "want a name such as price, or names with dots between them, got %q", p.Take)
		return f, ""
	}
	f.path = words
	if top {
		f.path = words[1:]
		if f.part = slices.Index(b.names, words[0]); f.part < 0 {
			b.fail(config.Unknown("part", words[0], b.names), at, ".take")
		}
	}
	name = cmp.Or(p.As, words[len(words)-1])
	if _, err := strconv.Atoi(name); err == nil && p.As == "" {
		b.failf(at, "%q needs a name; give it with \"as\"", p.Take)
	}
	f.name = nameOf(name)
	if p.Pick != nil {
		f.pick = b.fields(at+".pick", p.Pick, false)
	}
	return f, name
}

// View is the view of this name; without one it is the only view that there is.
func (c *Composition) View(name string) (*View, error) {
	known := slices.Sorted(maps.Keys(c.views))
	if name == "" && len(known) == 1 {
		name = known[0]
	}
	if name == "" {
		return nil, errors.New("want one of " + strings.Join(known, ", "))
	}
	v, ok := c.views[name]
	if !ok {
		return nil, config.Unknown("view", name, known)
	}
	return v, nil
}

// Timeout is for the whole page.
func (v *View) Timeout() time.Duration { return v.c.timeout }

// Check says which parameter of the route's path the view's parts want and the route
// does not have.
func (v *View) Check(parameters []string) error {
	var errs []error
	for _, i := range v.asked {
		p := &v.c.parts[i]
		for _, ref := range p.url.references() {
			for _, c := range ref.choices {
				if c.source == fromRoute && !slices.Contains(parameters, c.name) {
					errs = append(errs, fmt.Errorf("part %q wants %v: %w", p.name, ref, config.Unknown("parameter", c.name, parameters)))
				}
			}
		}
	}
	return errors.Join(errs...)
}
