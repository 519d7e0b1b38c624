package strict

import (
	"bytes"
	"strconv"
)

// Head reads along the heads of messages: the start line and the header. It judges, and
// keeps nothing but what tells where the head's message ends.
type Head struct {
	request bool
	lines   lines
	begun   bool // the start line is through
	done    bool
	http10  bool
	status  int

	lengths, codings, hosts int // how many fields of that name there are
	length                  int64
	upgrade, connection     bool // Upgrade: websocket, Connection: upgrade
}

// NewResponse returns a Head for what a server sends. Interim answers (1xx) are heads
// before the final one; bare line feeds and folded lines, which only a server's own
// client could read in another way, pass.
func NewResponse() *Head { return &Head{lines: lines{bareLF: true}} }

func newRequest() *Head { return &Head{request: true} }

// Reset prepares for the next message.
func (h *Head) Reset() {
	*h = Head{request: h.request, lines: lines{held: h.lines.held[:0], bareLF: h.lines.bareLF}}
}

// Scan reads the next bytes of the message. It returns how many of them belong to the
// head; with an error, how many come before the one that is bad. The last byte of a head
// that is bad is always one that is refused.
func (h *Head) Scan(p []byte) (n int, err error) {
	for n < len(p) && !h.done {
		line, used, ok, err := h.lines.next(p[n:])
		if err != nil {
			return n + used, err
		}
		if ok {
			if err := h.line(line); err != nil {
				return n + used - 1, err
			}
		}
		n += used
	}
	return n, nil
}

// Done tells whether the head is through; an interim answer's is none.
func (h *Head) Done() bool { return h.done }

func (h *Head) line(line []byte) error {
	switch {
	case !h.begun && h.request:
		return h.requestLine(line)
	case !h.begun:
		return h.statusLine(line)
	case len(line) == 0:
		return h.end()
	case line[0] == ' ' || line[0] == '\t':
		if h.request {
			return malformed("a header line is folded")
		}
		return nil
	}
	return h.field(line)
}

// requestLine lets empty lines before it pass: old clients end a POST with one.
func (h *Head) requestLine(line []byte) error {
	if len(line) == 0 {
		return nil
	}
	h.begun = true
	method, rest, _ := bytes.Cut(line, []byte(" "))
	target, version, _ := bytes.Cut(rest, []byte(" "))
	h.http10 = string(version) == "HTTP/1.0"
	switch {
	case !isToken(method):
		return malformed("the method is no token")
	case !isVisible(target):
		return malformed("the target has a space or a control character")
	case bytes.IndexByte(target, '#') >= 0:
		return malformed("the target has a fragment")
	case !h.http10 && string(version) != "HTTP/1.1":
		return malformed("the version is not HTTP/1.0 or HTTP/1.1")
	}
	return nil
}

func (h *Head) statusLine(line []byte) error {
	h.begun = true
	version, rest, _ := bytes.Cut(line, []byte(" "))
	code, _, _ := bytes.Cut(rest, []byte(" "))
	h.http10 = string(version) == "HTTP/1.0"
	if n, err := strconv.Atoi(string(code)); err == nil {
		h.status = n // whoever reads the answer refuses what is none
	}
	return nil
}

func (h *Head) field(line []byte) error {
	name, value, ok := bytes.Cut(line, []byte(":"))
	if !ok || !isToken(name) {
		return malformed("a header field's name is no token")
	}
	if !isText(value) {
		return malformed("a header field's value has a control character")
	}
	value = bytes.Trim(value, " \t")
	switch {
	case isName(name, "content-length"):
		return h.contentLength(value)
	case isName(name, "transfer-encoding"):
		h.codings++
		if h.request && !isName(value, "chunked") {
			return malformed("Transfer-Encoding is not chunked")
		}
	case isName(name, "host"):
		h.hosts++
	case isName(name, "upgrade"):
		h.upgrade = h.upgrade || hasToken(value, "websocket")
	case isName(name, "connection"):
		h.connection = h.connection || hasToken(value, "upgrade")
	}
	return nil
}

func (h *Head) contentLength(value []byte) error {
	h.lengths++
	if !isDigits(value) {
		return malformed("Content-Length is no number")
	}
	h.length, _ = strconv.ParseInt(string(value), 10, 64) // 18 digits always fit
	return nil
}

// end judges the head as a whole.
func (h *Head) end() error {
	switch {
	case h.lengths > 1:
		return malformed("Content-Length is there twice")
	case h.codings > 1:
		return malformed("Transfer-Encoding is there twice")
	case h.codings > 0 && h.lengths > 0:
		return malformed("there are both Content-Length and Transfer-Encoding")
	case h.codings > 0 && h.http10:
		return malformed("there is a Transfer-Encoding in HTTP/1.0")
	case h.request && h.hosts > 1:
		return malformed("Host is there twice")
	}
	h.done = true
	if !h.request && h.status >= 100 && h.status < 200 && h.status != 101 {
		h.Reset()
	}
	return nil
}

// hasToken tells whether list, of tokens divided by commas, has token.
func hasToken(list []byte, token string) bool {
	for part := range bytes.SplitSeq(list, []byte(",")) {
		if isName(bytes.Trim(part, " \t"), token) {
			return true
		}
	}
	return false
}
