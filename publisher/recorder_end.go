package publisher

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"runtime/debug"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/earshot-mq/earshot/internal/problem"
	"github.com/earshot-mq/earshot/publisher/record"
)

// end is deferred around the handler: it makes the record and lets the end of the
// answer leave.
func (p *response) end() {
	defer p.close()
	if p.returned {
		p.finish()
		return
	}
	cause := recover()
	if cause == nil || isAbort(cause) { // nil: runtime.Goexit, which goes on by itself
		p.abort()
		if cause != nil {
			panic(cause)
		}
		return
	}
	p.rec.log.Error("handler panicked", "request", p.exchange.id, "panic", fmt.Sprint(cause), "stack", string(debug.Stack()))
	if p.phase == buffering {
		p.fail()
		return
	}
	p.abort()
	panic(http.ErrAbortHandler) // said already; the connection has to break
}

// close takes from the response what it borrowed: a handler may have leaked it into a
// goroutine that lives on.
func (p *response) close() {
	if p.phase != hijacked {
		p.giveUp()
		p.giveBack()
		p.phase = over
	}
}

// finish ends an answer whose handler has returned.
func (p *response) finish() {
	if p.phase == hijacked {
		return // its connection has the end
	}
	if p.status == 0 {
		p.writeHeader(http.StatusOK)
	}
	if p.phase == buffering && p.exchange.handled() == recorded {
		p.sniff()
		p.publish(!p.bodyless && p.declared >= 0 && int64(p.buffered()) != p.declared)
		p.sendHeader(true)
		if p.buffered() > 0 {
			_, _ = p.under.Write(p.buffers.body) // a client that is gone has its line
		}
		return
	}
	if err := p.leave(); err != nil || p.plain {
		return
	}
	p.publish(p.cut())
	if p.holding && !p.broken {
		_, _ = p.under.Write([]byte{p.held})
	}
}

func (p *response) buffered() int {
	if p.buffers == nil {
		return 0
	}
	return len(p.buffers.body)
}

// cut tells whether an answer that streams has broken off.
func (p *response) cut() bool {
	if p.bodyless && !p.stream {
		return false
	}
	return p.broken || p.context.Err() != nil || p.declared >= 0 && p.total() != p.declared
}

// total is the length of a body that streams, with its last byte.
func (p *response) total() int64 {
	n := p.sent.Load()
	if p.holding {
		n++
	}
	return n
}

// fail answers 500 instead of what the handler had begun to say before it panicked.
// Nothing of that has left.
func (p *response) fail() {
	h := p.under.Header()
	clear(h)
	maps.Copy(h, p.before)
	p.giveBack()
	if p.exchange.handled() == passedOn {
		p.exchange.handle(recorded) // this answer is our own
	}
	p.status, p.declared, p.written = 0, -1, 0
	p.sniffed, p.typed = "", false
	problem.Write(p.writer(), problem.Document{
		Status: http.StatusInternalServerError, Instance: p.exchange.id,
		Detail: "The service failed. Its log has the reason under this request's id.",
	})
	p.finish()
}

// abort ends an answer that the handler broke off.
func (p *response) abort() {
	switch {
	case p.phase == hijacked:
		if p.conn != nil {
			p.conn.broken.Store(true) // its line comes when it closes
		}
	case p.exchange.handled() != recorded:
	default:
		p.broken = true
		p.publish(true)
	}
}

// giveUp gives back the room for the record.
func (p *response) giveUp() {
	if p.release != nil {
		p.release()
		p.release = nil
	}
}

// publish makes the last record of the exchange and publishes it, once.
func (p *response) publish(aborted bool) {
	p.line.Lock()
	defer p.line.Unlock()
	if p.done {
		return
	}
	p.done = true
	p.endStream()
	p.complete(&p.record, time.Now())
	h := &p.record.HTTP
	h.Aborted = aborted
	limit, beyond := p.fill(h, aborted)
	p.rec.redactor.Redact(&p.record)
	trim(h, limit, beyond)
	// The client may be gone and its context done: that changes nothing. An error is the
	// sink's to log, and the answer leaves all the same.
	if err := p.rec.sink.Publish(context.Background(), p.records[:]...); err != nil {
		p.lost = true
	}
}

// complete says in r what is known of the exchange by now.
func (p *response) complete(r *record.Record, now time.Time) {
	x := &p.exchange
	x.mu.Lock()
	r.HTTP.Upstream, r.HTTP.Error = x.upstream, x.cause
	x.mu.Unlock()
	r.Subject = p.route()
	r.Time = now
	r.HTTP.Duration = now.Sub(p.start)
	r.HTTP.MediaType = p.media
	r.HTTP.Status, r.HTTP.Bytes = p.status, p.sent.Load()
	if p.conn != nil {
		r.HTTP.Status, r.HTTP.Bytes = p.conn.status(), p.conn.written.Load()
	}
}

// observe tells of the answer, when it has left.
func (p *response) observe() {
	o := Observation{Route: p.route(), Status: p.status, Took: time.Since(p.start), Stream: p.stream || p.phase == hijacked}
	if p.conn != nil {
		o.Status = p.conn.status()
	}
	p.rec.observe(o)
}

// route is the pattern that the handler, or http.ServeMux, has named.
func (p *response) route() string {
	p.exchange.mu.Lock()
	defer p.exchange.mu.Unlock()
	if p.exchange.route != "" {
		return p.exchange.route
	}
	return pathPattern(p.request.Pattern)
}

// pathPattern is a pattern of http.ServeMux without its method.
func pathPattern(pattern string) string {
	if _, path, ok := strings.Cut(pattern, " "); ok {
		return strings.TrimLeft(path, " \t")
	}
	return pattern
}

// kind says how the body stands in the record.
func (p *response) kind() record.BodyKind {
	if p.encoded {
		return record.BodyNone // its text is not known here
	}
	return kindOf(p.media)
}

// fill puts the body into the record, cut to limit and some bytes beyond, which only
// redaction needs to see.
func (p *response) fill(h *record.HTTP, aborted bool) (limit, beyond int) {
	switch {
	case p.conn != nil:
		return 0, 0
	case p.phase == buffering && p.broken:
		h.Status = 0 // nothing has left, not even a status
		return 0, 0
	case p.bodyless && !p.stream:
		return 0, 0
	case p.phase == buffering:
		h.Bytes = int64(p.buffered())
	case p.holding && !p.broken:
		h.Bytes++
		p.keep([]byte{p.held})
	}
	kind, have := p.kind(), p.buffered()
	limit = p.exchange.bodyLimit(p.rec.maxBody)
	if kind == record.BodyNone || p.stream || limit == 0 || have == 0 {
		return 0, 0
	}
	beyond = min(max(have-limit, 0), overlap)
	h.Body, h.BodyKind = p.buffers.body[:min(have, limit+beyond)], kind
	h.Truncated = int64(limit) < h.Bytes || int64(have) < h.Bytes
	if h.Truncated || aborted {
		h.BodyKind = record.BodyText // the beginning of a JSON value is none
	}
	return limit, beyond
}

// trim cuts a redacted body to its limit, and what was kept beyond the limit in any
// case: redaction may have made the body shorter, and what it could not see whole stands
// at the end.
func trim(h *record.HTTP, limit, beyond int) {
	if beyond == 0 {
		return
	}
	n := min(limit, max(len(h.Body)-beyond, 0))
	for back := 1; back <= min(utf8.UTFMax, n); back++ {
		if utf8.RuneStart(h.Body[n-back]) {
			if !utf8.FullRune(h.Body[n-back : n]) {
				n -= back
			}
			break
		}
	}
	h.Body = h.Body[:n]
}

// isAbort tells whether a panic's value is the one by which a handler ends an answer
// without a word in the log.
func isAbort(cause any) bool {
	err, ok := cause.(error)
	return ok && errors.Is(err, http.ErrAbortHandler)
}
