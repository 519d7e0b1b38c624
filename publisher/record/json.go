package record

import (
	"encoding/binary"
	"math/bits"
)

// MaxDepth is how deep the arrays and objects of a JSON value may be nested: of a body,
// of a record's data, of a member that is not known. A body that is deeper is written
// as text; a line with a deeper value is malformed.
const MaxDepth = 128

// The functions below step over JSON as RFC 8259 has it. They take the index where a
// token begins and return the one after it, or -1 where the text is no JSON. That the
// text is UTF-8 is judged elsewhere.

// spaceEnd steps over white space; most often there is none.
func spaceEnd(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\t' || b[i] == '\n' || b[i] == '\r') {
		i++
	}
	return i
}

// special8 marks the bytes of w where the inside of a JSON string needs a closer look:
// below 0x20, the quote, the backslash.
func special8(w uint64) uint64 {
	quote := w ^ ones*'"'
	slash := w ^ ones*'\\'
	return ((w-ones*0x20)&^w | (quote-ones)&^quote | (slash-ones)&^slash) & highs
}

// plainEnd is the index, from i on, of the first byte that special8 marks.
func plainEnd(b []byte, i int) int {
	for ; i+8 <= len(b); i += 8 {
		if m := special8(binary.LittleEndian.Uint64(b[i:])); m != 0 {
			return i + bits.TrailingZeros64(m)>>3
		}
	}
	for i < len(b) && b[i] >= 0x20 && b[i] != '"' && b[i] != '\\' {
		i++
	}
	return i
}

// stringEnd steps over a string whose inside begins at i; it returns the index of the
// closing quote.
func stringEnd(b []byte, i int) int {
	for {
		i = plainEnd(b, i)
		switch {
		case i >= len(b) || b[i] < 0x20:
			return -1
		case b[i] == '"':
			return i
		}
		if i = escapeEnd(b, i+1); i < 0 {
			return -1
		}
	}
}

// escapeEnd steps over an escape whose backslash stands before i.
func escapeEnd(b []byte, i int) int {
	if i >= len(b) {
		return -1
	}
	switch b[i] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return i + 1
	case 'u':
		if _, ok := hex4(b[i+1:]); ok {
			return i + 5
		}
	}
	return -1
}

// hex4 reads the four digits of a \u escape.
func hex4(b []byte) (r rune, ok bool) {
	if len(b) < 4 {
		return 0, false
	}
	for _, c := range b[:4] {
		switch {
		case '0' <= c && c <= '9':
			r = r<<4 | rune(c-'0')
		case 'a' <= c|0x20 && c|0x20 <= 'f':
			r = r<<4 | rune(c|0x20-'a'+10)
		default:
			return 0, false
		}
	}
	return r, true
}

// numberEnd steps over a number.
func numberEnd(b []byte, i int) int {
	if i < len(b) && b[i] == '-' {
		i++
	}
	if i < len(b) && b[i] == '0' {
		i++
	} else if i = digitsEnd(b, i); i < 0 {
		return -1
	}
	if i < len(b) && b[i] == '.' {
		if i = digitsEnd(b, i+1); i < 0 {
			return -1
		}
	}
	if i < len(b) && b[i]|0x20 == 'e' {
		i++
		if i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		return digitsEnd(b, i)
	}
	return i
}

// digitsEnd steps over one digit or more.
func digitsEnd(b []byte, i int) int {
	start := i
	for i < len(b) && '0' <= b[i] && b[i] <= '9' {
		i++
	}
	if i == start {
		return -1
	}
	return i
}

// wordEnd steps over word.
func wordEnd(b []byte, i int, word string) int {
	if len(b)-i < len(word) || string(b[i:i+len(word)]) != word {
		return -1
	}
	return i + len(word)
}

// scalarEnd steps over a value that is neither array nor object.
func scalarEnd(b []byte, i int) int {
	if i >= len(b) {
		return -1
	}
	switch b[i] {
	case '"':
		if i = stringEnd(b, i+1); i < 0 {
			return -1
		}
		return i + 1
	case 't':
		return wordEnd(b, i, "true")
	case 'f':
		return wordEnd(b, i, "false")
	case 'n':
		return wordEnd(b, i, "null")
	}
	return numberEnd(b, i)
}

// nest remembers which of the open brackets are objects, a bit each.
type nest struct {
	objects    [MaxDepth/64 + 1]uint64 // room for a whole line too
	depth, max int
}

// open tells whether there is room for one more bracket, and enters it.
func (n *nest) open(object bool) bool {
	if n.depth == n.max {
		return false
	}
	bit := uint64(1) << (n.depth & 63)
	if n.objects[n.depth>>6] &^= bit; object {
		n.objects[n.depth>>6] |= bit
	}
	n.depth++
	return true
}

// object tells whether the innermost open bracket is an object's.
func (n *nest) object() bool {
	at := n.depth - 1
	return n.objects[at>>6]>>(at&63)&1 != 0
}

// valueEnd steps over any value that is nested at most max deep.
func valueEnd(b []byte, i, max int) int {
	n := nest{max: max}
	for {
		if i = spaceEnd(b, i); i >= len(b) {
			return -1
		}
		// A value begins here; an opening bracket goes round again for the next one.
		if c := b[i]; c == '{' || c == '[' {
			if !n.open(c == '{') {
				return -1
			}
			if i = spaceEnd(b, i+1); i < len(b) && b[i] == c+2 { // ']' and '}' stand two above
				n.depth--
				i++
			} else if c == '{' {
				if i = keyEnd(b, i); i < 0 {
					return -1
				}
				continue
			} else {
				continue
			}
		} else if i = scalarEnd(b, i); i < 0 {
			return -1
		}
		if i = closeEnd(b, i, &n); i < 0 || n.depth == 0 {
			return i
		}
	}
}

// keyEnd steps over a member's name and its colon.
func keyEnd(b []byte, i int) int {
	if i >= len(b) || b[i] != '"' {
		return -1
	}
	if i = stringEnd(b, i+1); i < 0 {
		return -1
	}
	if i = spaceEnd(b, i+1); i >= len(b) || b[i] != ':' {
		return -1
	}
	return i + 1
}

// closeEnd steps from the end of a value to where the next one begins, or past the
// outermost bracket.
func closeEnd(b []byte, i int, n *nest) int {
	for n.depth > 0 {
		if i = spaceEnd(b, i); i >= len(b) {
			return -1
		}
		object := n.object()
		switch c := b[i]; {
		case c == ',' && object:
			return keyEnd(b, spaceEnd(b, i+1))
		case c == ',':
			return i + 1
		case c == '}' && object, c == ']' && !object:
			n.depth--
			i++
		default:
			return -1
		}
	}
	return i
}

// AppendJSON appends the JSON value src without white space between its tokens.
// Numbers and escapes keep their text; what may not stand raw in a line is escaped,
// and bytes that are not UTF-8 become U+FFFD. When src is not exactly one value, or
// nested deeper than MaxDepth, it returns dst and false.
func AppendJSON(dst, src []byte) (out []byte, ok bool) { return appendJSON(dst, src, MaxDepth) }

func appendJSON(dst, src []byte, max int) (out []byte, ok bool) {
	end := valueEnd(src, 0, max)
	if end < 0 || spaceEnd(src, end) != len(src) {
		return dst, false
	}
	clean := cleanRun(src[:end]) == end
	from := spaceEnd(src, 0) // what is not yet in dst
	for i := from; i < end; {
		switch {
		case src[i] == '"' && clean:
			i = stringEnd(src, i+1) + 1
		case src[i] == '"':
			start := i
			i = stringEnd(src, i+1) + 1
			dst = appendClean(append(dst, src[from:start]...), src[start:i])
			from = i
		case src[i] <= ' ':
			dst = append(dst, src[from:i]...)
			i = spaceEnd(src, i)
			from = i
		default:
			i++
		}
	}
	return append(dst, src[from:end]...), true
}
