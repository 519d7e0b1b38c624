package view

import (
	"bytes"

	"github.com/earshot-mq/earshot/publisher/record"
)

// field appends t as one column: escaped, spaces too, and a dash if there is nothing.
func (f *Format) field(dst []byte, t record.Text) []byte {
	if len(t) == 0 {
		return append(dst, '-')
	}
	if isWord(t) {
		return append(dst, t...)
	}
	f.scratch = t.Append(f.scratch[:0])
	return column(dst, f.scratch)
}

// column appends text escaped, spaces too.
func column(dst, text []byte) []byte {
	for {
		n := bytes.IndexByte(text, ' ')
		if n < 0 {
			return record.AppendEscaped(dst, text)
		}
		dst = append(record.AppendEscaped(dst, text[:n]), `\x20`...)
		text = text[n+1:]
	}
}

// isWord tells whether t is of visible ASCII that no format has to quote or escape.
func isWord(t []byte) bool {
	for _, c := range t {
		if c <= ' ' || c > '~' || c == '"' || c == '=' || c == '\\' {
			return false
		}
	}
	return len(t) > 0
}

// prose appends t escaped.
func (f *Format) prose(dst []byte, t record.Text) []byte {
	if bytes.IndexByte(t, '\\') < 0 {
		return record.AppendEscaped(dst, t)
	}
	f.scratch = t.Append(f.scratch[:0])
	return record.AppendEscaped(dst, f.scratch)
}

// body appends what the record says for people: the body of an exchange, the frames of
// a plain message, the data of any other event. Text is escaped; JSON is its own escape.
func (f *Format) body(dst []byte, l *record.Line) []byte {
	value := l.Body
	if !l.IsHTTP {
		var ok bool
		if f.scratch, ok = l.AppendMessage(f.scratch[:0]); ok {
			return record.AppendEscaped(dst, f.scratch)
		}
		value = l.Data
	}
	switch {
	case len(value) == 0:
		return dst
	case value[0] == '"':
		return f.prose(dst, record.Text(value[1:len(value)-1]))
	}
	out, ok := record.AppendJSON(dst, value)
	if !ok { // data one deeper than a body may be
		return record.AppendEscaped(dst, value)
	}
	return out
}
