package record

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf8"
)

// Eight bytes are looked at together where most text is plain ASCII: a machine word
// with the high bit of each byte set that needs a closer look. Borrows and carries
// reach only bytes above one that is set already, so the lowest set bit is exact.
const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// unsafe8 marks the bytes of w that can't stand as they are in a JSON string of ours:
// below 0x20, the quote, the backslash, DEL, and all that is not ASCII.
func unsafe8(w uint64) uint64 { return unsafeBits(w) & highs }

// unsafeBits is unsafe8 with the other bits of each byte left as they come. What is not
// ASCII is marked by w itself, so nothing has to be taken back from the other terms.
func unsafeBits(w uint64) uint64 {
	return w | (w + ones) | (w - ones*0x20) | ((w ^ ones*'"') - ones) | ((w ^ ones*'\\') - ones)
}

// high8 marks DEL and the bytes that are not ASCII.
func high8(w uint64) uint64 { return (w | (w + ones)) & highs }

// asciiSafe tells the bytes that unsafe8 does not mark.
func asciiSafe(c byte) bool { return c >= 0x20 && c < 0x7f && c != '"' && c != '\\' }

// forbidden tells the runes from U+0080 on that no line may hold raw: the C1 controls,
// the line and paragraph separators, and the bidirectional controls.
func forbidden(r rune) bool {
	switch {
	case r < 0xa0:
		return true
	case r < 0x2028:
		return r == 0x61c || r == 0x200e || r == 0x200f
	default:
		return r <= 0x202e || 0x2066 <= r && r <= 0x2069
	}
}

// harmless is the length of the rune at the start of s, or 0 if that is forbidden or
// not UTF-8. s begins with a byte that is not ASCII.
func harmless(s []byte) int {
	r, n := utf8.DecodeRune(s)
	if r == utf8.RuneError && n <= 1 || forbidden(r) {
		return 0
	}
	return n
}

// safeRun is how many bytes at the start of s stand for themselves in a JSON string.
func safeRun(s []byte) int {
	i := 0
	for {
		for i+8 <= len(s) {
			if m := unsafe8(binary.LittleEndian.Uint64(s[i:])); m != 0 {
				i += bits.TrailingZeros64(m) >> 3
				goto found
			}
			i += 8
		}
		for i < len(s) && asciiSafe(s[i]) {
			i++
		}
	found:
		if i == len(s) || s[i] < utf8.RuneSelf {
			return i
		}
		n := harmless(s[i:])
		if n == 0 {
			return i
		}
		i += n
	}
}

// cleanRun is how many bytes at the start of s are free of DEL, of forbidden runes and
// of what is not UTF-8. It is for text whose controls, quotes and backslashes have
// been judged already.
func cleanRun(s []byte) int {
	i := 0
	for {
		for i+8 <= len(s) {
			if m := high8(binary.LittleEndian.Uint64(s[i:])); m != 0 {
				i += bits.TrailingZeros64(m) >> 3
				goto found
			}
			i += 8
		}
		for i < len(s) && s[i] < 0x7f {
			i++
		}
	found:
		if i == len(s) || s[i] == 0x7f {
			return i
		}
		n := harmless(s[i:])
		if n == 0 {
			return i
		}
		i += n
	}
}

const hexDigits = "0123456789abcdef"

// shortEscape has the letter of JSON's two-byte escapes.
var shortEscape = [...]byte{'\b': 'b', '\t': 't', '\n': 'n', '\f': 'f', '\r': 'r', '"': '"', '\\': '\\'}

// maxEscape is the most bytes that one byte of text can become.
const maxEscape = 6

// appendEscape writes the first rune of s, where safeRun or cleanRun stopped, and
// says how many bytes of s that took.
func appendEscape(dst, s []byte) ([]byte, int) {
	c := s[0]
	if int(c) < len(shortEscape) && shortEscape[c] != 0 {
		return append(dst, '\\', shortEscape[c]), 1
	}
	r, n := rune(c), 1
	if c >= utf8.RuneSelf {
		if r, n = utf8.DecodeRune(s); r == utf8.RuneError && n <= 1 {
			return append(dst, "\ufffd"...), 1
		}
	}
	return appendU(dst, r), n
}

// appendU writes r, which is below U+10000, as \uXXXX.
func appendU(dst []byte, r rune) []byte {
	return append(dst, '\\', 'u', hexDigits[r>>12&15], hexDigits[r>>8&15], hexDigits[r>>4&15], hexDigits[r&15])
}

// AppendString appends text as a JSON string with its quotes. No character that
// could end a line or drive a terminal stands in it raw; bytes that are not UTF-8
// become U+FFFD.
func AppendString(dst, text []byte) []byte {
	return append(appendText(append(dst, '"'), text), '"')
}

// appendText appends s as the inside of a JSON string.
func appendText(dst, s []byte) []byte {
	n := len(s)
	if n < 8 {
		for _, c := range s {
			if !asciiSafe(c) {
				return appendSlowly(dst, s)
			}
		}
		return append(dst, s...)
	}
	if cap(dst)-len(dst) >= n {
		// Nearly every text is safe: it is copied while it is looked at, and what was
		// copied of one that is not is written again.
		out := dst[len(dst) : len(dst)+n]
		bad := uint64(0)
		for i := 0; i+8 < n; i += 8 {
			w := binary.LittleEndian.Uint64(s[i:])
			binary.LittleEndian.PutUint64(out[i:], w)
			bad |= unsafeBits(w)
		}
		w := binary.LittleEndian.Uint64(s[n-8:])
		binary.LittleEndian.PutUint64(out[n-8:], w)
		if (bad|unsafeBits(w))&highs == 0 {
			return dst[:len(dst)+n]
		}
	}
	return appendSlowly(dst, s)
}

func appendSlowly(dst, s []byte) []byte {
	for {
		n := safeRun(s)
		dst = append(dst, s[:n]...)
		if s = s[n:]; len(s) == 0 {
			return dst
		}
		dst, n = appendEscape(dst, s)
		s = s[n:]
	}
}

// appendCut is appendText for at most room bytes of output. What does not fit is
// cut between two runes; whole tells whether nothing was.
func appendCut(dst, s []byte, room int) (out []byte, whole bool) {
	for end := len(dst) + room; len(s) > 0; {
		n := safeRun(s)
		if free := end - len(dst); n > free {
			return append(dst, s[:runeCut(s, free)]...), false
		}
		dst = append(dst, s[:n]...)
		if s = s[n:]; len(s) == 0 {
			break
		}
		before := len(dst)
		if dst, n = appendEscape(dst, s); len(dst) > end {
			return dst[:before], false
		}
		s = s[n:]
	}
	return dst, true
}

// runeCut is the last place at or before n < len(s) where a rune of s begins. In what
// is not UTF-8 it may be n itself.
func runeCut(s []byte, n int) int {
	for back := 0; back < utf8.UTFMax && back <= n; back++ {
		if utf8.RuneStart(s[n-back]) {
			return n - back
		}
	}
	return n
}

// appendClean appends s, the valid inside of a JSON string, with what may not stand
// raw in a line escaped. Its meaning stays the same.
func appendClean(dst, s []byte) []byte {
	for {
		n := cleanRun(s)
		dst = append(dst, s[:n]...)
		if s = s[n:]; len(s) == 0 {
			return dst
		}
		dst, n = appendEscape(dst, s)
		s = s[n:]
	}
}

// AppendEscaped appends text for a line of a log or a terminal. Whatever could end a
// line or drive a terminal is written as in a string literal of Go: \t, \n and \r,
// \x1b for the other ASCII controls and DEL, \u0085 and \u202e for those beyond ASCII,
// \xff for a byte that is not UTF-8, \\ for a backslash. All else stands as it is, so
// the rule can be reversed.
func AppendEscaped(dst, text []byte) []byte {
	for {
		n := safeRun(text)
		dst = append(dst, text[:n]...)
		if text = text[n:]; len(text) == 0 {
			return dst
		}
		dst, n = appendReadable(dst, text)
		text = text[n:]
	}
}

// Escaped is AppendEscaped of a string.
func Escaped(text string) string { return string(AppendEscaped(nil, []byte(text))) }

func appendReadable(dst, s []byte) ([]byte, int) {
	switch c := s[0]; {
	case c == '"':
		return append(dst, c), 1
	case c == '\\' || c == '\t' || c == '\n' || c == '\r':
		return append(dst, '\\', shortEscape[c]), 1
	case c < utf8.RuneSelf:
		return append(dst, '\\', 'x', hexDigits[c>>4], hexDigits[c&15]), 1
	}
	r, n := utf8.DecodeRune(s)
	if r == utf8.RuneError && n <= 1 {
		return append(dst, '\\', 'x', hexDigits[s[0]>>4], hexDigits[s[0]&15]), 1
	}
	return appendU(dst, r), n
}
