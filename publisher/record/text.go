package record

import (
	"bytes"
	"unicode/utf8"
)

// Text is a JSON string as it stands in a line, without its quotes and with its
// escapes. It aliases the line. A member that the line does not have is nil.
type Text []byte

// String is the text with its escapes resolved.
func (t Text) String() string {
	if bytes.IndexByte(t, '\\') < 0 {
		return string(t)
	}
	return string(t.Append(nil))
}

// Is tells whether the text, with its escapes resolved, is s.
func (t Text) Is(s string) bool {
	if string(t) == s {
		return true
	}
	if len(t) > maxEscape*len(s) || bytes.IndexByte(t, '\\') < 0 {
		return false
	}
	return t.String() == s
}

// Append appends the text with its escapes resolved. Half of a surrogate pair becomes
// U+FFFD.
func (t Text) Append(dst []byte) []byte {
	for {
		n := bytes.IndexByte(t, '\\')
		if n < 0 {
			return append(dst, t...)
		}
		dst = append(dst, t[:n]...)
		dst, n = appendUnescaped(dst, t[n:])
		t = t[len(t)-n:]
	}
}

// unescape has what the letter of a two-byte escape stands for.
var unescape = [...]byte{'"': '"', '\\': '\\', '/': '/', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t'}

// appendUnescaped resolves the escape at the start of t and says how many bytes of t
// are left. An escape that is none is kept as it is, which a scanned line never has.
func appendUnescaped(dst []byte, t []byte) ([]byte, int) {
	if len(t) >= 2 && int(t[1]) < len(unescape) && unescape[t[1]] != 0 {
		return append(dst, unescape[t[1]]), len(t) - 2
	}
	high, ok := hexEscape(t)
	if !ok {
		return append(dst, t[0]), len(t) - 1
	}
	if high < surrogates || high > surrogatesEnd {
		return utf8.AppendRune(dst, high), len(t) - 6
	}
	if low, ok := hexEscape(t[6:]); ok && high < lowSurrogates && lowSurrogates <= low && low <= surrogatesEnd {
		return utf8.AppendRune(dst, 0x10000+(high-surrogates)<<10+(low-lowSurrogates)), len(t) - 12
	}
	return append(dst, "\ufffd"...), len(t) - 6
}

const (
	surrogates    = 0xd800
	lowSurrogates = 0xdc00
	surrogatesEnd = 0xdfff
)

// hexEscape reads the \uXXXX at the start of t.
func hexEscape(t []byte) (r rune, ok bool) {
	if len(t) < 6 || t[0] != '\\' || t[1] != 'u' {
		return 0, false
	}
	return hex4(t[2:])
}
