package chaos_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/earshot-mq/earshot/internal/testenv"
)

// command runs `earshot drill` with its folder in dir, as a shell does, and does something
// to it when its world is there.
func command(t *testing.T, dir string, meanwhile func(cmd *exec.Cmd), args ...string) (code int, stdout, stderr string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), binary, append([]string{"drill"}, args...)...)
	cmd.Env = append(os.Environ(), "TMPDIR="+dir)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.WaitDelay = 10 * time.Second
	if err := errors.Join(sources(), cmd.Start()); err != nil {
		t.Fatal(err)
	}
	if meanwhile != nil {
		meanwhile(cmd)
	}
	_ = cmd.Wait() // the code tells
	return cmd.ProcessState.ExitCode(), out.String(), errs.String()
}

// last is the line of totals, by what it says.
var last = regexp.MustCompile(`drill: seed (\d+), \d+ s, (\d+) faults, (\d+) answers, (\d+) records in 2 stores, missing (\d+), doubled (\d+), strange (\d+), declared (\d+)\n$`)

// totals reads the last line of the output.
func totals(t *testing.T, out string) (n [8]int) {
	t.Helper()
	m := last.FindStringSubmatch(out)
	if m == nil {
		t.Fatalf("the last line is not that of the totals:\n%s", out)
	}
	for i := range n {
		if _, err := fmt.Sscan(m[i+1], &n[i]); err != nil {
			t.Fatal(err)
		}
	}
	return n
}

// TestCommand runs the drill as people do.
func TestCommand(t *testing.T) {
	t.Run("all is well", func(t *testing.T) {
		dir := t.TempDir()
		code, out, errs := command(t, dir, nil, "--for", "2s", "--seed", "7", "--faults", "kill-service")
		n := totals(t, out)
		seed, faults, answers, records := n[0], n[1], n[2], n[3]
		if code != 0 || seed != 7 || faults == 0 || answers == 0 || records < 2*answers || n[4]+n[5]+n[6]+n[7] > 0 {
			t.Errorf("exit code %d\n%s%s", code, out, errs)
		}
		if !strings.HasPrefix(out, "seed 7, ") || !strings.Contains(out, "SIGKILL to a service;") || !strings.Contains(out, "ALL LOGGED WITHIN") {
			t.Errorf("no seed, no fault or no table:\n%s", out)
		}
		if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
			t.Errorf("left: %v (%v)", left, err)
		}
	})
	t.Run("ended by its user", func(t *testing.T) {
		dir := t.TempDir()
		code, out, errs := command(t, dir, func(cmd *exec.Cmd) {
			firstLine(t, dir)
			interrupt(cmd)
		}, "--for", "1h", "--faults", "kill-gateway")
		if n := totals(t, out); code != 0 || n[0] == 0 || n[4]+n[5]+n[6]+n[7] > 0 {
			t.Errorf("exit code %d\n%s%s", code, out, errs)
		}
	})
	t.Run("a line is there twice", func(t *testing.T) {
		dir := t.TempDir()
		code, out, errs := command(t, dir, func(cmd *exec.Cmd) {
			line, logs := firstLine(t, dir)
			if err := os.WriteFile(filepath.Join(logs, "again.log"), line, 0o600); err != nil {
				t.Error(err)
			}
			interrupt(cmd)
		}, "--for", "1h", "--faults", "kill-gateway")
		if n := totals(t, out); code != 4 || n[5] == 0 || n[4]+n[7] > 0 || !strings.Contains(errs, "the promise was broken") {
			t.Errorf("exit code %d\n%s%s", code, out, errs)
		}
		if !strings.Contains(out, "kept: "+dir) {
			t.Errorf("it does not say what is kept:\n%s", out)
		}
		if left, err := filepath.Glob(filepath.Join(dir, "*", "world1", "subscriber1", "store")); err != nil || len(left) != 1 {
			t.Errorf("kept: %q (%v)", left, err)
		}
	})
}

// interrupt is Ctrl-C: a terminal says it to the whole group of processes.
func interrupt(cmd *exec.Cmd) { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGINT) }

// firstLine waits for the first line of a subscriber's log.
func firstLine(t *testing.T, dir string) (line []byte, logs string) {
	t.Helper()
	testenv.Wait(t, "a line of the log", 3*testenv.Patience, func() bool {
		all, err := filepath.Glob(filepath.Join(dir, "*", "world1", "subscriber1", "logs", "subscriber.log"))
		if err != nil || len(all) == 0 {
			return false
		}
		text, err := os.ReadFile(all[0])
		end := bytes.IndexByte(text, '\n')
		line, logs = text[:end+1], filepath.Dir(all[0])
		return err == nil && end > 0
	})
	return line, logs
}
