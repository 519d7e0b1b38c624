package e2e_test

import (
	"bytes"
	"os/exec"
	"sync"
	"syscall"
	"testing"
	"time"
)

// output is what a process prints, while it runs.
type output struct {
	cmd *exec.Cmd
	mu  sync.Mutex
	b   bytes.Buffer

	once sync.Once
	err  error
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// wait waits for the process to end, once.
func (o *output) wait() error {
	o.once.Do(func() { o.err = o.cmd.Wait() })
	return o.err
}

// signal sends a signal and waits for the end.
func (o *output) signal(sig syscall.Signal) error {
	_ = o.cmd.Process.Signal(sig)
	return o.wait()
}

// start starts a process that is killed when the test ends. What it prints is shown
// when the test fails.
func start(t *testing.T, cmd *exec.Cmd) *output {
	t.Helper()
	if err := sources(); err != nil {
		t.Fatal(err)
	}
	o := &output{cmd: cmd}
	cmd.Stdout = o
	if cmd.Stderr == nil {
		cmd.Stderr = o
	}
	cmd.WaitDelay = 5 * time.Second
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = o.signal(syscall.SIGKILL)
		if t.Failed() {
			t.Logf("%s printed:\n%s", cmd.Path, o)
		}
	})
	return o
}

// command is the program under test with arguments.
func command(args ...string) *exec.Cmd { return exec.Command(binary, args...) }
