package process

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/sirupsen/logrus"
	logrusslog "github.com/sirupsen/logrus/hooks/slog"
)

// Logger makes the program's logger: packages log through log/slog, and logrus is the
// handler, made once, here. format is "text", "json", or "auto": text on a terminal.
// Times are UTC with nanoseconds.
func Logger(w io.Writer, level, format string) (*slog.Logger, error) {
	lv, err := logrus.ParseLevel(level)
	if err != nil {
		return nil, fmt.Errorf("process: log level %q is none of error, warn, info and debug", level)
	}
	l := logrus.New()
	l.SetOutput(w)
	l.SetLevel(lv)
	switch format {
	case "json":
		l.SetFormatter(&utc{&logrus.JSONFormatter{TimestampFormat: time.RFC3339Nano}})
	case "text", "auto":
		terminal := Terminal(w) && format == "auto"
		l.SetFormatter(&utc{&logrus.TextFormatter{TimestampFormat: time.RFC3339Nano, FullTimestamp: true, DisableColors: !terminal || NoColor(), ForceColors: terminal && !NoColor()}})
	default:
		return nil, fmt.Errorf("process: log format %q is none of auto, text and json", format)
	}
	return slog.New(logrusslog.NewHandler(l, nil)), nil
}

type utc struct{ logrus.Formatter }

func (u *utc) Format(e *logrus.Entry) ([]byte, error) {
	e.Time = e.Time.UTC()
	return u.Formatter.Format(e)
}

// NoColor tells whether the user wants no colours (no-color.org).
func NoColor() bool { return os.Getenv("NO_COLOR") != "" || os.Getenv("TERM") == "dumb" }

// Terminal tells whether w is a terminal.
func Terminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
