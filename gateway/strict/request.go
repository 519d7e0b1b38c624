package strict

import (
	"bytes"
	"strconv"
)

// part is where in a message a byte stands.
type part uint8

const (
	inHead part = iota
	inBody
	inChunkSize
	inChunkEnd // the CRLF after a chunk's data
	inTrailer
	beyond // no longer HTTP/1, or not to be judged
)

// requests reads along the requests of a connection.
type requests struct {
	part  part
	head  *Head
	lines lines
	left  int64 // bytes of the body or the chunk
}

func newRequests() *requests { return &requests{head: newRequest()} }

// scan reads the next bytes of the connection and returns how many of them are good.
func (r *requests) scan(p []byte) (n int, err error) {
	for n < len(p) && r.part != beyond {
		used, err := r.step(p[n:])
		n += used
		if err != nil {
			return n, err
		}
	}
	return len(p), nil
}

// inside tells whether the next byte is one of a body.
func (r *requests) inside() bool { return r.part != inHead && r.part != beyond }

func (r *requests) step(p []byte) (n int, err error) {
	switch r.part {
	case inHead:
		if n, err = r.head.Scan(p); err == nil && r.head.done {
			r.begin()
		}
		return n, err
	case inBody:
		n = int(min(r.left, int64(len(p))))
		if r.left -= int64(n); r.left == 0 {
			r.end()
		}
		return n, nil
	}
	return r.chunk(p)
}

// begin decides how the body is read whose head is through.
func (r *requests) begin() {
	h := r.head
	switch {
	case h.codings > 0:
		r.part = inChunkSize
	case h.length > 0:
		r.part, r.left = inBody, h.length
	case h.upgrade && h.connection:
		r.part = beyond
	default:
		r.end()
	}
}

func (r *requests) end() {
	r.part = inHead
	r.head.Reset()
}

// chunk reads what stands in lines in a chunked body. The data of a chunk is skipped.
func (r *requests) chunk(p []byte) (n int, err error) {
	if r.part == inChunkSize && r.left > 0 {
		n = int(min(r.left, int64(len(p))))
		if r.left -= int64(n); r.left == 0 {
			r.part = inChunkEnd
		}
		return n, nil
	}
	line, n, ok, err := r.lines.next(p)
	if err != nil || !ok {
		return n, err
	}
	if err := r.chunkLine(line); err != nil {
		return n - 1, err
	}
	return n, nil
}

func (r *requests) chunkLine(line []byte) error {
	switch r.part {
	case inChunkEnd:
		if len(line) > 0 {
			return malformed("a chunk is longer than its size says")
		}
		r.part = inChunkSize
	case inTrailer:
		if len(line) == 0 {
			r.end()
			return nil
		}
		name, value, ok := bytes.Cut(line, []byte(":"))
		if !ok || !isToken(name) || !isText(value) {
			return malformed("a trailer field is none")
		}
	default:
		size, err := chunkSize(line)
		if err != nil {
			return err
		}
		if r.left = size; size == 0 {
			r.part = inTrailer
		}
	}
	return nil
}

// chunkSize reads the line before a chunk. Extensions mean nothing to anybody.
func chunkSize(line []byte) (int64, error) {
	digits, extension, _ := bytes.Cut(line, []byte(";"))
	if len(digits) == 0 || len(digits) > 15 || !isText(extension) {
		return 0, malformed("a chunk's size is none")
	}
	for _, c := range digits {
		if (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'f') {
			return 0, malformed("a chunk's size is none")
		}
	}
	n, err := strconv.ParseInt(string(digits), 16, 64)
	if err != nil {
		return 0, malformed("a chunk's size is none")
	}
	return n, nil
}
