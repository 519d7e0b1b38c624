package publisher

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/earshot-mq/earshot/internal/journal"
	"github.com/earshot-mq/earshot/publisher/record"
)

// What a store lacks is told in records and in time, until it has committed it.
func TestStoreThatLags(t *testing.T) {
	p, err := New(nil, Options{Dir: t.TempDir(), Drain: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	defer func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	s, err := p.Stream("downcase")
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	for n := range 10 {
		if err := s.Publish(ctx, &record.Record{Time: now.Add(time.Duration(n-200) * time.Second)}); err != nil {
			t.Fatal(err)
		}
	}
	run := s.s.Run()
	commit := func(next uint64) {
		t.Helper()
		if err := p.commits.Commit("id", "shop", run, next, 11, now); err != nil {
			t.Fatal(err)
		}
		p.look(now)
	}
	if got := p.State(); got != "ok" {
		t.Errorf("State = %q, and no store has come yet", got)
	}
	commit(4) // lacks the records of 197 s ago and later
	lags := p.looks.lagging()
	if len(lags) != 1 || lags[0].store != "shop" || lags[0].records != 7 || lags[0].age.Round(time.Second) != 197*time.Second {
		t.Fatalf("lags = %+v, want 7 records and 197 s of shop", lags)
	}
	if got := p.State(); !strings.HasPrefix(got, "degraded: a store is behind: shop lacks 7 records, the oldest of 3m17s ago; ") {
		t.Errorf("State = %q", got)
	}
	p.lost([]journal.Dropped{{Run: run, Uncommitted: 3}, {Run: run}})
	if got := p.State(); !strings.Contains(got, "3 records of downcase were dropped before every store had them") {
		t.Errorf("State = %q, want it to say what was dropped", got)
	}
	commit(11)
	if lags := p.looks.lagging(); lags[0].records != 0 || lags[0].age != 0 {
		t.Errorf("lags = %+v of a store that has all", lags)
	}
	p.watched.mu.Lock()
	p.watched.droppedAt = now.Add(-2 * droppedFor)
	p.watched.mu.Unlock()
	if got := p.State(); got != "ok" {
		t.Errorf("State = %q, and all is well again", got)
	}
}
