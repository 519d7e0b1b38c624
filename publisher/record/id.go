package record

import (
	"fmt"
	"strconv"
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
func (r Run) Valid() bool { return len(r.Stream) == StreamLen && validStream([]byte(r.Stream)) }

func validStream(b []byte) bool {
	for _, c := range b {
		if !base32[c] {
			return false
		}
	}
	return true
}

var base32 = [256]bool{
	'0': true, '1': true, '2': true, '3': true, '4': true, '5': true, '6': true, '7': true, '8': true, '9': true,
	'a': true, 'b': true, 'c': true, 'd': true, 'e': true, 'f': true, 'g': true, 'h': true, 'j': true, 'k': true, 'm': true,
	'n': true, 'p': true, 'q': true, 'r': true, 's': true, 't': true, 'v': true, 'w': true, 'x': true, 'y': true, 'z': true,
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
	stream, epoch, seq, ok := splitID([]byte(s))
	if !ok {
		return ID{}, fmt.Errorf("record: id %.100q is not stream/epoch/sequence: %w", s, ErrMalformed)
	}
	return ID{Run{string(stream), epoch}, seq}, nil
}

// splitID is ParseID without an allocation.
func splitID(b []byte) (stream []byte, epoch Epoch, seq uint64, ok bool) {
	const slash = StreamLen + 1 + 16
	if len(b) < slash+2 || len(b) > slash+1+20 || b[StreamLen] != '/' || b[slash] != '/' || b[slash+1] == '0' {
		return nil, 0, 0, false
	}
	for _, c := range b[slash+1:] {
		d := uint64(c - '0')
		if d > 9 || seq > (1<<64-1-d)/10 {
			return nil, 0, 0, false
		}
		seq = seq*10 + d
	}
	epoch, err := ParseEpoch(b[StreamLen+1 : slash])
	stream = b[:StreamLen]
	return stream, epoch, seq, err == nil && validStream(stream)
}
