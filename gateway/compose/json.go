package compose

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"strconv"
	"strings"
	"unicode/utf8"
)

// check says why b can't be a part's value, nil if it can.
func check(b []byte) error {
	if !utf8.Valid(b) {
		return errors.New("it is not UTF-8")
	}
	if !json.Valid(b) {
		return errors.New("it is not valid JSON")
	}
	w := walker{b: b}
	return w.value(0)
}

// walker goes through one JSON value that is known to be valid.
type walker struct {
	b []byte
	i int
}

// at is the next byte that is no space; 0 at the end.
func (w *walker) at() byte {
	for ; w.i < len(w.b); w.i++ {
		switch c := w.b[w.i]; c {
		case ' ', '\t', '\n', '\r':
		default:
			return c
		}
	}
	return 0
}

// value passes one value and judges what json.Valid does not.
func (w *walker) value(depth int) error {
	c := w.at()
	if c != '{' && c != '[' {
		w.scalar()
		return nil
	}
	if depth == MaxDepth {
		return fmt.Errorf("it is nested deeper than %d", MaxDepth)
	}
	var names names
	for w.i++; ; {
		switch w.at() {
		case ',':
			w.i++
			continue
		case '}', ']':
			w.i++
			return nil
		}
		if c == '{' && !names.add(w.name()) {
			return errors.New("it has an object with the same name twice")
		}
		if err := w.value(depth + 1); err != nil {
			return err
		}
	}
}

// name passes a member's name and the colon behind it.
func (w *walker) name() (raw []byte) {
	w.at()
	start := w.i
	w.scalar()
	raw = w.b[start:w.i]
	w.at()
	w.i++
	return raw
}

// scalar passes a text, a number or a word.
func (w *walker) scalar() {
	if w.b[w.i] != '"' {
		for w.i < len(w.b) && strings.IndexByte(" \t\r\n,:]}", w.b[w.i]) < 0 {
			w.i++
		}
		return
	}
	for w.i++; w.b[w.i] != '"'; w.i++ {
		if w.b[w.i] == '\\' {
			w.i++
		}
	}
	w.i++
}

// skip passes one value of any kind.
func (w *walker) skip() (raw []byte) {
	w.at()
	start := w.i
	for depth := 0; ; {
		switch w.at() {
		case '{', '[':
			depth++
			w.i++
		case '}', ']':
			depth--
			w.i++
		case ',', ':':
			w.i++
		default:
			w.scalar()
		}
		if depth == 0 {
			return w.b[start:w.i]
		}
	}
}

// members are the names, in quotes, and values of an object.
func members(object []byte) iter.Seq2[[]byte, []byte] {
	return func(yield func(name, value []byte) bool) {
		w := walker{b: object}
		w.at()
		for w.i++; w.at() != '}'; {
			if w.b[w.i] == ',' {
				w.i++
				continue
			}
			if name := w.name(); !yield(name, w.skip()) {
				return
			}
		}
	}
}

// elements are the values of an array.
func elements(array []byte) iter.Seq[[]byte] {
	return func(yield func(value []byte) bool) {
		w := walker{b: array}
		w.at()
		for w.i++; w.at() != ']'; {
			if w.b[w.i] == ',' {
				w.i++
				continue
			}
			if !yield(w.skip()) {
				return
			}
		}
	}
}

// unquote is what a text or a name in quotes says.
func unquote(raw []byte) []byte {
	if inner := raw[1 : len(raw)-1]; bytes.IndexByte(inner, '\\') < 0 {
		return inner
	}
	var s string
	_ = json.Unmarshal(raw, &s) // it is valid
	return []byte(s)
}

// names are those of one object, most of which have few.
type names struct {
	few  [16][]byte
	n    int
	many map[string]bool
}

// add reports false for a name that was there before.
func (s *names) add(raw []byte) bool {
	name := unquote(raw)
	for _, other := range s.few[:s.n] {
		if bytes.Equal(other, name) {
			return false
		}
	}
	switch {
	case s.n < len(s.few):
		s.few[s.n] = name
		s.n++
		return true
	case s.many == nil:
		s.many = map[string]bool{}
	case s.many[string(name)]:
		return false
	}
	s.many[string(name)] = true
	return true
}

// find is the value at path below value: names of objects, and numbers, from 0, of lists.
func find(value []byte, path []string) (found []byte, ok bool) {
	for _, step := range path {
		if value, ok = child(value, step); !ok {
			return nil, false
		}
	}
	return value, true
}

func child(value []byte, step string) ([]byte, bool) {
	switch value[0] {
	case '{':
		for name, v := range members(value) {
			if string(unquote(name)) == step {
				return v, true
			}
		}
	case '[':
		n, err := strconv.ParseUint(step, 10, 31)
		if err != nil {
			return nil, false
		}
		for v := range elements(value) {
			if n == 0 {
				return v, true
			}
			n--
		}
	}
	return nil, false
}

// textOf is a text, a number, true or false as it stands in a URL.
func textOf(value []byte) (s string, ok bool) {
	switch value[0] {
	case '{', '[', 'n':
		return "", false
	case '"':
		return string(unquote(value)), true
	}
	return string(value), true
}
