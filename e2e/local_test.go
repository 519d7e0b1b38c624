package e2e_test

import (
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/earshot-mq/earshot/internal/testenv"
	"github.com/earshot-mq/earshot/publisher"
	"github.com/earshot-mq/earshot/subscriber"
)

// TestLocal has a subscriber in its publisher's process: batches come by hand and not by the
// feed, which sends none while nobody else listens; what was published before the subscriber
// ran is fetched; and one that follows the feed beside it gets the same.
func TestLocal(t *testing.T) {
	const before, then, last = 1000, 20_000, 500
	c := zmqContext(t)
	p := newPublisher(t, c, publisher.Options{})
	_, feed, _ := p.Endpoints()
	local, st := newSubscriber(t, c, filepath.Join(t.TempDir(), "local"), subscriber.Options{Connect: []string{feed}, Local: feed})
	p.Beside(local.Hand)
	run(t, p.Run)
	s := stream(t, p, "downcase")
	many(t, s, before)
	r := run(t, local.Run)
	testenv.Wait(t, "what was published before", 20*time.Second, func() bool { return local.Stats.Records.Load() == before })
	repairs := local.Stats.Repairs.Load()
	if repairs == 0 {
		t.Error("what was published before came without a fetch")
	}
	var callers sync.WaitGroup
	for range 4 {
		callers.Go(func() { many(t, s, then/4) })
	}
	callers.Wait()
	testenv.Wait(t, "all records", 20*time.Second, func() bool { return local.Stats.Records.Load() == before+then })
	if n := local.Stats.Repairs.Load(); n != repairs {
		t.Errorf("%d fetches of what was handed over", n-repairs)
	}
	if n := published(p); n != 0 {
		t.Errorf("the feed has sent %.0f bytes, and nobody listens", n)
	}

	far, farStore := newSubscriber(t, c, filepath.Join(t.TempDir(), "far"), subscriber.Options{Connect: []string{feed}})
	f := run(t, far.Run)
	testenv.Wait(t, "all records by the feed", 20*time.Second, func() bool { return far.Stats.Records.Load() == before+then })
	n := uint64(before + then)
	testenv.Wait(t, "the feed to be live", 20*time.Second, func() bool { many(t, s, last); n += last; return published(p) > 0 })
	testenv.Wait(t, "all records in both stores", 20*time.Second, func() bool {
		return far.Stats.Records.Load() == n && local.Stats.Records.Load() == n
	})
	for _, end := range []*running{r, f} {
		if err := end.stop(); err != nil {
			t.Error(err)
		}
	}
	got, gaps := stored(t, st)
	farGot, farGaps := stored(t, farStore)
	for run, numbers := range got {
		inOrder(t, run, numbers, int(n))
		inOrder(t, run, farGot[run], int(n))
	}
	if len(got) != 1 || gaps+farGaps != 0 {
		t.Errorf("%d runs, %d and %d lost", len(got), gaps, farGaps)
	}
}

// published is how many bytes a publisher's record feed has sent.
func published(p *publisher.Publisher) float64 {
	for _, m := range p.Metrics() {
		if m.Name == "earshot_feed_bytes_total" {
			return m.Value()
		}
	}
	return -1
}
