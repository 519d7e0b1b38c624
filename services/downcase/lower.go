package downcase

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Lower returns s in lower case as str.lower() of Python 3 has it: Unicode's full,
// language-independent mapping. That is the simple mapping of each code point, but for
// two: İ becomes two code points, and Σ depends on what stands around it. Invalid UTF-8
// becomes U+FFFD, byte by byte.
//
// golang.org/x/text/cases is not used: it looks at most 30 code points ahead for the
// end of a word, Python as far as need be.
func Lower(s string) string {
	if isASCII(s) {
		return strings.ToLower(s)
	}
	var b strings.Builder
	b.Grow(len(s))
	for i, r := range s {
		switch r {
		case 'İ':
			b.WriteString("i\u0307")
		case 'Σ':
			if endsWord(s[:i], s[i+len("Σ"):]) {
				b.WriteRune('ς')
			} else {
				b.WriteRune('σ')
			}
		default:
			b.WriteRune(unicode.ToLower(r))
		}
	}
	return b.String()
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// endsWord is the condition Final_Sigma of Unicode's SpecialCasing.txt: a cased letter
// before and none after, where what is case-ignorable is passed over on both sides. Any
// walk ends at the neighbouring Σ at the latest, so a whole string takes linear time.
func endsWord(before, after string) bool {
	return lastIsCased(before) && !firstIsCased(after)
}

func lastIsCased(s string) bool {
	for len(s) > 0 {
		r, size := utf8.DecodeLastRuneInString(s)
		if !caseIgnorable(r) {
			return cased(r)
		}
		s = s[:len(s)-size]
	}
	return false
}

func firstIsCased(s string) bool {
	for _, r := range s {
		if !caseIgnorable(r) {
			return cased(r)
		}
	}
	return false
}

// cased is the property Cased of The Unicode Standard, definition D135.
func cased(r rune) bool {
	return unicode.In(r, unicode.Lu, unicode.Ll, unicode.Lt, unicode.Other_Uppercase, unicode.Other_Lowercase)
}

// caseIgnorable is the property Case_Ignorable, definition D136. The characters named
// here are those whose Word_Break is MidLetter, MidNumLet or Single_Quote; package
// unicode has no table of that property.
func caseIgnorable(r rune) bool {
	switch r {
	case '\'', '.', ':', '\u00b7', '\u0387', '\u055f', '\u05f4', '\u2018', '\u2019', '\u2024', '\u2027',
		'\ufe13', '\ufe52', '\ufe55', '\uff07', '\uff0e', '\uff1a':
		return true
	}
	return unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf, unicode.Lm, unicode.Sk)
}
