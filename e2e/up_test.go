package e2e_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/earshot-mq/earshot/internal/journal"
	"github.com/earshot-mq/earshot/internal/testenv"
	"github.com/earshot-mq/earshot/publisher/record"
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
	i.output = start(i.t, exec.Command(binary, i.args...))
	untilReady(i.t, i.admin)
}

// untilReady waits until the process that has this admin door finds itself well.
func untilReady(t *testing.T, admin string) {
	t.Helper()
	testenv.Wait(t, "ready at "+admin, 30*time.Second, func() bool {
		resp, err := http.Get("http://" + admin + "/readyz")
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

// answers is what clients got whole, by the id of its record.
type answers struct {
	mu     sync.Mutex
	ids    map[string]string // id → body
	cut    int               // requests that failed or were cut
	marked int
	wait   func()
}

// get makes one request; a whole answer is noted by its mark, or where that has no
// number by the request's id.
func (a *answers) get(client *http.Client, at string) (whole bool) {
	resp, err := client.Get(at)
	var body []byte
	if err == nil {
		body, err = io.ReadAll(resp.Body)
		resp.Body.Close()
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if err != nil {
		a.cut++
		return false
	}
	id := resp.Header.Get("Earshot-Record")
	if _, err := record.ParseID(id); err == nil {
		a.marked++
	} else {
		id = resp.Header.Get("X-Request-Id")
	}
	a.ids[id] = string(body)
	return true
}

// load sends requests from several clients until stop is closed, each with words of
// its own.
func load(base string, clients int, stop <-chan struct{}) *answers {
	return ask(base+"/downcase/?param=", clients, stop)
}

// ask is load of a URL that the words are put behind.
func ask(at string, clients int, stop <-chan struct{}) *answers {
	a := &answers{ids: map[string]string{}}
	var wg sync.WaitGroup
	for c := range clients {
		wg.Go(func() {
			client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 1}}
			a.loop(client, stop, func(n int) string { return at + url.QueryEscape(fmt.Sprintf("WORD-%d-%d", c, n)) })
		})
	}
	a.wait = wg.Wait
	return a
}

// loop makes one request after the other until stop is closed.
func (a *answers) loop(client *http.Client, stop <-chan struct{}, at func(n int) string) {
	for n := 0; ; n++ {
		select {
		case <-stop:
			return
		default:
		}
		if !a.get(client, at(n)) {
			time.Sleep(20 * time.Millisecond) // it is down
		}
	}
}

// logged waits until the id of every whole answer is among those that ids returns.
func (a *answers) logged(t *testing.T, limit time.Duration, ids func() map[string]int) {
	t.Helper()
	var lines map[string]int
	missing, one := 0, ""
	defer func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		if missing > 0 {
			t.Logf("%d of %d answers are not among %d lines, %s (%q) for one", missing, len(a.ids), len(lines), one, a.ids[one])
		}
	}()
	testenv.Wait(t, "a line for each answer", limit, func() bool {
		a.mu.Lock()
		defer a.mu.Unlock()
		lines, missing = ids(), 0
		for id := range a.ids {
			if lines[id] == 0 {
				missing, one = missing+1, id
			}
		}
		return missing == 0
	})
}

// oracle judges by PROTOCOL.md 9: each whole answer's id is in the store and in the log
// once, and no id is anywhere twice.
func oracle(t *testing.T, a *answers, storeDir, logDir string) {
	t.Helper()
	inStore, lost := storeIDs(t, storeDir)
	inLog := logIDs(t, logDir)
	missing, doubled := 0, 0
	for id := range a.ids {
		if inStore[id] == 0 || inLog[id] == 0 {
			missing++
			t.Logf("answer %s (%q): in the store %d times, in the log %d", id, a.ids[id], inStore[id], inLog[id])
		}
	}
	for _, m := range []map[string]int{inStore, inLog} {
		for id, n := range m {
			if n > 1 {
				doubled++
				t.Logf("%s is there %d times", id, n)
			}
		}
	}
	t.Logf("answers %d (cut or refused %d), records in the store %d, lines in the log %d, missing %d, doubled %d, declared lost %d",
		len(a.ids), a.cut, len(inStore), len(inLog), missing, doubled, lost)
	if missing > 0 || doubled > 0 || lost > 0 || len(a.ids) == 0 || a.marked == 0 {
		t.Errorf("missing %d, doubled %d, lost %d of %d answers (%d with a number)", missing, doubled, lost, len(a.ids), a.marked)
	}
}

// storeIDs counts the records of a store, which are in order, and the numbers that its gap
// lines stand for.
func storeIDs(t *testing.T, dir string) (ids map[string]int, lost uint64) {
	t.Helper()
	log, err := journal.Open(dir, journal.Options{Arrivals: true, ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	ids = map[string]int{}
	last := map[record.Run]uint64{}
	r := log.Reader(1)
	defer r.Close()
	err = r.Read(func(e *journal.Entry, _ uint64) error {
		if e.First <= last[e.Run] {
			return fmt.Errorf("%s: %d to %d come after %d", e.Run, e.First, e.Last, last[e.Run])
		}
		last[e.Run] = e.Last
		if e.Kind == journal.KindGap {
			lost += e.Last - e.First + 1
			return nil
		}
		for line := range e.Records() {
			rec, err := record.Parse(line)
			if err != nil {
				return err
			}
			ids[rec.ID.String()]++
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return ids, lost
}

// logIDs reads a log of the format json, all its files.
func logIDs(t *testing.T, dir string) map[string]int {
	t.Helper()
	files, _ := filepath.Glob(filepath.Join(dir, "*.log"))
	ids := map[string]int{}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		text = text[:bytes.LastIndexByte(text, '\n')+1] // it may be being written
		scan := bufio.NewScanner(bytes.NewReader(text))
		scan.Buffer(nil, 1<<20)
		for scan.Scan() {
			var line struct{ ID string }
			if err := json.Unmarshal(scan.Bytes(), &line); err != nil {
				t.Errorf("%s: %q: %v", f, scan.Text(), err)
			}
			ids[line.ID]++
		}
	}
	return ids
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
	testenv.Wait(t, "answers before anybody listens", 20*time.Second, func() bool { return a.count() > 500 })
	sub := newInstance(t, []string{"subscriber"}, "--subscriber-connect", s.feed, "--subscriber-format", "json")
	sub.start()
	testenv.Wait(t, "more answers", 20*time.Second, func() bool { return a.count() > 1500 })
	_ = sub.cmd.Process.Signal(syscall.SIGSTOP)
	testenv.Wait(t, "answers while it is stopped", 20*time.Second, func() bool { return a.count() > 3000 })
	_ = sub.cmd.Process.Signal(syscall.SIGCONT)
	testenv.Wait(t, "answers after it goes on", 20*time.Second, func() bool { return a.count() > 3500 })
	close(stop)
	a.wait()
	s.stop() // serves replay until the store has committed
	sub.stop()
	oracle(t, a, filepath.Join(sub.data, "store"), filepath.Join(sub.data, "logs"))
}

func (a *answers) count() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.ids)
}

// TestUpStopsCleanly asks that an answer in flight at SIGTERM arrives, is logged, and
// that the exit code is 0.
func TestUpStopsCleanly(t *testing.T) {
	i := newInstance(t, []string{"up"}, "--subscriber-format", "json")
	i.start()
	a := &answers{ids: map[string]string{}}
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
	testenv.Wait(t, "some answers", 20*time.Second, func() bool { return a.count() > 200 })
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
