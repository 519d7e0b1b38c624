package gateway

import (
	"net/http"
	"strings"
)

// ambiguous says why the target of a request could be read in two ways, "" if it can't.
// Two servers that disagree about a path disagree about who may see what is there, so
// such a path is refused and never mended.
func ambiguous(r *http.Request) string {
	u := r.URL
	path := u.Path
	switch {
	case strings.ContainsRune(r.RequestURI, '#'):
		return "the target has a fragment"
	case u.Opaque != "" || u.User != nil || u.Scheme != "" && u.Scheme != "http" && u.Scheme != "https":
		return "the target is not a path"
	case !strings.HasPrefix(path, "/"):
		return "the path does not begin with a slash"
	case strings.HasPrefix(path, "//"):
		return "the path begins with two slashes"
	case strings.ContainsAny(path, "\\\x00"):
		return "the path has a backslash or a zero byte"
	case u.RawPath != "" && hasEscapedSlash(u.RawPath):
		return "the path has an escaped slash"
	}
	for part := range strings.SplitSeq(path, "/") {
		if isDots(part) {
			return "the path has a dot segment"
		}
	}
	return ""
}

// hasEscapedSlash looks for %2f in either case. url.URL keeps a RawPath when a path has
// one.
func hasEscapedSlash(raw string) bool {
	for {
		i := strings.IndexByte(raw, '%')
		if i < 0 || len(raw) < i+3 {
			return false
		}
		if raw[i+1] == '2' && raw[i+2]|0x20 == 'f' {
			return true
		}
		raw = raw[i+3:]
	}
}

// cutSegments takes the first n segments off a path. ok: the rest is a path again that
// can be read in one way.
func cutSegments(path string, n int) (left string, ok bool) {
	left = path
	for range n {
		i := strings.IndexByte(left[1:], '/')
		if i < 0 {
			return "/", true
		}
		left = left[1+i:]
	}
	return left, !strings.HasPrefix(left, "//")
}
