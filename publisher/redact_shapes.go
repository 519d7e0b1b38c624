package publisher

import (
	"bytes"
	"strings"
)

// Names of the shapes that credentials have in any text.
const (
	ruleUserInfo      = "user information in a URL"
	ruleBearer        = "bearer token"
	ruleWebToken      = "JSON web token"
	ruleAuthorization = "authorization field"
)

// hasTrigger tells whether a short text needs findShapes.
func hasTrigger(s string) bool {
	return strings.Contains(s, "//") || strings.IndexByte(s, '%') >= 0 || strings.Contains(s, "eyJ") ||
		strings.Contains(s, "earer") || strings.Contains(s, "uthorization")
}

// findShapes appends the credentials in text. Each shape is looked for by a byte of it
// that is rare, so that a long text is crossed at the speed of memory.
func findShapes(edits []edit, text []byte) []edit {
	edits = each(edits, text, '/', userInfo)
	edits = each(edits, text, '%', userInfo)
	edits = each(edits, text, 'J', webToken)
	edits = each(edits, text, 'b', bearer)
	edits = each(edits, text, 'B', bearer)
	return each(edits, text, 'z', authorization)
}

// each asks see about every place of c in text: where a secret is, if there is one.
func each(edits []edit, text []byte, c byte, see func(text []byte, at int) (start, end int, rule string)) []edit {
	for at := 0; at < len(text); at++ {
		next := bytes.IndexByte(text[at:], c)
		if next < 0 {
			break
		}
		at += next
		if start, end, name := see(text, at); start < end {
			edits = append(edits, edit{start: start, end: end, rule: rule{kind: name}})
			at = max(at, end-1)
		}
	}
	return edits
}

// userInfo sees what stands between "://" and "@". Each of these may be escaped, as in
// a URL that is a value in another. at is the first slash.
func userInfo(text []byte, at int) (start, end int, name string) {
	if before := text[:at]; !bytes.HasSuffix(before, []byte(":")) && !hasSuffixFold(before, "%3a") {
		return 0, 0, ""
	}
	n := slash(text[at:])
	m := slash(text[at+n:])
	if n == 0 || m == 0 {
		return 0, 0, ""
	}
	start = at + n + m
	for i := start; i < len(text) && !endsAuthority(text[i:]); i++ {
		if text[i] == '@' || hasPrefixFold(text[i:], "%40") {
			end = i
		}
	}
	return start, end, ruleUserInfo
}

// slash is the length of a slash at the start of text, or 0.
func slash(text []byte) int {
	switch {
	case len(text) > 0 && text[0] == '/':
		return 1
	case hasPrefixFold(text, "%2f"):
		return 3
	}
	return 0
}

func endsAuthority(text []byte) bool {
	switch c := text[0]; c {
	case '/', '?', '#', '&', '"', '\'', '<', '>', '\\', '`':
		return true
	case '%':
		return hasPrefixFold(text, "%2f") || hasPrefixFold(text, "%3f") || hasPrefixFold(text, "%23") ||
			hasPrefixFold(text, "%26") || hasPrefixFold(text, "%20") || hasPrefixFold(text, "%22")
	default:
		return c <= ' '
	}
}

// webToken sees a JSON web token: "eyJ", which is how every one begins, and at least two
// parts. at is the J.
func webToken(text []byte, at int) (start, end int, name string) {
	start = at - 2
	if start < 0 || text[start] != 'e' || text[start+1] != 'y' || start > 0 && isWebTokenByte(text[start-1]) {
		return 0, 0, ""
	}
	dots, run := 0, 0
	for end = start; end < len(text); end++ {
		if c := text[end]; c == '.' {
			dots++
			run = 0
		} else if isWebTokenByte(c) {
			run++
		} else {
			break
		}
		if dots == 0 && run == 0 {
			break
		}
	}
	if first := bytes.IndexByte(text[start:end], '.'); first < 10 || end-start-first < 10 {
		return 0, 0, ""
	}
	return start, end, ruleWebToken
}

func isWebTokenByte(c byte) bool { return isAlnum(c) || c == '-' || c == '_' }

// bearer sees "Bearer" and a token, not a word of prose after it. at is the B.
func bearer(text []byte, at int) (start, end int, name string) {
	if !hasPrefixFold(text[at:], "bearer") || at > 0 && isAlnum(text[at-1]) {
		return 0, 0, ""
	}
	start = at + len("bearer")
	gap := start
	for start < len(text) && (text[start] == ' ' || text[start] == '+') {
		start++
	}
	if start == gap && hasPrefixFold(text[start:], "%20") {
		start += len("%20")
	}
	if start == gap {
		return 0, 0, ""
	}
	end = tokenEnd(text, start)
	if !likeCredential(text[start:end]) {
		return 0, 0, ""
	}
	return start, end, ruleBearer
}

// authorization sees what stands after "Authorization:", with a scheme or without. at is
// the z.
func authorization(text []byte, at int) (start, end int, name string) {
	const left, word = len("authori"), "authorization"
	if at < left || !hasPrefixFold(text[at-left:], word) {
		return 0, 0, ""
	}
	rest := bytes.TrimLeft(text[at-left+len(word):], ` "'\`)
	if len(rest) == 0 || rest[0] != ':' && rest[0] != '=' {
		return 0, 0, ""
	}
	rest = bytes.TrimLeft(rest[1:], ` "'\`)
	start = len(text) - len(rest)
	for _, scheme := range [...]string{"basic ", "bearer ", "digest ", "token ", "negotiate ", "apikey ", "hawk ", "aws4-hmac-sha256 "} {
		if hasPrefixFold(rest, scheme) {
			start += len(scheme)
			n := bytes.IndexAny(text[start:], "\"'\\<\r\n")
			if n < 0 {
				n = len(text) - start
			}
			return start, start + n, ruleAuthorization
		}
	}
	end = tokenEnd(text, start)
	if !likeCredential(text[start:end]) {
		return 0, 0, ""
	}
	return start, end, ruleAuthorization
}

// tokenEnd is the end of what RFC 9110 calls token68.
func tokenEnd(text []byte, at int) int {
	for at < len(text) && isToken(text[at]) {
		at++
	}
	return at
}

func isToken(c byte) bool { return isAlnum(c) || strings.IndexByte("-._~+/=", c) >= 0 }

// likeCredential tells a credential from a word: it is long, or it has a digit.
func likeCredential(b []byte) bool {
	return len(b) >= 16 || len(b) >= 6 && bytes.ContainsAny(b, "0123456789")
}

// hasPrefixFold tells whether text begins with prefix, which is in lower case.
func hasPrefixFold(text []byte, prefix string) bool {
	if len(text) < len(prefix) {
		return false
	}
	for i := range len(prefix) {
		if lower(text[i]) != prefix[i] {
			return false
		}
	}
	return true
}

func hasSuffixFold(text []byte, suffix string) bool {
	return len(text) >= len(suffix) && hasPrefixFold(text[len(text)-len(suffix):], suffix)
}
