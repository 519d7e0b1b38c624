package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"

	"github.com/earshot-mq/earshot/bench/talk"
)

// limit is how long any run of a row may take; then its processes are killed.
const limit = 90 * time.Second

// facts is what a child says beside a word.
type facts = talk.Facts

// child is a process that is measured. How it and its parent speak is package
// talk's.
type child struct {
	name string
	cmd  *exec.Cmd
	in   io.WriteCloser
	out  *bufio.Scanner
}

// spawn starts this program in a role.
func (b *bench) spawn(ctx context.Context, t task) (*child, error) {
	if b.o.profile != "" {
		t.Profile = fmt.Sprintf("%s/%s-%s.pprof", b.o.profile, b.row, t.Role)
	}
	text, err := json.Marshal(t)
	if err != nil {
		return nil, err
	}
	return start(ctx, t.Role, b.self, roleFlag, string(text))
}

func start(ctx context.Context, name, program string, args ...string) (*child, error) {
	c := &child{name: name, cmd: exec.CommandContext(ctx, program, args...)}
	c.cmd.Stderr = os.Stderr
	var err error
	if c.in, err = c.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	c.out = bufio.NewScanner(out)
	if err := c.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	return c, nil
}

func (c *child) say(word string) error {
	if _, err := io.WriteString(c.in, word+"\n"); err != nil {
		return fmt.Errorf("%s: %w", c.name, err)
	}
	return nil
}

// hear waits until the child says a word.
func (c *child) hear(word string) (facts, error) {
	if !c.out.Scan() {
		return nil, fmt.Errorf("%s ended, or took longer than %s, before it said %q", c.name, limit, word)
	}
	said, f := talk.Parse(c.out.Text())
	if said != word {
		return nil, fmt.Errorf("%s said %q, not %q", c.name, c.out.Text(), word)
	}
	return f, nil
}

// tell says a word and waits for the answer.
func (c *child) tell(word, answer string) (facts, error) {
	if err := c.say(word); err != nil {
		return nil, err
	}
	return c.hear(answer)
}

// end stops the child and gives what it used.
func (c *child) end() (facts, error) {
	f, err := c.tell("stop", "usage")
	if err != nil {
		return nil, err
	}
	if err := c.cmd.Wait(); err != nil {
		return nil, fmt.Errorf("%s: %w", c.name, err)
	}
	return f, nil
}

// kill ends a child that is still there after an error.
func (c *child) kill() {
	if c != nil && c.cmd.ProcessState == nil {
		_ = c.cmd.Process.Kill() // it may be gone
		_ = c.cmd.Wait()         // an error it has: it was killed
	}
}
