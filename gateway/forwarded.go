package gateway

import (
	"net/http"
	"net/netip"
	"strings"
)

// pseudonym is the gateway in Via (RFC 9110, 7.6.3).
const pseudonym = "earshot"

// maxPasses is how often a request may come by before it is taken for one that goes
// round in circles.
const maxPasses = 8

// passes counts how often the request has been through a gateway of this name.
func passes(h http.Header) (n int) {
	for _, line := range h["Via"] {
		for hop := range strings.SplitSeq(line, ",") {
			if f := strings.Fields(hop); len(f) > 1 && f[1] == pseudonym {
				n++
			}
		}
	}
	return n
}

func addVia(h http.Header, r *http.Request) {
	protocol := "1.1"
	switch {
	case r.ProtoMajor == 2:
		protocol = "2.0"
	case r.ProtoMajor == 1 && r.ProtoMinor == 0:
		protocol = "1.0"
	}
	h["Via"] = []string{joined(h["Via"], protocol+" "+pseudonym)}
}

// joined is a list that came in several fields, and one element more.
func joined(values []string, last string) string {
	return strings.Join(append(values[:len(values):len(values)], last), ", ")
}

// peerOf is the address at the other end of the connection; invalid for a Unix socket.
func peerOf(r *http.Request) netip.Addr {
	ap, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr().Unmap().WithZone("")
}

func contains(prefixes []netip.Prefix, a netip.Addr) bool {
	for _, p := range prefixes {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// addForwarded says in h, a header that upstreamHeader has made, where the request comes
// from. What a trusted peer has said stays and is continued, in the form that it has
// chosen: an upstream that finds both forms would have to choose.
func addForwarded(h http.Header, r *http.Request, peer netip.Addr) {
	proto := "http"
	if r.TLS != nil {
		proto = "https"
	}
	client := "unknown"
	if peer.IsValid() {
		client = peer.String()
	}
	if len(h["Forwarded"]) > 0 && len(h["X-Forwarded-For"]) == 0 {
		if peer.Is6() {
			client = `"[` + client + `]"`
		}
		h["Forwarded"] = []string{joined(h["Forwarded"], "for="+client+";proto="+proto)}
	} else {
		delete(h, "Forwarded")
		h["X-Forwarded-For"] = []string{joined(h["X-Forwarded-For"], client)}
	}
	setIfMissing(h, "X-Forwarded-Proto", proto)
	setIfMissing(h, "X-Forwarded-Host", r.Host)
}

func setIfMissing(h http.Header, name, value string) {
	if len(h[name]) == 0 {
		h[name] = []string{value}
	}
}
