package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime/pprof"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/earshot-mq/earshot/internal/process"
)

// roleFlag makes this program a child: its one argument is the task as JSON.
const roleFlag = "-role"

// task is what a child is to do.
type task struct {
	Role     string
	Records  int    // to publish, or to wait for
	Batch    int    // records of one call of Publish
	Callers  int    // goroutines that publish, or connections
	Dir      string // of the journal or the store
	Feed     string // to follow
	Addr     string // of an HTTP server
	Log      string // log file to read
	Pace     int    // records a second
	Recorded bool   // HTTP server: through the recorder
	Profile  string // file for a CPU profile
}

// roles is what a child can be.
func roles() map[string]func(context.Context, *control, task) error {
	return map[string]func(context.Context, *control, task) error{
		"publish":   publishRole,
		"count":     countRole,
		"store":     storeRole,
		"serve":     serveRole,
		"load":      loadRole,
		"log":       logRole,
		"ask":       askRole,
		"ask-paced": askPublishRole,
	}
}

func runRole(ctx context.Context, text string, in io.Reader, out io.Writer) error {
	process.Tune() // as the program does
	var t task
	if err := json.Unmarshal([]byte(text), &t); err != nil {
		return fmt.Errorf("role %q: %w", text, err)
	}
	role := roles()[t.Role]
	if role == nil {
		return fmt.Errorf("role %q: there is no such role", t.Role)
	}
	if err := role(ctx, &control{in: bufio.NewScanner(in), out: out, profile: t.Profile}, t); err != nil {
		return fmt.Errorf("%s: %w", t.Role, err)
	}
	return nil
}

// control is a child's end of the talk with its parent.
type control struct {
	in      *bufio.Scanner
	out     io.Writer
	profile string
	file    *os.File
	began   time.Duration
}

func (c *control) say(word string, f facts) error {
	var keys []string
	for key := range f {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	var b strings.Builder
	b.WriteString(word)
	for _, key := range keys {
		fmt.Fprintf(&b, " %s=%s", key, f[key])
	}
	_, err := io.WriteString(c.out, b.String()+"\n")
	return err
}

func (c *control) hear(word string) error {
	if !c.in.Scan() {
		return fmt.Errorf("nobody said %q", word)
	}
	if c.in.Text() != word {
		return fmt.Errorf("heard %q, not %q", c.in.Text(), word)
	}
	return nil
}

// ready says so and waits for go; from there on CPU counts.
func (c *control) ready(f facts) error {
	if err := c.say("ready", f); err != nil {
		return err
	}
	if err := c.hear("go"); err != nil {
		return err
	}
	if c.profile != "" {
		var err error
		if c.file, err = os.Create(c.profile); err != nil {
			return err
		}
		if err := pprof.StartCPUProfile(c.file); err != nil {
			return errors.Join(err, c.file.Close())
		}
	}
	c.began = cpu()
	return nil
}

// done says so, waits for stop, and takes the CPU that was used.
func (c *control) done(f facts) (used time.Duration, err error) {
	if err := c.say("done", f); err != nil {
		return 0, err
	}
	if err := c.hear("stop"); err != nil {
		return 0, err
	}
	used = cpu() - c.began
	if c.file != nil {
		pprof.StopCPUProfile()
		err = c.file.Close()
	}
	return used, err
}

// usage is the last word.
func (c *control) usage(used time.Duration, f facts) error {
	if f == nil {
		f = facts{}
	}
	f["cpu"] = fmt.Sprint(used.Microseconds())
	return c.say("usage", f)
}

// cpu is what this process has used, all its threads together.
func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// logger is for what a child has to say that is no figure.
func logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))
}
