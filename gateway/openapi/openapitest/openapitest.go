// Package openapitest judges OpenAPI documents in tests: what a reader of one relies on
// and encoding/json does not see.
package openapitest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

type object = map[string]any

// Check says what is wrong with a document: references that lead nowhere, ids and paths
// that are there twice, parameters of paths that are not declared.
func Check(document []byte) (wrong []string) {
	var root object
	d := json.NewDecoder(bytes.NewReader(document))
	d.UseNumber()
	if err := d.Decode(&root); err != nil {
		return []string{err.Error()}
	}
	c := &checker{root: root, ids: map[string]bool{}, shapes: map[string]bool{}}
	info, _ := root["info"].(object)
	if root["openapi"] != "3.1.0" || text(info["title"]) == "" || text(info["version"]) == "" {
		c.say("it is no OpenAPI 3.1.0 with a title and a version")
	}
	c.references(root)
	c.components()
	paths, _ := root["paths"].(object)
	for path, item := range paths {
		c.path(path, item.(object))
	}
	slices.Sort(c.wrong)
	return c.wrong
}

type checker struct {
	root        object
	ids, shapes map[string]bool
	wrong       []string
}

func (c *checker) say(format string, args ...any) {
	c.wrong = append(c.wrong, fmt.Sprintf(format, args...))
}

func text(v any) string {
	s, _ := v.(string)
	return s
}

// references looks at each $ref, but for those in data.
func (c *checker) references(v any) {
	switch v := v.(type) {
	case object:
		if ref := text(v["$ref"]); ref != "" && c.find(ref) == nil {
			c.say("%s leads nowhere", ref)
		}
		for name, m := range v {
			if !slices.Contains([]string{"example", "examples", "default", "const", "enum"}, name) || isNamed(m) {
				c.references(m)
			}
		}
	case []any:
		for _, m := range v {
			c.references(m)
		}
	}
}

// isNamed tells a schema of a member that is called as a word of schemas is.
func isNamed(v any) bool {
	o, ok := v.(object)
	_, typed := o["type"]
	return ok && typed
}

func (c *checker) find(ref string) any {
	var v any = c.root
	rest, ok := strings.CutPrefix(ref, "#/")
	if !ok {
		return nil
	}
	for step := range strings.SplitSeq(rest, "/") {
		step, err := url.PathUnescape(step)
		if list, ok := v.([]any); ok {
			n, err := strconv.Atoi(step)
			if err != nil || n < 0 || n >= len(list) {
				return nil
			}
			v = list[n]
			continue
		}
		o, ok := v.(object)
		if err != nil || !ok {
			return nil
		}
		v = o[strings.NewReplacer("~1", "/", "~0", "~").Replace(step)]
	}
	return v
}

var componentName = regexp.MustCompile(`^[a-zA-Z0-9._-]+$`)

func (c *checker) components() {
	components, _ := c.root["components"].(object)
	for section, all := range components {
		for name := range all.(object) {
			if !componentName.MatchString(name) {
				c.say("components/%s/%s is no name", section, name)
			}
		}
	}
}

var braces = regexp.MustCompile(`\{([^}]*)\}`)

func (c *checker) path(path string, item object) {
	shape := braces.ReplaceAllString(path, "{}")
	if c.shapes[shape] {
		c.say("%s is there under another name too", path)
	}
	c.shapes[shape] = true
	for method, op := range item {
		c.operation(method+" "+path, path, op.(object))
	}
}

func (c *checker) operation(where, path string, op object) {
	if id := text(op["operationId"]); id != "" {
		if c.ids[id] {
			c.say("the operationId %s is there twice", id)
		}
		c.ids[id] = true
	}
	seen := map[string]bool{}
	parameters, _ := op["parameters"].([]any)
	for _, v := range parameters {
		p, _ := v.(object)
		if ref := text(p["$ref"]); ref != "" {
			p, _ = c.find(ref).(object)
		}
		key := text(p["in"]) + " " + text(p["name"])
		if seen[key] {
			c.say("%s: the parameter %s is there twice", where, key)
		}
		seen[key] = true
		if p["in"] == "path" && (p["required"] != true || !strings.Contains(path, "{"+text(p["name"])+"}")) {
			c.say("%s: the parameter %s is not in the path, or not required", where, key)
		}
	}
	for _, m := range braces.FindAllStringSubmatch(path, -1) {
		if !seen["path "+m[1]] {
			c.say("%s: {%s} is not declared", where, m[1])
		}
	}
	responses, _ := op["responses"].(object)
	if len(responses) == 0 {
		c.say("%s has no responses", where)
	}
	for status, v := range responses {
		r, _ := v.(object)
		if _, ok := r["description"].(string); !ok && text(r["$ref"]) == "" {
			c.say("%s: the response %s has no description", where, status)
		}
	}
	c.declared(where, op)
}

// declared looks for tags and security schemes.
func (c *checker) declared(where string, op object) {
	tags, _ := c.root["tags"].([]any)
	of, _ := op["tags"].([]any)
	for _, tag := range of {
		if !slices.ContainsFunc(tags, func(t any) bool { return t.(object)["name"] == tag }) {
			c.say("%s: the tag %v is not declared", where, tag)
		}
	}
	requirements, _ := op["security"].([]any)
	for _, r := range requirements {
		for scheme := range r.(object) {
			if c.find("#/components/securitySchemes/"+scheme) == nil {
				c.say("%s: the security scheme %s is not declared", where, scheme)
			}
		}
	}
}
