package record

import (
	"bytes"
	"fmt"
	"strconv"
	"unicode/utf8"
)

// Scan reads a line, with or without its line feed, without allocating.
//
// It is strict about JSON (RFC 8259, UTF-8, one object and nothing after it, values
// nested at most MaxDepth deep), about the members that it knows (each at most once,
// of its type; null stands for absent, but for a body it is the JSON value) and about
// those that identify a record: specversion "1.0", id, source, type, time. Members
// that it does not know are skipped, and their order is free, so that a later version
// may add some.
func Scan(line []byte) (l Line, err error) {
	s := scanner{b: line}
	if n := bytes.IndexByte(line, '\n'); n >= 0 {
		s.b = line[:n]
		s.check(n == len(line)-1, "line feed inside the line")
	}
	s.check(len(line) <= MaxLine, "line longer than MaxLine")
	s.check(utf8.Valid(s.b), "not UTF-8")
	s.envelope(&l)
	if s.bad == "" {
		s.i = spaceEnd(s.b, s.i)
		s.check(s.i == len(s.b), "bytes after the object")
	}
	if s.bad != "" {
		return Line{}, fmt.Errorf("record: %s at byte %d: %w", s.bad, s.i, ErrMalformed)
	}
	return l, nil
}

// scanner steps through a line. After the first failure it stands still: i is the
// place and bad the reason.
type scanner struct {
	b    []byte
	i    int
	bad  string
	seen uint32 // a bit for each member that was read
	like member // what comes next if Append wrote the line
	lead byte   // what stands before the next member: a brace or a comma
}

func (s *scanner) check(ok bool, bad string) bool {
	if !ok && s.bad == "" {
		s.bad = bad
	}
	return s.bad == ""
}

// step takes the index that a function of json.go returned.
func (s *scanner) step(end int, bad string) bool {
	if s.check(end >= 0, bad) {
		s.i = end
		return true
	}
	return false
}

// at tells whether c comes next.
func (s *scanner) at(c byte) bool { return s.i < len(s.b) && s.b[s.i] == c }

// open begins to read an object whose first member is like.
func (s *scanner) open(like member, bad string) bool {
	s.i = spaceEnd(s.b, s.i)
	s.like, s.lead = like, '{'
	return s.check(s.at('{'), bad)
}

// next steps over a member's name and colon. The members of the object stand before
// end. It returns none after the end of the object and after a failure.
func (s *scanner) next(end member) member {
	if rest := s.b[s.i:]; len(rest) > 0 && rest[0] == s.lead && s.bad == "" {
		for m := s.like; m < end; m++ {
			lead := leads[m]
			if len(rest) > len(lead) && rest[2] == lead[1] && string(rest[1:1+len(lead)]) == lead {
				s.i += 1 + len(lead)
				return s.once(m)
			}
		}
	}
	return s.search(end)
}

// search is next for the end of an object and for a line that another program wrote:
// with members in another order, with white space, with members that we don't know.
func (s *scanner) search(end member) member {
	if s.bad != "" {
		return none
	}
	s.i = spaceEnd(s.b, s.i)
	empty := s.lead == '{' && spaceEnd(s.b, s.i+1) < len(s.b) && s.b[spaceEnd(s.b, s.i+1)] == '}'
	if empty {
		s.i = spaceEnd(s.b, s.i+1)
	}
	if s.at('}') {
		s.i++
		return none
	}
	if !s.check(s.at(s.lead), "neither comma nor brace") {
		return none
	}
	start := spaceEnd(s.b, s.i+1)
	if !s.step(keyEnd(s.b, start), "not a member") {
		return none
	}
	name := Text(s.b[start+1 : stringEnd(s.b, start+1)])
	m := member(0)
	if end == endOfExchange {
		m = endOfEnvelope
	}
	for ; m < end; m++ {
		if lead := leads[m]; name.Is(lead[1 : len(lead)-2]) {
			return s.once(m)
		}
	}
	s.lead = ','
	s.i = spaceEnd(s.b, s.i)
	return unknown
}

// once notes that m is read, which may happen one time, and steps to its value.
func (s *scanner) once(m member) member {
	bit := uint32(1) << m
	if !s.check(s.seen&bit == 0, "member twice") {
		return none
	}
	s.seen |= bit
	s.like, s.lead = m+1, ','
	s.i = spaceEnd(s.b, s.i)
	return m
}

// skip steps over a value nested at most max deep and returns it as it stands.
func (s *scanner) skip(max int) (raw []byte) {
	start := s.i
	if s.step(valueEnd(s.b, start, max), "not JSON") {
		raw = s.b[start:s.i]
	}
	return raw
}

// null steps over a null, which stands for a member that is absent.
func (s *scanner) null() bool {
	return s.at('n') && s.step(wordEnd(s.b, s.i, "null"), "not JSON")
}

// text steps over a string.
func (s *scanner) text() Text {
	if !s.at('"') {
		s.check(s.null(), "not a string")
		return nil
	}
	start := s.i + 1
	end := plainEnd(s.b, start)
	if end >= len(s.b) || s.b[end] != '"' {
		end = stringEnd(s.b, end)
	}
	if !s.step(end, "not a string") {
		return nil
	}
	s.i++
	return s.b[start : s.i-1]
}

// integer steps over a number that is written without fraction and exponent.
func (s *scanner) integer() (n int64) {
	if s.null() {
		return 0
	}
	end := numberEnd(s.b, s.i)
	if end < 0 || end-s.i > 18 || !plainInt(s.b[s.i:end], &n) {
		var err error
		n, err = strconv.ParseInt(string(s.b[s.i:max(s.i, end)]), 10, 64)
		s.check(err == nil, "not an integer of 64 bits")
	}
	s.step(end, "not a number")
	return n
}

// plainInt reads a number of digits alone, which can't overflow.
func plainInt(b []byte, n *int64) bool {
	for _, c := range b {
		if c < '0' || c > '9' {
			return false
		}
		*n = *n*10 + int64(c-'0')
	}
	return true
}

// flag steps over true or false.
func (s *scanner) flag() bool {
	if s.null() {
		return false
	}
	if s.at('t') {
		return s.step(wordEnd(s.b, s.i, "true"), "not a boolean")
	}
	s.step(wordEnd(s.b, s.i, "false"), "not a boolean")
	return false
}
