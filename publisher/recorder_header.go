package publisher

import (
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/earshot-mq/earshot/publisher/record"
)

// writeHeader is WriteHeader of the handler.
func (p *response) writeHeader(code int) {
	if p.phase >= hijacked || p.status != 0 {
		p.rec.log.Debug("superfluous WriteHeader", "request", p.exchange.id, "status", code)
		return
	}
	checkStatus(code)
	if code < 200 && code != http.StatusSwitchingProtocols {
		if p.exchange.handled() != passedOn {
			delete(p.under.Header(), MarkHeader)
		}
		p.under.WriteHeader(code)
		return
	}
	p.status = code
	p.decide()
}

// decide says, now that the handler has written its header, how the answer leaves.
func (p *response) decide() {
	h := p.under.Header()
	p.declared = contentLength(h)
	p.media = mediaType(firstValue(h, "Content-Type"))
	p.encoded = firstValue(h, "Content-Encoding") != ""
	_, p.typed = h["Content-Type"]
	p.typed = p.typed || p.encoded || firstValue(h, "Transfer-Encoding") != ""
	p.bodyless = p.head || !bodyAllowed(p.status) || p.declared == 0
	p.stream = p.status == http.StatusSwitchingProtocols || p.media == eventStream && !p.bodyless
	switch {
	case p.exchange.handled() != recorded:
		_ = p.leave() // a client that is gone shows at the next write
	case p.stream:
		p.beginStream()
		_ = p.leave() // a client that is gone shows at the next write
	default:
		b := p.borrow()
		for k, v := range h {
			b.header = append(b.header, field{k, v})
		}
	}
}

// sniff tells the type of a body whose handler did not, as net/http does.
func (p *response) sniff() {
	if p.typed || p.buffers == nil || len(p.buffers.body) == 0 {
		return
	}
	p.typed = true
	p.sniffed = http.DetectContentType(p.buffers.body)
	p.media = mediaType(p.sniffed)
}

// sendHeader gives the header to net/http. whole: the buffer holds the whole body.
func (p *response) sendHeader(whole bool) {
	p.phase = streaming
	h := p.under.Header()
	late := p.restore(h)
	how := p.exchange.handled()
	p.plain = how != recorded
	if how != passedOn {
		p.values[1] = p.exchange.id
		h[headerRequestID] = p.values[1:2:2]
	}
	if !p.plain {
		p.sniff()
		if p.sniffed != "" {
			h["Content-Type"] = []string{p.sniffed}
		}
		p.capture = p.wanted()
		if whole && p.wantsLength(h, late) {
			h["Content-Length"] = []string{strconv.FormatInt(p.written, 10)}
		}
	}
	p.mark(h, how)
	p.under.WriteHeader(p.status)
	for _, f := range late {
		h[f.key] = f.values
	}
	if p.plain {
		p.giveUp()
	}
}

// wanted is how much of the body the record may need, if it is one that is recorded.
func (p *response) wanted() int {
	limit := p.exchange.bodyLimit(p.rec.maxBody)
	if limit == 0 || p.stream || p.bodyless || p.kind() == record.BodyNone {
		return 0
	}
	return limit + overlap
}

// restore makes the header again what it was when the handler wrote it, as net/http
// would have sent it, and returns what has been set since: that may be trailers.
func (p *response) restore(h http.Header) (late []field) {
	if p.buffers == nil || unchanged(h, p.buffers.header) {
		return nil
	}
	for k, v := range h {
		if !slices.ContainsFunc(p.buffers.header, func(f field) bool { return f.key == k && sameValues(f.values, v) }) {
			late = append(late, field{k, v})
		}
	}
	clear(h)
	for _, f := range p.buffers.header {
		h[f.key] = f.values
	}
	return late
}

func unchanged(h http.Header, was []field) bool {
	if len(h) != len(was) {
		return false
	}
	for _, f := range was {
		if v, ok := h[f.key]; !ok || !sameValues(f.values, v) {
			return false
		}
	}
	return true
}

// sameValues tells whether two fields are one and the same slice: Set and Add of a
// http.Header make another.
func sameValues(a, b []string) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0])
}

// wantsLength tells whether the answer gets a Content-Length from the recorder. What
// net/http keeps in its own buffer it counts itself; of the rest only the recorder knows
// that it is whole. A length ends the body, so there is none before trailers.
func (p *response) wantsLength(h http.Header, late []field) bool {
	const ownBuffer = 2 << 10
	if p.bodyless && !p.head || p.written <= ownBuffer || p.written != int64(len(p.buffers.body)) || !bodyAllowed(p.status) {
		return false
	}
	for _, k := range [...]string{"Content-Length", "Transfer-Encoding", "Trailer"} {
		if _, ok := h[k]; ok {
			return false
		}
	}
	isTrailer := func(k string) bool { return strings.HasPrefix(k, http.TrailerPrefix) }
	for k := range h {
		if isTrailer(k) {
			return false
		}
	}
	return !slices.ContainsFunc(late, func(f field) bool { return isTrailer(f.key) })
}

// mark says in the header that the answer is recorded. One that the handler has from
// elsewhere means nothing, unless it passes the answer on.
func (p *response) mark(h http.Header, how handling) {
	switch {
	case how == passedOn && !p.rec.conceal:
		return
	case how != recorded || p.rec.conceal || p.lost:
		delete(h, MarkHeader)
		return
	case p.done:
		p.values[2] = markOf(p.record.ID)
	default:
		p.values[2] = p.rec.sink.Mark()
	}
	h[MarkHeader] = p.values[2:3:3]
}

// markOf is id.String with one allocation.
func markOf(id record.ID) string {
	var b [record.StreamLen + 1 + 16 + 1 + 20]byte
	s := append(append(b[:0], id.Stream...), '/')
	s = append(id.Epoch.Append(s), '/')
	return string(strconv.AppendUint(s, id.Seq, 10))
}

// checkStatus fails as net/http does for what is no status: here, and not later, when
// the handler is gone.
func checkStatus(code int) {
	if code < 100 || code > 999 {
		panic("publisher: invalid WriteHeader code " + strconv.Itoa(code))
	}
}

// bodyAllowed tells whether an answer of this status can have a body.
func bodyAllowed(status int) bool {
	return status >= 200 && status != http.StatusNoContent && status != http.StatusNotModified
}

// contentLength is the announced length, or -1.
func contentLength(h http.Header) int64 {
	n, err := strconv.ParseInt(firstValue(h, "Content-Length"), 10, 64)
	if err != nil || n < 0 {
		return -1
	}
	return n
}

// firstValue is h.Get for a key in its canonical form.
func firstValue(h http.Header, key string) string {
	if v := h[key]; len(v) > 0 {
		return v[0]
	}
	return ""
}
