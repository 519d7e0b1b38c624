package gateway

import (
	"net/http"
	"net/textproto"
	"strings"

	"github.com/earshot-mq/earshot/publisher"
)

// connectionFields belong to one connection (RFC 9110, 7.6.1) and are never passed on.
var connectionFields = set(
	"Connection", "Proxy-Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Te", "Trailer",
	"Transfer-Encoding", "Upgrade", "Http2-Settings",
)

// ownFields are passed on although Connection may name them: what a client says there
// must not take from a request what tells who it is from and what it is.
var ownFields = set(
	"Authorization", "Cookie", "Set-Cookie", "Host", "Content-Length", "Content-Type", "Content-Encoding",
	"Content-Range", "Range", "Date", "Expect", "Location", "Origin", "Cache-Control", "Vary", "Www-Authenticate",
	"Forwarded", "Via", "X-Real-Ip", "X-Request-Id", "Traceparent", "Tracestate", publisher.MarkHeader,
)

// forwardingFields say where a request comes from. Only a trusted peer may.
var forwardingFields = set(
	"Forwarded", "X-Forwarded", "X-Real-Ip", "X-Client-Ip", "Client-Ip", "True-Client-Ip", "X-Cluster-Client-Ip",
	"Cf-Connecting-Ip", "Fastly-Client-Ip", "X-Rewrite-Url", "X-Host", "X-Http-Host-Override",
)

// forwardingFamilies are the same by how they begin.
var forwardingFamilies = []string{"X-Forwarded-", "X-Original-"}

func set(names ...string) map[string]bool {
	m := make(map[string]bool, len(names))
	for _, n := range names {
		m[n] = true
	}
	return m
}

func isForwarding(name string) bool {
	if forwardingFields[name] {
		return true
	}
	for _, family := range forwardingFamilies {
		if strings.HasPrefix(name, family) {
			return true
		}
	}
	return false
}

// nominated are the fields that Connection names and that are not protected.
func nominated(h http.Header) map[string]bool {
	var m map[string]bool
	for _, line := range h["Connection"] {
		for token := range strings.SplitSeq(line, ",") {
			name := textproto.CanonicalMIMEHeaderKey(strings.TrimSpace(token))
			if name == "" || ownFields[name] || isForwarding(name) || connectionFields[name] {
				continue
			}
			if m == nil {
				m = map[string]bool{}
			}
			m[name] = true
		}
	}
	return m
}

// endToEnd is h without what belongs to its connection, and without marks. The values
// are shared.
func endToEnd(h http.Header, also func(name string) bool) http.Header {
	drop := nominated(h)
	out := make(http.Header, len(h)+4)
	for name, values := range h {
		if !connectionFields[name] && !drop[name] && name != publisher.MarkHeader && (also == nil || !also(name)) {
			out[name] = values
		}
	}
	return out
}

// upstreamHeader is what the upstream gets of a client's header, before the gateway's own
// fields.
func upstreamHeader(h http.Header, trusted bool) http.Header {
	out := endToEnd(h, func(name string) bool {
		return name == "Proxy" || strings.IndexByte(name, '_') >= 0 || !trusted && isForwarding(name)
	})
	if hasToken(h["Te"], "trailers") {
		out["Te"] = []string{"trailers"}
	}
	if _, ok := out["User-Agent"]; !ok {
		out["User-Agent"] = []string{""} // net/http would send one of its own
	}
	return out
}

// hasToken tells whether one of the lists has the token.
func hasToken(lines []string, token string) bool {
	for _, line := range lines {
		for part := range strings.SplitSeq(line, ",") {
			if strings.EqualFold(strings.TrimSpace(part), token) {
				return true
			}
		}
	}
	return false
}

// asksWebSocket tells whether the strict listener has stopped to judge the connection,
// since what follows may be no HTTP.
func asksWebSocket(r *http.Request) bool {
	return len(r.Header["Upgrade"]) > 0 && hasToken(r.Header["Upgrade"], "websocket") && hasToken(r.Header["Connection"], "upgrade")
}

// isWebSocket tells whether a request asks for a WebSocket (RFC 6455, 4.1). Nothing else
// is upgraded.
func isWebSocket(r *http.Request) bool {
	v := r.Header["Upgrade"]
	return r.Method == http.MethodGet && r.ProtoMajor == 1 && r.ProtoMinor >= 1 && r.ContentLength == 0 &&
		len(v) == 1 && strings.EqualFold(v[0], "websocket") && hasToken(r.Header["Connection"], "upgrade")
}
