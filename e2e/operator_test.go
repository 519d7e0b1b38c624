package e2e_test

import (
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
