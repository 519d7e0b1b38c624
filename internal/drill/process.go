package drill

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/earshot-mq/earshot/internal/admin"
)

// Proc is one process of a world, and how to start it again. What it prints is added to a
// file.
type Proc struct {
	Name  string
	Admin string   // host:port of its admin door
	Wrap  []string // the command that the next start is made by, such as strace's; it must exec
	args  []string // of the program, which is the first
	out   string

	mu   sync.Mutex
	cmd  *exec.Cmd
	done chan struct{} // closed when cmd has ended, after err is set
	err  error
	told bool // its end is wanted
}

// Start starts the process and does not wait for it to be ready.
func (p *Proc) Start() error {
	out, err := os.OpenFile(p.out, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("drill: %w", err)
	}
	defer out.Close()
	args := append(p.Wrap[:len(p.Wrap):len(p.Wrap)], p.args...)
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stdout, cmd.Stderr = out, out
	for _, v := range os.Environ() { // the user's settings are for the user's processes
		if !strings.HasPrefix(v, "EARSHOT_") {
			cmd.Env = append(cmd.Env, v)
		}
	}
	ours(cmd)
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("drill: %w", err)
	}
	done := make(chan struct{})
	p.mu.Lock()
	p.cmd, p.done, p.err, p.told = cmd, done, nil, false
	p.mu.Unlock()
	go func() {
		defer close(done)
		p.err = cmd.Wait()
	}()
	return nil
}

// Up starts the process and waits until it is ready.
func (p *Proc) Up() error { return start(p) }

// Pid is the number of the process that was started last.
func (p *Proc) Pid() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cmd.Process.Pid
}

// Running tells whether it has been started and has not ended.
func (p *Proc) Running() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.done == nil {
		return false
	}
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// Ready waits until it finds itself well.
func (p *Proc) Ready(limit time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	c := admin.Client{Addr: p.Admin}
	for {
		resp, err := c.Do(ctx, http.MethodGet, "/readyz")
		if err == nil {
			return resp.Body.Close()
		}
		if !p.Running() {
			return p.fell()
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("drill: %s is not ready after %v: %w", p.Name, limit, err)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// fell is the error of a process that has ended by itself, with its last words; nil of one
// that runs, or was told to end.
func (p *Proc) fell() error {
	p.mu.Lock()
	done, told := p.done, p.told
	p.mu.Unlock()
	if done == nil || told {
		return nil
	}
	select {
	case <-done:
	default:
		return nil
	}
	return fmt.Errorf("drill: %s: %w; it said:\n%s", p.Name, errors.Join(errEnded, p.err), p.Said())
}

// signal sends a signal, if the process is there.
func (p *Proc) signal(sig syscall.Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd != nil {
		_ = p.cmd.Process.Signal(sig) // it may have ended
	}
}

func (p *Proc) tell() (done chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.told = true
	return p.done
}

var errEnded = errors.New("it ended by itself")

// doom sends SIGKILL and does not wait; Kill does.
func (p *Proc) doom() {
	p.tell()
	p.signal(syscall.SIGKILL)
}

// Kill ends it by SIGKILL and waits until it is gone.
func (p *Proc) Kill() {
	if done := p.tell(); done != nil {
		p.signal(syscall.SIGKILL)
		<-done
	}
}

// Wait waits until it has ended by itself, as by a fault that it was wrapped in, and tells
// how; nil says that it has not.
func (p *Proc) Wait(limit time.Duration) *os.ProcessState {
	p.mu.Lock()
	cmd := p.cmd
	p.mu.Unlock()
	select {
	case <-p.tell():
		return cmd.ProcessState
	case <-time.After(limit):
		return nil
	}
}

// Said is the last words of all that it printed.
func (p *Proc) Said() string {
	text, _ := os.ReadFile(p.out) // what is not there was not said
	const most = 2000
	if len(text) > most {
		text = text[len(text)-most:]
	}
	return string(text)
}

// Stop ends it by SIGTERM; it must end in time and with exit code 0.
func (p *Proc) Stop() error {
	if err := p.fell(); err != nil {
		return err
	}
	done := p.tell()
	if done == nil {
		return nil
	}
	p.signal(syscall.SIGTERM)
	select {
	case <-done:
	case <-time.After(stopLimit):
		p.Kill()
		return fmt.Errorf("drill: %s did not end within %v of SIGTERM", p.Name, stopLimit)
	}
	if p.err != nil {
		return fmt.Errorf("drill: %s, after SIGTERM: %w; it said what is in %s", p.Name, p.err, p.out)
	}
	return nil
}

// Pause stops it by SIGSTOP; Continue lets it go on.
func (p *Proc) Pause() { p.signal(syscall.SIGSTOP) }

// Continue is the end of Pause.
func (p *Proc) Continue() { p.signal(syscall.SIGCONT) }

// Metric reads one number of what the process tells of itself.
func (p *Proc) Metric(name string) (v float64, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	resp, err := (&admin.Client{Addr: p.Admin}).Do(ctx, http.MethodGet, "/metrics")
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	for line := range lines(resp.Body) {
		if text, ok := strings.CutPrefix(line, name+" "); ok {
			_, err := fmt.Sscan(text, &v)
			return v, err
		}
	}
	return 0, errors.New("drill: no metric " + name)
}

const (
	startLimit = 30 * time.Second // until a process is ready, on a machine that has much else to do
	stopLimit  = 20 * time.Second // until it has ended after SIGTERM
	healLimit  = 60 * time.Second // until both logs have every answer, after a fault
)

// start starts processes together and waits until they are ready.
func start(all ...*Proc) error {
	var errs error
	for _, p := range all {
		errs = errors.Join(errs, p.Start())
	}
	if errs != nil {
		return errs
	}
	for _, p := range all {
		errs = errors.Join(errs, p.Ready(startLimit))
	}
	return errs
}
