package process_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/earshot-mq/earshot/internal/process"
	"github.com/earshot-mq/earshot/internal/testenv"
)

func TestLoggerText(t *testing.T) {
	var b bytes.Buffer
	log, err := process.Logger(&b, "info", "auto")
	if err != nil {
		t.Fatal(err)
	}
	log.Debug("not shown")
	log.With("part", "journal").Info("segment closed", "bytes", 42, "error", errors.New("two\nlines"), "took", time.Second)
	want := regexp.MustCompile(`^time="\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z" level=info msg="segment closed" bytes=42 error="two\\nlines" part=journal took=1s\n$`)
	if !want.MatchString(b.String()) {
		t.Errorf("the log has %q", b.String())
	}
}

func TestLoggerJSON(t *testing.T) {
	var b bytes.Buffer
	log, err := process.Logger(&b, "debug", "json")
	if err != nil {
		t.Fatal(err)
	}
	log.Debug("at last", "service", "<downcase>\x1b", "level", "mine")
	var got struct{ Time, Level, Msg, Service string }
	if err := json.Unmarshal(b.Bytes(), &got); err != nil {
		t.Fatalf("%v: %s", err, b.String())
	}
	if got.Level != "debug" || got.Msg != "at last" || got.Service != "<downcase>\x1b" || !strings.HasSuffix(got.Time, "Z") || len(got.Time) != 30 {
		t.Errorf("the log has %s", b.String())
	}
	if bytes.Contains(b.Bytes(), []byte("\x1b")) || bytes.Count(b.Bytes(), []byte("\n")) != 1 {
		t.Errorf("a control character got through: %q", b.String())
	}
}

func TestLoggerRefuses(t *testing.T) {
	for _, c := range [][2]string{{"loud", "text"}, {"", "text"}, {"fatal", "text"}, {"info", "xml"}, {"info", ""}} {
		if _, err := process.Logger(&bytes.Buffer{}, c[0], c[1]); err == nil {
			t.Errorf("Logger(%q, %q) is fine", c[0], c[1])
		}
	}
}

func TestNoColor(t *testing.T) {
	for name, c := range map[string]struct {
		env, term string
		want      bool
	}{
		"neither": {"", "xterm", false}, "NO_COLOR": {"1", "xterm", true}, "dumb": {"", "dumb", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("NO_COLOR", c.env)
			t.Setenv("TERM", c.term)
			if got := process.NoColor(); got != c.want {
				t.Errorf("NoColor() = %v, want %v", got, c.want)
			}
		})
	}
}

func TestTerminal(t *testing.T) {
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = null.Close() }()
	if process.Terminal(null) || process.Terminal(&bytes.Buffer{}) {
		t.Error("/dev/null or a buffer is a terminal")
	}
	if tty, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0); err == nil {
		defer func() { _ = tty.Close() }()
		if !process.Terminal(tty) {
			t.Error("a pseudo terminal is none")
		}
	}
}

// TestTerminalLog writes to a pseudo terminal: colours, and no control character of a
// message.
func TestTerminalLog(t *testing.T) {
	tty, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		testenv.Missing(t, "pseudo terminal: "+err.Error())
	}
	defer func() { _ = tty.Close() }()
	t.Setenv("NO_COLOR", "")
	t.Setenv("TERM", "xterm")
	// What is written to the master comes back from it only through a slave that echoes,
	// so the formatter is seen through a pipe of the same kind instead.
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	log, err := process.Logger(fakeTerminal{w, tty}, "info", "auto")
	if err != nil {
		t.Fatal(err)
	}
	log.Warn("evil \x1b]0;title\a message")
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 4096)
	n, _ := r.Read(b)
	got := string(b[:n])
	if !strings.Contains(got, "\x1b[33m") {
		t.Errorf("no colour: %q", got)
	}
	if strings.Contains(got, "\x1b]0;") || strings.Contains(got, "\a") {
		t.Errorf("a control character got through: %q", got)
	}
}

// fakeTerminal writes to a pipe and is a terminal for those who ask.
type fakeTerminal struct {
	*os.File
	tty *os.File
}

func (f fakeTerminal) SyscallConn() (syscall.RawConn, error) { return f.tty.SyscallConn() }
