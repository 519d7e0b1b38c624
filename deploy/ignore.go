package deploy

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"path"
	"regexp"
	"strings"
)

// errIgnore is wrapped by every error of a .dockerignore.
var errIgnore = errors.New("not a pattern")

// ignored is what a .dockerignore says: the last rule that fits a path, or a folder
// that it lies in, decides.
type ignored []rule

type rule struct {
	keep   bool           // the rule began with !
	fits   *regexp.Regexp // the path, or a folder above
	prefix string         // what every path that fits begins with
}

// parseIgnored reads a .dockerignore.
func parseIgnored(r io.Reader) (rules ignored, err error) {
	scan := bufio.NewScanner(r)
	for n := 1; scan.Scan(); n++ {
		line := scan.Text()
		if n == 1 {
			line = strings.TrimPrefix(line, "\ufeff")
		}
		if strings.HasPrefix(line, "#") {
			continue
		}
		pattern, keep := strings.CutPrefix(strings.TrimSpace(line), "!")
		if pattern = strings.TrimSpace(pattern); pattern == "" {
			if keep {
				return nil, fmt.Errorf("line %d: %q: %w", n, line, errIgnore)
			}
			continue
		}
		pattern = strings.TrimPrefix(path.Clean("/"+pattern), "/")
		if pattern == "" { // the folder itself, which can't be left out
			continue
		}
		fits, err := glob(pattern)
		if err != nil {
			return nil, fmt.Errorf("line %d: %q: %w", n, line, errors.Join(errIgnore, err))
		}
		prefix := pattern
		if i := strings.IndexAny(pattern, `*?[\`); i >= 0 {
			prefix = pattern[:i]
		}
		rules = append(rules, rule{keep, fits, prefix})
	}
	if err := scan.Err(); err != nil {
		return nil, fmt.Errorf("%w: %w", errIgnore, err)
	}
	return rules, nil
}

// glob is a pattern of .dockerignore as a regular expression: those of path.Match, and
// ** for any number of folders, none among them.
func glob(pattern string) (*regexp.Regexp, error) {
	if _, err := path.Match(pattern, ""); err != nil {
		return nil, err
	}
	var re strings.Builder
	re.WriteString(`(?s)^`)
	for rest := pattern; rest != ""; {
		n := 1
		switch {
		case strings.HasPrefix(rest, "**/"):
			n = 3
			re.WriteString(`(?:.*/)?`)
		case strings.HasPrefix(rest, "**"):
			n = 2
			re.WriteString(`.*`)
		case rest[0] == '*':
			re.WriteString(`[^/]*`)
		case rest[0] == '?':
			re.WriteString(`[^/]`)
		case rest[0] == '[':
			n = class(rest)
			re.WriteString(rest[:n])
		case rest[0] == '\\':
			n = 1 + width(rest[1:])
			re.WriteString(regexp.QuoteMeta(rest[1:n]))
		default:
			n = width(rest)
			re.WriteString(regexp.QuoteMeta(rest[:n]))
		}
		rest = rest[n:]
	}
	re.WriteString(`(?:/.*)?$`)
	return regexp.Compile(re.String())
}

// width is the length of the first character.
func width(s string) int {
	for i := range s {
		if i > 0 {
			return i
		}
	}
	return len(s)
}

// class is the length of the character class, such as [a-z], that s begins with. That
// it ends has been seen by path.Match.
func class(s string) int {
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == '\\':
			i++
		case s[i] == ']' && i > 1:
			return i + 1
		}
	}
	return len(s)
}

// has tells whether a path is left out.
func (rules ignored) has(name string) (out bool) {
	for _, r := range rules {
		if r.keep == out && r.fits.MatchString(name) {
			out = !r.keep
		}
	}
	return out
}

// skips tells whether a folder that is left out can be passed by whole: no rule keeps
// anything that may lie in it.
func (rules ignored) skips(dir string) bool {
	for _, r := range rules {
		if r.keep && (strings.HasPrefix(r.prefix, dir+"/") || strings.HasPrefix(dir+"/", r.prefix)) {
			return false
		}
	}
	return true
}
