package chaos_test

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/earshot-mq/earshot/internal/drill"
)

// TestRollingRestart restarts a service, the gateway and a subscriber under load, one after
// the other, in each order that there is.
func TestRollingRestart(t *testing.T) {
	w := newWorld(t, drill.WorldOptions{})
	all := [3]*drill.Proc{w.Services[0], w.Gateway, w.Subscribers[0].Proc}
	orders := 0
	for a := range 3 {
		for b := range 3 {
			if a == b {
				continue
			}
			order := []*drill.Proc{all[a], all[b], all[3-a-b]}
			orders++
			var names []string
			for _, p := range order {
				names = append(names, p.Name)
				pid, before := p.Pid(), w.Answers.Count()
				if err := p.Stop(); err != nil {
					t.Fatal(err)
				}
				if err := p.Up(); err != nil {
					t.Fatal(err)
				}
				w.Burst(4, 100*time.Millisecond)
				if n := w.Answers.Count() - before; n == 0 || p.Pid() == pid {
					t.Errorf("%q: %d answers meanwhile, process %d and then %d", names, n, pid, p.Pid())
				}
			}
			if err := w.Settle(); err != nil {
				t.Fatalf("%q: %v", names, err)
			}
			t.Log(strings.Join(names, ", "))
		}
	}
	if orders != 6 {
		t.Errorf("%d orders", orders)
	}
	if lost := verdict(t, w); lost > 0 {
		t.Errorf("%d declared lost", lost)
	}
}

// TestStoppedSubscriber stops a subscriber by SIGSTOP for ten seconds while many clients ask
// without a pause. It has all of that afterwards; the other has it while the one is stopped,
// and notices nothing.
func TestStoppedSubscriber(t *testing.T) {
	w := newWorld(t, drill.WorldOptions{Journal: "4GiB"}) // on a fast machine much is said in ten seconds
	stopped, other := w.Subscribers[0], w.Subscribers[1]
	number := func(s *drill.Subscriber, metric string) float64 {
		t.Helper()
		v, err := s.Metric(metric)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	const repairs = "earshot_store_repairs_total"
	// What the feed drops shows by what comes after it. A repair alone does not: a WELCOME may
	// be faster than the feed.
	const early, silent = "earshot_store_early_records_total", "earshot_publisher_reconnects_total"
	before := number(other, early) + number(other, silent)
	stopped.Pause()
	t.Cleanup(stopped.Continue)
	w.Burst(16, 10*time.Second) // all that time is the fault
	answers := w.Answers.Count()
	if err := w.Heard(other); err != nil {
		t.Fatalf("while %s is stopped: %v", stopped.Name, err)
	}
	has, err := drill.ReadLog(filepath.Join(stopped.Data, "logs"))
	if err != nil {
		t.Fatal(err)
	}
	if len(has.Records) >= answers {
		t.Errorf("%s has %d of %d answers: this shows nothing", stopped.Name, len(has.Records), answers)
	}
	t.Logf("%d answers, of which the stopped one has %d", answers, len(has.Records))
	stopped.Continue()
	if err := w.Settle(); err != nil {
		t.Fatal(err)
	}
	// A busy machine may keep the other from its turn for as long as a feed waits, once or so.
	if lost := number(other, early) + number(other, silent) - before; lost > float64(answers)/100 {
		t.Errorf("the other has lost %v of %d from the feed, or publishers", lost, answers)
	}
	t.Logf("repairs: %v of the stopped one, %v of the other", number(stopped, repairs), number(other, repairs))
	if lost := verdict(t, w); lost > 0 {
		t.Errorf("%d declared lost", lost)
	}
}
