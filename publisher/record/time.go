package record

import "time"

// ParseTime reads a time of RFC 3339, in UTC. ok is false if it is none.
func ParseTime(b []byte) (t time.Time, ok bool) {
	sec, nsec, ok := parseTime(b)
	return time.Unix(sec, nsec).UTC(), ok
}

// parseTime reads a time of RFC 3339 as Unix seconds and nanoseconds. It is stricter
// than the time package, which takes a comma for the point; a leap second is refused
// as there. Digits beyond the ninth of a second are dropped.
func parseTime(b []byte) (sec, nsec int64, ok bool) {
	if len(b) < len("2006-01-02T15:04:05Z") || b[4] != '-' || b[7] != '-' || b[10] != 'T' || b[13] != ':' || b[16] != ':' {
		return 0, 0, false
	}
	century, year := two(b[0:]), two(b[2:])
	month, day := two(b[5:]), two(b[8:])
	hour, minute, second := two(b[11:]), two(b[14:]), two(b[17:])
	if century|year|month|day|hour|minute|second < 0 || hour > 23 || minute > 59 || second > 59 {
		return 0, 0, false
	}
	days, ok := dayNumber(century*100+year, month, day)
	if !ok {
		return 0, 0, false
	}
	b, nsec, ok = fraction(b[19:])
	offset, ok2 := zone(b)
	return int64(days)*86400 + int64(hour*3600+minute*60+second-offset), nsec, ok && ok2
}

// two reads two digits, or is negative.
func two(b []byte) int {
	hi, lo := int(b[0])-'0', int(b[1])-'0'
	if uint(hi) > 9 || uint(lo) > 9 {
		return -1
	}
	return hi*10 + lo
}

// fraction reads the digits of a second, if there are any, and returns what follows.
func fraction(b []byte) (rest []byte, nsec int64, ok bool) {
	if b[0] != '.' {
		return b, 0, true
	}
	i := 1
	for ; i < len(b) && '0' <= b[i] && b[i] <= '9'; i++ {
		if i < len(units) {
			nsec = nsec*10 + int64(b[i]-'0')
		}
	}
	return b[i:], nsec * units[min(i, len(units))-1], i > 1
}

// units are the nanoseconds that the last of so many digits of a second stands for.
var units = [10]int64{1e9, 1e8, 1e7, 1e6, 1e5, 1e4, 1e3, 1e2, 1e1, 1}

// zone reads "Z" or "+hh:mm" as seconds east of UTC.
func zone(b []byte) (offset int, ok bool) {
	if len(b) == 1 && b[0] == 'Z' {
		return 0, true
	}
	if len(b) != len("+00:00") || b[3] != ':' || b[0] != '+' && b[0] != '-' {
		return 0, false
	}
	hour, minute := two(b[1:]), two(b[4:])
	if hour|minute < 0 || hour > 23 || minute > 59 {
		return 0, false
	}
	if offset = hour*3600 + minute*60; b[0] == '-' {
		offset = -offset
	}
	return offset, true
}

// monthDays are the days of a year before each month, March being the first; so the
// day that leap years add is the last of a year.
var monthDays = [13]int{0, 31, 61, 92, 122, 153, 184, 214, 245, 275, 306, 337, 366}

// dayNumber counts the days from 1970-01-01 in the proleptic Gregorian calendar.
func dayNumber(year, month, day int) (days int, ok bool) {
	if month < 1 || month > 12 || day < 1 {
		return 0, false
	}
	leap := year%4 == 0 && (year%100 != 0 || year%400 == 0)
	m := (month + 9) % 12
	if length := monthDays[m+1] - monthDays[m]; day > length || m == 11 && day == 29 && !leap {
		return 0, false
	}
	if m >= 10 {
		year--
	}
	year += 400 // so that no division below rounds a negative number
	return 365*year + year/4 - year/100 + year/400 + monthDays[m] + day - 1 - daysTo1970, true
}

// daysTo1970 are the days from the first of March 400 years before year 0 to 1970-01-01.
const daysTo1970 = 719468 + 146097
