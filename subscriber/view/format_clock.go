package view

import (
	"strconv"
	"time"

	"github.com/earshot-mq/earshot/publisher/record"
)

// clock writes times in one zone. It keeps what does not change within a second, for
// most records share their second with the one before.
type clock struct {
	tz     *time.Location
	utc    bool
	second int64  // Unix; what the texts are of
	date   []byte // "2026-11-22T10:35:12"
	zone   []byte // "Z" or "+01:00"
	minute []byte // "2026-11-22 10:35"
}

func newClock(tz *time.Location) clock {
	c := clock{tz: tz, utc: tz == time.UTC}
	c.set(time.Unix(0, 0))
	return c
}

// at makes the texts those of the second of t.
func (c *clock) at(t time.Time) {
	if t.Unix() != c.second {
		c.set(t)
	}
}

func (c *clock) set(t time.Time) {
	local := t.In(c.tz)
	c.second = t.Unix()
	c.date = local.AppendFormat(c.date[:0], "2006-01-02T15:04:05")
	c.zone = local.AppendFormat(c.zone[:0], "Z07:00")
	c.minute = local.AppendFormat(c.minute[:0], "2006-01-02 15:04")
}

// Lengths of a stamp of Append, with nanoseconds and with microseconds.
const (
	nanoLen  = len("2026-11-22T10:35:12.123456789Z")
	microLen = len("2026-11-22T10:35:12.123456")
)

// micros appends the time of l with six digits of a second, cut as a clock does.
func (c *clock) micros(dst []byte, l *record.Line) []byte {
	if c.utc && len(l.Stamp) == nanoLen && l.Stamp[nanoLen-1] == 'Z' {
		return append(append(dst, l.Stamp[:microLen]...), 'Z')
	}
	return c.fraction(dst, l.Time, 6)
}

// nanos appends the time of l with nine digits of a second.
func (c *clock) nanos(dst []byte, l *record.Line) []byte {
	if c.utc && len(l.Stamp) == nanoLen && l.Stamp[nanoLen-1] == 'Z' {
		return append(dst, l.Stamp...)
	}
	return c.fraction(dst, l.Time, 9)
}

// fraction appends t with so many digits of a second.
func (c *clock) fraction(dst []byte, t time.Time, digits int) []byte {
	c.at(t)
	dst = append(dst, c.date...)
	n := t.Nanosecond()
	dst = append(dst, '.')
	for unit := 100_000_000; digits > 0; digits-- {
		dst = append(dst, byte('0'+n/unit%10))
		unit /= 10
	}
	return append(dst, c.zone...)
}

// minutes appends t as the classic log has it.
func (c *clock) minutes(dst []byte, t time.Time) []byte {
	c.at(t)
	return append(dst, c.minute...)
}

// seconds appends microseconds as seconds: 0.000412s.
func seconds(dst []byte, micros int64) []byte {
	n := uint64(micros)
	if micros < 0 {
		dst = append(dst, '-')
		n = -n
	}
	dst = strconv.AppendUint(dst, n/1e6, 10)
	dst = append(dst, '.')
	for unit := uint64(100_000); unit > 0; unit /= 10 {
		dst = append(dst, byte('0'+n/unit%10))
	}
	return append(dst, 's')
}
