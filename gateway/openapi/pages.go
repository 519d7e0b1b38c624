package openapi

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/earshot-mq/earshot/gateway/compose"
)

// Page is a page that the gateway composes.
type Page struct {
	Route       Route
	Composition string
	compose.Description
}

// problemName is the gateway's own component; those of services have a dot.
const problemName = "Problem"

func problemSchema() object {
	property := func(kind, description string) object { return object{"type": kind, "description": description} }
	return object{
		"type": "object", "description": "Why there is no answer (RFC 9457).",
		"properties": object{
			"type":     property("string", "Kind of problem."),
			"title":    property("string", "The status in words."),
			"status":   property("integer", "The status."),
			"detail":   property("string", "What is wrong this time."),
			"instance": property("string", "The request's id."),
			"part":     property("string", "The part of the page that is to blame."),
			"upstream": property("string", "The service that was asked for it."),
			"reason":   property("string", "Why it has not answered."),
		},
	}
}

func (p *Page) placed() placed {
	w := way{fixed: map[string]bool{}, renamed: map[string]string{}, segments: strings.Split(p.Route.Path[1:], "/")}
	if last := len(w.segments) - 1; w.segments[last] == "*" {
		w.segments[last] = "{rest}"
	}
	return placed{way: w, host: p.Route.Host, method: "get", service: p.Composition, page: p}
}

// pageOperation documents a page from its declaration.
func (m *merger) pageOperation(place placed) (object, error) {
	p := place.page
	tag := p.Composition
	if m.services[tag] != nil {
		tag += " (page)"
	}
	var parts []string
	for _, part := range p.Parts {
		if part.Required {
			parts = append(parts, part.Name+" (required)")
			continue
		}
		parts = append(parts, part.Name)
	}
	m.tags[tag] = "Made by the gateway of the answers of several services."
	page, err := m.pageSchema(p)
	if err != nil {
		return nil, err
	}
	problem := func(description string) object {
		return object{"description": description, "content": object{"application/problem+json": object{
			"schema": object{"$ref": pointer([]string{"components", "schemas", problemName})},
		}}}
	}
	op := object{
		"tags":        []any{tag},
		"summary":     fmt.Sprintf("The page %s, view %s", p.Composition, p.View),
		"description": "Made of " + strings.Join(parts, ", ") + ". A part that is not required may be missing; the page says so.",
		"responses": object{
			"200":     object{"description": "The page", "content": object{"application/json": object{"schema": page}}},
			"default": problem("There is no page: a required part has no answer, or the request is at fault"),
		},
	}
	parameters, err := m.inputs(place)
	if len(parameters) > 0 {
		op["parameters"] = parameters
	}
	return op, err
}

// inputs are the parameters of a page. What a part's service says of one is said of it.
func (m *merger) inputs(place placed) (all []any, err error) {
	own := map[string]bool{}
	add := func(in compose.Input, name string) error {
		where := map[bool]string{false: "path", true: "query"}[in.Query]
		o := object{"name": name, "in": where, "schema": object{"type": "string"}}
		if in.Required {
			o["required"] = true
		}
		for _, use := range in.Uses {
			of, err := m.inputOf(place.page.Parts[use.Part], use)
			if err != nil {
				return err
			}
			if of != nil {
				for _, word := range []string{"schema", "description", "example", "examples"} {
					if v, ok := of[word]; ok {
						o[word] = v
					}
				}
				break
			}
		}
		if s := objectAt(o, "schema"); in.Default != "" && s["type"] == "string" && s["$ref"] == nil {
			s["default"] = in.Default // it is this operation's own copy
		}
		all = append(all, o)
		return nil
	}
	for _, in := range place.page.Inputs {
		name := in.Name
		if !in.Query {
			name = cmp.Or(place.renamed[name], name)
			own[name] = true
		}
		if err := add(in, name); err != nil {
			return nil, err
		}
	}
	for _, name := range place.way.parameters() {
		if !own[name] {
			if err := add(compose.Input{Name: name, Required: true}, name); err != nil {
				return nil, err
			}
		}
	}
	return all, nil
}

// inputOf is the parameter of a part's own request for which an input stands; nil if its
// service does not say.
func (m *merger) inputOf(part compose.Asked, use compose.Use) (object, error) {
	op := m.find(part)
	if op == nil {
		return nil, nil
	}
	name, in := use.Query, "query"
	if name == "" {
		segments := strings.Split(op.path[1:], "/")
		if use.Segment >= len(segments) || !isParameter(segments[use.Segment]) {
			return nil, nil
		}
		name, in = strings.Trim(segments[use.Segment], "{}"), "path"
	}
	c := m.carriers[part.Upstream]
	for _, v := range slices.Concat(op.shared, listAt(op.what, "parameters")) {
		whole := c.from.resolve(v)
		if text(whole, "name") == name && text(whole, "in") == in {
			carried, err := c.carry(parameter, whole)
			return objectAt(carried), err
		}
	}
	return nil, nil
}

// find is the operation of a part's service that the part asks; nil if its document does
// not have it.
func (m *merger) find(part compose.Asked) *source {
	c := m.carriers[part.Upstream]
	if c == nil {
		return nil
	}
	fits := func(segments []string) bool {
		if len(segments) != len(part.Segments) {
			return false
		}
		for i, s := range segments {
			if p := part.Segments[i]; p != s && !isParameter(s) {
				return false
			}
		}
		return true
	}
	for _, op := range c.from.all {
		segments := strings.Split(strings.TrimSuffix(op.path, "/")[1:], "/")
		if op.method == "get" && (fits(segments) || fits(append(segments, ""))) {
			return &op
		}
	}
	return nil
}

// pageSchema is what a view has.
func (m *merger) pageSchema(p *Page) (object, error) {
	properties := object{}
	var order []any
	for _, member := range p.Members {
		part := p.Parts[member.Part]
		v, err := m.memberSchema(part.Upstream, m.answer(part), member, 0)
		if err != nil {
			return nil, err
		}
		properties[member.Name] = v
		order = append(order, member.Name)
	}
	properties["missing"] = object{
		"type": "array", "description": "Parts that the page goes without, and why; not there if it has all.",
		"items": object{"type": "object", "properties": object{
			"part": object{"type": "string"}, "reason": object{"type": "string"},
			"status": object{"type": "integer"}, "needs": object{"type": "string"},
		}},
	}
	return object{"type": "object", "properties": properties, "x-earshot-order": order}, nil
}

// answer is the schema of what a part's service answers; nil if it does not say.
func (m *merger) answer(part compose.Asked) any {
	op := m.find(part)
	if op == nil {
		return nil
	}
	d := m.carriers[part.Upstream].from
	for _, status := range []string{"200", "2XX", "default"} {
		content := objectAt(d.resolve(member(op.what, "responses", status)), "content")
		for _, media := range names(content) {
			if strings.HasSuffix(strings.TrimSpace(strings.Split(media, ";")[0]), "json") {
				return member(content, media, "schema")
			}
		}
	}
	return nil
}

// maxNested is how many lists in each other, and picks in each other, have a type.
const maxNested = 16

// memberSchema is the type of a member of v's: of the whole value, or of what is picked.
func (m *merger) memberSchema(service string, v any, of compose.Member, depth int) (any, error) {
	c := m.carriers[service]
	if c == nil || v == nil || depth > maxNested {
		return pickedUnknown(of.Pick), nil
	}
	for _, step := range of.Path {
		if v = c.from.below(v, step); v == nil {
			return pickedUnknown(of.Pick), nil
		}
	}
	if of.Pick == nil {
		return c.carry(schema, v)
	}
	whole := c.from.resolve(v)
	if items := whole["items"]; items != nil {
		of.Path = nil
		each, err := m.memberSchema(service, items, of, depth+1)
		return object{"type": "array", "items": each}, err
	}
	properties := object{}
	for _, p := range of.Pick {
		picked, err := m.memberSchema(service, v, p, depth+1)
		if err != nil {
			return nil, err
		}
		properties[p.Name] = picked
	}
	return object{"type": "object", "properties": properties}, nil
}

// pickedUnknown is a value of which no service says what it is.
func pickedUnknown(pick []compose.Member) any {
	if pick == nil {
		return object{}
	}
	properties := object{}
	for _, p := range pick {
		properties[p.Name] = pickedUnknown(p.Pick)
	}
	return object{"properties": properties}
}

// below is the schema of a member, or of an element, of what v describes; nil if it does
// not say.
func (d *Document) below(v any, step string) any {
	if found := d.named(v, step, map[string]bool{}); found != nil {
		return found
	}
	if more, ok := d.resolve(v)["additionalProperties"].(object); ok {
		return more
	}
	return nil
}

// named is the same of what has a name. A schema can be made of itself, so seen are the
// references that were followed.
func (d *Document) named(v any, step string, seen map[string]bool) any {
	if ref := text(v, "$ref"); ref != "" {
		if seen[ref] {
			return nil
		}
		seen[ref] = true
	}
	whole := d.resolve(v)
	if found, ok := objectAt(whole, "properties")[step]; ok {
		return found
	}
	if _, err := strconv.Atoi(step); err == nil && whole["items"] != nil {
		return whole["items"]
	}
	for _, word := range []string{"allOf", "anyOf", "oneOf"} {
		for _, choice := range listAt(whole, word) {
			if found := d.named(choice, step, seen); found != nil {
				return found
			}
		}
	}
	return nil
}
