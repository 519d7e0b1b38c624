package view

import (
	"strconv"

	"github.com/earshot-mq/earshot/publisher/record"
)

// text appends the columns of the format text. The third one tells what a line is: a
// status for an exchange, a dash for any other event, GAP for a gap, MALFORMED. No
// column but the last has a space in it.
//
// The duration's column goes on with marks, each after a comma: "aborted" (the answer
// broke off), "open" (a stream that has not ended yet), "truncated" (the body is only
// the beginning), and the size of the whole body ("10240B") where that is not shown
// whole.
func (f *Format) text(dst []byte, l *record.Line) []byte {
	dst = append(f.clock.micros(dst, l), ' ')
	dst = append(f.field(dst, l.Service()), ' ')
	if !l.IsHTTP {
		dst = append(dst, '-')
		if !l.Type.Is(record.TypePlain) {
			dst = f.field(append(dst, ' '), l.Type)
		}
	} else {
		dst = f.exchange(dst, l)
		dst = seconds(append(dst, ' '), l.Micros)
		dst = marks(dst, l)
	}
	end := len(dst)
	if dst = f.body(append(dst, ' '), l); len(dst) == end+1 {
		dst = dst[:end]
	}
	return append(dst, '\n')
}

// exchange appends status, method and path.
func (f *Format) exchange(dst []byte, l *record.Line) []byte {
	dst = strconv.AppendInt(dst, int64(l.Status), 10)
	dst = f.field(append(dst, ' '), l.Method)
	return f.field(append(dst, ' '), l.Path)
}

// marks appends what is to be known about a body, each mark after a comma.
func marks(dst []byte, l *record.Line) []byte {
	if l.Aborted {
		dst = append(dst, ",aborted"...)
	}
	if l.Open {
		dst = append(dst, ",open"...)
	}
	if l.Truncated {
		dst = append(dst, ",truncated"...)
	}
	if l.Truncated || l.Body == nil && l.Bytes > 0 {
		dst = append(strconv.AppendInt(append(dst, ','), l.Bytes, 10), 'B')
	}
	return dst
}

func (f *Format) textGap(dst []byte, g *Gap) []byte {
	dst = append(f.clock.fraction(dst, g.Time, 6), ' ')
	dst = column(dst, g.service())
	dst = lost(append(dst, " GAP "...), g, "")
	return append(dst, '\n')
}

// lost says how many records are missing, which and why. of is said after the number.
func lost(dst []byte, g *Gap, of string) []byte {
	dst = strconv.AppendUint(dst, g.count(), 10)
	dst = append(dst, " record"...)
	if g.count() != 1 {
		dst = append(dst, 's')
	}
	dst = append(dst, of...)
	dst = strconv.AppendUint(append(dst, " lost ("...), g.First, 10)
	if g.count() != 1 {
		dst = strconv.AppendUint(append(dst, '-'), g.Last, 10)
	}
	dst = append(dst, ')')
	if g.Reason != "" {
		dst = record.AppendEscaped(append(dst, ": "...), []byte(g.Reason))
	}
	return dst
}

// message appends the classic line. A record without a body has service, status,
// method and path in its place, an event without data its service and type; marks
// stand in brackets.
func (f *Format) message(dst []byte, l *record.Line) []byte {
	switch {
	case l.IsHTTP && l.Body == nil:
		dst = f.exchange(append(f.field(dst, l.Service()), ' '), l)
	case !l.IsHTTP && l.Data == nil:
		dst = f.field(append(f.field(dst, l.Service()), ' '), l.Type)
	default:
		dst = f.body(dst, l)
	}
	start := len(dst)
	if dst = marks(append(dst, " ["...), l); len(dst) > start+2 {
		dst = append(dst[:start+2], dst[start+3:]...) // the first comma
		dst = append(dst, ']')
	} else {
		dst = dst[:start]
	}
	return f.minute(dst, l)
}

func (f *Format) minute(dst []byte, l *record.Line) []byte {
	return append(f.clock.minutes(append(dst, " - "...), l.Time), '\n')
}

func (f *Format) messageGap(dst []byte, g *Gap) []byte {
	dst = lost(dst, g, " of "+string(column(nil, g.service())))
	return append(f.clock.minutes(append(dst, " - "...), g.Time), '\n')
}
