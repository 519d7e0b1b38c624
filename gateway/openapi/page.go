package openapi

import (
	"bytes"
	"crypto/sha256"
	_ "embed" // the page
	"encoding/base64"
	"fmt"
	"html/template"
	"slices"
	"strings"
	"sync"
)

//go:embed page.html
var pageHTML string

//go:embed page.css
var pageCSS string

// Policy is the page's Content-Security-Policy: its own style, and nothing else.
var Policy = func() string {
	sum := sha256.Sum256([]byte(pageCSS))
	return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) +
		"'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
}()

var page = template.Must(template.New("page").Parse(pageHTML))

type lazyPage struct {
	once sync.Once
	html []byte
	err  error
}

// Page is the document as a page for people. at is where the gateway is for them, such as
// http://127.0.0.1:5000; document is the path of the document there, "" if there is none.
func (m *Merged) Page(at, document string) ([]byte, error) {
	m.page.once.Do(func() {
		var b bytes.Buffer
		m.page.err = page.Execute(&b, m.view())
		m.page.html = b.Bytes()
	})
	if m.page.err != nil {
		return nil, fmt.Errorf("openapi: %w", m.page.err)
	}
	link := ""
	if document != "" {
		link = `<p><a href="` + template.HTMLEscapeString(document) + `">The document as JSON</a> (OpenAPI 3.1)</p>`
	}
	b := bytes.ReplaceAll(m.page.html, []byte(base), []byte(template.HTMLEscapeString(at)))
	return bytes.Replace(b, []byte(documentMark), []byte(link), 1), nil
}

// documentMark stands in a page for the link to its document.
const documentMark = `<p id="document"></p>`

// What a page shows.
type (
	pageView struct {
		Title, Version string
		Style          template.CSS
		Description    string
		Notes          []noteView
		Services       []serviceView
		Schemas        []schemaView
	}
	noteView    struct{ Name, State, Reason string }
	serviceView struct {
		Name, ID, Description string
		Operations            []operationView
	}
	operationView struct {
		ID, Method, Path, Summary, Description string
		Hosts                                  string
		Deprecated                             bool
		Security                               []string
		Parameters                             []fieldView
		Body                                   []contentView
		BodyRequired                           bool
		BodyDescription                        string
		Responses                              []responseView
		Curl                                   string
	}
	responseView struct {
		Status, Description string
		Content             []contentView
	}
	contentView struct {
		Media  string
		Schema typeView
	}
	// fieldView is a parameter, or a member.
	fieldView struct {
		Name, In string
		Required bool
		typeView
	}
	// typeView is a schema where it is used.
	typeView struct {
		Type, Ref   string // Ref: the schema's id on this page; Type is its name
		Description string
		Facts       []string
		Example     string
		Fields      []fieldView
	}
	schemaView struct {
		Name, ID string
		typeView
	}
)

// viewer makes a pageView of a merged document.
type viewer struct {
	root object
	ids  map[string]bool
	refs map[string]string // of a schema its id on the page
}

func (m *Merged) view() *pageView {
	v := &viewer{root: m.root, ids: map[string]bool{"main": true, "notes": true, "schemas": true}, refs: map[string]string{}}
	p := &pageView{
		Title: text(m.root, "info", "title"), Version: text(m.root, "info", "version"), Style: template.CSS(pageCSS), //nolint:gosec // our own
	}
	for _, s := range listAt(m.root, "x-earshot-services") {
		if state := text(s, "state"); state != string(Present) {
			p.Notes = append(p.Notes, noteView{text(s, "name"), stateWords[State(state)], text(s, "reason")})
		}
	}
	schemas := objectAt(m.root, "components", "schemas")
	for _, name := range names(schemas) {
		v.refs[name] = v.id("schema", name)
	}
	v.services(p)
	for _, name := range names(schemas) {
		p.Schemas = append(p.Schemas, schemaView{name, v.refs[name], v.typeOf(schemas[name], 0)})
	}
	return p
}

var stateWords = map[State]string{
	Stale: "as it was last", LeftOut: "left out", Without: "without a document",
}

// id is one that the page does not have yet.
func (v *viewer) id(words ...string) string {
	s := strings.Map(func(r rune) rune {
		if r != '_' && r != '.' && isNameRune(r) {
			return r
		}
		return '-'
	}, strings.ToLower(strings.Join(words, "-")))
	for strings.Contains(s, "--") {
		s = strings.ReplaceAll(s, "--", "-")
	}
	return unique(strings.Trim(s, "-"), "-", v.ids)
}

func (v *viewer) services(p *pageView) {
	at := map[string]int{}
	for _, tag := range listAt(v.root, "tags") {
		name := text(tag, "name")
		at[name] = len(p.Services)
		p.Services = append(p.Services, serviceView{Name: name, ID: v.id("service", name), Description: text(tag, "description")})
	}
	paths := objectAt(v.root, "paths")
	for _, path := range names(paths) {
		for _, method := range methods {
			op := objectAt(paths[path], method)
			if tags := listAt(op, "tags"); len(tags) > 0 {
				name, _ := tags[0].(string)
				s := &p.Services[at[name]]
				s.Operations = append(s.Operations, v.operation(method, path, op))
			}
		}
	}
}

func (v *viewer) operation(method, path string, op object) operationView {
	o := operationView{
		ID: v.id(method, path), Method: strings.ToUpper(method), Path: path,
		Summary: text(op, "summary"), Description: text(op, "description"), Deprecated: op["deprecated"] == true,
		Curl: curl(v.root, method, path, op),
	}
	if servers := listAt(op, "servers"); len(servers) > 0 {
		o.Hosts = text(servers[0], "description")
	}
	for _, r := range listAt(op, "security") {
		o.Security = append(o.Security, strings.Join(names(objectAt(r)), " and "))
	}
	for _, ref := range listAt(op, "parameters") {
		parameter := resolve(v.root, ref)
		f := fieldView{Name: text(parameter, "name"), In: text(parameter, "in"), Required: parameter["required"] == true}
		s := parameter["schema"]
		for _, media := range names(objectAt(parameter, "content")) {
			s = member(parameter, "content", media, "schema")
		}
		f.typeView = v.typeOf(s, 1)
		if d := text(parameter, "description"); d != "" {
			f.Description = d
		}
		o.Parameters = append(o.Parameters, f)
	}
	if body := resolve(v.root, op["requestBody"]); body != nil {
		o.Body, o.BodyRequired, o.BodyDescription = v.content(body), body["required"] == true, text(body, "description")
	}
	responses := objectAt(op, "responses")
	for _, status := range names(responses) {
		r := resolve(v.root, responses[status])
		o.Responses = append(o.Responses, responseView{status, text(r, "description"), v.content(r)})
	}
	return o
}

func (v *viewer) content(of object) (all []contentView) {
	content := objectAt(of, "content")
	for _, media := range names(content) {
		all = append(all, contentView{media, v.typeOf(member(content, media, "schema"), 0)})
	}
	return all
}

// maxShown is how deep a schema without a name is shown.
const maxShown = 12

func (v *viewer) typeOf(s any, depth int) (t typeView) {
	o := objectAt(s)
	if _, name, below, err := splitRef(text(o, "$ref")); err == nil { // never shown in place: a page would have no end
		return typeView{Type: strings.Join(append([]string{name}, below...), "/"), Ref: v.refs[name], Description: text(o, "description")}
	}
	if o == nil || depth > maxShown {
		return typeView{Type: map[any]string{true: "anything", false: "nothing"}[asBool(s)]}
	}
	t = typeView{Type: typeName(o), Description: text(o, "description"), Facts: facts(o)}
	if list := listAt(o, "examples"); len(list) > 0 {
		t.Example = short(list[0])
	} else if e, ok := o["example"]; ok {
		t.Example = short(e)
	}
	required := listAt(o, "required")
	properties := objectAt(o, "properties")
	for _, name := range ordered(o, properties) {
		f := fieldView{Name: name, Required: slices.ContainsFunc(required, func(r any) bool { return r == any(name) })}
		f.typeView = v.typeOf(properties[name], depth+1)
		t.Fields = append(t.Fields, f)
	}
	for _, word := range []string{"allOf", "anyOf", "oneOf"} {
		for _, choice := range listAt(o, word) {
			f := fieldView{In: choiceWords[word], typeView: v.typeOf(choice, depth+1)}
			t.Fields = append(t.Fields, f)
		}
	}
	if items := o["items"]; items != nil {
		t.Fields = append(t.Fields, fieldView{In: "each of", typeView: v.typeOf(items, depth+1)})
	}
	if more := objectAt(o, "additionalProperties"); more != nil {
		t.Fields = append(t.Fields, fieldView{In: "any other name", typeView: v.typeOf(more, depth+1)})
	}
	return t
}

func asBool(v any) any {
	if b, ok := v.(bool); ok {
		return b
	}
	return true
}

var choiceWords = map[string]string{"allOf": "all of", "anyOf": "any of", "oneOf": "one of"}

// ordered are the names of members in the order that a page has, or sorted.
func ordered(s, properties object) []string {
	sorted := names(properties)
	var first []string
	for _, name := range listAt(s, "x-earshot-order") {
		if name, ok := name.(string); ok && properties[name] != nil && !slices.Contains(first, name) {
			first = append(first, name)
		}
	}
	rest := slices.DeleteFunc(sorted, func(name string) bool { return slices.Contains(first, name) })
	return append(first, rest...)
}

// typeName is a schema's type in words.
func typeName(o object) string {
	var types []string
	if t := text(o, "type"); t != "" {
		types = []string{t}
	}
	for _, t := range listAt(o, "type") {
		types = append(types, plain(t))
	}
	if len(types) == 0 && o["properties"] != nil {
		types = []string{"object"}
	}
	name := strings.Join(types, " or ")
	if format := text(o, "format"); format != "" {
		name = strings.TrimSpace(name + " (" + format + ")")
	}
	if name == "" && o["allOf"] == nil && o["anyOf"] == nil && o["oneOf"] == nil {
		return "anything"
	}
	return name
}

// facts are a schema's limits in words.
func facts(o object) (all []string) {
	for _, limit := range []struct{ word, says string }{
		{"minimum", "at least %s"},
		{"maximum", "at most %s"},
		{"exclusiveMinimum", "more than %s"},
		{"exclusiveMaximum", "less than %s"},
		{"multipleOf", "a multiple of %s"},
		{"minLength", "length at least %s"},
		{"maxLength", "length at most %s"},
		{"minItems", "at least %s elements"},
		{"maxItems", "at most %s elements"},
		{"pattern", "matches %s"},
		{"const", "always %s"},
		{"default", "default %s"},
	} {
		if v, ok := o[limit.word]; ok {
			all = append(all, fmt.Sprintf(limit.says, short(v)))
		}
	}
	if values := listAt(o, "enum"); len(values) > 0 {
		var words []string
		for i, v := range values {
			if i == 30 {
				words = append(words, fmt.Sprintf("and %d more", len(values)-i))
				break
			}
			words = append(words, short(v))
		}
		all = append(all, "one of "+strings.Join(words, ", "))
	}
	for _, flag := range []struct{ word, says string }{{"readOnly", "only in answers"}, {"writeOnly", "only in requests"}, {"deprecated", "deprecated"}} {
		if o[flag.word] == true {
			all = append(all, flag.says)
		}
	}
	return all
}

// short is a value on one line.
func short(v any) string {
	s, ok := v.(string)
	if !ok {
		b, err := encode(v)
		if err != nil {
			return ""
		}
		s = strings.TrimSpace(string(b))
	}
	if r := []rune(s); len(r) > 200 {
		s = string(r[:200]) + "…"
	}
	return s
}
