package subscriber

import (
	"bytes"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/earshot-mq/earshot/internal/feed"
	"github.com/earshot-mq/earshot/internal/journal"
)

// TestTroubleOfAPublisher: what a publisher tells of itself is said until it tells that it is
// well, which is said too, or is not heard any more, of which nothing can be said.
func TestTroubleOfAPublisher(t *testing.T) {
	var log bytes.Buffer
	s, f := newSubscriber(t, filepath.Join(t.TempDir(), "store"), Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	now := time.Now()
	head := func(words ...string) {
		s.hear(feed.Event{Kind: feed.EventHead, From: f, Trouble: words, Live: true}, now)
	}
	const says = "tcp://127.0.0.1:1 says: the disk is full"
	head("the disk is full")
	if state, err := s.State(); err != nil || !strings.Contains(state, says) {
		t.Errorf("State = %q, %v", state, err)
	}
	head()
	if state, err := s.State(); err != nil || state != "ok" {
		t.Errorf("State = %q, %v of a publisher that is well again", state, err)
	}
	if n := strings.Count(log.String(), "over: "+says); n != 1 {
		t.Errorf("that it is well again is logged %d times:\n%s", n, log.String())
	}
	head("the disk is full")
	if state, _ := s.State(); !strings.Contains(state, says) {
		t.Errorf("State = %q", state)
	}
	s.hear(feed.Event{Kind: feed.EventSilent, From: f}, now)
	if state, _ := s.State(); strings.Contains(state, says) {
		t.Errorf("State = %q of a publisher that is not heard", state)
	}
	if n := strings.Count(log.String(), "over: "); n != 1 {
		t.Errorf("a publisher that is not heard is well:\n%s", log.String())
	}
}

// TestAppendThatHangs: health does not wait for the writer, and says what that waits for.
func TestAppendThatHangs(t *testing.T) {
	s, f := newSubscriber(t, filepath.Join(t.TempDir(), "store"), Options{})
	began := time.Now()
	s.hear(feed.Event{Kind: feed.EventWelcome, From: f, Offers: offer(1, 3)}, began)
	s.hear(feed.Event{Kind: feed.EventData, From: f, Entries: entry(1, 3)}, began)
	if since := s.hangs(began.Add(time.Hour)); since != 0 {
		t.Errorf("an append that has ended hangs for %s", since)
	}
	s.appending.Store(int64(began.Sub(s.made)))
	if since := s.hangs(began.Add(hangAfter)); since != 0 {
		t.Errorf("an append hangs after %s", since)
	}
	s.made = s.made.Add(-time.Minute) // and so the append began a minute ago
	const words = "degraded: the store can't be written, a write has not ended for 1m0s; "
	if state, err := s.State(); err == nil || !strings.HasPrefix(state, words) {
		t.Errorf("State = %q, %v, want %s…", state, err, words)
	}
	s.appending.Store(0)
	if state, err := s.State(); err != nil || state != "ok" {
		t.Errorf("State = %q, %v when it has ended", state, err)
	}
}

// TestLasts: a store without a bound lasts for ever, one with a bound as its growth says.
func TestLasts(t *testing.T) {
	s, f := newSubscriber(t, filepath.Join(t.TempDir(), "store"), Options{})
	now := time.Now()
	s.hear(feed.Event{Kind: feed.EventWelcome, From: f, Offers: offer(1, 3)}, now)
	s.hear(feed.Event{Kind: feed.EventData, From: f, Entries: entry(1, 3)}, now)
	s.look(now.Add(100 * time.Second))
	if lasts := s.lasts(); lasts < 1e300 {
		t.Errorf("a store without a bound lasts %v s", lasts)
	}
	s.o.Retention = journal.Retention{MaxBytes: 10 * s.store.Bytes()}
	if lasts := s.lasts(); lasts < 900 || lasts > 1100 {
		t.Errorf("a store that could grow nine times as it did in 100 s lasts %v s", lasts)
	}
	if age := s.age(now.Add(200 * time.Second)); age.Round(time.Second) < 190*time.Second {
		t.Errorf("the oldest record is %s old", age)
	}
}

// TestLostIsOver: a gap is a trouble for a minute, and is told of afterwards still.
func TestLostIsOver(t *testing.T) {
	var log bytes.Buffer
	s, _ := newSubscriber(t, filepath.Join(t.TempDir(), "store"), Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	now := time.Now()
	s.Stats.Lost.Store(7)
	s.Stats.Gaps.Store(2)
	s.watch(now)
	if state, _ := s.State(); !strings.HasPrefix(state, "degraded: 7 records are lost, in 2 gaps since the start: ") {
		t.Errorf("State = %q after a gap", state)
	}
	s.watched.lostAt = now.Add(-lostFor)
	if state, _ := s.State(); state != "ok; 7 records lost in 2 gaps since the start" {
		t.Errorf("State = %q a minute after a gap", state)
	}
	if n := strings.Count(log.String(), "7 records are lost"); n != 2 || strings.Count(log.String(), "over: 7") != 1 {
		t.Errorf("it is logged %d times:\n%s", n, log.String())
	}
}
