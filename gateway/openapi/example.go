package openapi

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// maxValues is how many values an example is made of: a schema can be made of itself.
const maxValues = 200

// examples makes values that a document's schemas allow, as far as people need them.
type examples struct {
	root object
	left int
}

// resolve is what v stands for, if it is a reference within the merged document.
func resolve(root object, v any) object {
	return (&Document{root: root}).resolve(v)
}

// of is an example of what v describes.
func (x *examples) of(v any, depth int) any {
	s := resolve(x.root, v)
	if x.left--; s == nil || x.left < 0 || depth > 6 {
		return nil
	}
	for _, word := range []string{"const", "example", "default"} {
		if value, ok := s[word]; ok {
			return value
		}
	}
	for _, word := range []string{"examples", "enum"} {
		if list := listAt(s, word); len(list) > 0 {
			return list[0]
		}
	}
	for _, word := range []string{"oneOf", "anyOf"} {
		if list := listAt(s, word); len(list) > 0 {
			return x.of(list[0], depth+1)
		}
	}
	return x.typed(s, depth)
}

func (x *examples) typed(s object, depth int) any {
	switch kind := firstType(s); {
	case kind == "object" || s["properties"] != nil || s["allOf"] != nil:
		o := object{}
		for _, part := range listAt(s, "allOf") {
			if more, ok := x.of(part, depth+1).(object); ok {
				for name, v := range more {
					o[name] = v
				}
			}
		}
		properties := objectAt(s, "properties")
		for _, name := range names(properties) {
			if resolve(x.root, properties[name])["readOnly"] != true {
				o[name] = x.of(properties[name], depth+1)
			}
		}
		return o
	case kind == "array":
		return []any{x.of(s["items"], depth+1)}
	case kind == "integer" || kind == "number":
		if n, ok := s["minimum"].(json.Number); ok {
			return n
		}
		return json.Number("1")
	case kind == "boolean":
		return true
	}
	return map[string]string{
		"date": "2026-01-31", "date-time": "2026-01-31T12:00:00Z", "uuid": "123e4567-e89b-12d3-a456-426614174000",
		"email": "name@example.com", "uri": "https://example.com/",
	}[text(s, "format")]
}

// firstType is a schema's type, the first that is not null.
func firstType(s object) string {
	if t := text(s, "type"); t != "" {
		return t
	}
	for _, t := range listAt(s, "type") {
		if t, ok := t.(string); ok && t != "null" {
			return t
		}
	}
	return ""
}

// parameter is an example of a parameter's value, as text.
func (x *examples) parameter(p object) string {
	v, ok := p["example"]
	for _, name := range names(objectAt(p, "examples")) {
		if !ok {
			v, ok = resolve(x.root, objectAt(p, "examples")[name])["value"]
		}
	}
	if !ok {
		v = x.of(p["schema"], 0)
	}
	if list, isList := v.([]any); isList && len(list) > 0 {
		v = list[0]
	}
	return cmp.Or(plain(v), strings.ToUpper(text(p, "name")))
}

// plain is a value as it stands in a URL.
func plain(v any) string {
	switch v := v.(type) {
	case nil, object, []any:
		return ""
	case string:
		return v
	}
	return fmt.Sprint(v)
}

// base stands in a page for where the gateway is.
const base = "http://gateway.invalid"

// curl is a command that asks for an operation.
func curl(root object, method, path string, op object) string {
	x := &examples{root: root, left: maxValues}
	parts := []string{"curl"}
	switch method {
	case "get":
	case "head":
		parts = append(parts, "-I")
	default:
		parts = append(parts, "-X "+strings.ToUpper(method))
	}
	var query, more []string
	for _, v := range listAt(op, "parameters") {
		p := resolve(root, v)
		name := text(p, "name")
		switch in := text(p, "in"); {
		case in == "path":
			path = strings.ReplaceAll(path, "{"+name+"}", url.PathEscape(x.parameter(p)))
		case p["required"] != true:
		case in == "query":
			query = append(query, url.QueryEscape(name)+"="+url.QueryEscape(x.parameter(p)))
		case in == "header":
			more = append(more, "-H "+quote(name+": "+x.parameter(p)))
		case in == "cookie":
			more = append(more, "-b "+quote(name+"="+x.parameter(p)))
		}
	}
	more = append(more, credentials(root, op)...)
	if body := resolve(root, op["requestBody"]); body != nil {
		more = append(more, x.body(objectAt(body, "content"))...)
	}
	at := base
	if servers := listAt(op, "servers"); len(servers) > 0 {
		at = "http:" + strings.TrimSuffix(strings.ReplaceAll(text(servers[0], "url"), "{name}", "www"), "/")
	}
	if len(query) > 0 {
		path += "?" + strings.Join(query, "&")
	}
	return strings.Join(append(append(parts, more...), quote(at+path)), " ")
}

// body is what a request carries: JSON, or a hint of what else is wanted.
func (x *examples) body(content object) []string {
	media := names(content)
	if len(media) == 0 {
		return nil
	}
	kind := media[max(0, slices.IndexFunc(media, func(m string) bool { return strings.HasSuffix(m, "json") }))]
	v, ok := member(content, kind, "example"), member(content, kind, "example") != nil
	if !ok {
		v = x.of(member(content, kind, "schema"), 0)
	}
	data := plain(v)
	if strings.HasSuffix(kind, "json") {
		b, err := encode(v)
		if err != nil {
			return nil
		}
		data = strings.TrimSpace(string(b))
	} else if data == "" {
		return []string{"-H " + quote("Content-Type: "+kind), "--data-binary @FILE"}
	}
	return []string{"-H " + quote("Content-Type: "+kind), "-d " + quote(data)}
}

// credentials are options by which a request says who it is from.
func credentials(root, op object) (options []string) {
	requirements := listAt(op, "security")
	if len(requirements) == 0 {
		return nil
	}
	requirement := objectAt(requirements[0])
	for _, name := range names(requirement) {
		s := resolve(root, member(root, "components", "securitySchemes", name))
		switch kind, scheme := text(s, "type"), strings.ToLower(text(s, "scheme")); {
		case kind == "http" && scheme == "basic":
			options = append(options, `-u "$USER:$PASSWORD"`)
		case kind == "http" || kind == "oauth2" || kind == "openIdConnect":
			options = append(options, `-H "Authorization: Bearer $TOKEN"`)
		case kind == "apiKey" && text(s, "in") == "header" && isNameText(text(s, "name")):
			options = append(options, `-H "`+text(s, "name")+`: $KEY"`)
		}
	}
	return options
}

func isNameText(s string) bool {
	return s != "" && strings.IndexFunc(s, func(r rune) bool { return !isNameRune(r) }) < 0
}

// quote writes s as a shell reads it. What would drive a terminal is left away.
func quote(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}, s)
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
