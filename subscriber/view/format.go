package view

import (
	"crypto/sha256"
	"fmt"
	"strings"
	"text/template"
	"time"

	"github.com/earshot-mq/earshot/publisher/record"
)

// Format renders records and gaps, each as exactly one line that ends in '\n',
// whatever bytes they hold: what could end a line or drive a terminal is escaped as
// record.AppendEscaped has it (in json and logfmt as JSON has it).
//
// A Format keeps the time of day that it wrote last, so it is for one goroutine.
type Format struct {
	name     string
	kind     kind
	clock    clock
	template *template.Template
	scratch  []byte
}

type kind uint8

const (
	text kind = iota
	message
	jsonLines
	logfmt
	templated
)

// templatePrefix begins the name of a format that is a template.
const templatePrefix = "template="

// ParseFormat makes the format of that name.
//
//   - text, also for the empty name: columns for people. Time, service, status, method,
//     path, duration with marks, body:
//     2026-11-22T10:35:12.123456Z downcase 200 GET /downcase/ 0.000412s lower case of HELLO is hello
//   - message: the classic line, the body and the local time:
//     lower case of HELLO is hello - 2026-11-22 10:35
//   - json: the record as it is stored, a CloudEvent; its times are UTC.
//   - logfmt: time=… id=… service=downcase status=200 … body="lower case of HELLO is hello"
//   - template=…: a text/template over Fields, for example template={{.Service}} {{.Body}}
//
// tz is the zone of displayed times; nil means UTC, and local time for message.
func ParseFormat(name string, tz *time.Location) (*Format, error) {
	f := &Format{name: name}
	switch name {
	case "", "text":
		f.name = "text"
	case "message":
		f.kind = message
		if tz == nil {
			tz = time.Local
		}
	case "json":
		f.kind = jsonLines
	case "logfmt":
		f.kind = logfmt
	default:
		source, ok := strings.CutPrefix(name, templatePrefix)
		if !ok {
			return nil, fmt.Errorf("view: format %q is none of text, message, json, logfmt and template=…", name)
		}
		if err := f.parseTemplate(source); err != nil {
			return nil, fmt.Errorf("view: format %q: %w", name, err)
		}
	}
	if tz == nil {
		tz = time.UTC
	}
	f.clock = newClock(tz)
	return f, nil
}

// String is the name of the format and its zone. Two formats of one String render
// alike, as long as the zone's rules don't change.
func (f *Format) String() string {
	if f.kind == jsonLines {
		return f.name
	}
	return f.name + " " + f.clock.tz.String()
}

// mark is String, or a hash of one that has no room in a checkpoint.
func (f *Format) mark() string {
	const most = 100
	s := f.String()
	if len(s) <= most {
		return s
	}
	return fmt.Sprintf("%x", sha256.Sum256([]byte(s)))
}

// Append appends the line of a record. What is no record is shown as malformed, with
// its bytes.
func (f *Format) Append(dst, line []byte) []byte {
	if f.kind == jsonLines {
		out, err := record.AppendLine(dst, line)
		if err != nil {
			return f.malformed(dst, line)
		}
		return out
	}
	l, err := record.Scan(line)
	if err != nil {
		return f.malformed(dst, line)
	}
	switch f.kind {
	case message:
		return f.message(dst, &l)
	case logfmt:
		return f.logfmt(dst, &l)
	case templated:
		return f.templated(dst, &l)
	}
	return f.text(dst, &l)
}

// Gap is a run of numbers of which nobody has the records any more.
type Gap struct {
	Time    time.Time // when the gap was found
	Run     record.Run
	Service string
	First   uint64
	Last    uint64
	Reason  string // for people, for example "journal past its bound"
}

// count is how many records are missing.
func (g *Gap) count() uint64 { return g.Last - g.First + 1 }

// service is the name of the service, or of the stream if that is not known.
func (g *Gap) service() []byte {
	if g.Service == "" {
		return []byte(g.Run.Stream)
	}
	return []byte(g.Service)
}

// AppendGap appends the line of a gap; with a template, that of the format text.
func (f *Format) AppendGap(dst []byte, g Gap) []byte {
	switch f.kind {
	case message:
		return f.messageGap(dst, &g)
	case jsonLines:
		return jsonGap(dst, &g)
	case logfmt:
		return f.logfmtGap(dst, &g)
	}
	return f.textGap(dst, &g)
}

// malformed appends the line for bytes that are no record. No record has a line like
// it.
func (f *Format) malformed(dst, line []byte) []byte {
	if n := len(line); n > 0 && line[n-1] == '\n' {
		line = line[:n-1]
	}
	switch f.kind {
	case jsonLines:
		dst = append(record.AppendString(append(dst, `{"malformed":`...), line), '}')
	case logfmt:
		dst = record.AppendString(append(dst, "malformed="...), line)
	default:
		dst = record.AppendEscaped(append(dst, "- - MALFORMED "...), line)
	}
	return append(dst, '\n')
}
