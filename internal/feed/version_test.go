package feed

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/earshot-mq/earshot/internal/journal"
	"github.com/earshot-mq/earshot/internal/testenv"
	"github.com/earshot-mq/earshot/internal/zmq"
)

// wire1 is a message of the first version, by its verb: a line of JSON, and batches.
func wire1(t *testing.T, verb string) (frames [][]byte) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "v1", verb))
	if err != nil {
		t.Fatal(err)
	}
	frames = bytes.SplitN(text, []byte("\n"), 3)
	if len(frames) != 3 || string(frames[0]) != verb {
		t.Fatalf("%s is %q", verb, text)
	}
	if len(frames[2]) == 0 {
		frames = frames[:2]
	}
	if verb == verbHead {
		frames[1] = append(frames[1], '\n') // a line, as on the feed
	}
	return frames
}

// TestVersion1Said: what is said is what the first version said, byte for byte. A change
// here wants another version, or is a field that the first one passes over.
func TestVersion1Said(t *testing.T) {
	c := newContext(t)
	f, err := NewFollower(c, FollowerOptions{Endpoint: "tcp://127.0.0.1:4445", Store: "3q1a4nk9cpaj8", Name: "main"})
	if err != nil {
		t.Fatal(err)
	}
	f.Fetch(testRun, 1, 1<<20)
	f.Credit(testRun, 64<<10)
	f.Stop(testRun)
	f.Commit([]journal.StoreRun{{Stream: testRun.Stream, Epoch: testRun.Epoch.String(), Next: 6}})
	said := map[string][]byte{
		verbHello: encode(hello{Version, f.o.Store, f.o.Name}),
		verbHead: (&Head{
			V: Version, Instance: "98zp6wcjg4n98", Roster: 3, Replay: 4446, State: StateDegraded, Troubles: []string{"no room"},
			Runs: []Offer{{Stream: testRun.Stream, EpochS: testRun.Epoch.String(), Service: "downcase", Oldest: 1, Last: 5, Given: 5, Ended: true}},
		}).line(),
	}
	for _, c := range f.cmds.Take(nil) {
		said[c.verb] = c.body
	}
	for _, verb := range []string{verbHello, verbFetch, verbCredit, verbStop, verbCommit, verbHead} {
		if want := wire1(t, verb)[1]; !bytes.Equal(said[verb], want) {
			t.Errorf("%s: %s, want %s", verb, said[verb], want)
		}
	}
}

// TestVersion1Served has a subscriber of the first version speak with replay: it is
// understood, and answered as it was then.
func TestVersion1Served(t *testing.T) {
	src := &shelf{gone: 3, ended: true, roster: 3}
	for range 5 {
		src.put(1)
	}
	c := newContext(t)
	commits := journal.OpenCommits(filepath.Join(t.TempDir(), "cursors"), time.Now())
	s, _ := serve(t, c, src, ServerOptions{Instance: "98zp6wcjg4n98", Commits: commits})
	_, _, replay := s.Endpoints()
	d := dealer(t, c, replay)
	say := func(verb string) {
		t.Helper()
		testenv.Wait(t, "connection", testenv.Patience, func() bool { return d.Send(wire1(t, verb)...) == nil })
	}
	hear := func(verb string) {
		t.Helper()
		var m [][]byte
		testenv.Wait(t, verb, testenv.Patience, func() bool {
			got, err := d.Recv()
			if err != nil && !errors.Is(err, zmq.ErrAgain) {
				t.Fatal(err)
			}
			m = got
			return err == nil && string(m[0]) != verbHead // which comes each second
		})
		if want := wire1(t, verb); !bytes.Equal(bytes.Join(m, newline), bytes.Join(want, newline)) {
			t.Errorf("%s: %q, want %q", verb, m, want)
		}
	}
	say(verbFetch)
	hear(verbRefuse)
	say(verbHello)
	hear(verbWelcome)
	say(verbFetch)
	hear(verbTrim)
	hear(verbData)
	hear(verbEnd)
	say(verbCredit)
	say(verbStop)
	say(verbCommit)
	testenv.Wait(t, "the commit", testenv.Patience, func() bool {
		all := commits.List()
		return len(all) == 1 && all[0].ID == "3q1a4nk9cpaj8" && all[0].Name == "main" && len(all[0].Runs) == 1 && all[0].Runs[0].Next == 6
	})
	if n := s.Stats.Refused.Load(); n != 0 {
		t.Errorf("%d messages were refused", n)
	}
}

var newline = []byte("\n")

// TestVersion1Heard: a Follower understands a publisher of the first version.
func TestVersion1Heard(t *testing.T) {
	e := &ear{}
	f, err := NewFollower(nil, FollowerOptions{Endpoint: "tcp://127.0.0.1:1", Sink: e.sink})
	if err != nil {
		t.Fatal(err)
	}
	for _, verb := range []string{verbWelcome, verbData, verbTrim, verbEnd, verbRefuse} {
		if err := f.replay(verb, wire1(t, verb)[1:], nil); err != nil {
			t.Errorf("%s: %v", verb, err)
		}
	}
	h, err := ParseHead(wire1(t, verbHead)[1])
	if err != nil || h.V != 1 || h.Instance != "98zp6wcjg4n98" || h.Roster != 3 || h.Replay != 4446 || h.State != StateDegraded || len(h.Troubles) != 1 || h.Troubles[0] != "no room" {
		t.Fatalf("HEAD: %+v, %v", h, err)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	offers := h.Runs
	for _, ev := range e.events {
		switch ev.Kind {
		case EventWelcome:
			offers = append(offers, ev.Offers...)
		case EventTrim:
			if ev.Run != testRun || ev.First != 1 || ev.Last != 3 || ev.Reason != "dropped" {
				t.Errorf("TRIM: %+v", ev)
			}
		case EventEnd:
			if ev.Run != testRun || ev.Last != 5 || ev.Given != 5 {
				t.Errorf("END: %+v", ev)
			}
		case EventData:
			if n := len(ev.Entries); n != 2 || ev.Entries[0].First != 4 || ev.Entries[1].Last != 5 || ev.Entries[0].Run != testRun {
				t.Errorf("DATA: %+v", ev)
			}
		}
	}
	for _, o := range offers {
		if o.Run != testRun || o.Service != "downcase" || o.Oldest != 1 || o.Last != 5 || o.Given != 5 || !o.Ended {
			t.Errorf("an offer is %+v", o)
		}
	}
	if len(offers) != 2 || len(e.events) < 4 {
		t.Errorf("%d offers, %d events", len(offers), len(e.events))
	}
}
