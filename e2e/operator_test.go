package e2e_test

import (
	"fmt"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/earshot-mq/earshot/internal/testenv"
)

// printed waits until a process has printed something.
func printed(t *testing.T, o *output, what string) {
	t.Helper()
	testenv.Wait(t, what, 30*time.Second, func() bool { return strings.Contains(o.String(), what) })
}

// TestWhatAnOperatorSees fills the disk of a service, then kills it, and looks at what
// health, the log, the metrics and a running tail say, of the service itself and of the
// subscriber that hears it: while it lasts, and when it is over.
func TestWhatAnOperatorSees(t *testing.T) {
	d := testenv.NewDisk(t, "tmpfs", 32)
	service, sub := newPair(t)
	service.on(filepath.Join(d.Path, "data"))
	service.start()
	sub.start()
	tail := start(t, command("tail", "--admin-listen", sub.admin))
	stop := make(chan struct{})
	a := load(service.http, 4, stop)
	a.more(t, 300)
	service.says("/readyz", `"status":"ok"`)
	sub.says("/readyz", `"status":"ok"`)

	const full = "the journal can't be written"
	d.Fill(0)
	a.more(t, 100)
	service.says("/readyz", `"status":"degraded"`, full, "make room on the disk of "+d.Path)
	sub.says("/readyz", `"status":"degraded"`, service.feed+" says: "+full)
	printed(t, tail, "earshot: store: degraded: "+service.feed+" says: "+full)
	printed(t, service.output, full+", ")
	d.Free()
	service.says("/readyz", `"status":"ok"`)
	sub.says("/readyz", `"status":"ok"`)
	printed(t, tail, "earshot: all is well again")
	printed(t, service.output, "over: "+full)

	close(stop)
	a.wait()
	testenv.Wait(t, "commits", 30*time.Second, func() bool { return service.metric(`earshot_cursor_lag_records\{[^}]*\}`) == 0 })
	for _, name := range []string{"earshot_journal_oldest_seconds", "earshot_journal_lasts_seconds"} {
		if v := service.metric(name); v <= 0 {
			t.Errorf("%s is %v", name, v)
		}
	}
	if v := sub.metric("earshot_store_lasts_seconds"); v <= 0 || sub.metric("earshot_store_size_bytes") <= 0 {
		t.Errorf("the store lasts %v s, its size is %v", v, sub.metric("earshot_store_size_bytes"))
	}

	_ = service.signal(syscall.SIGKILL) // that is what it ends with
	sub.says("/readyz", `"status":"degraded"`, "1 of 1 publishers not heard: "+service.feed+" for ")
	if sub.metric("earshot_publishers_heard") != 0 || sub.metric("earshot_publishers_followed") != 1 {
		t.Error("the metrics do not tell that the one publisher is silent")
	}
	printed(t, tail, "1 of 1 publishers not heard: "+service.feed)
	service.start()
	sub.says("/readyz", `"status":"ok"`)
	if sub.metric("earshot_publisher_reconnects_total") == 0 {
		t.Error("no reconnect is counted")
	}
	sub.stop()
	service.stop()
	oracle(t, a, filepath.Join(sub.data, "store"), filepath.Join(sub.data, "logs"))
}

// TestWhatAnOperatorSeesOfAGap stops the subscriber of a service whose journal then runs past
// its bound: whose records are dropped is told there, and how many are lost here.
func TestWhatAnOperatorSeesOfAGap(t *testing.T) {
	service, sub := newPair(t)
	service.args = append(service.args, "--journal-max-bytes", "4MiB")
	service.start()
	sub.start()
	a := &answers{}
	service.hello(a, 10)
	testenv.Wait(t, "a commit", 30*time.Second, func() bool { return service.committed() == 10 })
	sub.stop()
	word := strings.Repeat("WORD", 4<<10)
	testenv.Wait(t, "dropped records", 60*time.Second, func() bool {
		for range 50 {
			a.get(http.DefaultClient, service.http+"/downcase/?param="+word)
		}
		return service.metric("earshot_journal_dropped_records_total") > 0
	})
	const dropped = " records of downcase were dropped before every store had them, since the journal is past its bound of 4.0 MiB"
	service.says("/readyz", `"status":"degraded"`, dropped)
	printed(t, service.output, dropped)
	service.says("/metrics", `earshot_journal_trouble_seconds{trouble="bound"}`)
	for _, name := range []string{"earshot_cursor_lag_records", "earshot_cursor_lag_seconds"} {
		testenv.Wait(t, name, 30*time.Second, func() bool { return service.metric(name+`\{[^}]*\}`) > 0 })
	}

	sub.start()
	tail := start(t, command("tail", "--admin-listen", sub.admin))
	testenv.Wait(t, "the gap", 30*time.Second, func() bool { return sub.metric("earshot_store_lost_records_total") > 0 })
	testenv.Wait(t, "commits", 30*time.Second, func() bool { return service.metric(`earshot_cursor_lag_records\{[^}]*\}`) == 0 })
	lost := sub.metric("earshot_store_lost_records_total")
	// What the store had and not committed yet counts as dropped there, and is not lost here.
	if dropped := service.metric("earshot_journal_dropped_records_total"); lost > dropped || sub.metric("earshot_store_gaps_total") == 0 {
		t.Errorf("%v records are lost in %v gaps, %v were dropped", lost, sub.metric("earshot_store_gaps_total"), dropped)
	}
	says := fmt.Sprintf("%v records are lost, in ", lost)
	sub.says("/readyz", `"status":"degraded"`, says)
	printed(t, sub.output, says)
	printed(t, tail, says)
	service.stop()
	sub.stop()
	a.declared(t, sub, uint64(lost), 0)
}

// TestWhatAnOperatorSeesOfAFullStore fills the disk of a subscriber.
func TestWhatAnOperatorSeesOfAFullStore(t *testing.T) {
	d := testenv.NewDisk(t, "tmpfs", 32)
	service, sub := newPair(t)
	sub.on(filepath.Join(d.Path, "data"))
	service.start()
	sub.start()
	tail := start(t, command("tail", "--admin-listen", sub.admin))
	a := &answers{}
	service.hello(a, 100)
	d.Fill(0)
	service.hello(a, 300) // more than is left in a block
	full := "the store can't be written; publishers keep what is not committed: make room on the disk of " + d.Path
	sub.says("/readyz", `"status":"unhealthy"`, full, "no space left on device")
	sub.says("/metrics", "earshot_store_full 1", `earshot_store_trouble_seconds{trouble="store"}`, `earshot_store_lag_records{`)
	printed(t, sub.output, full)
	printed(t, tail, "earshot: log file: degraded: the log file ")
	printed(t, tail, "store: degraded: ")
	printed(t, tail, full)
	service.says("/readyz", `"status":"ok"`)
	d.Free()
	sub.says("/readyz", `"status":"ok"`)
	sub.says("/metrics", "earshot_store_full 0")
	printed(t, sub.output, "over: "+full)
	printed(t, tail, "earshot: all is well again")
	if n := strings.Count(sub.output.String(), full); n != 2 {
		t.Errorf("the log says %d times that the store is full, want once when it begins and once when it is over", n)
	}
	service.stop()
	sub.stop()
	oracle(t, a, filepath.Join(sub.data, "store"), filepath.Join(sub.data, "logs"))
}

// TestWhatAnOperatorSeesOfADiskThatHangs has a system call of the disk not end before it is
// let go: what is asked for meanwhile is answered meanwhile, and is in store and log once.
func TestWhatAnOperatorSeesOfADiskThatHangs(t *testing.T) {
	strace := testenv.Need(t, "strace")
	for name, c := range map[string]struct {
		subscriber   bool
		calls, words string
	}{
		"write of a store":   {true, "pwrite64,pwritev", "the store can't be written, a write has not ended for "},
		"fsync of a store":   {true, "fdatasync", "no fsync of the store has ended well for "},
		"write of a journal": {false, "pwrite64,pwritev", "the journal can't be written, "},
		"fsync of a journal": {false, "fdatasync", "no fsync of the journal has ended well for "},
	} {
		t.Run(name, func(t *testing.T) {
			service, sub := newPair(t)
			service.start()
			sub.start()
			const clients = 4
			stop := make(chan struct{})
			a := load(service.http, clients, stop)
			a.more(t, 100)
			who := service
			if c.subscriber {
				who = sub
			}
			hang := start(t, exec.Command(strace, "-f", "-qq", "-o", "/dev/null", "-e", "inject="+c.calls+":delay_enter=600000000:when=1", "-p", fmt.Sprint(who.cmd.Process.Pid)))
			who.says("/readyz", c.words)
			printed(t, who.output, c.words)
			before := a.Count()
			for c := range clients { // also the one whose request was the first to wait
				testenv.Wait(t, "answers of each client", testenv.Patience, func() bool {
					n := 0
					for _, got := range a.Whole()[before:] {
						if strings.Contains(got.URL, fmt.Sprintf("=WORD-%d-", c)) {
							n++
						}
					}
					return n >= 20
				})
			}
			if _, says := who.ready(); !strings.Contains(says, c.words) {
				t.Errorf("readyz does not say any more that the disk hangs: this shows nothing: %s", says)
			}
			_ = hang.signal(syscall.SIGTERM) // who lets it go
			who.says("/readyz", `"status":"ok"`)
			printed(t, who.output, "over: "+c.words)
			close(stop)
			a.wait()
			a.logged(t, 30*time.Second, func() map[string]int { return logIDs(t, filepath.Join(sub.data, "logs")) })
			if n := a.Cut(); n > 0 {
				t.Errorf("%d requests have no answer, which waits a second for a disk", n)
			}
			service.stop()
			sub.stop()
			oracle(t, a, filepath.Join(sub.data, "store"), filepath.Join(sub.data, "logs"))
		})
	}
}
