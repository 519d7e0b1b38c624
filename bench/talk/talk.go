// Package talk is what a process that is measured says to the one that measures, by
// lines: a word and facts, key=value. The child says ready, hears go, says done, hears
// stop, and says usage, with the CPU that it took between go and stop.
package talk

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/pprof"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Facts is what is said beside a word.
type Facts map[string]string

// Float is a number that was said, or 0.
func (f Facts) Float(key string) float64 {
	v, _ := strconv.ParseFloat(f[key], 64)
	return v
}

// Say writes a line.
func Say(w io.Writer, word string, f Facts) error {
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
	_, err := io.WriteString(w, b.String()+"\n")
	return err
}

// Parse is the word of a line, "" of an empty one, and its facts.
func Parse(line string) (word string, f Facts) {
	f = Facts{}
	for i, field := range strings.Fields(line) {
		if i == 0 {
			word = field
			continue
		}
		key, value, _ := strings.Cut(field, "=")
		f[key] = value
	}
	return word, f
}

// Control is a child's end. It is for one goroutine.
type Control struct {
	in      *bufio.Scanner
	out     io.Writer
	profile string // file for a CPU profile, or empty
	file    *os.File
	began   time.Duration
}

// New makes a Control of what the parent writes and reads.
func New(in io.Reader, out io.Writer, profile string) *Control {
	return &Control{in: bufio.NewScanner(in), out: out, profile: profile}
}

// Say says a word.
func (c *Control) Say(word string, f Facts) error { return Say(c.out, word, f) }

// Hear waits for a word.
func (c *Control) Hear(word string) error {
	if !c.in.Scan() {
		return fmt.Errorf("nobody said %q", word)
	}
	if c.in.Text() != word {
		return fmt.Errorf("heard %q, not %q", c.in.Text(), word)
	}
	return nil
}

// Ready says so and waits for go; from there on CPU counts.
func (c *Control) Ready(f Facts) error {
	if err := c.Say("ready", f); err != nil {
		return err
	}
	if err := c.Hear("go"); err != nil {
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
	c.began = CPU(syscall.RUSAGE_SELF)
	return nil
}

// Done says so, waits for stop, and takes the CPU that was used.
func (c *Control) Done(f Facts) (used time.Duration, err error) {
	if err := c.Say("done", f); err != nil {
		return 0, err
	}
	if err := c.Hear("stop"); err != nil {
		return 0, err
	}
	used = CPU(syscall.RUSAGE_SELF) - c.began
	if c.file != nil {
		pprof.StopCPUProfile()
		err = c.file.Close()
	}
	return used, err
}

// Usage is the last word.
func (c *Control) Usage(used time.Duration, f Facts) error {
	if f == nil {
		f = Facts{}
	}
	f["cpu"] = fmt.Sprint(used.Microseconds())
	return c.Say("usage", f)
}

// CPU is what this process has used, all its threads together, or its children that
// have ended: syscall.RUSAGE_SELF or RUSAGE_CHILDREN.
func CPU(who int) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(who, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
