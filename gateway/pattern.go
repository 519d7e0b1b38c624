package gateway

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// kind is what a segment of a pattern matches. The order is that of precedence.
type kind uint8

const (
	literal kind = iota
	parameter
	end  // the pattern has no segment there
	rest // whatever follows, also nothing
)

// segment is a part of a path pattern between two slashes.
type segment struct {
	kind kind
	text string // of a literal; of a parameter its name
}

// pattern is a route's path.
type pattern []segment

// parsePattern reads /x, /x/{id}, /x/*.
func parsePattern(s string) (pattern, error) {
	if !strings.HasPrefix(s, "/") {
		return nil, errors.New(`does not begin with "/"`)
	}
	if i := strings.IndexFunc(s, func(r rune) bool { return r <= ' ' || r == 0x7f || strings.ContainsRune(`?#%\`, r) }); i >= 0 {
		return nil, fmt.Errorf("has %q; a path is written as it is read, without query and escapes", s[i])
	}
	parts := strings.Split(s[1:], "/")
	p := make(pattern, len(parts))
	for i, part := range parts {
		last := i == len(parts)-1
		seg, err := parseSegment(part, last)
		if err != nil {
			return nil, err
		}
		if seg.kind == parameter && slices.Contains(p[:i], seg) {
			return nil, fmt.Errorf("has {%s} twice", seg.text)
		}
		p[i] = seg
	}
	return p, nil
}

func parseSegment(s string, last bool) (segment, error) {
	name, opens := strings.CutPrefix(s, "{")
	name, closes := strings.CutSuffix(name, "}")
	switch {
	case s == "*" && last:
		return segment{kind: rest}, nil
	case s == "*":
		return segment{}, errors.New("has * before its end")
	case s == "" && !last:
		return segment{}, errors.New("has an empty segment")
	case isDots(s):
		return segment{}, errors.New("has a dot segment")
	case opens && closes && isParameter(name):
		return segment{parameter, name}, nil
	case strings.ContainsAny(s, "{}*"):
		return segment{}, fmt.Errorf("has %q; a parameter is a whole segment such as {id}, and * is one at the end", s)
	}
	return segment{literal, s}, nil
}

func isParameter(s string) bool {
	other := func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '_' && r != '-'
	}
	return s != "" && strings.IndexFunc(s, other) < 0
}

// at is the segment at i, also beyond the end.
func (p pattern) at(i int) segment {
	if i < len(p) {
		return p[i]
	}
	return segment{kind: end}
}

// compare says which of two patterns takes a path that both match: below zero, p. Zero
// is a tie.
func (p pattern) compare(q pattern) int {
	for i := range max(len(p), len(q)) {
		a, b := p.at(i), q.at(i)
		if a.kind != b.kind {
			return int(a.kind) - int(b.kind)
		}
		if a.kind == literal && a.text != b.text {
			return strings.Compare(a.text, b.text) // no path matches both
		}
	}
	return 0
}

// mismatch says in words why p does not match path, "" if it does.
func (p pattern) mismatch(path string) string {
	parts := strings.Split(path[1:], "/")
	for i, part := range parts {
		switch seg := p.at(i); {
		case seg.kind == rest:
			return ""
		case seg.kind == end:
			return fmt.Sprintf("the path goes on with %q after segment %d", part, i)
		case seg.kind == parameter && part == "":
			return fmt.Sprintf("segment %d is empty, {%s} is not", i+1, seg.text)
		case seg.kind == literal && part != seg.text:
			return fmt.Sprintf("segment %d is %q, not %q", i+1, part, seg.text)
		}
	}
	if seg := p.at(len(parts)); seg.kind != end && seg.kind != rest {
		return fmt.Sprintf("the path ends after segment %d", len(parts))
	}
	return ""
}

// parameters are the names of those that p has.
func (p pattern) parameters() (names []string) {
	for _, seg := range p {
		if seg.kind == parameter {
			names = append(names, seg.text)
		}
	}
	return names
}

// value is what a parameter of p matches in path.
func (p pattern) value(name, path string) string {
	parts := strings.Split(path[1:], "/")
	for i, seg := range p {
		if seg.kind == parameter && seg.text == name {
			return parts[i]
		}
	}
	return ""
}

// isDots tells whether s is a segment that leads elsewhere. Some servers cut what
// follows a semicolon before they look.
func isDots(s string) bool {
	s, _, _ = strings.Cut(s, ";")
	return s == "." || s == ".."
}
