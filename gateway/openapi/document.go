package openapi

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// ErrMalformed is wrapped by each error of Parse.
var ErrMalformed = errors.New("openapi: malformed document")

// Document is one service's document.
type Document struct {
	root     object
	size     int
	old      bool              // it is OpenAPI 3.0
	prefix   string            // what stands before its paths, as the service sees them
	moved    map[string]string // section/name of a component → its name without the odd characters
	original map[string]string // and the other way, of schemas
	all      []source          // in the order of their paths and methods
}

// Parse reads a document and judges it as far as Merge needs that.
func Parse(b []byte) (*Document, error) {
	d, err := parse(b)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return d, nil
}

func parse(b []byte) (*Document, error) {
	v, err := decode(b)
	if err != nil {
		return nil, err
	}
	d := &Document{size: len(b), root: objectAt(v), moved: map[string]string{}, original: map[string]string{}}
	version := text(v, "openapi")
	switch {
	case version == "" && text(v, "swagger") != "":
		return nil, fmt.Errorf("it is Swagger %.20s; want OpenAPI 3.0 or 3.1", text(v, "swagger"))
	case version == "":
		return nil, errors.New("it is no OpenAPI document")
	case strings.HasPrefix(version, "3.0."):
		d.old = true
	case !strings.HasPrefix(version, "3.1."):
		return nil, fmt.Errorf("it is OpenAPI %.20s; want 3.0 or 3.1", version)
	}
	if d.prefix, err = prefixOf(v); err != nil {
		return nil, err
	}
	d.nameComponents()
	d.all = d.operations()
	return d, d.check()
}

// prefixOf is the path of the first server.
func prefixOf(v any) (string, error) {
	servers := listAt(v, "servers")
	if len(servers) == 0 {
		return "", nil
	}
	address := text(servers[0], "url")
	for name, variable := range objectAt(servers[0], "variables") {
		address = strings.ReplaceAll(address, "{"+name+"}", text(variable, "default"))
	}
	u, err := url.Parse(address)
	if err != nil {
		return "", errors.New("its server's URL can't be read")
	}
	return strings.TrimSuffix("/"+strings.Trim(u.Path, "/"), "/"), nil
}

// nameComponents takes what may not stand in a name out of those that have it.
func (d *Document) nameComponents() {
	for section := range sections {
		taken := map[string]bool{}
		for _, name := range names(objectAt(d.root, "components", section)) {
			clean := strings.Map(func(r rune) rune {
				if isNameRune(r) {
					return r
				}
				return '_'
			}, name)
			clean = unique(clean, "_", taken)
			d.moved[section+"/"+name] = clean
			if section == "schemas" {
				d.original[clean] = name
			}
		}
	}
}

func (d *Document) name(section, name string) string { return d.moved[section+"/"+name] }

func isNameRune(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("._-", r)
}

// unique is s, or s with a number behind it where it is taken; then that is.
func unique(s, between string, taken map[string]bool) string {
	for n, try := 2, s; ; n++ {
		if !taken[try] {
			taken[try] = true
			return try
		}
		try = fmt.Sprintf("%s%s%d", s, between, n)
	}
}

// check copies all there is to nowhere, so that what it takes can be copied later.
func (d *Document) check() error {
	c := &carrier{from: d, need: func(string, string) {}}
	for _, section := range names(sections) {
		all, ok := d.root["components"].(object)
		if d.root["components"] != nil && !ok || all[section] != nil && objectAt(all, section) == nil {
			return errors.New("its components are not objects")
		}
		for _, name := range names(objectAt(all, section)) {
			if _, err := c.carry(sections[section], all[section].(object)[name]); err != nil {
				return fmt.Errorf("components/%s/%.80s: %w", section, name, err)
			}
		}
	}
	if d.root["paths"] != nil && objectAt(d.root, "paths") == nil {
		return errors.New("its paths are not an object")
	}
	for path, item := range objectAt(d.root, "paths") {
		if strings.HasPrefix(path, "x-") {
			continue
		}
		if _, err := c.carry(pathItem, item); err != nil {
			return fmt.Errorf("%.80s: %w", path, err)
		}
	}
	return c.secure(object{"security": d.root["security"]})
}

// source is an operation as the service has it.
type source struct {
	path, method string
	what         object
	shared       []any // the path item's parameters
}

// operations finds all.
func (d *Document) operations() (all []source) {
	paths := objectAt(d.root, "paths")
	for _, path := range names(paths) {
		if !strings.HasPrefix(path, "/") {
			continue
		}
		item := d.resolve(paths[path])
		for _, method := range methods {
			if op := objectAt(item, method); op != nil {
				all = append(all, source{d.before(op, item) + path, method, op, listAt(item, "parameters")})
			}
		}
	}
	return all
}

// before is what stands before an operation's path: by its own servers, or by those of its
// path, or by the document's.
func (d *Document) before(of ...object) string {
	for _, o := range of {
		if prefix, err := prefixOf(o); err == nil && len(listAt(o, "servers")) > 0 {
			return prefix
		}
	}
	return d.prefix
}

// maxHops is how many references lead on to each other.
const maxHops = 16

// resolve is what v stands for, if it is a reference.
func (d *Document) resolve(v any) object {
	for range maxHops {
		ref, ok := member(v, "$ref").(string)
		if !ok {
			return objectAt(v)
		}
		section, name, below, err := splitRef(ref)
		if err != nil {
			return nil
		}
		v = follow(d.root, append([]string{"components", section, name}, below...))
	}
	return nil
}

// pointer writes a reference within a document.
func pointer(steps []string) string {
	var b strings.Builder
	b.WriteByte('#')
	for _, s := range steps {
		b.WriteString("/" + url.PathEscape(strings.NewReplacer("~", "~0", "/", "~1").Replace(s)))
	}
	return b.String()
}

func unescape(s string) (string, error) {
	s, err := url.PathUnescape(s)
	return strings.NewReplacer("~1", "/", "~0", "~").Replace(s), err
}
