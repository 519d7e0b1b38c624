package e2e_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/earshot-mq/earshot/internal/drill"
	"github.com/earshot-mq/earshot/internal/feed"
	"github.com/earshot-mq/earshot/internal/journal"
	"github.com/earshot-mq/earshot/internal/testenv"
	"github.com/earshot-mq/earshot/internal/zmq"
)

// told is what an instance's admin door says at a path, and with which status.
func (i *instance) told(path string) (status int, text []byte) {
	i.t.Helper()
	resp, err := i.net.Client().Get("http://" + i.admin + path)
	if err != nil {
		i.t.Fatal(err)
	}
	defer resp.Body.Close()
	if text, err = io.ReadAll(resp.Body); err != nil {
		i.t.Fatal(err)
	}
	return resp.StatusCode, text
}

// metric reads one number of an instance.
func (i *instance) metric(name string) float64 {
	i.t.Helper()
	_, text := i.told("/metrics")
	m := regexp.MustCompile(`(?m)^` + name + ` (.+)$`).FindSubmatch(text)
	if m == nil {
		i.t.Fatalf("no metric %s in\n%s", name, text)
	}
	v, err := strconv.ParseFloat(string(m[1]), 64)
	if err != nil {
		i.t.Fatal(err)
	}
	return v
}

// ready tells whether an instance finds itself well, and what it says.
func (i *instance) ready() (ok bool, says string) {
	i.t.Helper()
	status, text := i.told("/readyz")
	return status == http.StatusOK, string(text)
}

// service and its subscriber, each with a folder of its own.
func newPair(t *testing.T) (service, sub *instance) {
	service = newInstance(t, []string{"service", "downcase"}, "--journal-max-bytes", "16MiB")
	sub = newInstance(t, []string{"subscriber"}, "--connect", service.feed, "--subscriber-format", "json")
	return service, sub
}

// on moves the data of an instance to another folder.
func (i *instance) on(dir string) {
	for k, arg := range i.args {
		if arg == i.data {
			i.args[k] = dir
		}
	}
	i.data = dir
}

// more waits until so many further answers came.
func (a *answers) more(t *testing.T, n int) {
	t.Helper()
	before := a.Count()
	testenv.Wait(t, "further answers", 60*time.Second, func() bool { return a.Count() >= before+n })
}

// onDisks has a small file system of each kind, and a pair, for a test to put one of them on.
func onDisks(t *testing.T, test func(t *testing.T, d *testenv.Disk, service, sub *instance)) {
	for _, kind := range []string{"tmpfs", "ext4"} {
		t.Run(kind, func(t *testing.T) {
			d := testenv.NewDisk(t, kind, 32)
			service, sub := newPair(t)
			test(t, d, service, sub)
		})
	}
}

// heard is the last HEAD of an instance's record feed.
func (i *instance) heard() (last func() string) {
	i.t.Helper()
	sub, err := zmqContext(i.t).Sub(zmq.Options{})
	if err == nil {
		i.t.Cleanup(func() { _ = sub.Close() })
		err = errors.Join(sub.Connect(i.feed), sub.Subscribe(feed.HeadTopic))
	}
	if err != nil {
		i.t.Fatal(err)
	}
	state := ""
	return func() string {
		for {
			m, err := sub.Recv()
			if err != nil {
				return state
			}
			h, err := feed.ParseHead(m[len(m)-1])
			if err != nil {
				i.t.Fatal(err)
			}
			state = h.State
		}
	}
}

// stores is who follows a service, by its own word.
func (i *instance) stores() (stores []journal.Store) {
	i.t.Helper()
	resp, err := i.net.Client().Get("http://" + i.admin + "/v1/cursors")
	if err == nil {
		defer resp.Body.Close()
		err = json.NewDecoder(resp.Body).Decode(&stores)
	}
	if err != nil {
		i.t.Fatal(err)
	}
	return stores
}

// committed is how many records a service's stores have committed.
func (i *instance) committed() (n uint64) {
	i.t.Helper()
	for _, s := range i.stores() {
		for _, r := range s.Runs {
			n += r.Next - 1
		}
	}
	return n
}

// TestFullDiskOfAPublisher fills the file system of a journal under load: answers go on,
// it says so, it recovers by itself, and nothing is missing.
func TestFullDiskOfAPublisher(t *testing.T) {
	onDisks(t, func(t *testing.T, d *testenv.Disk, service, sub *instance) {
		service.on(filepath.Join(d.Path, "data"))
		service.start()
		sub.start()
		head := service.heard()
		stop := make(chan struct{})
		a := load(service.http, 4, stop)
		a.more(t, 300)
		d.Fill(0)
		testenv.Wait(t, "state degraded", 60*time.Second, func() bool { return service.metric("earshot_journal_degraded") == 1 })
		if _, says := service.ready(); !strings.Contains(says, "degraded: the journal can't be written") {
			t.Errorf("readyz does not say that the journal is degraded: %s", says)
		}
		testenv.Wait(t, "a HEAD that says degraded", 10*time.Second, func() bool { return head() == feed.StateDegraded })
		a.more(t, 300)
		d.Free()
		testenv.Wait(t, "a journal that is written again", 30*time.Second, func() bool { return service.metric("earshot_journal_degraded") == 0 })
		testenv.Wait(t, "a HEAD that says live", 10*time.Second, func() bool { return head() == feed.StateLive })
		a.more(t, 300)
		close(stop)
		a.wait()
		if a.Cut() > 0 || service.metric("earshot_journal_lost_records_total") != 0 {
			t.Errorf("%d requests failed, %v records fell out of the memory", a.Cut(), service.metric("earshot_journal_lost_records_total"))
		}
		service.stop()
		sub.stop()
		oracle(t, a, filepath.Join(sub.data, "store"), filepath.Join(sub.data, "logs"))
	})
}

// TestFullDiskPastTheMemory lets a service with a full disk answer more than its memory
// holds, while nobody listens: the oldest is lost, and declared to the record.
func TestFullDiskPastTheMemory(t *testing.T) {
	const memory = 16 << 20
	d := testenv.NewDisk(t, "tmpfs", 64)
	service, sub := newPair(t)
	service.args = append(service.args, "--journal-max-bytes", "48MiB") // or the bound takes its share
	service.on(filepath.Join(d.Path, "data"))
	service.start()
	a := &answers{}
	word := strings.Repeat("WORD", 4<<10)
	ask := func() { a.get(http.DefaultClient, service.http+"/downcase/?param="+word) }
	for range 20 {
		ask()
	}
	d.Fill(0)
	for lost := 0.0; lost == 0; lost = service.metric("earshot_journal_lost_records_total") {
		for range 50 {
			ask()
		}
		if held := service.metric("earshot_journal_held_bytes"); held > memory {
			t.Errorf("%v bytes are held, at most %d", held, memory)
		}
	}
	lost := service.metric("earshot_journal_lost_records_total")
	d.Free()
	testenv.Wait(t, "a journal that is written again", 30*time.Second, func() bool { return service.metric("earshot_journal_degraded") == 0 })
	ask()
	sub.start()
	testenv.Wait(t, "what is not lost", 30*time.Second, func() bool {
		return sub.metric("earshot_store_records_total") == float64(a.Count())-lost
	})
	service.stop()
	sub.stop()
	a.declared(t, sub, uint64(lost), 0)
}

// declared asks that each answer is in the store, or one of the so many that it has
// declared lost. unanswered is how many requests may have a number and no answer.
func (a *answers) declared(t *testing.T, sub *instance, lost uint64, unanswered int) {
	t.Helper()
	v, err := drill.Judge(a.Whole(), &a.Answers, filepath.Join(sub.data, "store"), filepath.Join(sub.data, "logs"), drill.Expect{})
	if err != nil {
		t.Fatal(err)
	}
	t.Log(v)
	if n := v.Records + int(v.Lost); v.Broken() || n < v.Answers || n > v.Answers+unanswered || lost > 0 && lost != v.Lost {
		t.Errorf("%q; want %d declared lost", v.Found, lost)
	}
}

// TestKilledWithAFullDisk kills a service whose journal can't be written and that nobody
// listens to: what was in its memory is gone, and declared, to the record.
func TestKilledWithAFullDisk(t *testing.T) {
	for name, first := range map[string]bool{"after good records": false, "from the first record on": true} {
		t.Run(name, func(t *testing.T) {
			onDisks(t, func(t *testing.T, d *testenv.Disk, service, sub *instance) {
				service.on(filepath.Join(d.Path, "data"))
				service.start()
				if first {
					service.stop() // its folder is there
					d.Fill(0)
					service.start()
				}
				stop := make(chan struct{})
				a := load(service.http, 4, stop)
				a.more(t, 200)
				if !first {
					d.Fill(0)
				}
				testenv.Wait(t, "state degraded", 60*time.Second, func() bool { return service.metric("earshot_journal_degraded") == 1 })
				a.more(t, 200)
				_ = service.signal(syscall.SIGKILL) // in the middle of answers
				close(stop)
				a.wait()
				service.start() // with no byte free
				d.Free()
				sub.start()
				service.hello(a, 10)
				testenv.Wait(t, "the new opening's records", 30*time.Second, func() bool { return sub.metric("earshot_store_records_total") >= 10 })
				testenv.Wait(t, "a gap", 30*time.Second, func() bool { return sub.metric("earshot_store_lost_records_total") > 0 })
				service.stop()
				sub.stop()
				a.declared(t, sub, 0, 4)
			})
		})
	}
}

// hello makes so many requests, one after the other.
func (i *instance) hello(a *answers, n int) {
	for range n {
		a.get(http.DefaultClient, i.http+"/downcase/?param=HELLO")
	}
}

// TestFullDiskOfASubscriber fills the file system of a store under load: it says so and
// commits nothing, the publisher keeps everything, and when there is room again it has
// all of it.
func TestFullDiskOfASubscriber(t *testing.T) {
	onDisks(t, func(t *testing.T, d *testenv.Disk, service, sub *instance) {
		sub.on(filepath.Join(d.Path, "data"))
		service.start()
		sub.start()
		stop := make(chan struct{})
		a := load(service.http, 4, stop)
		a.more(t, 300)
		testenv.Wait(t, "a commit", 30*time.Second, func() bool { return service.committed() > 0 })
		d.Fill(0)
		testenv.Wait(t, "state full", 60*time.Second, func() bool { return sub.metric("earshot_store_full") == 1 })
		if ok, says := sub.ready(); ok || !strings.Contains(says, "the store can't be written") {
			t.Errorf("readyz of a full store: %v, %s", ok, says)
		}
		stored := sub.metric("earshot_store_records_total")
		testenv.Wait(t, "a commit of what is stored", 30*time.Second, func() bool { return float64(service.committed()) == stored })
		a.more(t, 300)
		if n := float64(service.committed()); n != stored || sub.metric("earshot_store_records_total") != stored {
			t.Errorf("%v records stored, then %v, %v committed: a full store went on", stored, sub.metric("earshot_store_records_total"), n)
		}
		_ = sub.signal(syscall.SIGKILL)
		sub.output = start(t, exec.Command(binary, sub.args...)) // with no byte free
		testenv.Wait(t, "an answer of the one that was restarted", 30*time.Second, func() bool {
			resp, err := http.Get("http://" + sub.admin + "/readyz")
			if err == nil {
				resp.Body.Close()
			}
			return err == nil
		})
		a.more(t, 300)
		d.Free()
		testenv.Wait(t, "a store that is written again", 30*time.Second, func() bool { ok, _ := sub.ready(); return ok })
		a.more(t, 300)
		close(stop)
		a.wait()
		service.stop()
		sub.stop()
		oracle(t, a, filepath.Join(sub.data, "store"), filepath.Join(sub.data, "logs"))
	})
}

// TestLogFileStopsBeforeTheStore leaves less free than the log file may use: it stops, the
// store goes on, and when there is room again the file has every line.
func TestLogFileStopsBeforeTheStore(t *testing.T) {
	d := testenv.NewDisk(t, "tmpfs", 32)
	service, sub := newPair(t)
	sub.on(filepath.Join(d.Path, "data"))
	sub.args = append(sub.args, "--subscriber-free-floor", "10")
	service.start()
	sub.start()
	a := &answers{}
	service.hello(a, 100) // not so many that they fill what is left
	d.Fill(2 << 20)       // of the 3.2 MiB that are the store's
	testenv.Wait(t, "a log file that stops", 60*time.Second, func() bool { return sub.metric("earshot_log_paused") == 1 })
	if full := sub.metric("earshot_store_full"); full != 0 {
		t.Errorf("earshot_store_full is %v: the store stopped before the log file", full)
	}
	lines := sub.metric("earshot_log_lines_total")
	service.hello(a, 200)
	testenv.Wait(t, "a store that goes on", 30*time.Second, func() bool { return sub.metric("earshot_store_records_total") == 300 })
	if now := sub.metric("earshot_log_lines_total"); now != lines {
		t.Errorf("the log file went on, from %v to %v lines", lines, now)
	}
	d.Free()
	testenv.Wait(t, "a log file that goes on", 30*time.Second, func() bool { return sub.metric("earshot_log_paused") == 0 })
	service.stop()
	a.logged(t, 30*time.Second, func() map[string]int { return logIDs(t, filepath.Join(sub.data, "logs")) })
	sub.stop()
	oracle(t, a, filepath.Join(sub.data, "store"), filepath.Join(sub.data, "logs"))
}

// TestFullDiskFromTheFirstRecord starts a service with no byte free: what it answers before
// anybody listens is in its memory alone, and a subscriber is told of it all the same.
func TestFullDiskFromTheFirstRecord(t *testing.T) {
	d := testenv.NewDisk(t, "tmpfs", 32)
	service, sub := newPair(t)
	service.on(filepath.Join(d.Path, "data"))
	service.start()
	service.stop() // the folder is there
	d.Fill(0)
	service.start()
	a := &answers{}
	service.hello(a, 20)
	if service.metric("earshot_journal_degraded") != 1 {
		t.Fatal("the journal was written: this test shows nothing")
	}
	sub.start()
	testenv.Wait(t, "the records of a service whose disk is full", 30*time.Second, func() bool { return sub.metric("earshot_store_records_total") == 20 })
	d.Free()
	testenv.Wait(t, "a journal that is written", 30*time.Second, func() bool { return service.metric("earshot_journal_degraded") == 0 })
	service.stop()
	sub.stop()
	oracle(t, a, filepath.Join(sub.data, "store"), filepath.Join(sub.data, "logs"))
}

// TestFirstStartOnAFullDisk starts what has no folder yet where none can be made: it ends
// with one line that says so.
func TestFirstStartOnAFullDisk(t *testing.T) {
	onDisks(t, func(t *testing.T, d *testenv.Disk, _, sub *instance) {
		d.Fill(0)
		sub.on(filepath.Join(d.Path, "data"))
		out, err := exec.Command(binary, sub.args...).CombinedOutput()
		if err == nil || bytes.Count(out, []byte("\n")) != 1 || !bytes.Contains(out, []byte("no space left on device; ")) || !bytes.Contains(out, []byte(sub.data)) {
			t.Errorf("%v, %q: want one line with the folder, the reason and the fix", err, out)
		}
	})
}
