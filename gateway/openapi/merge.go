package openapi

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Service is a service, what is known of its document, and the ways that lead there.
type Service struct {
	Found
	Routes []Route
}

// Merged is the document of all services.
type Merged struct {
	JSON []byte

	root object
	page lazyPage
}

// merger makes a Merged.
type merger struct {
	services   map[string]*Service
	carriers   map[string]*carrier
	components object
	needed     map[component]bool
	queue      []component
	ids        map[string]bool     // that are taken
	omitted    map[string][]string // by service: operations that have no place
	paths      object
	tags       map[string]string // of a tag its description
}

type component struct{ service, section, name string }

// placed is an operation, or a page, where a client finds it.
type placed struct {
	way
	host, method string
	id           string
	service      string // or the composition
	source       source
	page         *Page
}

// Merge makes one document of the services' ones and of the pages.
func Merge(services []Service, pages []Page) (*Merged, error) {
	m := &merger{
		services: map[string]*Service{}, carriers: map[string]*carrier{}, components: object{}, needed: map[component]bool{},
		ids: map[string]bool{}, omitted: map[string][]string{}, paths: object{}, tags: map[string]string{},
	}
	services = slices.Clone(services)
	slices.SortFunc(services, func(a, b Service) int { return cmp.Compare(a.Name, b.Name) })
	m.admit(services)
	all := m.collect(services)
	for i := range pages {
		all = append(all, pages[i].placed())
	}
	slices.SortStableFunc(all, func(a, b placed) int {
		return cmp.Or(cmp.Compare(a.host, b.host), cmp.Compare(a.String(), b.String()),
			cmp.Compare(slices.Index(methods, a.method), slices.Index(methods, b.method)), cmp.Compare(a.service, b.service))
	})
	for _, p := range m.settle(all) {
		if err := m.place(p); err != nil {
			return nil, err
		}
	}
	if err := m.carryComponents(); err != nil {
		return nil, err
	}
	return m.finish(services, pages)
}

// admit takes the services and their documents.
func (m *merger) admit(services []Service) {
	for i := range services {
		s := &services[i]
		m.services[s.Name] = s
		if s.Document == nil {
			continue
		}
		m.carriers[s.Name] = &carrier{
			from: s.Document, to: s.Name + ".", ids: map[string]string{},
			need: func(section, name string) { m.need(component{s.Name, section, name}) },
		}
	}
}

func (m *merger) need(c component) {
	if !m.needed[c] {
		m.needed[c] = true
		m.queue = append(m.queue, c)
	}
}

// collect finds the operations to which routes lead.
func (m *merger) collect(services []Service) (all []placed) {
	for i := range services {
		s := &services[i]
		if s.Document == nil {
			continue
		}
		for _, op := range s.Document.all {
			for j := range s.Routes {
				r := &s.Routes[j]
				w, ok := r.outside(op.path)
				if !ok {
					continue
				}
				example, ok := w.example()
				if ok && r.Leads(strings.ToUpper(op.method), example) {
					all = append(all, placed{way: w, host: r.Host, method: op.method, service: s.Name, source: op})
				}
			}
		}
	}
	return all
}

// settle gives each operation its path and its id. Those whose place is taken are named.
func (m *merger) settle(all []placed) (settled []placed) {
	shapes, taken := map[string]way{}, map[string]bool{}
	for _, p := range all {
		if known, ok := shapes[p.shape()]; ok {
			p.way = p.as(known.parameters())
		} else {
			shapes[p.shape()] = p.way
		}
		place := p.method + " " + p.String()
		if taken[place] {
			m.omitted[p.service] = append(m.omitted[p.service],
				fmt.Sprintf("%s %s%s: another one is at this path", strings.ToUpper(p.method), p.host, p))
			continue
		}
		taken[place] = true
		before := text(p.source.what, "operationId")
		if p.page != nil {
			before = p.page.View
		}
		if before != "" {
			p.id = unique(p.service+"."+before, ".", m.ids)
		}
		if c := m.carriers[p.service]; c != nil && p.page == nil && c.ids[before] == "" {
			c.ids[before] = p.id
		}
		settled = append(settled, p)
	}
	return settled
}

// place puts an operation under its path.
func (m *merger) place(p placed) error {
	op, err := m.operation(p)
	if err != nil {
		return fmt.Errorf("openapi: %s %s of %s: %w", p.method, p.source.path, p.service, err)
	}
	if p.id != "" {
		op["operationId"] = p.id
	}
	if p.host != "" {
		op["servers"] = []any{server(p.host)}
	}
	if m.paths[p.String()] == nil {
		m.paths[p.String()] = object{}
	}
	objectAt(m.paths, p.String())[p.method] = op
	return nil
}

func (m *merger) operation(p placed) (object, error) {
	if p.page != nil {
		return m.pageOperation(p)
	}
	c, d := m.carriers[p.service], m.services[p.service].Document
	what := maps.Clone(p.source.what)
	delete(what, "parameters")
	if _, ok := what["security"].([]any); !ok {
		what["security"] = d.root["security"]
	}
	v, err := c.carry(operation, what)
	if err != nil {
		return nil, err
	}
	op := v.(object)
	parameters, err := m.parameters(c, p)
	if err != nil {
		return nil, err
	}
	if len(parameters) > 0 {
		op["parameters"] = parameters
	}
	if len(listAt(op, "security")) == 0 {
		delete(op, "security")
	}
	if len(objectAt(op, "responses")) == 0 {
		op["responses"] = object{"default": object{"description": ""}}
	}
	m.tags[p.service] = describe(p.service, d)
	op["tags"] = []any{p.service}
	return op, nil
}

// parameters are those of an operation where it has its place.
func (m *merger) parameters(c *carrier, p placed) (all []any, err error) {
	type key struct{ name, in string }
	at := map[key]int{}
	add := func(k key, v any) {
		if i, ok := at[k]; ok {
			all[i] = v
			return
		}
		at[k] = len(all)
		all = append(all, v)
	}
	want := p.way.parameters()
	for _, v := range slices.Concat(p.source.shared, listAt(p.source.what, "parameters")) {
		whole := c.from.resolve(v)
		name, in := text(whole, "name"), text(whole, "in")
		if in == "path" {
			if p.fixed[name] {
				continue
			}
			if name = cmp.Or(p.renamed[name], name); !slices.Contains(want, name) {
				continue
			}
			own := maps.Clone(whole)
			own["required"], own["name"] = true, name
			v = own
		}
		carried, err := c.carry(parameter, v)
		if err != nil {
			return nil, err
		}
		add(key{name, in}, carried)
	}
	for _, name := range want {
		if _, ok := at[key{name, "path"}]; !ok {
			add(key{name, "path"}, object{"name": name, "in": "path", "required": true, "schema": object{"type": "string"}})
		}
	}
	return all, nil
}

// carryComponents carries what the operations need, and what that needs.
func (m *merger) carryComponents() error {
	for len(m.queue) > 0 {
		next := m.queue[0]
		m.queue = m.queue[1:]
		c := m.carriers[next.service]
		v, err := c.carry(sections[next.section], member(c.from.root, "components", next.section, next.name))
		if err != nil {
			return fmt.Errorf("openapi: components/%s/%s of %s: %w", next.section, next.name, next.service, err)
		}
		m.component(next.section, c.to+c.from.name(next.section, next.name), v)
	}
	return nil
}

func (m *merger) component(section, name string, v any) {
	if m.components[section] == nil {
		m.components[section] = object{}
	}
	m.components[section].(object)[name] = v
}

// describe is what a service's document says of it.
func describe(service string, d *Document) string {
	var lines []string
	if title := text(d.root, "info", "title"); title != "" && title != service {
		lines = append(lines, title)
	}
	if version := text(d.root, "info", "version"); version != "" {
		lines = append(lines, "Version "+version)
	}
	if description := text(d.root, "info", "description"); description != "" {
		lines = append(lines, description)
	}
	return strings.Join(lines, "\n\n")
}

// Title is the title of every merged document.
const Title = "The services behind this gateway"

// finish puts the document together. Its version is a digest of all else.
func (m *merger) finish(services []Service, pages []Page) (*Merged, error) {
	info := object{"title": Title, "description": m.summary(services)}
	root := object{
		"openapi": "3.1.0", "info": info, "servers": []any{object{"url": "/"}}, "paths": m.paths,
		"x-earshot-services": m.states(services),
	}
	var tags []any
	for _, name := range names(m.tags) {
		tag := object{"name": name}
		if m.tags[name] != "" {
			tag["description"] = m.tags[name]
		}
		tags = append(tags, tag)
	}
	if len(tags) > 0 {
		root["tags"] = tags
	}
	if len(pages) > 0 {
		m.component("schemas", problemName, problemSchema())
	}
	if len(m.components) > 0 {
		root["components"] = m.components
	}
	b, err := encode(root)
	if err != nil {
		return nil, fmt.Errorf("openapi: %w", err)
	}
	sum := sha256.Sum256(b)
	info["version"] = hex.EncodeToString(sum[:6])
	if b, err = encode(root); err != nil {
		return nil, fmt.Errorf("openapi: %w", err)
	}
	return &Merged{JSON: b, root: root}, nil
}

// summary says for people whose documents are in it and whose are not.
func (m *merger) summary(services []Service) string {
	by := map[State][]string{}
	for i := range services {
		s := &services[i]
		line := s.Name
		if s.Reason != "" {
			line += " (" + s.Reason + ")"
		}
		by[s.State] = append(by[s.State], line)
	}
	var lines []string
	for _, state := range []State{Stale, LeftOut, Without} {
		if len(by[state]) > 0 {
			lines = append(lines, headings[state]+strings.Join(by[state], ", ")+".")
		}
	}
	return strings.Join(append([]string{"Paths are as clients ask for them."}, lines...), "\n\n")
}

var headings = map[State]string{
	Stale:   "Not as of now, but as they were last: ",
	LeftOut: "Left out: ",
	Without: "Without a document: ",
}

func (m *merger) states(services []Service) []any {
	all := []any{}
	for i := range services {
		s := &services[i]
		state := object{"name": s.Name, "state": string(s.State)}
		if s.Reason != "" {
			state["reason"] = s.Reason
		}
		if !s.Since.IsZero() {
			state["since"] = s.Since.UTC().Format("2006-01-02T15:04:05Z")
		}
		if o := m.omitted[s.Name]; len(o) > 0 {
			state["omitted"] = o
		}
		all = append(all, state)
	}
	return all
}
