package e2e_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/earshot-mq/earshot/internal/testenv"
	"github.com/earshot-mq/earshot/publisher"
	"github.com/earshot-mq/earshot/subscriber"
)

// TestHub has a subscriber publish again what it stored. Who follows it, from the start,
// late, or over its restarts, has what it has: under the same numbers, once, in order,
// with the ends of runs whose publishers are gone.
func TestHub(t *testing.T) {
	const rounds, each = 3, 400
	c := zmqContext(t)
	dir := t.TempDir()
	options := subscriber.Options{Record: "tcp://127.0.0.1:0", Replay: "tcp://127.0.0.1:0"}
	follower := func(name, feed string) (stop func() map[string]int) {
		s, st := newSubscriber(t, c, filepath.Join(dir, name), subscriber.Options{Connect: []string{feed}})
		r := run(t, s.Run)
		return func() map[string]int {
			testenv.Wait(t, name+" has all", 30*time.Second, func() bool { return s.Stats.Records.Load() == 2*rounds*8*each })
			if err := r.stop(); err != nil {
				t.Error(err)
			}
			got, gaps := stored(t, st)
			if gaps != 0 {
				t.Errorf("%s lost %d", name, gaps)
			}
			lengths := map[string]int{}
			for run, numbers := range got {
				lengths[run.String()] = len(numbers)
				inOrder(t, run, numbers, len(numbers))
			}
			if err := st.Close(); err != nil {
				t.Error(err)
			}
			return lengths
		}
	}
	var first func() map[string]int
	for i := range rounds {
		p := newPublisher(t, c, publisher.Options{Dir: filepath.Join(dir, "journals")})
		_, feed, _ := p.Endpoints()
		pub := run(t, p.Run)
		options.Connect = []string{feed}
		hub, st := newSubscriber(t, c, filepath.Join(dir, "hub"), options)
		_, options.Record, options.Replay = hub.Endpoints() // the same after a restart
		hubRun := run(t, hub.Run)
		if i == 0 {
			first = follower("first", options.Record)
		}
		publish(t, stream(t, p, "downcase"), 8, each)
		publish(t, stream(t, p, "gateway"), 8, each)
		testenv.Wait(t, "hub has all", 30*time.Second, func() bool { return hub.Stats.Records.Load() == 2*8*each })
		if err := pub.stop(); err != nil {
			t.Error(err)
		}
		if i == rounds-1 {
			late := follower("late", options.Record)
			a, b := first(), late()
			if len(a) != 2*rounds || len(b) != 2*rounds {
				t.Errorf("followers have %d and %d runs, want %d", len(a), len(b), 2*rounds)
			}
			for run, n := range a {
				if n != 8*each || b[run] != n {
					t.Errorf("%s: %d and %d records, want %d", run, n, b[run], 8*each)
				}
			}
		}
		if err := hubRun.stop(); err != nil {
			t.Error(err)
		}
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	}
}
