package feed

import (
	"errors"
	"strings"
	"testing"

	"github.com/earshot-mq/earshot/internal/journal"
	"github.com/earshot-mq/earshot/publisher/record"
)

var testRun = record.Run{Stream: "q7k3v9x2m1t8w", Epoch: 0x19a8f3c2e4b00d17}

func TestHeadIsReadAsWritten(t *testing.T) {
	h := &Head{
		V: Version, Instance: "98zp6wcjg4n98", Roster: 3, Replay: 4446, State: StateDegraded,
		Runs: []Offer{{Stream: testRun.Stream, EpochS: testRun.Epoch.String(), Service: "downcase", Oldest: 5, Last: 9, Given: 11, Ended: true}},
	}
	line := h.line()
	if !strings.HasPrefix(string(line), `{"head":{"v":1,`) || strings.Count(string(line), "\n") != 1 {
		t.Errorf("line %q", line)
	}
	got, err := ParseHead(line)
	if err != nil || got.Roster != 3 || got.Replay != 4446 || got.State != StateDegraded || len(got.Runs) != 1 {
		t.Fatalf("ParseHead = %+v, %v", got, err)
	}
	if o := got.Runs[0]; o.Run != testRun || o.Oldest != 5 || o.Last != 9 || o.Given != 11 || !o.Ended {
		t.Errorf("offer %+v", o)
	}
}

func TestHeadRefused(t *testing.T) {
	for name, c := range map[string]struct {
		line string
		want error
	}{
		"nothing":         {"", ErrWire},
		"a record":        {`{"specversion":"1.0"}`, ErrWire},
		"no version":      {`{"head":{"instance":"x"}}`, ErrWire},
		"a later version": {`{"head":{"v":2,"instance":"x"}}`, journal.ErrVersion},
		"a bad stream":    {`{"head":{"v":1,"runs":[{"stream":"x","epoch":"19a8f3c2e4b00d17","oldest":1,"last":1}]}}`, ErrWire},
		"a bad epoch":     {`{"head":{"v":1,"runs":[{"stream":"q7k3v9x2m1t8w","epoch":"1","oldest":1,"last":1}]}}`, ErrWire},
		"from nowhere":    {`{"head":{"v":1,"runs":[{"stream":"q7k3v9x2m1t8w","epoch":"19a8f3c2e4b00d17","oldest":0,"last":1}]}}`, ErrWire},
		"to the end":      {`{"head":{"v":1,"runs":[{"stream":"q7k3v9x2m1t8w","epoch":"19a8f3c2e4b00d17","oldest":1,"last":18446744073709551615}]}}`, ErrWire},
		"to before":       {`{"head":{"v":1,"runs":[{"stream":"q7k3v9x2m1t8w","epoch":"19a8f3c2e4b00d17","oldest":9,"last":1}]}}`, ErrWire},
	} {
		if _, err := ParseHead([]byte(c.line)); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	if _, err := ParseHead([]byte(`{"head":{"v":1,"runs":[],"added":{"later":true}}}`)); err != nil {
		t.Errorf("an unknown member: %v", err)
	}
}

func FuzzParseHead(f *testing.F) {
	f.Add([]byte(`{"head":{"v":1,"instance":"x","roster":1,"replay":4446,"state":"live","runs":[{"stream":"q7k3v9x2m1t8w","epoch":"19a8f3c2e4b00d17","service":"downcase","oldest":1,"last":9}]}}`))
	f.Add([]byte(`{"head":{"v":2}}`))
	f.Fuzz(func(t *testing.T, in []byte) {
		h, err := ParseHead(in)
		if err != nil {
			if !errors.Is(err, ErrWire) && !errors.Is(err, journal.ErrVersion) {
				t.Errorf("ParseHead(%q): %v", in, err)
			}
			return
		}
		for _, o := range h.Runs {
			if !o.Run.Valid() || o.Oldest == 0 || o.Last+1 < o.Oldest {
				t.Errorf("ParseHead(%q) took %+v", in, o)
			}
		}
	})
}

// FuzzReplay feeds a Follower whatever a publisher could send.
func FuzzReplay(f *testing.F) {
	for _, s := range [][2]string{
		{"WELCOME", `{"v":1,"instance":"x","roster":1,"runs":[]}`},
		{"END", `{"v":1,"stream":"q7k3v9x2m1t8w","epoch":"19a8f3c2e4b00d17","last":3,"given":4}`},
		{"TRIM", `{"v":1,"stream":"q7k3v9x2m1t8w","epoch":"19a8f3c2e4b00d17","from":3,"to":4,"reason":"dropped"}`},
		{"REFUSE", `{"v":1,"reason":"HELLO first"}`},
		{"DATA", `{"v":1,"stream":"q7k3v9x2m1t8w","epoch":"19a8f3c2e4b00d17"}`},
		{"HEAD", `{"head":{"v":1}}`},
		{"NONE", `{}`},
	} {
		f.Add(s[0], []byte(s[1]), []byte("{\"batch\":{\"v\":1}}\n"))
	}
	f.Fuzz(func(t *testing.T, verb string, body, more []byte) {
		fo, err := NewFollower(nil, FollowerOptions{Endpoint: "tcp://127.0.0.1:1", Sink: func(ev Event) bool {
			if ev.Kind == EventTrim && (ev.First == 0 || ev.Last < ev.First) {
				t.Errorf("%s %q gave %+v", verb, body, ev)
			}
			return true
		}})
		if err != nil {
			t.Fatal(err)
		}
		if err := fo.replay(verb, [][]byte{body, more}, nil); err != nil && !errors.Is(err, ErrWire) && !errors.Is(err, journal.ErrVersion) {
			t.Errorf("%s %q: %v", verb, body, err)
		}
	})
}

// A hub tells what many publishers say: no more than is kept.
func TestHeadOfManyTroubles(t *testing.T) {
	s := &Server{source: &shelf{}, o: ServerOptions{
		Troubles: func() []string { return make([]string, 1000) }, Degraded: func() bool { return false },
	}}
	if n := len(s.head(nil).Troubles); n != mostTroubles {
		t.Errorf("HEAD has %d troubles, want %d", n, mostTroubles)
	}
}

// What a publisher says of itself is for people: of one that talks too much the beginning
// is kept, and nothing of it can be half a character.
func TestHeadTroubles(t *testing.T) {
	h := &Head{V: Version, Instance: "i", State: StateLive, Runs: []Offer{}}
	for range mostTroubles + 1 {
		h.Troubles = append(h.Troubles, strings.Repeat("ü", longestTrouble))
	}
	h.Troubles[1] = "short"
	got, err := ParseHead(h.line())
	if err != nil {
		t.Fatal(err)
	}
	if n := len(got.Troubles); n != mostTroubles || got.Troubles[1] != "short" || got.Troubles[0] != strings.Repeat("ü", longestTrouble/2) {
		t.Errorf("%d troubles are kept, the first with %d bytes, the second %q", n, len(got.Troubles[0]), got.Troubles[1])
	}
}
