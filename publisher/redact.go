package publisher

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/earshot-mq/earshot/publisher/record"
)

// redacted stands where a secret was.
const redacted = "REDACTED"

// RedactorOptions says what a Redactor looks for beyond its defaults.
type RedactorOptions struct {
	QueryKeys []string // keys of a query or a form whose values are secret; case does not count
	JSONPaths []string // values in JSON, "$.user.password", "$..token", "$.cards[*].number"; case does not count
	Patterns  []string // regular expressions of Go; their groups are secret, or the whole match if they have none
	Bare      bool     // without the defaults
}

// What is secret by default. A key counts also as the last part of one with brackets,
// as in user[password].
var (
	defaultQueryKeys = []string{
		"token", "access_token", "id_token", "refresh_token", "code", "password", "passwd", "secret", "client_secret",
		"sig", "signature", "key", "api_key", "apikey", "session", "auth",
		"AWSAccessKeyId", "X-Amz-Signature", "X-Amz-Credential", "X-Amz-Security-Token", "X-Goog-Signature", "X-Goog-Credential",
	}
	defaultJSONPaths = []string{"$..access_token", "$..id_token", "$..refresh_token", "$..client_secret", "$..password"}
)

// Redactor takes secrets out of records before they are published: values of known keys
// in queries and forms, values in JSON, user information in URLs, Bearer tokens, JSON
// web tokens, what follows "Authorization:", and what patterns say. A secret's value
// becomes REDACTED; all else stays byte for byte.
//
// It may be used from many goroutines. A record without a secret costs no allocation.
type Redactor struct {
	keys     map[string]bool // in lower case
	longest  int             // length of the longest key
	paths    []jsonPath
	patterns []*regexp.Regexp
	shapes   bool
}

// NewRedactor compiles the rules. An error names the one that is wrong.
func NewRedactor(o RedactorOptions) (*Redactor, error) {
	keys, paths := o.QueryKeys, o.JSONPaths
	if !o.Bare {
		keys, paths = slices.Concat(keys, defaultQueryKeys), slices.Concat(paths, defaultJSONPaths)
	}
	rd := &Redactor{keys: map[string]bool{}, shapes: !o.Bare}
	for _, k := range keys {
		if k == "" {
			return nil, fmt.Errorf("publisher: redact: query key %q: is empty", k)
		}
		rd.keys[strings.ToLower(k)] = true
		rd.longest = max(rd.longest, len(k))
	}
	for _, text := range paths {
		p, err := parseJSONPath(text)
		if err != nil {
			return nil, fmt.Errorf("publisher: redact: %w", err)
		}
		rd.paths = append(rd.paths, p)
	}
	for _, text := range o.Patterns {
		p, err := regexp.Compile(text)
		if err != nil {
			return nil, fmt.Errorf("publisher: redact: pattern %q: %w", text, err)
		}
		if p.MatchString("") {
			return nil, fmt.Errorf("publisher: redact: pattern %q: matches nothing at all, so it would match everywhere", text)
		}
		rd.patterns = append(rd.patterns, p)
	}
	return rd, nil
}

// Redact takes the secrets out of r. The bytes that its slices refer to stay as they
// are: what changes is copied.
func (rd *Redactor) Redact(r *record.Record) {
	h := &r.HTTP
	rd.redactText(&h.Path, place{field: "path"})
	rd.redactText(&h.Query, place{field: "query", form: true})
	rd.redactText(&h.Error, place{field: "error"})
	rd.redactBytes(&h.Body, bodyPlace(h))
	rd.redactBytes(&r.Data, dataPlace)
}

func (rd *Redactor) redactText(s *string, p place) {
	if *s != "" && rd.suspects(*s, p) {
		b := []byte(*s)
		rd.redactBytes(&b, p)
		*s = string(b)
	}
}

func (rd *Redactor) redactBytes(b *[]byte, p place) {
	if edits := rd.find(*b, p); len(edits) > 0 {
		*b = apply(*b, edits)
	}
}

// place is where a text stands in a record, and so what it is.
type place struct {
	field string
	form  bool // pairs of keys and values
	json  bool
}

var dataPlace = place{field: "data", json: true}

func bodyPlace(h *record.HTTP) place {
	return place{field: "body", form: h.MediaType == formType, json: isJSON(h.MediaType)}
}

// find is what is secret in text.
func (rd *Redactor) find(text []byte, p place) (edits []edit) {
	if len(text) == 0 {
		return nil
	}
	if p.form {
		edits = rd.findKeys(edits, text)
	}
	if p.json && len(rd.paths) > 0 {
		edits = rd.findPaths(edits, text)
	}
	if rd.shapes {
		edits = findShapes(edits, text)
	}
	for _, re := range rd.patterns {
		edits = findPattern(edits, re, text)
	}
	return edits
}

// suspects tells whether a closer look at a short text is worth a copy of it.
func (rd *Redactor) suspects(s string, p place) bool {
	if p.form && rd.hasKey(s) || rd.shapes && hasTrigger(s) {
		return true
	}
	return slices.ContainsFunc(rd.patterns, func(re *regexp.Regexp) bool { return re.MatchString(s) })
}

func findPattern(edits []edit, re *regexp.Regexp, text []byte) []edit {
	for _, m := range re.FindAllSubmatchIndex(text, -1) {
		if len(m) > 2 {
			m = m[2:]
		}
		for ; len(m) > 0; m = m[2:] {
			if m[0] < m[1] {
				edits = append(edits, edit{start: m[0], end: m[1], rule: rule{"pattern", re.String()}})
			}
		}
	}
	return edits
}

// Change is what redaction does to one place of a record.
type Change struct {
	Field  string // "path", "query", "body", "error" or "data"
	Rule   string // the rule that fired, as its owner wrote it
	Before string
	After  string
}

// String is one line for people, whatever the bytes.
func (c Change) String() string {
	b := append([]byte(c.Field), ": "...)
	b = record.AppendEscaped(append(b, c.Rule+": "...), []byte(c.Before))
	return string(record.AppendEscaped(append(b, " -> "...), []byte(c.After)))
}

// Explain says what Redact would do to a sample, which stays as it is.
func (rd *Redactor) Explain(sample *record.Record) []Change {
	h := &sample.HTTP
	var changes []Change
	for _, t := range []struct {
		text  []byte
		place place
	}{
		{[]byte(h.Path), place{field: "path"}},
		{[]byte(h.Query), place{field: "query", form: true}},
		{[]byte(h.Error), place{field: "error"}},
		{h.Body, bodyPlace(h)},
		{sample.Data, dataPlace},
	} {
		for _, e := range merge(rd.find(t.text, t.place)) {
			changes = append(changes, Change{t.place.field, e.rule.String(), string(t.text[e.start:e.end]), e.with()})
		}
	}
	return changes
}

// rule is one that fired. It is made of what is there, so that finding costs nothing.
type rule struct {
	kind string // "query key", "json path", "pattern", or the name of a shape
	text string
}

func (r rule) String() string {
	if r.text == "" {
		return r.kind
	}
	return r.kind + " " + r.text
}

// edit is a secret: bytes start to end of a text.
type edit struct {
	start, end int
	quoted     bool // becomes a JSON string
	rule       rule
}

func (e *edit) with() string {
	if e.quoted {
		return `"` + redacted + `"`
	}
	return redacted
}

// merge sorts edits and makes one of those that overlap; the one that begins first, or
// else is longer, gives its rule.
func merge(edits []edit) []edit {
	slices.SortFunc(edits, func(a, b edit) int {
		return cmp.Or(cmp.Compare(a.start, b.start), cmp.Compare(b.end, a.end))
	})
	kept := edits[:0]
	for _, e := range edits {
		if n := len(kept); n > 0 && e.start < kept[n-1].end {
			kept[n-1].end = max(kept[n-1].end, e.end)
			continue
		}
		kept = append(kept, e)
	}
	return kept
}

// apply is text with its secrets taken out.
func apply(text []byte, edits []edit) []byte {
	out, at := make([]byte, 0, len(text)+len(redacted)*len(edits)), 0
	for _, e := range merge(edits) {
		out = append(append(out, text[at:e.start]...), e.with()...)
		at = e.end
	}
	return append(out, text[at:]...)
}
