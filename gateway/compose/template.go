package compose

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/earshot-mq/earshot/internal/config"
)

// source is where a value comes from.
type source string

const (
	fromRoute source = "route" // {id}
	fromQuery source = "query" // {query.customer}
	fromPart  source = "part"  // {part.product.merchant_id}
)

// reference stands in braces in a template: {query.currency|part.customer.currency|'EUR'}.
type reference struct {
	text     string
	choices  []choice // the first that has a value counts
	fallback *string  // if none has
}

// choice is one place where a value may be.
type choice struct {
	source source
	name   string   // of the parameter, or of the part
	path   []string // in the part's answer
	part   int      // set by New
}

func (r *reference) String() string { return "{" + r.text + "}" }

// piece is a text as it is written, or a reference.
type piece struct {
	text string
	ref  *reference
}

// template is the path and query of a part.
type template struct {
	segments [][]piece
	query    []piece
	hasQuery bool
}

// parseTemplate reads /products/{id}?lang={query.lang}.
func parseTemplate(s string) (template, error) {
	var t template
	if !strings.HasPrefix(s, "/") {
		return t, errors.New(`does not begin with "/"`)
	}
	pieces, err := split(s)
	if err != nil {
		return t, err
	}
	t.segments = [][]piece{nil}
	for i, p := range pieces {
		path, query, asks := strings.Cut(p.text, "?")
		if p.ref == nil {
			if err := t.addText(path); err != nil {
				return t, err
			}
		} else {
			t.add(p)
		}
		if asks {
			t.hasQuery = true
			t.query = append([]piece{{text: query}}, pieces[i+1:]...)
			break
		}
	}
	t.segments = t.segments[1:] // before the first slash
	return t, t.check()
}

// split takes a text apart at its references.
func split(s string) (pieces []piece, err error) {
	for s != "" {
		text, rest, opens := strings.Cut(s, "{")
		if i := strings.IndexFunc(text, func(r rune) bool { return r <= ' ' || r == 0x7f || strings.ContainsRune(`#\}`, r) }); i >= 0 {
			return nil, fmt.Errorf("has %q", text[i])
		}
		if text != "" {
			pieces = append(pieces, piece{text: text})
		}
		if !opens {
			return pieces, nil
		}
		inner, after, closes := strings.Cut(rest, "}")
		if !closes {
			return nil, errors.New(`has "{" without "}"`)
		}
		ref, err := parseReference(inner)
		if err != nil {
			return nil, err
		}
		pieces = append(pieces, piece{ref: ref})
		s = after
	}
	return pieces, nil
}

func parseReference(s string) (*reference, error) {
	r := &reference{text: s}
	choices := strings.Split(s, "|")
	for i, c := range choices {
		if text, ok := unquoted(c); ok && i > 0 && i == len(choices)-1 {
			r.fallback = &text
			return r, nil
		}
		choice, err := parseChoice(c)
		if err != nil {
			return nil, fmt.Errorf("has {%s}%w", s, err)
		}
		r.choices = append(r.choices, choice)
	}
	return r, nil
}

// unquoted is a text that stands in quotes.
func unquoted(s string) (string, bool) {
	inner, opens := strings.CutPrefix(s, "'")
	inner, closes := strings.CutSuffix(inner, "'")
	return inner, opens && closes && !strings.ContainsAny(inner, "'{")
}

func parseChoice(s string) (choice, error) {
	wrong := errors.New("; want {id} of the route's path, {query.NAME} or {part.NAME.MEMBER}, and maybe |'a default' at the end")
	kind, rest, dotted := strings.Cut(s, ".")
	switch {
	case !dotted && isName(s):
		return choice{source: fromRoute, name: s}, nil
	case !dotted || strings.ContainsAny(s, "{'"):
		return choice{}, wrong
	case kind == string(fromQuery) && rest != "":
		return choice{source: fromQuery, name: rest}, nil
	case kind == string(fromPart):
		words, ok := words(rest)
		if !ok || len(words) < 2 {
			return choice{}, wrong
		}
		return choice{source: fromPart, name: words[0], path: words[1:]}, nil
	case kind == string(fromQuery):
		return choice{}, wrong
	}
	return choice{}, fmt.Errorf(": %w", config.Unknown("source", kind, []string{string(fromPart), string(fromQuery)}))
}

// words are what stands between the dots; ok: none is empty.
func words(s string) (w []string, ok bool) {
	w = strings.Split(s, ".")
	for _, x := range w {
		if x == "" || strings.ContainsAny(x, "{}") {
			return w, false
		}
	}
	return w, true
}

func isName(s string) bool {
	other := func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '_' && r != '-'
	}
	return s != "" && strings.IndexFunc(s, other) < 0
}

func (t *template) add(p piece) {
	last := len(t.segments) - 1
	t.segments[last] = append(t.segments[last], p)
}

// addText adds a part of the path without references.
func (t *template) addText(s string) error {
	if strings.Contains(s, "%") {
		return errors.New(`has '%'; a path is written as it is read, without escapes`)
	}
	for i, text := range strings.Split(s, "/") {
		if i > 0 {
			t.segments = append(t.segments, nil)
		}
		if text != "" {
			t.add(piece{text: text})
		}
	}
	return nil
}

// check refuses segments that lead elsewhere, whatever the values are.
func (t *template) check() error {
	for i, segment := range t.segments {
		switch {
		case len(segment) == 0 && i < len(t.segments)-1:
			return errors.New("has an empty segment")
		case len(segment) == 1 && isDots(segment[0].text):
			return errors.New("has a dot segment")
		}
		for _, p := range segment {
			if p.ref != nil && p.ref.fallback != nil && *p.ref.fallback == "" {
				return fmt.Errorf("has %v; an empty default is for the query", p.ref)
			}
		}
	}
	for _, p := range t.query {
		if i := strings.IndexFunc(p.text, func(r rune) bool { return r > 0x7f }); i >= 0 {
			return errors.New("has a letter in its query that must be escaped, as in %C3%A9")
		}
	}
	return nil
}

// all are the segments of the path, and the query.
func (t *template) all() [][]piece {
	return append(t.segments[:len(t.segments):len(t.segments)], t.query)
}

// uses tells whether one of the pieces may have a value from there.
func uses(all [][]piece, from source) bool {
	for _, pieces := range all {
		for _, p := range pieces {
			if p.ref != nil && slices.ContainsFunc(p.ref.choices, func(c choice) bool { return c.source == from }) {
				return true
			}
		}
	}
	return false
}

// references are all of the template, in their order.
func (t *template) references() (refs []*reference) {
	for _, pieces := range t.all() {
		for _, p := range pieces {
			if p.ref != nil {
				refs = append(refs, p.ref)
			}
		}
	}
	return refs
}

// badValue is a value that is missing, or that can't stand where it is wanted.
type badValue struct {
	ref *reference
	why string
}

func (e *badValue) Error() string { return e.ref.String() + " " + e.why }

// expand is the path, escaped, and the query with the values that lookup finds. Each
// value is a part of one segment, or of one value of the query.
func (t *template) expand(lookup func(*choice) (string, bool)) (path, query string, err error) {
	var b strings.Builder
	for _, segment := range t.segments {
		b.WriteByte('/')
		if err := appendSegment(&b, segment, lookup); err != nil {
			return "", "", err
		}
	}
	path = b.String()
	b.Reset()
	for _, p := range t.query {
		s, err := p.value(lookup)
		if err != nil {
			return "", "", err
		}
		if p.ref != nil {
			s = url.QueryEscape(s)
		}
		b.WriteString(s)
	}
	return path, b.String(), nil
}

func appendSegment(b *strings.Builder, segment []piece, lookup func(*choice) (string, bool)) error {
	var plain string
	var ref *reference
	for _, p := range segment {
		s, err := p.value(lookup)
		if err != nil {
			return err
		}
		plain += s
		if p.ref == nil {
			b.WriteString((&url.URL{Path: s}).EscapedPath())
			continue
		}
		ref = p.ref
		b.WriteString(url.PathEscape(s))
	}
	if ref == nil {
		return nil
	}
	return checkSegment(ref, plain)
}

// value is the piece's text as it is read.
func (p piece) value(lookup func(*choice) (string, bool)) (string, error) {
	if p.ref == nil {
		return p.text, nil
	}
	for i := range p.ref.choices {
		switch s, ok := lookup(&p.ref.choices[i]); {
		case !ok || s == "":
		case len(s) > maxValue:
			return "", &badValue{p.ref, fmt.Sprintf("is longer than %d bytes", maxValue)}
		default:
			return s, nil
		}
	}
	if p.ref.fallback != nil {
		return *p.ref.fallback, nil
	}
	return "", &badValue{p.ref, "has no value"}
}

// checkSegment refuses what leads elsewhere in the eyes of a server that takes the escapes
// away before it looks for slashes.
func checkSegment(ref *reference, s string) error {
	if strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return &badValue{ref, "has a control character"}
	}
	for part := range strings.FieldsFuncSeq(s, func(r rune) bool { return r == '/' || r == '\\' }) {
		if isDots(part) {
			return &badValue{ref, "has a dot segment"}
		}
	}
	return nil
}

// isDots is true of . and .., also before a semicolon, where some servers cut.
func isDots(s string) bool {
	s, _, _ = strings.Cut(s, ";")
	return s == "." || s == ".."
}
