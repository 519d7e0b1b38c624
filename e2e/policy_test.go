package e2e_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/earshot-mq/earshot/internal/drill"
	"github.com/earshot-mq/earshot/internal/testenv"
)

// TestPoliciesOfAProcess fills the journal of a process that has to keep what the store
// "main" has not committed, while that is away: a request is refused, at once or after five
// seconds, before anything was done for it. When the store is back there is room again, and
// it has every answer once and nothing else.
func TestPoliciesOfAProcess(t *testing.T) {
	for name, c := range map[string]struct {
		policy  string
		gateway bool // before a handler that counts, or else a service
	}{
		"service, refuse": {"refuse", false}, "service, block": {"block", false},
		"gateway, refuse": {"refuse", true}, "gateway, block": {"block", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var handled atomic.Int64
			role := []string{"service", "downcase"}
			if c.gateway {
				role = []string{"gateway", "--config", countingUpstream(t, &handled)}
			}
			p := newInstance(t, role, "--journal-max-bytes", "4MiB", "--journal-policy", c.policy, "--journal-required", "main")
			sub := newInstance(t, []string{"subscriber"}, "--connect", p.feed, "--subscriber-format", "json", "--subscriber-name", "main")
			a := &answers{}
			last := &lastAnswer{}
			client := &http.Client{Timeout: testenv.Patience, Transport: last}
			var taken []drill.Answer // all that were not refused, also because a word is too long
			ask := func(param string) (status int) {
				t.Helper()
				got, whole := a.Ask(client, p.http+"/downcase/?param="+param, "")
				if !whole {
					t.Fatalf("request %d has no answer", len(taken)+1)
				}
				if got.Status != http.StatusServiceUnavailable {
					taken = append(taken, got)
				}
				return got.Status
			}
			p.start()
			sub.start()
			ask("HELLO")
			testenv.Wait(t, "a commit", testenv.Patience, func() bool { return p.committed() == 1 })
			sub.stop()

			word := strings.Repeat("WORD", 4<<10)
			for ask(word) != http.StatusServiceUnavailable {
				if len(taken) > 1000 {
					t.Fatalf("%d answers and no end, the journal has %v bytes", len(taken), p.metric("earshot_journal_bytes"))
				}
			}
			if h := last.header; h.Get("Retry-After") == "" || h.Get("Content-Type") != "application/problem+json" || h.Get("Earshot-Record") != "" {
				t.Errorf("refused with %v", h)
			}
			if c.policy == "block" && last.took < 5*time.Second {
				t.Errorf("refused after %s, want it to wait five seconds for room", last.took)
			}
			if n := handled.Load(); c.gateway && n != int64(len(taken)) {
				t.Errorf("%d requests were handled, %d answered", n, len(taken))
			}
			if n := p.metric("earshot_journal_dropped_records_total"); n != 0 {
				t.Errorf("%v records are dropped", n)
			}

			sub.start()
			testenv.Wait(t, "room again", 2*testenv.Patience, func() bool { return ask("HELLO") == http.StatusOK })
			for range 10 {
				if status := ask("HELLO"); status != http.StatusOK {
					t.Errorf("status %d with room again", status)
				}
			}
			p.stop()
			sub.stop()
			if n := handled.Load(); c.gateway && n != int64(len(taken)) {
				t.Errorf("%d requests were handled, %d answered", n, len(taken))
			}
			v, err := drill.Judge(taken, &a.Answers, filepath.Join(sub.data, "store"), filepath.Join(sub.data, "logs"), drill.Expect{})
			if err != nil {
				t.Fatal(err)
			}
			t.Log(v)
			if v.Broken() || v.Lost > 0 || v.Records != len(taken) {
				t.Errorf("%q; want %d records", v.Found, len(taken))
			}
		})
	}
}

// lastAnswer is what the last request got, and how long that took.
type lastAnswer struct {
	header http.Header
	took   time.Duration
}

func (l *lastAnswer) RoundTrip(r *http.Request) (*http.Response, error) {
	began := time.Now()
	resp, err := http.DefaultTransport.RoundTrip(r)
	if l.took = time.Since(began); err == nil {
		l.header = resp.Header
	}
	return resp, err
}

// countingUpstream is a gateway's file with an upstream at /downcase/ that counts requests.
func countingUpstream(t *testing.T, handled *atomic.Int64) (file string) {
	t.Helper()
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/downcase/" {
			handled.Add(1)
		}
		fmt.Fprintln(w, "counted")
	}))
	t.Cleanup(upstream.Close)
	file = filepath.Join(t.TempDir(), "earshot.yaml")
	config := fmt.Sprintf("upstreams:\n  counter:\n    url: %s\nroutes:\n  - path: /downcase/*\n    upstream: counter\n", upstream.URL)
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}
