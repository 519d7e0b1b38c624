package view

import (
	"bytes"
	"strconv"

	"github.com/earshot-mq/earshot/publisher/record"
)

// logfmt appends the record's members as key=value, in the order of the record, those
// alone that it has. Values with spaces, quotes or anything that is not visible ASCII
// are JSON strings. "type" is the media type, "event" the type of what is no exchange,
// and "body" what the format text shows last.
func (f *Format) logfmt(dst []byte, l *record.Line) []byte {
	dst = f.clock.nanos(append(dst, "time="...), l)
	dst = append(dst, " id="...)
	dst = append(append(dst, l.Stream...), '/')
	dst = append(l.Epoch.Append(dst), '/')
	dst = strconv.AppendUint(dst, l.Seq, 10)
	dst = f.pair(dst, " service=", l.Service())
	dst = f.pair(dst, " subject=", l.Subject)
	dst = f.pair(dst, " traceparent=", l.Traceparent)
	if l.SampledRate != 0 {
		dst = number(dst, " sampledrate=", int64(l.SampledRate))
	}
	if !l.IsHTTP {
		dst = f.pair(dst, " event=", l.Type)
		return append(f.logfmtBody(dst, l), '\n')
	}
	dst = number(dst, " status=", int64(l.Status))
	dst = f.pair(dst, " method=", l.Method)
	dst = f.pair(dst, " path=", l.Path)
	dst = f.pair(dst, " query=", l.Query)
	dst = number(dst, " us=", l.Micros)
	dst = f.pair(dst, " client=", l.Client)
	dst = f.pair(dst, " request=", l.Request)
	dst = number(dst, " bytes=", l.Bytes)
	dst = f.pair(dst, " type=", l.MediaType)
	dst = f.logfmtBody(dst, l)
	for _, mark := range [...]struct {
		text string
		set  bool
	}{{" truncated=true", l.Truncated}, {" aborted=true", l.Aborted}, {" open=true", l.Open}} {
		if mark.set {
			dst = append(dst, mark.text...)
		}
	}
	dst = f.pair(dst, " upstream=", l.Upstream)
	dst = f.pair(dst, " error=", l.Error)
	return append(dst, '\n')
}

func number(dst []byte, key string, n int64) []byte {
	return strconv.AppendInt(append(dst, key...), n, 10)
}

// pair appends key and t, unless the record does not have t.
func (f *Format) pair(dst []byte, key string, t record.Text) []byte {
	if t == nil {
		return dst
	}
	dst = append(dst, key...)
	if bytes.IndexByte(t, '\\') < 0 {
		return value(dst, t)
	}
	f.scratch = t.Append(f.scratch[:0])
	return value(dst, f.scratch)
}

// value appends text, quoted if need be.
func value(dst, text []byte) []byte {
	if isWord(text) {
		return append(dst, text...)
	}
	return record.AppendString(dst, text)
}

// logfmtBody appends the body: text with its own characters, JSON as text.
func (f *Format) logfmtBody(dst []byte, l *record.Line) []byte {
	const key = " body="
	raw := l.Body
	if !l.IsHTTP {
		var ok bool
		if f.scratch, ok = l.AppendMessage(f.scratch[:0]); ok {
			return value(append(dst, key...), f.scratch)
		}
		raw = l.Data
	}
	switch {
	case raw == nil:
		return dst
	case raw[0] == '"':
		return f.pair(dst, key, record.Text(raw[1:len(raw)-1]))
	}
	var ok bool
	if f.scratch, ok = record.AppendJSON(f.scratch[:0], raw); !ok { // data one deeper than a body may be
		f.scratch = append(f.scratch, raw...)
	}
	return value(append(dst, key...), f.scratch)
}

func (f *Format) logfmtGap(dst []byte, g *Gap) []byte {
	dst = f.clock.fraction(append(dst, "time="...), g.Time, 9)
	dst = value(append(dst, " service="...), g.service())
	dst = strconv.AppendUint(append(dst, " gap="...), g.count(), 10)
	dst = strconv.AppendUint(append(dst, " first="...), g.First, 10)
	dst = strconv.AppendUint(append(dst, " last="...), g.Last, 10)
	dst = value(append(dst, " stream="...), []byte(g.Run.Stream))
	dst = g.Run.Epoch.Append(append(dst, " epoch="...))
	dst = value(append(dst, " reason="...), []byte(g.Reason))
	return append(dst, '\n')
}

// jsonGap appends a gap as a JSON object with the member "gap". It has no specversion,
// so that who reads events skips it.
func jsonGap(dst []byte, g *Gap) []byte {
	dst = append(dst, `{"gap":{"time":"`...)
	dst = g.Time.UTC().AppendFormat(dst, "2006-01-02T15:04:05.000000000Z")
	dst = record.AppendString(append(dst, `","service":`...), g.service())
	dst = record.AppendString(append(dst, `,"stream":`...), []byte(g.Run.Stream))
	dst = g.Run.Epoch.Append(append(dst, `,"epoch":"`...))
	dst = strconv.AppendUint(append(dst, `","first":`...), g.First, 10)
	dst = strconv.AppendUint(append(dst, `,"last":`...), g.Last, 10)
	dst = strconv.AppendUint(append(dst, `,"lost":`...), g.count(), 10)
	dst = record.AppendString(append(dst, `,"reason":`...), []byte(g.Reason))
	return append(dst, "}}\n"...)
}
