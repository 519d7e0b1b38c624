package process

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"syscall"
	"unicode"

	"github.com/sirupsen/logrus"
	logrusslog "github.com/sirupsen/logrus/hooks/slog"
)

var levels = map[string]logrus.Level{
	"error": logrus.ErrorLevel, "warn": logrus.WarnLevel, "info": logrus.InfoLevel, "debug": logrus.DebugLevel,
}

// timestamp has all nine digits always, so that lines sort and columns stand.
const timestamp = "2006-01-02T15:04:05.000000000Z07:00"

// Logger makes the program's logger: packages log through log/slog, and logrus is the
// handler, made once, here. level is error, warn, info or debug. format is "text"
// (logfmt), "json", or "auto": text, in colours on a terminal unless NO_COLOR is set.
// Times are UTC with nanoseconds.
func Logger(w io.Writer, level, format string) (*slog.Logger, error) {
	lv, ok := levels[level]
	if !ok {
		return nil, fmt.Errorf("process: log level %q is none of error, warn, info and debug", level)
	}
	l := logrus.New()
	l.SetOutput(w)
	l.SetLevel(lv)
	switch format {
	case "json":
		l.SetFormatter(&utc{Formatter: &logrus.JSONFormatter{TimestampFormat: timestamp, DisableHTMLEscape: true}})
	case "text", "auto":
		colour := format == "auto" && Terminal(w) && !NoColor()
		l.SetFormatter(&utc{
			Formatter: &logrus.TextFormatter{TimestampFormat: timestamp, FullTimestamp: true, DisableColors: !colour, ForceColors: colour},
			bare:      colour,
		})
	default:
		return nil, fmt.Errorf("process: log format %q is none of auto, text and json", format)
	}
	return slog.New(logrusslog.NewHandler(l, nil)), nil
}

// utc shows times in UTC, whatever the machine's zone is.
type utc struct {
	logrus.Formatter
	bare bool // the formatter writes messages as they are
}

// Format implements logrus.Formatter. A message is a constant phrase of ours, but for
// what net/http says: on a terminal no control character of it may get through.
func (u *utc) Format(e *logrus.Entry) ([]byte, error) {
	e.Time = e.Time.UTC()
	if u.bare && strings.ContainsFunc(e.Message, unicode.IsControl) {
		e.Message = strconv.Quote(e.Message)
	}
	return u.Formatter.Format(e)
}

// errorLog passes on what net/http has to say: the panic of a handler as an error, all
// else (peers that go away, odd requests) for those who look closely.
type errorLog struct{ slog.Handler }

func (e errorLog) Enabled(context.Context, slog.Level) bool { return true }

func (e errorLog) Handle(ctx context.Context, r slog.Record) error {
	if strings.HasPrefix(r.Message, "http: panic") {
		r.Level = slog.LevelError
	}
	if !e.Handler.Enabled(ctx, r.Level) {
		return nil
	}
	return e.Handler.Handle(ctx, r)
}

// NoColor tells whether the user wants no colours (no-color.org).
func NoColor() bool { return os.Getenv("NO_COLOR") != "" || os.Getenv("TERM") == "dumb" }

// Terminal tells whether w is a terminal.
func Terminal(w io.Writer) (yes bool) {
	f, ok := w.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := f.SyscallConn()
	if err != nil {
		return false
	}
	err = raw.Control(func(fd uintptr) { yes = isTerminal(int(fd)) })
	return yes && err == nil
}
