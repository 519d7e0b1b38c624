package config

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// The bounds of a file: beyond them it is refused. Aliases count each time that they
// are followed, so that a short file can't be a large value.
const (
	MaxBytes = 1 << 20
	maxDepth = 64
	maxNodes = 100_000
	maxKey   = 256
	maxErrs  = 20
)

// Validator is implemented by a type that can say more about its value than that it has
// the right shape. Validate is called after the value and all below it were decoded
// without an error; At names the place below the value.
type Validator interface {
	Validate() error
}

// DecodeFile reads the file at path into into, a pointer. The errors name the file
// without its folder.
func DecodeFile(path string, into any) error {
	b, err := readFile(path)
	if err != nil {
		return err
	}
	return Decode(filepath.Base(path), b, into)
}

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("config: %w", err)
	}
	defer func() { _ = f.Close() }() // only read from
	b, err := io.ReadAll(io.LimitReader(f, MaxBytes+1))
	if err != nil {
		return nil, fmt.Errorf("config: read %s: %w", path, err)
	}
	return b, nil
}

// Decode reads the YAML of b into into, a pointer. Name is how errors name the text.
// What the text doesn't mention keeps its value; a list is replaced as a whole. On an
// error into may be filled in part. An empty text is no error.
func Decode(name string, b []byte, into any) error {
	n, err := parse(name, b)
	if err != nil {
		return err
	}
	return decodeNode(name, n, "", into)
}

// decodeNode decodes n, which may be nil, as what stands at path in the file.
func decodeNode(name string, n *yaml.Node, path string, into any) error {
	v := reflect.ValueOf(into)
	if v.Kind() != reflect.Pointer || v.IsNil() {
		return fmt.Errorf("config: decode %s into %T: want a pointer", name, into)
	}
	d := &decoder{name: name, lines: map[string]int{}}
	if n == nil {
		d.validate(1, path, v.Elem())
	} else {
		d.value(n, path, v.Elem(), 0)
	}
	return d.err()
}

// parse returns the content of the only document of b, or nil when there is none.
func parse(name string, b []byte) (*yaml.Node, error) {
	fail := func(line int, err error) error { return &Error{File: name, Line: line, Err: err} }
	if len(b) > MaxBytes {
		return nil, fail(0, fmt.Errorf("is longer than %v", Size(MaxBytes)))
	}
	dec := yaml.NewDecoder(bytes.NewReader(b))
	var doc, second yaml.Node
	switch err := dec.Decode(&doc); {
	case errors.Is(err, io.EOF):
		return nil, nil
	case err != nil:
		return nil, syntaxError(name, err)
	}
	switch err := dec.Decode(&second); {
	case err == nil:
		return nil, fail(second.Line, errors.New("a second document; want one"))
	case !errors.Is(err, io.EOF):
		return nil, syntaxError(name, err)
	}
	n := doc.Content[0]
	if n.Kind == yaml.ScalarNode && n.Tag == "!!null" && n.Value == "" {
		return nil, nil // comments alone
	}
	return n, nil
}

var yamlLine = regexp.MustCompile(`^yaml: (?:line (\d+): )?`)

func syntaxError(name string, err error) error {
	text := err.Error()
	m := yamlLine.FindStringSubmatch(text)
	if m == nil {
		return &Error{File: name, Err: err}
	}
	line, _ := strconv.Atoi(m[1]) // 0 where there is none
	return &Error{File: name, Line: line, Err: errors.New("not YAML: " + text[len(m[0]):])}
}

// decoder collects what is wrong while it walks through a file.
type decoder struct {
	name  string
	nodes int
	lines map[string]int // of each path that was seen
	errs  []*Error
	over  bool // a bound was reached; nothing further is read
}

func (d *decoder) fail(line int, path string, err error) {
	d.errs = append(d.errs, &Error{File: d.name, Line: line, Path: path, Err: err})
}

func (d *decoder) failf(n *yaml.Node, path, format string, args ...any) {
	d.fail(n.Line, path, fmt.Errorf(format, args...))
}

// err joins what was found, in the order of lines.
func (d *decoder) err() error {
	slices.SortStableFunc(d.errs, func(a, b *Error) int { return cmp.Compare(a.Line, b.Line) })
	var all []error
	for i, e := range d.errs {
		if i == maxErrs {
			all = append(all, &Error{File: d.name, Err: fmt.Errorf("and %d more errors", len(d.errs)-i)})
			break
		}
		all = append(all, e)
	}
	return errors.Join(all...)
}

// enter follows an alias and refuses what no value of Earshot's files has.
func (d *decoder) enter(n *yaml.Node, path string, depth int) (*yaml.Node, bool) {
	if d.nodes++; d.over {
		return nil, false
	}
	if depth > maxDepth || d.nodes > maxNodes {
		d.over = true
		d.failf(n, path, "nested deeper than %d, or aliases that unfold to more than %d values", maxDepth, maxNodes)
		return nil, false
	}
	if n.Style&yaml.TaggedStyle != 0 {
		d.failf(n, path, "tag %s: tags are not supported", quote(n.Tag))
		return nil, false
	}
	if n.Kind == yaml.AliasNode {
		return d.enter(n.Alias, path, depth)
	}
	return n, true
}

// value decodes n into v and lets v validate itself.
func (d *decoder) value(n *yaml.Node, path string, v reflect.Value, depth int) {
	line, before := n.Line, len(d.errs)
	if _, known := d.lines[path]; !known {
		d.lines[path] = line
	}
	n, ok := d.enter(n, path, depth)
	if !ok {
		return
	}
	if isNull(n) {
		d.fail(line, path, errors.New("has no value; leave it out, or give one"))
		return
	}
	if v.Kind() == reflect.Pointer {
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		d.value(n, path, v.Elem(), depth)
		return
	}
	switch {
	case n.Kind == yaml.ScalarNode:
		if err := scalar(n, v); err != nil {
			d.fail(line, path, err)
		}
	case n.Kind == yaml.MappingNode && v.Kind() == reflect.Struct && !isText(v):
		d.object(n, path, v, depth)
	case n.Kind == yaml.MappingNode && v.Kind() == reflect.Map:
		d.table(n, path, v, depth)
	case n.Kind == yaml.SequenceNode && v.Kind() == reflect.Slice && !isText(v):
		d.list(n, path, v, depth)
	default:
		d.failf(n, path, "want %s, got %s", wanted(v), shape(n))
	}
	if len(d.errs) == before {
		d.validate(line, path, v)
	}
}

// object decodes a mapping into a struct.
func (d *decoder) object(n *yaml.Node, path string, v reflect.Value, depth int) {
	fields := map[string]reflect.Value{}
	collect(v, fields)
	d.pairs(n, path, func(key, value *yaml.Node, at string) {
		f, ok := fields[key.Value]
		if !ok {
			d.fail(key.Line, "", unknownKey(key.Value, path, fields))
			return
		}
		d.value(value, at, f, depth+1)
	})
}

// collect finds the fields of a struct by their keys, also those of embedded structs
// that are marked inline.
func collect(v reflect.Value, fields map[string]reflect.Value) {
	for i := range v.NumField() {
		f := v.Type().Field(i)
		key, option, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		switch {
		case !f.IsExported() || key == "-":
		case key == "" && option == "inline" && f.Type.Kind() == reflect.Struct:
			collect(v.Field(i), fields)
		case key != "":
			fields[key] = v.Field(i)
		}
	}
}

func unknownKey(key, path string, fields map[string]reflect.Value) error {
	var known []string
	for k := range fields {
		known = append(known, k)
	}
	slices.Sort(known)
	return unknownIn(key, path, known)
}

// unknownIn says that key is none of those known at path.
func unknownIn(key, path string, known []string) error {
	in := inPath(path)
	if near := Nearest(key, known); near != "" {
		return fmt.Errorf("unknown key %s%s; did you mean %q?", quote(key), in, near)
	}
	return fmt.Errorf("unknown key %s%s%s", quote(key), in, oneOf(known))
}

// table decodes a mapping into a map.
func (d *decoder) table(n *yaml.Node, path string, v reflect.Value, depth int) {
	if v.IsNil() {
		v.Set(reflect.MakeMapWithSize(v.Type(), len(n.Content)/2))
	}
	d.pairs(n, path, func(key, value *yaml.Node, at string) {
		k, e := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		d.value(key, at, k, depth+1)
		before := len(d.errs)
		d.value(value, at, e, depth+1)
		if len(d.errs) == before {
			v.SetMapIndex(k, e)
		}
	})
}

// pairs calls do for each pair of a mapping whose key is a name that was not there
// before.
func (d *decoder) pairs(n *yaml.Node, path string, do func(key, value *yaml.Node, at string)) {
	seen := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		first, twice := seen[key.Value]
		switch {
		case key.Kind != yaml.ScalarNode || key.Style&yaml.TaggedStyle != 0:
			d.failf(key, path, "want a name as key, got %s", shape(key))
			continue
		case len(key.Value) > maxKey:
			d.failf(key, path, "key %s is longer than %d bytes", quote(key.Value), maxKey)
			continue
		case key.Tag == "!!merge":
			d.failf(key, path, "merge keys are not supported; write the values, or an alias for a whole one")
			continue
		case twice:
			d.fail(key.Line, "", fmt.Errorf("duplicate key %s%s; the first is on line %d", quote(key.Value), inPath(path), first))
			continue
		}
		seen[key.Value] = key.Line
		at := join(path, key.Value)
		d.lines[at] = key.Line
		do(key, value, at)
	}
}

func (d *decoder) list(n *yaml.Node, path string, v reflect.Value, depth int) {
	s := reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content))
	for i, item := range n.Content {
		at := path + "[" + strconv.Itoa(i) + "]"
		d.value(item, at, s.Index(i), depth+1)
	}
	v.Set(s)
}

// validate asks the value itself. Each error that it joined gets its own line.
func (d *decoder) validate(line int, path string, v reflect.Value) {
	if !v.CanAddr() || !v.Addr().CanInterface() {
		return
	}
	val, ok := v.Addr().Interface().(Validator)
	if !ok {
		return
	}
	if err := val.Validate(); err != nil {
		d.place(line, path, err)
	}
}

var joined = reflect.TypeOf(errors.Join(ErrInvalid))

// place reports err, and each error that it joins, where it says that it belongs.
func (d *decoder) place(line int, path string, err error) {
	if reflect.TypeOf(err) == joined {
		for _, e := range err.(interface{ Unwrap() []error }).Unwrap() {
			d.place(line, path, e)
		}
		return
	}
	at, ok := err.(*atError) //nolint:errorlint // what wraps one has words that would be lost
	if !ok {
		d.fail(line, path, err)
		return
	}
	below := at.path
	if path != "" && !strings.HasPrefix(below, "[") {
		below = "." + below
	}
	path += below
	if l := d.line(path); l > 0 {
		line = l
	}
	d.place(line, path, at.err)
}

// line returns where path stands, or what it is a part of.
func (d *decoder) line(path string) int {
	for path != "" {
		if l, ok := d.lines[path]; ok {
			return l
		}
		path = path[:max(0, strings.LastIndexAny(path, ".["))]
	}
	return 0
}
