package downcase

import (
	"strings"
	"unicode/utf8"
)

// first returns the value of the first pair of the raw query that is called name. It
// reads a query as Werkzeug 2 does, which net/url does not: pairs are parted by "&"
// only, a pair without "=" has the empty value, a percent sign that begins no escape
// stands for itself, "+" is a space, and bytes that are not UTF-8 become U+FFFD.
func first(query, name string) (value string, found bool) {
	for pair := range strings.SplitSeq(query, "&") {
		if pair == "" {
			continue
		}
		key, value, _ := strings.Cut(pair, "=")
		if unescape(key) == name {
			return unescape(value), true
		}
	}
	return "", false
}

func unescape(s string) string {
	if strings.ContainsAny(s, "%+") {
		s = unescapeBytes(s)
	}
	if utf8.ValidString(s) {
		return s
	}
	return replaceInvalid(s)
}

func unescapeBytes(s string) string {
	var b strings.Builder
	b.Grow(len(s))
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '+':
			c = ' '
		case c == '%' && i+2 < len(s) && isHex(s[i+1]) && isHex(s[i+2]):
			c = unhex(s[i+1])<<4 | unhex(s[i+2])
			i += 2
		}
		b.WriteByte(c)
	}
	return b.String()
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'f'
}

func unhex(c byte) byte {
	if c <= '9' {
		return c - '0'
	}
	return c | 0x20 - 'a' + 10
}

// replaceInvalid puts one U+FFFD for each maximal part of an ill-formed sequence, the
// practice that chapter 3.9 of The Unicode Standard recommends and Python follows.
// Ranging over a string puts one for each byte.
func replaceInvalid(s string) string {
	var b strings.Builder
	b.Grow(len(s) + 2*utf8.UTFMax)
	for len(s) > 0 {
		r, size := utf8.DecodeRuneInString(s)
		if r == utf8.RuneError && size == 1 {
			size = illFormed(s)
		}
		b.WriteRune(r)
		s = s[size:]
	}
	return b.String()
}

// illFormed returns how many of the first bytes of s, which begin no code point, could
// have been the beginning of one: at least 1.
func illFormed(s string) int {
	for n := 2; n <= min(len(s), utf8.UTFMax-1); n++ {
		if utf8.FullRuneInString(s[:n]) {
			// The nth byte can't follow those before it.
			return n - 1
		}
	}
	return min(len(s), utf8.UTFMax-1)
}
