package subscriber

import (
	"bytes"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/earshot-mq/earshot/internal/feed"
	"github.com/earshot-mq/earshot/internal/journal"
	"github.com/earshot-mq/earshot/publisher/record"
	"github.com/earshot-mq/earshot/subscriber/store"
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

// TestStoreLosesASegment: what the store has lost itself is lost, once.
func TestStoreLosesASegment(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	st, err := store.Open(dir, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := st.Append(entry(1, 5)...); err != nil {
		t.Fatal(err)
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	s, f := newSubscriber(t, dir, Options{})
	now := time.Now()
	s.hear(feed.Event{Kind: feed.EventWelcome, From: f, Offers: offer(1, 9)}, now)
	s.hear(feed.Event{Kind: feed.EventData, From: f, Entries: entry(6, 9)}, now)
	var closed []string
	err = filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if filepath.Ext(path) == ".jsonl" {
			closed = append(closed, path)
		}
		return err
	})
	if err != nil || len(closed) != 1 {
		t.Fatalf("closed segments %q, %v", closed, err)
	}
	if err := os.Remove(closed[0]); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if got := s.has(t, func(record.Run) bool { return true }); got != "gap 1-5 6-9" {
			t.Errorf("the store has %s", got)
		}
		if state, _ := s.State(); !strings.HasPrefix(state, "degraded: 5 records are lost, in 1 gaps since the start: ") {
			t.Errorf("State = %q", state)
		}
	}
}

// ticks asks whether the state has these words after a tick.
func ticks(t *testing.T, s *Subscriber, now time.Time, when, words string, want bool) {
	t.Helper()
	s.tick(now)
	if state, err := s.State(); err != nil || strings.Contains(state, words) != want {
		t.Errorf("%s: State = %q, %v", when, state, err)
	}
}

// TestStranded: records that were heard of, and whose only source is away for a minute, are
// stranded until somebody offers them again.
func TestStranded(t *testing.T) {
	s, f := newSubscriber(t, filepath.Join(t.TempDir(), "store"), Options{})
	now := time.Now()
	s.hear(feed.Event{Kind: feed.EventWelcome, From: f, Offers: offer(1, 9)}, now)
	s.hear(feed.Event{Kind: feed.EventData, From: f, Entries: entry(1, 3)}, now)
	const words = "6 records were heard of and nobody offers them: start their publisher, or adopt its journal"
	says := func(when string, want bool) {
		t.Helper()
		ticks(t, s, now, when, words, want)
		if n := s.Stats.Stranded.Load(); (n == 6) != want {
			t.Errorf("%s: %d records are stranded", when, n)
		}
	}
	says("while they are offered", false)
	s.hear(feed.Event{Kind: feed.EventSilent, From: f}, now)
	now = now.Add(awayAfter - time.Second)
	says("before a minute of silence", false)
	now = now.Add(time.Second)
	says("after a minute of silence", true)
	s.hear(feed.Event{Kind: feed.EventWelcome, From: f, Offers: offer(1, 9)}, now)
	says("when they are offered again", false)
	s.hear(feed.Event{Kind: feed.EventData, From: f, Entries: entry(4, 9)}, now)
	if got := s.has(t, func(record.Run) bool { return true }); got != "1-3 4-9" {
		t.Errorf("the store has %s", got)
	}
}

// TestBehind: what is missing for more than ten seconds is told of, until it is there.
func TestBehind(t *testing.T) {
	s, f := newSubscriber(t, filepath.Join(t.TempDir(), "store"), Options{})
	now := time.Now()
	s.hear(feed.Event{Kind: feed.EventWelcome, From: f, Offers: offer(1, 9)}, now)
	s.hear(feed.Event{Kind: feed.EventData, From: f, Entries: entry(1, 3)}, now)
	const words = "the store lacks 6 records that were heard of, of 1 runs; it fetches them: "
	ticks(t, s, now, "at once", words, false)
	now = now.Add(behindAfter)
	ticks(t, s, now, "after ten seconds", words, false)
	now = now.Add(time.Second)
	ticks(t, s, now, "after more", words, true)
	if lags, all := s.Lags(); len(lags) != 1 || lags[0].Run != testRun || all.Records != 6 || all.For != behindAfter+time.Second {
		t.Errorf("Lags = %+v, %+v", lags, all)
	}
	s.hear(feed.Event{Kind: feed.EventData, From: f, Entries: entry(4, 9)}, now)
	ticks(t, s, now, "when all is there", words, false)
	if state, _ := s.State(); strings.Contains(state, "lacks") {
		t.Errorf("State = %q when all is there", state)
	}
}
