package admin

import (
	"crypto/sha256"
	"crypto/subtle"
	"net"
	"net/http"
	"net/netip"
	"strings"

	"github.com/earshot-mq/earshot/internal/problem"
)

// refuse says why a request is not let in; nil lets it in.
func (s *Server) refuse(r *http.Request) *problem.Document {
	open := r.URL.Path == "/livez" || r.URL.Path == "/readyz"
	switch {
	case foreign(r):
		return &problem.Document{Status: http.StatusForbidden, Detail: "requests of other sites are refused"}
	case s.o.Token != "":
		if !open && !s.authorized(r) {
			return &problem.Document{Status: http.StatusUnauthorized, Detail: "this needs the admin token: Authorization: Bearer …"}
		}
	case s.o.Private && !private(r.Host):
		return &problem.Document{Status: http.StatusForbidden, Detail: "Host has to be an address or a name of a private network; for others set admin.token"}
	case !s.o.Private && !loopback(r.Host):
		return &problem.Document{Status: http.StatusForbidden, Detail: "Host has to be an address of loopback; for others set admin.token"}
	}
	return nil
}

// authorized compares hashes, so that time tells nothing of the token, its length
// neither.
func (s *Server) authorized(r *http.Request) bool {
	scheme, got, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	a, b := sha256.Sum256([]byte(got)), sha256.Sum256([]byte(s.o.Token))
	return subtle.ConstantTimeCompare(a[:], b[:]) == 1 && strings.EqualFold(scheme, "Bearer")
}

// foreign tells whether a browser says that a page of another site makes the request.
// A browser that says nothing asks for a page that somebody typed in.
func foreign(r *http.Request) bool {
	if origin := r.Header.Get("Origin"); origin != "" {
		_, host, _ := strings.Cut(origin, "://")
		return host != r.Host
	}
	site := r.Header.Get("Sec-Fetch-Site")
	return site == "cross-site" || site == "same-site"
}

// loopback tells whether a host, with or without a port, is this machine's own.
func loopback(hostport string) bool {
	host := bare(hostport)
	a, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && a.Unmap().IsLoopback()
}

// private tells whether a host can't be a public name: it is an address, has no dot, as
// the names of containers, or ends as names that nobody can register or that Kubernetes
// resolves by itself.
func private(hostport string) bool {
	host := strings.TrimSuffix(bare(hostport), ".")
	if _, err := netip.ParseAddr(host); err == nil {
		return true
	}
	if host != "" && !strings.Contains(host, ".") {
		return true
	}
	for _, end := range []string{".svc", ".cluster.local", ".internal", ".localhost"} {
		if strings.HasSuffix(host, end) {
			return true
		}
	}
	return false
}

// bare is the host without port and brackets.
func bare(hostport string) string {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = strings.TrimSuffix(strings.TrimPrefix(hostport, "["), "]")
	}
	return strings.ToLower(host)
}
