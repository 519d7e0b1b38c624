package openapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"unicode/utf8"
)

// object is a JSON object. Numbers in it are json.Number: their text, never a float.
type object = map[string]any

// maxDepth is how deep a document may be nested.
const maxDepth = 100

// decode reads one JSON value that all readers read in the same way.
func decode(b []byte) (any, error) {
	if !utf8.Valid(b) {
		return nil, errors.New("it is not UTF-8")
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	v, err := decodeValue(d, 0)
	if err != nil {
		return nil, err
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, errors.New("it is not valid JSON: something follows it")
	}
	return v, nil
}

func decodeValue(d *json.Decoder, depth int) (any, error) {
	token, err := d.Token()
	if err != nil {
		return nil, errors.New("it is not valid JSON")
	}
	delim, ok := token.(json.Delim)
	if !ok {
		return token, nil
	}
	if depth == maxDepth {
		return nil, fmt.Errorf("it is nested deeper than %d", maxDepth)
	}
	var v any
	if delim == '{' {
		v, err = decodeObject(d, depth)
	} else {
		v, err = decodeList(d, depth)
	}
	if err != nil {
		return nil, err
	}
	if _, err := d.Token(); err != nil { // the closing brace
		return nil, errors.New("it is not valid JSON")
	}
	return v, nil
}

func decodeObject(d *json.Decoder, depth int) (object, error) {
	o := object{}
	for d.More() {
		token, err := d.Token()
		name, ok := token.(string)
		if err != nil || !ok {
			return nil, errors.New("it is not valid JSON")
		}
		if _, twice := o[name]; twice {
			return nil, fmt.Errorf("it has an object with %.80q twice", name)
		}
		if o[name], err = decodeValue(d, depth+1); err != nil {
			return nil, err
		}
	}
	return o, nil
}

func decodeList(d *json.Decoder, depth int) ([]any, error) {
	list := []any{}
	for d.More() {
		v, err := decodeValue(d, depth+1)
		if err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	return list, nil
}

// encode writes v with its members in the order of their names, and numbers as they came.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return b.Bytes(), err
}

// member is what lies at a path of names below v; nil if there is nothing.
func member(v any, path ...string) any {
	for _, name := range path {
		o, ok := v.(object)
		if !ok {
			return nil
		}
		v = o[name]
	}
	return v
}

func text(v any, path ...string) string {
	s, _ := member(v, path...).(string)
	return s
}

func objectAt(v any, path ...string) object {
	o, _ := member(v, path...).(object)
	return o
}

func listAt(v any, path ...string) []any {
	list, _ := member(v, path...).([]any)
	return list
}

func names[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
