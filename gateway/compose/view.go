package compose

import (
	"bytes"
	"encoding/json"
)

// field is a Pick that was understood.
type field struct {
	part int      // of a view; 0 below
	path []string // below the part, or below the value that it is a member of
	name []byte   // in JSON, with the colon
	pick []field  // nil: the whole value
}

// appendMember appends a member to an object that has begun.
func appendMember(b, name []byte) []byte {
	if b[len(b)-1] != '{' {
		b = append(b, ',')
	}
	return append(b, name...)
}

// appendPicked appends what the fields let through of value.
func appendPicked(b, value []byte, fields []field) []byte {
	if fields == nil {
		return append(b, value...)
	}
	switch value[0] {
	case '{':
		return appendObject(b, value, fields)
	case '[':
		b = append(b, '[')
		for v := range elements(value) {
			if b[len(b)-1] != '[' {
				b = append(b, ',')
			}
			b = appendPicked(b, v, fields)
		}
		return append(b, ']')
	}
	return append(b, "null"...) // it has no members that could be let through
}

func appendObject(b, object []byte, fields []field) []byte {
	firsts := make([][]byte, len(fields))
	for name, v := range members(object) {
		name = unquote(name)
		for i := range fields {
			if string(name) == fields[i].path[0] {
				firsts[i] = v
			}
		}
	}
	b = append(b, '{')
	for i := range fields {
		if firsts[i] == nil {
			continue
		}
		if v, ok := find(firsts[i], fields[i].path[1:]); ok {
			b = appendPicked(appendMember(b, fields[i].name), v, fields[i].pick)
		}
	}
	return append(b, '}')
}

// nameOf is a member's name as it stands in JSON, with the colon.
func nameOf(s string) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(s) // a string
	return append(bytes.TrimSuffix(b.Bytes(), []byte("\n")), ':')
}
