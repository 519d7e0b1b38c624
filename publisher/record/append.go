package record

import (
	"strconv"
	"sync/atomic"
	"time"
)

// A line is Prefix, sequence, Tail: the journal encodes the tail outside its lock and
// numbers the record under it.
const (
	prefix  = `{"specversion":"1.0","id":"`
	maxHead = len(prefix) + StreamLen + 1 + 16 + 1 + 20 // prefix, run and the longest sequence
	maxTail = MaxLine - maxHead
)

// Limits of members, in bytes as they stand in the line. They bind only what a sane
// exchange never has; the end of what is cut is marked with an ellipsis.
const (
	maxAttr  = 4 << 10  // every text but path, query and body
	ellipsis = "\u2026" // marks a cut attribute; a cut body has its member "truncated"
)

// Append appends the whole line of r, with its line feed. r.ID must be valid. The line
// never exceeds MaxLine, and there is no record that it can't write: see AppendTail.
func Append(dst []byte, r *Record) []byte {
	dst = AppendPrefix(dst, r.ID.Run)
	dst = strconv.AppendUint(dst, r.ID.Seq, 10)
	return AppendTail(dst, r)
}

// AppendPrefix appends what stands before the sequence in each line of run, which must
// be valid.
func AppendPrefix(dst []byte, run Run) []byte {
	dst = append(dst, prefix...)
	dst = append(dst, run.Stream...)
	dst = append(dst, '/')
	return append(run.Epoch.Append(dst), '/')
}

// AppendTail appends what stands after the sequence in the line of r, from the closing
// quote of "id" to the line feed. r.ID is not read.
//
// So that a line never exceeds MaxLine, a body is cut first, to at most MaxBody and to
// what there is room for (then it is text and "truncated"), after it path and query.
// No other text takes more than 4 KiB. Data of another type that do not fit become
// {"truncated":true,"bytes":n,"text":"…"}; data that are not JSON become a string. An
// empty Source is written as "/", a time outside the years 0 to 9999 as year 1.
func AppendTail(dst []byte, r *Record) []byte {
	h := &r.HTTP
	texts := len(r.Source) + len(r.Type) + len(r.Subject) + len(r.Traceparent) + len(h.Method) + len(h.Path) +
		len(h.Query) + len(h.Client) + len(h.Request) + len(h.MediaType) + len(h.Upstream) + len(h.Error)
	if texts <= maxAttr/maxEscape && len(h.Body) <= MaxBody/2 && len(r.Data) <= MaxBody/2 {
		e := encoder{roomy: true}
		return e.tail(dst, r)
	}
	// What there is room for shows when all but path, query and body is written.
	var e encoder
	bare := e.tail(dst, r)
	room := maxTail - (len(bare) - len(dst))
	e.path, e.query = share(bare[len(dst):], h.Path, h.Query, room)
	e.body = room - e.path - e.query
	return e.tail(bare[:len(dst)], r)
}

// share divides room between path and query, as much as each takes; if both are too
// long, each gets half. scratch is overwritten.
func share(scratch []byte, path, query string, room int) (p, q int) {
	p, q = cutLen(scratch, path, room), cutLen(scratch, query, room)
	if p+q > room {
		p = min(p, max(room/2, room-q))
		q = room - p
	}
	return p, q
}

// cutLen is how much of room s takes.
func cutLen(scratch []byte, s string, room int) int {
	scratch, whole := appendCut(scratch[:0], []byte(s), room)
	if !whole {
		return room
	}
	return len(scratch)
}

// encoder writes one tail. Unless it is roomy, when everything is known to fit, texts
// are cut to what the limits say. What is written goes from call to call in registers: as
// a member of the encoder it would be loaded and stored for each of thirty pieces.
type encoder struct {
	roomy             bool
	path, query, body int // bytes in the line that these may take
}

func (e *encoder) tail(dst []byte, r *Record) []byte {
	source, kind := r.Source, r.Type
	if source == "" {
		source = "/"
	}
	if kind == "" {
		kind = TypeHTTP
	}
	dst = append(dst, `","source":"`...)
	dst = e.text(dst, source, maxAttr)
	if kind == TypeHTTP {
		dst = append(dst, `","type":"`+TypeHTTP+`","time":"`...)
	} else {
		dst = append(dst, `","type":"`...)
		dst = e.text(dst, kind, maxAttr)
		dst = append(dst, `","time":"`...)
	}
	dst = appendTime(dst, r.Time)
	if r.Subject != "" {
		dst = append(dst, `","subject":"`...)
		dst = e.text(dst, r.Subject, maxAttr)
	}
	if r.Traceparent != "" {
		dst = append(dst, `","traceparent":"`...)
		dst = e.text(dst, r.Traceparent, maxAttr)
	}
	dst = append(dst, '"')
	if r.SampledRate > 1 {
		dst = strconv.AppendInt(append(dst, `,"sampledrate":`...), int64(r.SampledRate), 10)
	}
	if kind == TypeHTTP {
		dst = e.http(dst, &r.HTTP)
	} else if len(r.Data) > 0 {
		dst = e.data(dst, r.Data)
	}
	return append(dst, '}', '\n')
}

// http writes the member "data" of an exchange.
func (e *encoder) http(dst []byte, h *HTTP) []byte {
	dst = append(dst, `,"data":{"method":"`...)
	dst = e.text(dst, h.Method, maxAttr)
	dst = append(dst, `","path":"`...)
	dst = e.text(dst, h.Path, e.path)
	if h.Query != "" {
		dst = append(dst, `","query":"`...)
		dst = e.text(dst, h.Query, e.query)
	}
	dst = appendInt(append(dst, `","status":`...), int64(h.Status))
	dst = appendInt(append(dst, `,"us":`...), h.Duration.Microseconds())
	dst = e.optional(dst, `,"client":"`, h.Client)
	dst = e.optional(dst, `,"request":"`, h.Request)
	dst = appendInt(append(dst, `,"bytes":`...), h.Bytes)
	dst = e.optional(dst, `,"type":"`, h.MediaType)
	truncated := h.Truncated
	if h.BodyKind != BodyNone {
		var whole bool
		if dst, whole = e.httpBody(dst, h); !whole {
			truncated = true
		}
	}
	if truncated {
		dst = append(dst, `,"truncated":true`...)
	}
	if h.Aborted {
		dst = append(dst, `,"aborted":true`...)
	}
	if h.Open {
		dst = append(dst, `,"open":true`...)
	}
	dst = e.optional(dst, `,"upstream":"`, h.Upstream)
	dst = e.optional(dst, `,"error":"`, h.Error)
	return append(dst, '}')
}

// httpBody writes the body and tells whether that was whole. A JSON string is written
// as text, its quotes included: so a string in the line is always text, and a client
// can tell the two kinds apart.
func (e *encoder) httpBody(dst []byte, h *HTTP) (out []byte, whole bool) {
	body := h.Body
	dst = append(dst, `,"body":`...)
	if h.BodyKind == BodyJSON && len(body) <= MaxBody && !isString(body) {
		start := len(dst)
		out, ok := AppendJSON(dst, body)
		if ok && (e.roomy || len(out)-start <= e.body) {
			return out, true
		}
		dst = out[:start]
	}
	if e.roomy {
		return AppendString(dst, body), true
	}
	if len(body) > MaxBody {
		body = body[:runeCut(body, MaxBody)]
	}
	dst, whole = appendCut(append(dst, '"'), body, e.body)
	return append(dst, '"'), whole && len(body) == len(h.Body)
}

// isString tells whether what may be a JSON value is a string.
func isString(b []byte) bool {
	i := spaceEnd(b, 0)
	return i < len(b) && b[i] == '"'
}

// data writes the member "data" of a record of another type.
func (e *encoder) data(dst, data []byte) []byte {
	dst = append(dst, `,"data":`...)
	start := len(dst)
	if len(data) <= MaxLine {
		out, ok := AppendJSON(dst, data)
		if !ok {
			out = AppendString(out, data)
		}
		if e.roomy || len(out)-start <= e.body {
			return out
		}
		dst = out[:start]
	}
	dst = strconv.AppendInt(append(dst, `{"truncated":true,"bytes":`...), int64(len(data)), 10)
	dst, _ = appendCut(append(dst, `,"text":"`...), data, e.body)
	return append(dst, '"', '}')
}

// text writes s, of which at most room bytes stand in the line. What stands before it is
// written by the caller: a constant is copied in place, a variable by a call.
func (e *encoder) text(dst []byte, s string, room int) []byte {
	if e.roomy {
		return appendText(dst, []byte(s))
	}
	start, whole := len(dst), false
	if dst, whole = appendCut(dst, []byte(s), room); whole {
		return dst
	}
	dst, _ = appendCut(dst[:start], []byte(s), max(0, room-len(ellipsis)))
	return append(dst, ellipsis...)
}

func (e *encoder) optional(dst []byte, lead, s string) []byte {
	if s == "" {
		return dst
	}
	dst = append(dst, lead...)
	dst = e.text(dst, s, maxAttr)
	return append(dst, '"')
}

// appendTime writes t in UTC as RFC 3339 with nine digits of a second, always, so that
// times sort as texts. Most times are of the second that the one before was of.
func appendTime(dst []byte, t time.Time) []byte {
	unix := t.Unix()
	if s := latest.Load(); s != nil && s.unix == unix {
		dst = append(dst, s.text[:]...)
	} else {
		made := &second{unix: unix}
		made.write(t.UTC())
		dst = append(dst, made.text[:]...)
		latest.Store(made)
	}
	n := uint(t.Nanosecond())
	a, b := n/100_000, n%100_000
	return append(dst, '.', digits[a/100*2], digits[a/100*2+1], digits[a%100*2], digits[a%100*2+1],
		byte('0'+b/10_000), digits[b/100%100*2], digits[b/100%100*2+1], digits[b%100*2], digits[b%100*2+1], 'Z')
}

// latest is the second of the time that was written last.
var latest atomic.Pointer[second]

// second is the text of a time up to its seconds.
type second struct {
	unix int64
	text [len("2006-01-02T15:04:05")]byte
}

func (s *second) write(t time.Time) {
	year, month, day := t.Date()
	if year < 0 || year > 9999 {
		year, month, day = 1, 1, 1
	}
	hour, minute, sec := t.Clock()
	dst := append2(append2(s.text[:0], year/100), year%100)
	dst = append2(append(dst, '-'), int(month))
	dst = append2(append(dst, '-'), day)
	dst = append2(append(dst, 'T'), hour)
	dst = append2(append(dst, ':'), minute)
	append2(append(dst, ':'), sec)
}

// appendInt is strconv.AppendInt, which takes three times as long for what a status, a
// duration or a size mostly is.
func appendInt(dst []byte, n int64) []byte {
	switch {
	case n < 0 || n > 9999:
		return strconv.AppendInt(dst, n, 10)
	case n < 10:
		return append(dst, byte('0'+n))
	case n < 100:
		return append(dst, digits[n*2], digits[n*2+1])
	case n < 1000:
		return append(dst, byte('0'+n/100), digits[n%100*2], digits[n%100*2+1])
	}
	return append(dst, digits[n/100*2], digits[n/100*2+1], digits[n%100*2], digits[n%100*2+1])
}

// append2 writes two digits.
func append2(dst []byte, n int) []byte { return append(dst, digits[n*2], digits[n*2+1]) }

// digits has every number below 100.
const digits = "00010203040506070809" + "10111213141516171819" + "20212223242526272829" + "30313233343536373839" +
	"40414243444546474849" + "50515253545556575859" + "60616263646566676869" + "70717273747576777879" +
	"80818283848586878889" + "90919293949596979899"
