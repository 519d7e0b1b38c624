package record

import (
	"bytes"
	"time"
)

// Line is a scanned line. Its texts and raw values alias the line: they hold as long
// as that does. Members that the line does not have are nil, zero or false.
type Line struct {
	Stream      []byte // of the attribute "id"
	Epoch       Epoch
	Seq         uint64
	Source      Text
	Type        Text
	Stamp       Text      // the attribute "time" as it stands, RFC 3339 without escapes
	Time        time.Time // the same, in UTC
	Subject     Text
	Traceparent Text
	SampledRate int
	Data        []byte // the raw JSON value of "data", whatever the type

	// Members of an exchange's data; only those of TypeHTTP are read.
	IsHTTP    bool
	Method    Text
	Path      Text
	Query     Text
	Status    int
	Micros    int64 // "us"
	Client    Text
	Request   Text
	Bytes     int64
	MediaType Text   // "type"
	Body      []byte // the raw JSON value: a string is text; nil when not recorded
	Truncated bool
	Aborted   bool
	Open      bool
	Upstream  Text
	Error     Text
}

// ID is the record's id. It copies the stream; compare Stream, Epoch and Seq where
// that matters.
func (l *Line) ID() ID { return ID{Run{string(l.Stream), l.Epoch}, l.Seq} }

// Service is the source without its slash.
func (l *Line) Service() Text {
	for _, slash := range [...]string{`/`, `\/`, `\u002f`, `\u002F`} {
		if len(l.Source) >= len(slash) && string(l.Source[:len(slash)]) == slash {
			return l.Source[len(slash):]
		}
	}
	return l.Source
}

// BodyKind says how the body stands in the line.
func (l *Line) BodyKind() BodyKind {
	switch {
	case l.Body == nil:
		return BodyNone
	case l.Body[0] == '"':
		return BodyText
	}
	return BodyJSON
}

// BodyText is the body of kind BodyText, with its escapes.
func (l *Line) BodyText() Text {
	if l.BodyKind() != BodyText {
		return nil
	}
	return l.Body[1 : len(l.Body)-1]
}

// AppendBody appends the body: text with its escapes resolved, JSON as it stands.
func (l *Line) AppendBody(dst []byte) []byte {
	if l.BodyKind() == BodyText {
		return l.BodyText().Append(dst)
	}
	return append(dst, l.Body...)
}

// AppendFrame appends what port 4444 carries for line: the body, text exactly as it
// was recorded, JSON as it stands in the line. ok is false, and dst as it was, when
// there is no frame: the body was truncated or not recorded, the record is no
// exchange, or the line is malformed.
func AppendFrame(dst, line []byte) (frame []byte, ok bool) {
	l, err := Scan(line)
	if err != nil || l.Truncated || l.Body == nil {
		return dst, false
	}
	return l.AppendBody(dst), true
}

// AppendLine appends a line as it may be shown, with its line feed: that of Append as
// it is, that of another program with what no line of ours holds raw escaped.
func AppendLine(dst, line []byte) ([]byte, error) {
	if _, err := Scan(line); err != nil {
		return dst, err
	}
	line = bytes.TrimSuffix(line, []byte{'\n'})
	if bytes.IndexByte(line, '\t') < 0 && bytes.IndexByte(line, '\r') < 0 && cleanRun(line) == len(line) {
		return append(append(dst, line...), '\n'), nil
	}
	dst, _ = appendJSON(dst, line, MaxDepth+2) // line, data, body
	return append(dst, '\n'), nil
}

// Parse makes a Record of a line. The body of a record that Append wrote comes back as
// it stands there: cut, compacted, with U+FFFD for what was not UTF-8.
func Parse(line []byte) (Record, error) {
	l, err := Scan(line)
	if err != nil {
		return Record{}, err
	}
	r := Record{
		ID: l.ID(), Source: l.Source.String(), Type: l.Type.String(), Time: l.Time, Subject: l.Subject.String(),
		Traceparent: l.Traceparent.String(), SampledRate: l.SampledRate,
	}
	if !l.IsHTTP {
		r.Data = append([]byte(nil), l.Data...)
		return r, nil
	}
	r.HTTP = HTTP{
		Method: l.Method.String(), Path: l.Path.String(), Query: l.Query.String(), Status: l.Status,
		Duration: time.Duration(l.Micros) * time.Microsecond, Client: l.Client.String(), Request: l.Request.String(),
		Bytes: l.Bytes, MediaType: l.MediaType.String(), Truncated: l.Truncated, Aborted: l.Aborted, Open: l.Open,
		Upstream: l.Upstream.String(), Error: l.Error.String(),
	}
	if r.HTTP.BodyKind = l.BodyKind(); r.HTTP.BodyKind != BodyNone {
		r.HTTP.Body = l.AppendBody([]byte{})
	}
	return r, nil
}
