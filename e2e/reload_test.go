package e2e_test

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/earshot-mq/earshot/internal/testenv"
)

// rewrite replaces a file and asks the process to read it again.
func (i *instance) rewrite(file, text string) {
	i.t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		i.t.Fatal(err)
	}
	if err := i.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		i.t.Fatal(err)
	}
}

// says waits until a page of the admin door has all of these.
func (i *instance) says(path string, wants ...string) {
	i.t.Helper()
	for _, want := range wants {
		var b []byte
		defer func() {
			if i.t.Failed() {
				i.t.Logf("%s: %s", path, b)
			}
		}()
		testenv.Wait(i.t, path+" says "+want, 20*time.Second, func() bool {
			resp, err := http.Get("http://" + i.admin + path)
			if err != nil {
				return false
			}
			defer resp.Body.Close()
			b, _ = io.ReadAll(resp.Body)
			return strings.Contains(string(b), want)
		})
	}
}

func status(t *testing.T, url string) int {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return resp.StatusCode
}

// TestReload has a gateway read its file again and again under load: no request fails, and
// each answer is in the log once. A file that is wrong changes nothing but what is said
// of it.
func TestReload(t *testing.T) {
	svc := newInstance(t, []string{"service", "downcase"})
	svc.start()
	file := filepath.Join(t.TempDir(), "earshot.yaml")
	text := func(round int) string {
		// Every second time the upstream has other connections; the route to try differs.
		return fmt.Sprintf("upstreams: {downcase: {url: %q, max-idle: %d}}\nroutes:\n- {path: /downcase/*, upstream: downcase}\n- {path: /round/%d/*, strip-prefix: /round/%d, upstream: downcase}\n",
			svc.http, 8+round/2%2, round, round)
	}
	if err := os.WriteFile(file, []byte(text(0)), 0o600); err != nil {
		t.Fatal(err)
	}
	gw := newInstance(t, []string{"gateway"}, "--config", file)
	gw.start()
	sub := newInstance(t, []string{"subscriber"}, "--connect", svc.feed+","+gw.feed, "--subscriber-format", "json")
	sub.start()

	stop := make(chan struct{})
	a := load(gw.http, 4, stop)
	const rounds = 40
	for round := 1; round <= rounds; round++ {
		began := a.Count()
		gw.rewrite(file, text(round))
		gw.says("/metrics", fmt.Sprintf("earshot_config_reloads_total %d\n", round))
		testenv.Wait(t, "answers", 20*time.Second, func() bool { return a.Count() > began+20 })
	}
	for round, want := range map[int]int{rounds: http.StatusOK, rounds - 1: http.StatusNotFound} {
		if got := status(t, fmt.Sprintf("%s/round/%d/downcase/?param=X", gw.http, round)); got != want {
			t.Errorf("/round/%d gives %d, want %d", round, got, want)
		}
	}
	for _, want := range []string{
		fmt.Sprintf(`added="[route /round/%d/*]" changed="[upstream downcase]"`, rounds), fmt.Sprintf(`removed="[route /round/%d/*]"`, rounds-1),
	} {
		if !strings.Contains(gw.String(), want) {
			t.Errorf("the log does not say %s", want)
		}
	}

	gw.rewrite(file, "upstreams: {downcase: {url: 'http://127.0.0.1:1'}}\n\nrotues: []\n")
	wrong := `earshot.yaml:3: unknown key \"rotues\"; did you mean \"routes\"?`
	gw.says("/readyz", `"status":"degraded"`, `"file":{"state":"degraded: the file is refused, what it said before is used: `+wrong)
	gw.says("/metrics", "earshot_config_last_reload_successful 0\n", "earshot_config_reload_failures_total 1\n")
	if log := gw.String(); strings.Count(log, "the file is refused;") != 1 || !strings.Contains(log, wrong) {
		t.Errorf("the log does not say %s once", wrong)
	}
	gw.rewrite(file, "")
	gw.says("/readyz", "a file with upstreams and routes is needed")
	began := a.Count()
	testenv.Wait(t, "answers by the table of before", 20*time.Second, func() bool { return a.Count() > began+100 })

	gw.rewrite(file, "feed: {peers: 7}\n"+text(0))
	gw.says("/readyz", `"status":"ok"`, `"file":{"state":"ok; a restart is needed for feed.peers"}`)
	gw.says("/metrics", "earshot_config_last_reload_successful 1\n", "earshot_config_reload_failures_total 2\n")
	if want := `at="earshot.yaml:1" part=gateway setting=feed.peers`; !strings.Contains(gw.String(), want) {
		t.Errorf("the log does not say %s", want)
	}
	close(stop)
	a.wait()
	for _, got := range a.Whole() {
		if !strings.HasPrefix(got.Body, "lower case of ") {
			t.Errorf("%s: the answer is %s", got.Record, got.Body)
		}
	}
	if a.Cut() > 0 {
		t.Errorf("%d of %d requests failed", a.Cut(), a.Count()+a.Cut())
	}
	logs := filepath.Join(sub.data, "logs")
	a.logged(t, 20*time.Second, func() map[string]int { return logIDs(t, logs) })
	for _, i := range []*instance{gw, svc, sub} {
		i.stop()
	}
	oracle(t, a, filepath.Join(sub.data, "store"), logs)
}

// TestReloadAndTheTerminal: SIGHUP asks for the file, whatever process it is sent to from
// elsewhere; when the terminal is closed that earshot up was started from it ends cleanly.
func TestReloadAndTheTerminal(t *testing.T) {
	master, terminal := newTerminal(t)
	file := filepath.Join(t.TempDir(), "earshot.yaml")
	public := t.TempDir()
	if err := os.WriteFile(filepath.Join(public, "a.txt"), []byte("a"), 0o600); err != nil {
		t.Fatal(err)
	}
	text := func(path string) string {
		return fmt.Sprintf("upstreams: {public: {static: %q}}\nroutes: [{path: %s/*, strip-prefix: %s, upstream: public}]\n", public, path, path)
	}
	if err := os.WriteFile(file, []byte(text("/before")), 0o600); err != nil {
		t.Fatal(err)
	}
	// Under nohup the program would be told that SIGHUP is ignored, and stay.
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	i := newInstance(t, []string{"up"}, "--config", file)
	cmd := command(i.args...)
	cmd.Stdin = terminal
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	i.output = start(t, cmd)
	terminal.Close()
	i.says("/readyz", `"status":"ok"`)
	if got := status(t, i.http+"/before/a.txt"); got != 200 {
		t.Errorf("before: %d", got)
	}
	i.rewrite(file, text("/after"))
	i.says("/metrics", "earshot_config_reloads_total 1\n")
	for path, want := range map[string]int{"/before/a.txt": 404, "/after/a.txt": 200, "/downcase/?param=X": 200} {
		if got := status(t, i.http+path); got != want {
			t.Errorf("after: %s gives %d, want %d", path, got, want)
		}
	}
	if err := master.Close(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- i.wait() }()
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("after the terminal has gone: %v", err)
		}
	case <-time.After(20 * time.Second):
		t.Error("it goes on 20 s after its terminal has gone")
	}
}

// newTerminal makes a pseudoterminal; see pty(7).
func newTerminal(t *testing.T) (master, terminal *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { master.Close() })
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	terminal, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { terminal.Close() })
	return master, terminal
}
