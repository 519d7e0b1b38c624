package strict

import (
	"bytes"
	"errors"
	"fmt"
)

// ErrMalformed is wrapped by each error about a message.
var ErrMalformed = errors.New("strict: malformed HTTP message")

func malformed(why string) error { return fmt.Errorf("%w: %s", ErrMalformed, why) }

// maxLine is the longest line, in bytes; servers have a lower limit of their own.
const maxLine = 64 << 10

// lines cuts a stream of bytes into lines.
type lines struct {
	held   []byte // the beginning of a line whose end has not come
	bareLF bool   // a line may end without CR
}

// next takes the first line off p, without its end. n is how much of p that is; !ok:
// all of p, and the line goes on.
func (l *lines) next(p []byte) (line []byte, n int, ok bool, err error) {
	i := bytes.IndexByte(p, '\n')
	here := i
	if i < 0 {
		here = len(p)
	}
	if len(l.held)+here > maxLine {
		return nil, 0, false, malformed("a line is too long")
	}
	if i < 0 {
		l.held = append(l.held, p...)
		return nil, len(p), false, nil
	}
	line = p[:i]
	if len(l.held) > 0 {
		line = append(l.held, line...)
		l.held = line[:0]
	}
	if m := len(line); m > 0 && line[m-1] == '\r' {
		line = line[:m-1]
	} else if !l.bareLF {
		return nil, i, false, malformed("a line ends without CR")
	}
	return line, i + 1, true, nil
}

// tchars are the characters of a token (RFC 9110, 5.6.2).
var tchars = func() (t [256]bool) {
	for c := '0'; c <= '9'; c++ {
		t[c] = true
	}
	for c := 'a'; c <= 'z'; c++ {
		t[c], t[c-'a'+'A'] = true, true
	}
	for _, c := range "!#$%&'*+-.^_`|~" {
		t[c] = true
	}
	return t
}()

func isToken(b []byte) bool {
	for _, c := range b {
		if !tchars[c] {
			return false
		}
	}
	return len(b) > 0
}

// isText is true of what may stand in a value: no controls but the tab.
func isText(b []byte) bool {
	for _, c := range b {
		if c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

// isVisible is true of what may stand in a request's target. Bytes beyond ASCII may not
// either, but clients send them and all readers take them for what they are.
func isVisible(b []byte) bool {
	for _, c := range b {
		if c <= ' ' || c == 0x7f {
			return false
		}
	}
	return len(b) > 0
}

// isDigits is true of a number that an int64 holds.
func isDigits(b []byte) bool {
	for _, c := range b {
		if c < '0' || c > '9' {
			return false
		}
	}
	return len(b) > 0 && len(b) <= 18
}

// isName compares without regard to case; name is in lower case.
func isName(b []byte, name string) bool {
	if len(b) != len(name) {
		return false
	}
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != name[i] {
			return false
		}
	}
	return true
}
