// Package record is the form of what Earshot keeps: one exchange, or one event of
// another kind, as a CloudEvents 1.0 JSON object on one line.
//
// A line is written once, by Append, and from there on only its bytes move: the
// journal, the feeds, the replay and the store all hold the same line. Scan reads it
// without allocating; Parse makes a Record of it again.
//
// One record is one line whatever the bytes: CR, LF, ESC, all of C0 and C1, DEL,
// U+2028, U+2029 and the bidirectional controls are escaped wherever they stand, so
// that neither a pager nor a terminal can be driven by what a client sent.
//
// # Concurrency
//
// Everything here is a pure function of its arguments.
//
// # Errors
//
// Every error of Scan, Parse, ParseID and ParseEpoch wraps ErrMalformed.
package record

import (
	"errors"
	"time"
)

// ErrMalformed says that bytes are not what they should be: not a record's line, not
// an id, not an epoch.
var ErrMalformed = errors.New("malformed")

// Types of records. Others are free to programs that publish on their own; they must
// not begin with "earshot.".
const (
	TypeHTTP  = "earshot.http.v1"  // an exchange; Record.HTTP holds it
	TypePlain = "earshot.plain.v1" // a message of a foreign PUB socket; Record.Data is {"frames":[…]}
)

// Limits of the format: Append keeps both, Scan refuses a longer line.
const (
	MaxLine = 256 << 10 // bytes of a line with its line feed
	MaxBody = 64 << 10  // bytes of a body before escaping, unless a route says less
)

// Record is one record. Stream, epoch and sequence (ID) are given by the journal; all
// else is the publisher's.
type Record struct {
	ID          ID
	Source      string    // the service, "/downcase": slash and name
	Type        string    // empty means TypeHTTP
	Time        time.Time // when the handler returned; written in UTC with nanoseconds
	Subject     string    // the route's pattern, never the raw path
	Traceparent string    // W3C trace context of the request, or empty
	SampledRate int       // how many exchanges this one stands for; 0 and 1 are not written
	HTTP        HTTP      // the exchange, for TypeHTTP
	Data        []byte    // raw JSON, for every other type; compacted by Append
}

// BodyKind says how a body stands in a line. A string there is always text and any
// other value is JSON, so that a reader needs no media type to tell them apart.
// Therefore these bodies of BodyJSON are written as BodyText: what does not parse, what
// is nested deeper than MaxDepth, what must be cut, and a value that is itself a
// string (its quotes become part of the text).
type BodyKind uint8

// The kinds of a body.
const (
	BodyNone BodyKind = iota // not recorded
	BodyText                 // a JSON string, also when empty; bytes that are not UTF-8 become U+FFFD
	BodyJSON                 // the JSON value itself, compacted; see below
)

// HTTP is one exchange. An empty or zero member is not written, but for Method, Path,
// Status, Duration ("us"), Bytes, and Body unless its kind is BodyNone.
type HTTP struct {
	Method    string
	Path      string // escaped form, as it came
	Query     string // raw, after redaction
	Status    int
	Duration  time.Duration // until the handler returned; "us", microseconds
	Client    string        // address of the client, in the form that the configuration chose
	Request   string        // request id
	Bytes     int64         // size of the body before compression, as sent
	MediaType string        // "type": the media type without parameters
	Body      []byte
	BodyKind  BodyKind
	Truncated bool   // Body is only the beginning; Bytes has the true size. Append sets it in the line when it cuts
	Aborted   bool   // the answer broke off: panic after the header, client gone, length not met
	Open      bool   // a stream that was still open when this line was written
	Upstream  string // gateway only: who was asked
	Error     string // gateway only: why there is no answer of the upstream
}
