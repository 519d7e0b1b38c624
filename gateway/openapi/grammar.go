package openapi

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// kind is a kind of object that OpenAPI has. Only where one is expected is "$ref" a
// reference: in an example or a default it is data.
type kind string

const (
	schema      kind = "schema"
	operation   kind = "operation"
	pathItem    kind = "path item"
	parameter   kind = "parameter"
	requestBody kind = "request body"
	response    kind = "response"
	mediaType   kind = "media type"
	encoding    kind = "encoding"
	header      kind = "header"
	example     kind = "example"
	link        kind = "link"
	callback    kind = "callback"
	security    kind = "security scheme"
)

// sections are the kinds of components.
var sections = map[string]kind{
	"schemas": schema, "responses": response, "parameters": parameter, "examples": example, "requestBodies": requestBody,
	"headers": header, "securitySchemes": security, "links": link, "callbacks": callback, "pathItems": pathItem,
}

// form is how a member holds others.
type form int

const (
	one  form = iota
	list      // in a list
	dict      // in an object, by names of their own
)

type child struct {
	form form
	kind kind
}

// grammar says which members of an object are objects of a kind. All else is data.
var grammar = map[kind]map[string]child{
	pathItem: {
		"parameters": {list, parameter}, "get": {one, operation}, "put": {one, operation}, "post": {one, operation}, "delete": {one, operation},
		"options": {one, operation}, "head": {one, operation}, "patch": {one, operation}, "trace": {one, operation},
	},
	operation: {
		"parameters": {list, parameter}, "requestBody": {one, requestBody}, "responses": {dict, response}, "callbacks": {dict, callback},
	},
	parameter:   {"schema": {one, schema}, "content": {dict, mediaType}, "examples": {dict, example}},
	header:      {"schema": {one, schema}, "content": {dict, mediaType}, "examples": {dict, example}},
	requestBody: {"content": {dict, mediaType}},
	response:    {"headers": {dict, header}, "content": {dict, mediaType}, "links": {dict, link}},
	mediaType:   {"schema": {one, schema}, "encoding": {dict, encoding}, "examples": {dict, example}},
	encoding:    {"headers": {dict, header}},
	schema: {
		"properties": {dict, schema}, "patternProperties": {dict, schema}, "dependentSchemas": {dict, schema}, "$defs": {dict, schema},
		"items": {one, schema}, "additionalProperties": {one, schema}, "not": {one, schema}, "if": {one, schema}, "then": {one, schema},
		"else": {one, schema}, "contains": {one, schema}, "propertyNames": {one, schema}, "unevaluatedItems": {one, schema},
		"unevaluatedProperties": {one, schema}, "contentSchema": {one, schema},
		"allOf": {list, schema}, "anyOf": {list, schema}, "oneOf": {list, schema}, "prefixItems": {list, schema},
	},
}

// methods of a path item, in the order in which people look for them.
var methods = []string{"get", "head", "post", "put", "patch", "delete", "options"}

// carrier copies objects of one service's document into another one.
type carrier struct {
	from *Document
	to   string            // prefix of the components' names there
	ids  map[string]string // operationIds there; nil: links are only looked at
	need func(section, name string)
}

// carry copies v, which is to be a k: references lead to the component's new name, and a
// 3.0 schema becomes one of 3.1.
func (c *carrier) carry(k kind, v any) (any, error) {
	o, ok := v.(object)
	if _, isBool := v.(bool); k == schema && isBool {
		return v, nil
	}
	if !ok {
		return nil, fmt.Errorf("the %s is not an object", k)
	}
	if ref, ok := o["$ref"].(string); ok && k != operation {
		return c.reference(k, ref, o)
	}
	out := make(object, len(o))
	for name, m := range o {
		rule, ok := grammar[k][name]
		if !ok && k == callback && !strings.HasPrefix(name, "x-") {
			rule, ok = child{one, pathItem}, true
		}
		if !ok {
			out[name] = m
			continue
		}
		var err error
		if out[name], err = c.member(rule, name, m); err != nil {
			return nil, err
		}
	}
	return out, c.finish(k, out)
}

func (c *carrier) member(rule child, name string, v any) (any, error) {
	switch rule.form {
	case one:
		return c.carry(rule.kind, v)
	case list:
		all, ok := v.([]any)
		if !ok {
			return nil, fmt.Errorf("%s is not a list", name)
		}
		out := make([]any, len(all))
		for i := range all {
			var err error
			if out[i], err = c.carry(rule.kind, all[i]); err != nil {
				return nil, err
			}
		}
		return out, nil
	}
	all, ok := v.(object)
	if !ok {
		return nil, fmt.Errorf("%s is not an object", name)
	}
	out := make(object, len(all))
	for key, m := range all {
		if rule.kind != schema && strings.HasPrefix(key, "x-") {
			out[key] = m
			continue
		}
		var err error
		if out[key], err = c.carry(rule.kind, m); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// reference copies an object that stands for a component.
func (c *carrier) reference(k kind, ref string, o object) (any, error) {
	moved, err := c.move(k, ref)
	if err != nil {
		return nil, err
	}
	if moved == "" {
		return object{"description": fmt.Sprintf("Described elsewhere, at %.200s", ref)}, nil
	}
	out := object{}
	if k == schema && !c.from.old { // in 3.0 what stands beside it says nothing
		beside := object{}
		for name, m := range o {
			if name != "$ref" {
				beside[name] = m
			}
		}
		v, err := c.carry(schema, beside)
		if err != nil {
			return nil, err
		}
		out = v.(object)
	} else if k != schema {
		for _, name := range []string{"summary", "description"} {
			if s, ok := o[name].(string); ok {
				out[name] = s
			}
		}
	}
	out["$ref"] = moved
	return out, nil
}

// move is where a reference leads in the other document; "" if it leads to elsewhere and
// that can be borne.
func (c *carrier) move(k kind, ref string) (string, error) {
	if !strings.HasPrefix(ref, "#") && k == schema {
		return "", nil
	}
	section, name, below, err := splitRef(ref)
	if err != nil || sections[section] != k {
		return "", fmt.Errorf("the reference %.200q is to no %s among the components", ref, k)
	}
	if follow(c.from.root, append([]string{"components", section, name}, below...)) == nil {
		return "", fmt.Errorf("the reference %.200q leads nowhere", ref)
	}
	c.need(section, name)
	return pointer(append([]string{"components", section, c.to + c.from.name(section, name)}, below...)), nil
}

// splitRef takes #/components/SECTION/NAME/… apart.
func splitRef(ref string) (section, name string, below []string, err error) {
	rest, ok := strings.CutPrefix(ref, "#/components/")
	parts := strings.Split(rest, "/")
	if !ok || len(parts) < 2 {
		return "", "", nil, errors.New("it is not #/components/…")
	}
	for i, p := range parts {
		if parts[i], err = unescape(p); err != nil {
			return "", "", nil, err
		}
	}
	return parts[0], parts[1], parts[2:], nil
}

// follow is what a pointer leads to; nil: nothing.
func follow(v any, steps []string) any {
	for _, step := range steps {
		switch in := v.(type) {
		case object:
			v = in[step]
		case []any:
			n, err := strconv.ParseUint(step, 10, 31)
			if err != nil || n >= uint64(len(in)) {
				return nil
			}
			v = in[n]
		default:
			return nil
		}
	}
	return v
}

// finish judges and mends an object that was copied.
func (c *carrier) finish(k kind, o object) error {
	switch k {
	case schema:
		return c.finishSchema(o)
	case link:
		c.finishLink(o)
	case operation:
		delete(o, "servers") // they are the service's own
		delete(o, "operationId")
		delete(o, "tags")
		return c.secure(o)
	case pathItem:
		delete(o, "servers")
	case response:
		if text(o, "description") == "" {
			o["description"] = "" // it must be there
		}
	case parameter:
		if text(o, "name") == "" || !slices.Contains([]string{"query", "header", "path", "cookie"}, text(o, "in")) {
			return errors.New("a parameter has no name, or is nowhere")
		}
	}
	return nil
}

// secure leads an operation's requirements to the schemes' new names.
func (c *carrier) secure(o object) error {
	requirements, ok := o["security"].([]any)
	if !ok {
		return nil
	}
	out := make([]any, len(requirements))
	for i, r := range requirements {
		moved := object{}
		for scheme, scopes := range objectAt(r) {
			if objectAt(c.from.root, "components", "securitySchemes", scheme) == nil {
				return fmt.Errorf("the security scheme %.80q is not declared", scheme)
			}
			c.need("securitySchemes", scheme)
			moved[c.to+c.from.name("securitySchemes", scheme)] = scopes
		}
		out[i] = moved
	}
	o["security"] = out
	return nil
}

func (c *carrier) finishSchema(o object) error {
	for _, word := range []string{"$id", "$anchor", "$dynamicAnchor", "$dynamicRef"} {
		if _, ok := o[word].(string); ok {
			return fmt.Errorf("a schema has %s, by which references mean something else", word)
		}
	}
	delete(o, "$schema")
	if c.from.old {
		modernize(o)
	}
	if d, ok := o["discriminator"].(object); ok {
		return c.discriminate(o, d)
	}
	return nil
}

// discriminate writes down what a discriminator's values stand for: by themselves they
// are names of components, which are others now.
func (c *carrier) discriminate(o, d object) error {
	mapping := object{}
	for _, word := range []string{"oneOf", "anyOf"} {
		for _, v := range listAt(o, word) {
			ref := text(v, "$ref")
			if _, name, _, err := splitRef(ref); err == nil {
				mapping[c.from.original[strings.TrimPrefix(name, c.to)]] = ref
			}
		}
	}
	for value, v := range objectAt(d, "mapping") {
		s, _ := v.(string)
		if !strings.Contains(s, "/") {
			s = pointer([]string{"components", "schemas", s})
		}
		moved, err := c.move(schema, s)
		if err != nil {
			return err
		}
		if moved != "" {
			mapping[value] = moved
		}
	}
	d = object{"propertyName": d["propertyName"]}
	if len(mapping) > 0 {
		d["mapping"] = mapping
	}
	o["discriminator"] = d
	return nil
}

// finishLink leads a link to the operation's new id.
func (c *carrier) finishLink(o object) {
	delete(o, "server")
	delete(o, "operationRef")
	id, ok := c.ids[text(o, "operationId")]
	if c.ids == nil {
		return
	}
	if delete(o, "operationId"); ok {
		o["operationId"] = id
	}
}

// modernize makes of a 3.0 schema one of 3.1.
func modernize(o object) {
	if o["nullable"] == true {
		if t, ok := o["type"].(string); ok {
			o["type"] = []any{t, "null"}
			if values, ok := o["enum"].([]any); ok && !slices.ContainsFunc(values, func(v any) bool { return v == nil }) {
				o["enum"] = append(values[:len(values):len(values)], nil)
			}
		}
	}
	delete(o, "nullable")
	for limit, exclusive := range map[string]string{"minimum": "exclusiveMinimum", "maximum": "exclusiveMaximum"} {
		is, ok := o[exclusive].(bool)
		if !ok {
			continue
		}
		delete(o, exclusive)
		if n, ok := o[limit]; ok && is {
			o[exclusive] = n
			delete(o, limit)
		}
	}
	if v, ok := o["example"]; ok {
		o["examples"] = []any{v}
		delete(o, "example")
	}
}
