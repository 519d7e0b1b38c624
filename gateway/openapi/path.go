package openapi

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// Route is a way that leads to a service, or to a page.
type Route struct {
	Host string // "" is any, *.example.com what is below it
	Path string // as the gateway's file has it: /x, /x/{id}, /x/*
	// Strip is how many segments of it the service does not see.
	Strip int
	// Leads tells whether it is this route that a request takes, of a method and a
	// decoded path. A segment that stands for any value is Any.
	Leads func(method, path string) bool
}

// Any stands in a path for a value that no route names.
const Any = "\x01"

// way is a path of a service as a client asks for it.
type way struct {
	segments []string          // each a literal, {name}, or both together
	fixed    map[string]bool   // parameters of the service's path for which the route has a value
	renamed  map[string]string // parameters that have another name than the service's
}

// isParameter tells whether a segment is {name} and nothing else.
func isParameter(s string) bool {
	return len(s) > 2 && s[0] == '{' && strings.IndexByte(s, '}') == len(s)-1
}

// outside is the service's path as a client has to ask for it by the route; !ok: the route
// does not lead there.
func (r *Route) outside(path string) (w way, ok bool) {
	if !strings.HasPrefix(path, "/") || strings.ContainsAny(path, "?#\\") || strings.Contains(path, "//") {
		return w, false
	}
	inner := strings.Split(path[1:], "/")
	if !templated(inner) {
		return w, false
	}
	route := strings.Split(r.Path[1:], "/")
	if r.Strip > len(route) {
		return w, false
	}
	if w, ok = join(route[:r.Strip], inner).along(route); !ok && path == "/" && r.Strip > 0 {
		w, ok = join(route[:r.Strip], nil).along(route) // which leaves a slash too
	}
	return w, ok
}

// templated tells whether braces are around names, each there once.
func templated(segments []string) bool {
	var seen []string
	for _, s := range segments {
		for {
			before, rest, opens := strings.Cut(s, "{")
			name, after, closes := strings.Cut(rest, "}")
			if strings.Contains(before, "}") {
				return false
			}
			if !opens {
				break
			}
			if !closes || name == "" || strings.Contains(name, "{") || slices.Contains(seen, name) {
				return false
			}
			seen = append(seen, name)
			s = after
		}
	}
	return true
}

// join puts what the service does not see before what it does.
func join(before, inner []string) way {
	w := way{fixed: map[string]bool{}, renamed: map[string]string{}}
	for _, s := range before {
		if isParameter(s) {
			for slices.Contains(inner, s) {
				s = s[:len(s)-1] + "_}"
			}
		}
		w.segments = append(w.segments, s)
	}
	w.segments = append(w.segments, inner...)
	return w
}

// along is w as far as a route's segments lead there.
func (w way) along(route []string) (way, bool) {
	for i, s := range w.segments {
		if i < len(route) && i == len(route)-1 && route[i] == "*" {
			return w, true
		}
		literal, err := url.PathUnescape(s)
		switch {
		case i >= len(route) || err != nil:
			return w, false
		case isParameter(route[i]):
			if s == "" {
				return w, false
			}
		case route[i] == literal:
		case isParameter(s) && route[i] != "":
			w.segments[i] = (&url.URL{Path: route[i]}).EscapedPath()
			w.fixed[s[1:len(s)-1]] = true
		default:
			return w, false
		}
	}
	n := len(w.segments)
	return w, n == len(route) || n == len(route)-1 && route[n] == "*"
}

// example is a path that the way stands for; !ok: no client may ask for it.
func (w way) example() (path string, ok bool) {
	var b strings.Builder
	for _, s := range w.segments {
		plain := s
		for {
			before, rest, opens := strings.Cut(plain, "{")
			_, after, closes := strings.Cut(rest, "}")
			if !opens || !closes {
				break
			}
			plain = before + Any + after
		}
		plain, err := url.PathUnescape(plain)
		if err != nil || plain == "." || plain == ".." || strings.ContainsAny(plain, "/\\") {
			return "", false
		}
		b.WriteString("/" + plain)
	}
	return b.String(), true
}

// shape is the path without the names of its parameters: two of one shape are one path.
func (w way) shape() string {
	var b strings.Builder
	for _, s := range w.segments {
		b.WriteByte('/')
		for {
			before, rest, opens := strings.Cut(s, "{")
			_, after, closes := strings.Cut(rest, "}")
			b.WriteString(before)
			if !opens || !closes {
				break
			}
			b.WriteString("{}")
			s = after
		}
	}
	return b.String()
}

// parameters are the names that the path has.
func (w way) parameters() (all []string) {
	for _, s := range w.segments {
		for {
			_, rest, opens := strings.Cut(s, "{")
			name, after, closes := strings.Cut(rest, "}")
			if !opens || !closes {
				break
			}
			all = append(all, name)
			s = after
		}
	}
	return all
}

// as gives the parameters the names that another way of the same shape has.
func (w way) as(other []string) way {
	own := w.parameters()
	replace := make([]string, 0, 2*len(own))
	for i, name := range own {
		if name != other[i] {
			w.renamed[name] = other[i]
			replace = append(replace, "{"+name+"}", "{"+other[i]+"}")
		}
	}
	if len(replace) == 0 {
		return w
	}
	r := strings.NewReplacer(replace...)
	w.segments = slices.Clone(w.segments)
	for i := range w.segments {
		w.segments[i] = r.Replace(w.segments[i])
	}
	return w
}

func (w way) String() string { return "/" + strings.Join(w.segments, "/") }

// server is the address of a route that has a host, for a document.
func server(host string) object {
	if below, wildcard := strings.CutPrefix(host, "*."); wildcard {
		return object{
			"url":         "//{name}." + below + "/",
			"variables":   object{"name": object{"default": "www"}},
			"description": fmt.Sprintf("Only below the host %s", below),
		}
	}
	return object{"url": "//" + host + "/", "description": "Only at the host " + host}
}
