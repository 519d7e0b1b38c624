package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/earshot-mq/earshot/publisher/record"
)

// fill makes r the record of one request to downcase, as the recorder makes it.
func fill(r *record.Record, n int, now time.Time) {
	*r = record.Record{
		Source: "/downcase", Subject: "/downcase/", Time: now,
		HTTP: record.HTTP{
			Method: "GET", Path: "/downcase/", Query: "param=HELLO", Status: 200, Duration: 412 * time.Microsecond,
			Client: "192.0.2.7", Request: "01JDA8Q5V3W7XKZ2M4N6P8R9ST", Bytes: 28, MediaType: "text/plain",
			Body: []byte("lower case of HELLO is hello"), BodyKind: record.BodyText,
		},
	}
	if n >= 0 { // one that can be told from others in the log
		text := strconv.Itoa(n)
		r.HTTP.Query = "param=" + text
		r.HTTP.Body = []byte("lower case of " + text + " is " + text)
		r.HTTP.Bytes = int64(len(r.HTTP.Body))
	}
}

// usualSize is about what a line of fill's records takes.
const usualSize = 393

var body = bytes.Repeat([]byte("lower case of HELLO is hello, "), record.MaxBody/30)

// fillSize makes r a record whose line has about so many bytes: one of another type, with
// nothing in it, where that is less than usual; 0 is the usual one.
func fillSize(r *record.Record, size int, now time.Time) {
	switch fill(r, -1, now); {
	case size > usualSize:
		r.HTTP.Body = body[:size-usualSize+len(r.HTTP.Body)]
	case size > 0:
		*r = record.Record{Source: "/downcase", Type: "note", Time: now, Data: []byte("{}")}
	}
}

// lineSize is how long a line of fillSize's is.
func lineSize(size int) int {
	var r record.Record
	fillSize(&r, size, time.Now())
	r.ID = record.ID{Run: sampleRun, Seq: firstNumber}
	return len(record.Append(nil, &r))
}

var sampleRun = record.Run{Stream: "q7k3v9x2m1t8w", Epoch: 0x19a8f3c2e4b00d17}

// firstNumber is that of the first line that the C program and the peers send.
const firstNumber = 100_000

// writeLines writes lines as the publisher makes them of fill's records: what the C
// program sends. Their numbers have as many digits as most numbers of a run have.
func writeLines(path string, n int) (bytes int, err error) {
	f, err := os.Create(path)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	w := bufio.NewWriter(f)
	var line []byte
	for i := range n {
		var r record.Record
		fill(&r, -1, time.Now())
		r.ID = record.ID{Run: sampleRun, Seq: uint64(firstNumber + i)}
		line = record.Append(line[:0], &r)
		bytes += len(line)
		if _, err := w.Write(line); err != nil {
			return 0, fmt.Errorf("%s: %w", path, err)
		}
	}
	return bytes, w.Flush()
}
