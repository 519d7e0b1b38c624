package e2e_test

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// files is what a directory has: names, sizes and bytes.
func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, e := range entries {
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		all[e.Name()] = string(text)
	}
	return all
}

// adopter is earshot adopt of a directory, on ports that stay the same.
type adopter struct {
	t          *testing.T
	dir        string
	feed, addr string
	args       []string
}

func newAdopter(t *testing.T, dir string) *adopter {
	a := &adopter{t: t, dir: dir, feed: "tcp://127.0.0.1:" + freePort(t), addr: "127.0.0.1:" + freePort(t)}
	a.args = []string{"adopt", dir, "--feed-record", a.feed, "--feed-replay", "tcp://127.0.0.1:" + freePort(t), "--admin-listen", a.addr}
	return a
}

// start starts it and waits until its health answers.
func (a *adopter) start(more ...string) *output {
	a.t.Helper()
	o := start(a.t, command(append(a.args, more...)...))
	untilReady(a.t, nil, a.addr)
	return o
}

// ends waits for exit code 0 and asks for its last word.
func ends(t *testing.T, o *output, word string) {
	t.Helper()
	err := make(chan error, 1)
	go func() { err <- o.wait() }()
	select {
	case err := <-err:
		if err != nil || !strings.Contains(o.String(), word) {
			t.Errorf("%v, want exit code 0 and %q in:\n%s", err, word, o)
		}
	case <-time.After(30 * time.Second):
		t.Fatalf("it does not end:\n%s", o)
	}
}

// refusal runs a command that has to fail with exit code 1 and one line.
func refusal(t *testing.T, want string, args ...string) {
	t.Helper()
	out, err := command(args...).CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 1 || !bytes.Contains(out, []byte(want)) || bytes.Count(out, []byte("\n")) != 1 {
		t.Errorf("%v: %v, %q: want exit code 1 and one line with %q", args, err, out, want)
	}
}

// TestAdopt kills a service whose journal nobody has read, and has its records served by
// hand: to nobody, to one store, and to that and another one.
func TestAdopt(t *testing.T) {
	s := newInstance(t, []string{"service", "downcase"})
	s.start()
	a := &answers{}
	for n := range 300 {
		if !a.get(http.DefaultClient, fmt.Sprintf("%s/downcase/?param=ADOPT-%d", s.http, n)) {
			t.Fatal("no answer")
		}
	}
	dirs, _ := filepath.Glob(filepath.Join(s.data, "journals", "downcase", "*"))
	if len(dirs) != 1 {
		t.Fatalf("journals: %v", dirs)
	}
	ad := newAdopter(t, dirs[0])
	refusal(t, dirs[0]+" is the journal of earshot (pid ", ad.args...)
	_ = s.signal(syscall.SIGKILL)
	refusal(t, "these below it are journals: "+dirs[0], "adopt", s.data)
	before := files(t, dirs[0])

	alone := ad.start()
	if err := alone.signal(syscall.SIGINT); err != nil || !strings.Contains(alone.String(), "300 of downcase") {
		t.Errorf("after Ctrl-C: %v\n%s", err, alone)
	}
	var subs []*instance
	follow := func() {
		sub := newInstance(t, []string{"subscriber"}, "--subscriber-connect", ad.feed, "--subscriber-format", "json")
		sub.start()
		subs = append(subs, sub)
	}
	follow()
	ends(t, ad.start("--keep"), "it is kept")
	if after := files(t, dirs[0]); len(after) != len(before) {
		t.Errorf("files were %d and are %d", len(before), len(after))
	} else {
		for name, text := range before {
			if after[name] != text {
				t.Errorf("%s has changed", name)
			}
		}
	}
	follow()
	ends(t, ad.start(), "it is removed")
	if _, err := os.Stat(dirs[0]); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the journal is still there: %v", err)
	}
	for _, sub := range subs {
		sub.stop()
		oracle(t, a, filepath.Join(sub.data, "store"), filepath.Join(sub.data, "logs"))
		if ids := storeHeld(t, filepath.Join(sub.data, "store")).Records; len(ids) != 300 {
			t.Errorf("%d records, want 300", len(ids))
		}
	}
	refusal(t, "the store of a subscriber", "adopt", filepath.Join(subs[0].data, "store"))
	refusal(t, `it has the file "subscriber.log"`, "adopt", filepath.Join(subs[0].data, "logs"))
	refusal(t, "no such file", "adopt", dirs[0])
}
