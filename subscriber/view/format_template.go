package view

import (
	"bytes"
	"io"
	"strings"
	"text/template"
	"time"

	"github.com/earshot-mq/earshot/publisher/record"
)

// Fields is what a template is executed with. Its texts are escaped as
// record.AppendEscaped has it; a member that the record does not have is empty.
type Fields struct {
	Time        time.Time // in the zone of the format
	ID          string    // stream/epoch/sequence
	Stream      string
	Epoch       string
	Seq         uint64
	Source      string // "/downcase"
	Service     string // "downcase"
	Type        string // "earshot.http.v1" for an exchange
	Subject     string // the route's pattern
	Traceparent string
	SampledRate int
	Method      string
	Path        string
	Query       string
	Status      int
	Duration    time.Duration
	Client      string
	Request     string // request id
	Bytes       int64
	MediaType   string
	Body        string // the body; a plain message's frames; the data of any other event
	Truncated   bool
	Aborted     bool
	Open        bool
	Upstream    string
	Error       string
}

// sample is executed once to find names that Fields does not have.
var sample = Fields{Time: time.Unix(0, 0).UTC(), Service: "downcase", Status: 200, Method: "GET", Path: "/downcase/", Body: "lower case of HELLO is hello"}

func (f *Format) parseTemplate(source string) (err error) {
	f.kind = templated
	source = strings.TrimSuffix(source, "\n") // of a file or a YAML block; the line has its own
	if f.template, err = template.New("format").Parse(source); err != nil {
		return err
	}
	return f.template.Execute(io.Discard, sample)
}

// templated appends what the template makes of l. Of that too, all but tabs is
// escaped that could end the line, so that a template may have columns. A record that
// the template fails on is shown in the format text.
func (f *Format) templated(dst []byte, l *record.Line) []byte {
	fields := f.fields(l)
	var out bytes.Buffer
	if err := f.template.Execute(&out, &fields); err != nil {
		return f.text(dst, l)
	}
	rest := out.Bytes()
	for {
		n := bytes.IndexAny(rest, "\\\t")
		if n < 0 {
			return append(record.AppendEscaped(dst, rest), '\n')
		}
		dst = append(record.AppendEscaped(dst, rest[:n]), rest[n])
		rest = rest[n+1:]
	}
}

func (f *Format) fields(l *record.Line) Fields {
	prose := func(t record.Text) string { return string(f.prose(nil, t)) }
	return Fields{
		Time: l.Time.In(f.clock.tz), ID: l.ID().String(), Stream: string(l.Stream), Epoch: l.Epoch.String(), Seq: l.Seq,
		Source: prose(l.Source), Service: prose(l.Service()), Type: prose(l.Type), Subject: prose(l.Subject),
		Traceparent: prose(l.Traceparent), SampledRate: l.SampledRate,
		Method: prose(l.Method), Path: prose(l.Path), Query: prose(l.Query), Status: l.Status,
		Duration: time.Duration(l.Micros) * time.Microsecond, Client: prose(l.Client), Request: prose(l.Request),
		Bytes: l.Bytes, MediaType: prose(l.MediaType), Body: string(f.body(nil, l)),
		Truncated: l.Truncated, Aborted: l.Aborted, Open: l.Open, Upstream: prose(l.Upstream), Error: prose(l.Error),
	}
}
