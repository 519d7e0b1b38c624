package record

import (
	"fmt"
	"strconv"
	"strings"
)

// Epoch is one opening of a journal: 44 bits of Unix milliseconds and 20 random bits,
// so that openings sort by time and none repeats. Its text is 16 hexadecimal digits.
type Epoch uint64

// String is the epoch as 16 lower-case hexadecimal digits.
func (e Epoch) String() string { return string(e.Append(make([]byte, 0, 16))) }

// Append appends the 16 digits of e to dst.
func (e Epoch) Append(dst []byte) []byte {
	const digits = "0123456789abcdef"
	for shift := 60; shift >= 0; shift -= 4 {
		dst = append(dst, digits[e>>shift&15])
	}
	return dst
}

// ParseEpoch reads what String wrote: exactly 16 lower-case hexadecimal digits.
func ParseEpoch[T string | []byte](s T) (Epoch, error) {
	if len(s) != 16 {
		return 0, fmt.Errorf("record: epoch %q has not 16 digits: %w", s, ErrMalformed)
	}
	var e Epoch
	for i := range len(s) {
		switch c := s[i]; {
		case '0' <= c && c <= '9':
			e = e<<4 | Epoch(c-'0')
		case 'a' <= c && c <= 'f':
			e = e<<4 | Epoch(c-'a'+10)
		default:
			return 0, fmt.Errorf("record: epoch %q has a %q: %w", s, c, ErrMalformed)
		}
	}
	return e, nil
}

// Run is a stream's records of one epoch, numbered from 1.
type Run struct {
	Stream string // 13 characters of Crockford's base32, see StreamLen
	Epoch  Epoch
}

// StreamLen is the length of a stream's id: 64 bits in the lower-case digits of
// Crockford's base32, which has no i, l, o and u.
const StreamLen = 13

// String is "stream/epoch".
func (r Run) String() string { return r.Stream + "/" + r.Epoch.String() }

// Valid tells whether the stream's id has the right form.
func (r Run) Valid() bool {
	if len(r.Stream) != StreamLen {
		return false
	}
	for i := range len(r.Stream) {
		switch c := r.Stream[i]; {
		case '0' <= c && c <= '9':
		case c < 'a' || c > 'z' || c == 'i' || c == 'l' || c == 'o' || c == 'u':
			return false
		}
	}
	return true
}

// ID names one record for ever.
type ID struct {
	Run
	Seq uint64 // from 1
}

// String is "stream/epoch/sequence", as in the attribute "id".
func (id ID) String() string { return id.Run.String() + "/" + strconv.FormatUint(id.Seq, 10) }

// ParseID reads what String wrote. A sequence has no leading zero and is at least 1.
func ParseID(s string) (ID, error) {
	stream, rest, ok := strings.Cut(s, "/")
	epoch, seq, ok2 := strings.Cut(rest, "/")
	if !ok || !ok2 {
		return ID{}, fmt.Errorf("record: id %q is not stream/epoch/sequence: %w", s, ErrMalformed)
	}
	e, err := ParseEpoch(epoch)
	if err != nil {
		return ID{}, err
	}
	n, err := strconv.ParseUint(seq, 10, 64)
	if err != nil || n == 0 || seq[0] == '0' {
		return ID{}, fmt.Errorf("record: sequence %q of id %q is not a number from 1: %w", seq, s, ErrMalformed)
	}
	id := ID{Run{stream, e}, n}
	if !id.Valid() {
		return ID{}, fmt.Errorf("record: stream %q of id %q is not %d base32 characters: %w", stream, s, StreamLen, ErrMalformed)
	}
	return id, nil
}
