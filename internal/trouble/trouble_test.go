package trouble

import (
	"bytes"
	"log/slog"
	"maps"
	"strings"
	"testing"
	"time"
)

// A trouble is logged when it begins and when it is over, whatever its words become between.
func TestFromBeginningToEnd(t *testing.T) {
	var log bytes.Buffer
	l := List{Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}))}
	began := time.Now()
	at := func(s time.Duration) time.Time { return began.Add(s * time.Second) }
	l.Note("disk", "", at(0))
	l.Note("disk", "the disk is full, 1 record is held", at(0))
	l.Note("clock", "the clock was set", at(5))
	l.Note("disk", "the disk is full, 9 records are held", at(10))
	if got, want := l.State(at(70)), "degraded: the disk is full, 9 records are held (for 1m10s); the clock was set (for 1m5s)"; got != want {
		t.Errorf("State = %s, want %s", got, want)
	}
	l.Note("publisher b", "b is full", at(20))
	l.Note("publisher a", "a is full", at(30))
	ages := map[string]float64{}
	l.Ages(at(70), func(seconds float64, kind ...string) { ages[kind[0]] = seconds })
	if want := map[string]float64{"disk": 70, "clock": 65, "publisher": 50}; !maps.Equal(ages, want) {
		t.Errorf("Ages = %v, want %v", ages, want)
	}
	l.Keep(func(thing string) bool { return !strings.HasPrefix(thing, "publisher ") })
	l.Note("disk", "", at(90))
	l.Note("disk", "", at(91))
	l.Keep(func(thing string) bool { return thing != "clock" })
	if got := l.State(at(92)); got != "ok" {
		t.Errorf("State = %s after all is over", got)
	}
	want := `level=WARN msg="the disk is full, 1 record is held" trouble=disk
level=WARN msg="the clock was set" trouble=clock
level=WARN msg="b is full" trouble="publisher b"
level=WARN msg="a is full" trouble="publisher a"
level=INFO msg="over: the disk is full, 9 records are held" trouble=disk after=1m30s
`
	if got := log.String(); got != want {
		t.Errorf("logged:\n%s\nwant:\n%s", got, strings.TrimSuffix(want, "\n"))
	}
}
