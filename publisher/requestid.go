package publisher

import (
	"math/rand/v2"
	"net/http"
	"time"
)

// Header fields that the recorder reads and writes, in the form that a http.Header has.
const (
	// MarkHeader tells that an answer is recorded, and where: stream/epoch[/sequence].
	MarkHeader = "Earshot-Record"

	headerRequestID   = "X-Request-Id"
	headerTraceparent = "Traceparent"
	headerTracestate  = "Tracestate"
)

// crockford is the alphabet of a request id; its order is that of the values.
const crockford = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

// newRequestID makes an id of the form of a ULID: 48 bits of Unix milliseconds and 80
// random bits as 26 digits, so that ids sort by time. The generator is the runtime's,
// which the operating system's randomness has seeded; an id is not a secret.
func newRequestID(now time.Time) string {
	hi, lo := uint64(now.UnixMilli())<<16|rand.Uint64()>>48, rand.Uint64()
	var id [26]byte
	for i := len(id) - 1; i >= 0; i-- {
		id[i] = crockford[lo&31]
		lo, hi = lo>>5|hi<<59, hi>>5
	}
	return string(id[:])
}

// requestID is the id that a trusted peer sent, if it is one that can stand in a log
// and a header as it is, else a new one.
func requestID(h http.Header, trusted bool, now time.Time) string {
	if v := h[headerRequestID]; trusted && len(v) == 1 && validRequestID(v[0]) {
		return v[0]
	}
	return newRequestID(now)
}

func validRequestID(s string) bool {
	for i := range len(s) {
		c := s[i]
		if !isAlnum(c) && c != '.' && c != '_' && c != '-' {
			return false
		}
	}
	return len(s) > 0 && len(s) <= 64
}

// takeTraceparent is the trace context of a request. One that is not valid must not be
// passed on, and its tracestate neither (W3C Trace Context, 3.2 and 3.3), so both are
// taken out of h.
func takeTraceparent(h http.Header) string {
	v, ok := h[headerTraceparent]
	if !ok {
		return ""
	}
	if len(v) == 1 && validTraceparent(v[0]) {
		return v[0]
	}
	delete(h, headerTraceparent)
	delete(h, headerTracestate)
	return ""
}

// validTraceparent follows version 00, and for later versions what section 3.2.4 says
// about the parts that are known today.
func validTraceparent(s string) bool {
	const length = 55
	if len(s) < length || s[2] != '-' || s[35] != '-' || s[52] != '-' {
		return false
	}
	version, trace, parent, flags := s[:2], s[3:35], s[36:52], s[53:length]
	if version == "00" && len(s) > length || len(s) > length && s[length] != '-' {
		return false
	}
	return version != "ff" && isLowerHex(version) && isLowerHex(flags) &&
		isLowerHex(trace) && !isZeros(trace) && isLowerHex(parent) && !isZeros(parent)
}

func isLowerHex(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

func isZeros(s string) bool {
	for i := range len(s) {
		if s[i] != '0' {
			return false
		}
	}
	return true
}

func isAlnum(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'z'
}
