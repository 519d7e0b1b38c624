package gateway

import (
	"errors"
	"fmt"
	"net"
	"strings"
)

// canonicalHost is a request's host as routes have it: in lower case, without port and
// closing dot.
func canonicalHost(h string) string {
	if inside, bracketed := strings.CutPrefix(h, "["); bracketed {
		h, _, _ = strings.Cut(inside, "]")
	} else if i := strings.IndexByte(h, ':'); i >= 0 && i == strings.LastIndexByte(h, ':') {
		h = h[:i] // with more colons it is an address of IPv6
	}
	return strings.ToLower(strings.TrimSuffix(h, "."))
}

// parseHost reads the host of a route.
func parseHost(s string) (string, error) {
	name, wildcard := strings.CutPrefix(s, "*.")
	canonical := canonicalHost(name)
	switch {
	case s == "":
		return "", nil
	case wildcard && (net.ParseIP(canonical) != nil || canonical == ""):
		return "", fmt.Errorf("want a name below which all match, such as *.example.com, got %q", s)
	case canonical != strings.ToLower(name) && net.ParseIP(canonical) == nil:
		return "", errors.New("is without a port and a closing dot")
	case net.ParseIP(canonical) == nil && !isHostName(canonical):
		return "", fmt.Errorf("want a name such as shop.example or *.example.com, got %q", s)
	case wildcard:
		return "*." + canonical, nil
	}
	return canonical, nil
}

func isHostName(s string) bool {
	for label := range strings.SplitSeq(s, ".") {
		other := func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' && r != '_' }
		if label == "" || strings.IndexFunc(label, other) >= 0 {
			return false
		}
	}
	return true
}

// hostMatches tells whether a route's host takes a request's. It is the rule in one
// line; Table has a faster one.
func hostMatches(route, host string) bool {
	if below, wildcard := strings.CutPrefix(route, "*"); wildcard {
		return strings.HasSuffix(host, below) && len(host) > len(below)
	}
	return route == "" || route == host
}

// compareHosts says which of two routes' hosts is more specific, if both take a host:
// below zero, a.
func compareHosts(a, b string) int {
	rank := func(s string) int {
		switch {
		case s == "":
			return 0
		case s[0] == '*':
			return len(s)
		}
		return 1 << 20
	}
	return rank(b) - rank(a)
}
