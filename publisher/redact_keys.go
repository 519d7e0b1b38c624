package publisher

import (
	"bytes"
	"net/url"
	"strings"
)

// findKeys appends the values of secret keys in a query or a form.
func (rd *Redactor) findKeys(edits []edit, text []byte) []edit {
	for at := 0; at < len(text); {
		key, value, end := pair(text, at)
		if value < end && isSecret(rd, text[at:key]) {
			edits = append(edits, edit{start: value, end: end, rule: rule{"query key", string(text[at:key])}})
		}
		at = end + 1
	}
	return edits
}

// hasKey tells whether a query has a secret value, without a copy of it.
func (rd *Redactor) hasKey(text string) bool {
	for at := 0; at < len(text); {
		key, value, end := pair(text, at)
		if value < end && isSecret(rd, text[at:key]) {
			return true
		}
		at = end + 1
	}
	return false
}

// pair is the pair of a query that begins at at: where its key ends, where its value
// begins and where that ends.
func pair[T string | []byte](text T, at int) (key, value, end int) {
	for key = at; key < len(text) && text[key] != '=' && text[key] != '&' && text[key] != ';'; key++ {
	}
	end = key
	if key < len(text) && text[key] == '=' {
		end++
	}
	for value = end; end < len(text) && text[end] != '&' && text[end] != ';'; end++ {
	}
	return key, value, end
}

// isSecret tells whether the value of this key is secret, in whatever way the key is
// written. It counts also as the last part of one with brackets: user[password],
// tokens[].
func isSecret[T string | []byte](rd *Redactor, raw T) bool {
	var space [64]byte
	key := space[:0]
	for i := range len(raw) {
		if raw[i] == '%' || raw[i] == '+' {
			return rd.isSecretEscaped(string(raw))
		}
		key = append(key, lower(raw[i]))
	}
	return rd.knows(key)
}

func (rd *Redactor) isSecretEscaped(raw string) bool {
	key, err := url.QueryUnescape(raw)
	if err != nil {
		key = raw
	}
	return rd.knows([]byte(strings.ToLower(key)))
}

func (rd *Redactor) knows(key []byte) bool {
	key = bytes.TrimSuffix(key, []byte("[]"))
	if n := len(key) - 1; n > 0 && key[n] == ']' {
		if open := bytes.LastIndexByte(key, '['); open >= 0 {
			key = key[open+1 : n]
		}
	}
	return len(key) <= rd.longest && rd.keys[string(key)]
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		c |= 0x20
	}
	return c
}
