package e2e_test

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/earshot-mq/earshot/internal/drill"
	"github.com/earshot-mq/earshot/internal/testenv"
)

// binary is the program under test, built once.
var binary string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "earshot")
	if err == nil {
		binary = filepath.Join(dir, "earshot")
		var out []byte
		if out, err = exec.Command("go", "build", "-race", "-tags", "nomsgpack", "-o", binary, "../cmd/earshot").CombinedOutput(); err != nil {
			err = fmt.Errorf("%w: %s", err, out)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e: build:", err)
		os.Exit(1)
	}
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// sources is called by each test: before the first go test notes nothing.
var sources = sync.OnceValue(func() error { return testenv.Sources("..") })

// instance is one earshot process and how to start it again.
type instance struct {
	*output
	t     *testing.T
	args  []string
	data  string
	http  string // base URL
	text  string
	feed  string
	admin string
	net   *testenv.Netns // nil: this machine's own
	exec  []string       // what runs the program, if not itself
	file  string         // the program, if not binary
}

// newInstance chooses ports for a role and a folder for its data. Nothing runs yet.
func newInstance(t *testing.T, role []string, more ...string) *instance {
	t.Helper()
	p := make([]string, 5)
	for i := range p {
		p[i] = freePort(t)
	}
	i := &instance{
		t: t, data: filepath.Join(t.TempDir(), "data"), http: "http://127.0.0.1:" + p[0],
		text: "tcp://127.0.0.1:" + p[1], feed: "tcp://127.0.0.1:" + p[2], admin: "127.0.0.1:" + p[4],
	}
	i.args = append(role, "--data", i.data, "--admin-listen", i.admin)
	if role[0] != "subscriber" {
		i.args = append(i.args, "--http-listen", "127.0.0.1:"+p[0], "--feed-text", i.text, "--feed-record", i.feed,
			"--feed-replay", "tcp://127.0.0.1:"+p[3])
	}
	if role[0] == "up" || role[0] == "gateway" {
		i.args = append(i.args, "--record-expose")
	}
	i.args = append(i.args, more...)
	return i
}

// start starts the process and waits until it is ready.
func (i *instance) start() {
	i.t.Helper()
	args := slices.Concat(i.exec, []string{cmp.Or(i.file, binary)}, i.args)
	i.net.Do(func() { i.output = start(i.t, exec.Command(args[0], args[1:]...)) })
	untilReady(i.t, i.net, i.admin)
}

// untilReady waits until the process that has this admin door finds itself well.
func untilReady(t *testing.T, net *testenv.Netns, admin string) {
	t.Helper()
	client := net.Client()
	testenv.Wait(t, "ready at "+admin, 30*time.Second, func() bool {
		resp, err := client.Get("http://" + admin + "/readyz")
		if err != nil {
			return false
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
}

// stop ends it with SIGTERM and asks for exit code 0.
func (i *instance) stop() {
	i.t.Helper()
	if err := i.signal(syscall.SIGTERM); err != nil {
		i.t.Errorf("after SIGTERM: %v\n%s", err, i.output)
	}
}

// answers is what clients got whole.
type answers struct {
	drill.Answers
	wait func()
}

// get makes one request.
func (a *answers) get(client *http.Client, at string) (whole bool) { return a.Get(client, at, "") }

// load sends requests from several clients until stop is closed, each with words of
// its own.
func load(base string, clients int, stop <-chan struct{}) *answers {
	return ask(base+"/downcase/?param=", clients, stop)
}

// ask is load of a URL that the words are put behind.
func ask(at string, clients int, stop <-chan struct{}) *answers {
	a := &answers{}
	var wg sync.WaitGroup
	for c := range clients {
		wg.Go(func() {
			client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 1}}
			a.Loop(client, stop, func(n int) (string, string) {
				return at + url.QueryEscape(fmt.Sprintf("WORD-%d-%d", c, n)), ""
			})
		})
	}
	a.wait = wg.Wait
	return a
}

// logged waits until the id of every whole answer is among those that ids returns.
func (a *answers) logged(t *testing.T, limit time.Duration, ids func() map[string]int) {
	t.Helper()
	var lines map[string]int
	var missing []drill.Answer
	defer func() {
		if len(missing) > 0 {
			t.Logf("%d of %d answers are not among %d lines, %+v for one", len(missing), a.Count(), len(lines), missing[0])
		}
	}()
	testenv.Wait(t, "a line for each answer", limit, func() bool {
		all := a.Whole()
		lines = ids()
		missing = nil
		for _, got := range all {
			if lines[got.Record] == 0 {
				missing = append(missing, got)
			}
		}
		return len(missing) == 0
	})
}

// oracle judges by PROTOCOL.md 9: each whole answer's id is in the store and in the log
// once, and no id is anywhere twice. Nothing may be lost.
func oracle(t *testing.T, a *answers, storeDir, logDir string) {
	t.Helper()
	v, err := drill.Judge(a.Whole(), &a.Answers, storeDir, logDir, drill.Expect{})
	if err != nil {
		t.Fatal(err)
	}
	t.Log(v)
	if v.Broken() || v.Lost > 0 || v.Answers == 0 || a.Marked() == 0 {
		t.Errorf("%q; %d of %d answers have a number", v.Found, a.Marked(), v.Answers)
	}
}

// storeHeld is what a store has.
func storeHeld(t *testing.T, dir string) *drill.Held {
	t.Helper()
	h, err := drill.ReadStore(dir)
	if err != nil || len(h.Wrong) > 0 {
		t.Fatal(err, h.Wrong)
	}
	return h
}

// logIDs counts the records in the files of a log of the format json.
func logIDs(t *testing.T, dir string) map[string]int {
	t.Helper()
	h, err := drill.ReadLog(dir)
	if err != nil {
		t.Error(err)
	}
	return h.Records
}

func TestUpUnderKill9(t *testing.T) {
	i := newInstance(t, []string{"up"}, "--subscriber-format", "json")
	i.start()
	stop := make(chan struct{})
	a := load(i.http, 8, stop)
	kills := 20
	if testing.Short() {
		kills = 3
	}
	for range kills {
		time.Sleep(100*time.Millisecond + rand.N(400*time.Millisecond)) // a random moment is the test
		_ = i.signal(syscall.SIGKILL)
		i.start()
	}
	close(stop)
	a.wait()
	logs := filepath.Join(i.data, "logs")
	a.logged(t, 20*time.Second, func() map[string]int { return logIDs(t, logs) })
	i.stop()
	oracle(t, a, filepath.Join(i.data, "store"), logs)
}

// TestSubscriberStoppedAndLate runs a service alone, its first subscriber a while later,
// and stops that one for some seconds in the middle.
func TestSubscriberStoppedAndLate(t *testing.T) {
	s := newInstance(t, []string{"service", "downcase"})
	s.start()
	stop := make(chan struct{})
	a := load(s.http, 8, stop)
	testenv.Wait(t, "answers before anybody listens", 20*time.Second, func() bool { return a.Count() > 500 })
	sub := newInstance(t, []string{"subscriber"}, "--subscriber-connect", s.feed, "--subscriber-format", "json")
	sub.start()
	testenv.Wait(t, "more answers", 20*time.Second, func() bool { return a.Count() > 1500 })
	_ = sub.cmd.Process.Signal(syscall.SIGSTOP)
	testenv.Wait(t, "answers while it is stopped", 20*time.Second, func() bool { return a.Count() > 3000 })
	_ = sub.cmd.Process.Signal(syscall.SIGCONT)
	testenv.Wait(t, "answers after it goes on", 20*time.Second, func() bool { return a.Count() > 3500 })
	close(stop)
	a.wait()
	s.stop() // serves replay until the store has committed
	sub.stop()
	oracle(t, a, filepath.Join(sub.data, "store"), filepath.Join(sub.data, "logs"))
}

// TestUpStopsCleanly asks that an answer in flight at SIGTERM arrives, is logged, and
// that the exit code is 0.
func TestUpStopsCleanly(t *testing.T) {
	i := newInstance(t, []string{"up"}, "--subscriber-format", "json")
	i.start()
	a := &answers{}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var wg sync.WaitGroup
	for c := range 8 {
		wg.Go(func() {
			client := &http.Client{Timeout: 10 * time.Second}
			for n := 0; ctx.Err() == nil; n++ {
				if !a.get(client, fmt.Sprintf("%s/downcase/?param=STOP-%d-%d", i.http, c, n)) {
					return
				}
			}
		})
	}
	testenv.Wait(t, "some answers", 20*time.Second, func() bool { return a.Count() > 200 })
	i.stop()
	cancel()
	wg.Wait()
	oracle(t, a, filepath.Join(i.data, "store"), filepath.Join(i.data, "logs"))
}

func TestBusyPortIsNamed(t *testing.T) {
	i := newInstance(t, []string{"up"})
	i.start()
	second := newInstance(t, []string{"up"})
	second.args = append(second.args, "--http-listen", i.http[len("http://"):])
	out, err := exec.Command(binary, second.args...).CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 1 || !bytes.Contains(out, []byte("is taken by earshot (pid ")) || bytes.Count(out, []byte("\n")) != 1 {
		t.Errorf("%v, %q: want one line that names the owner", err, out)
	}
}
