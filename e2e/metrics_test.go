package e2e_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	told "github.com/earshot-mq/earshot/internal/containers"
	"github.com/earshot-mq/earshot/internal/journal"
	"github.com/earshot-mq/earshot/internal/testenv"
	"github.com/earshot-mq/earshot/internal/zmq"
)

// numbers is all of Earshot's own that /metrics tells, by name; what differs in labels is
// added up, and what is not there is 0. Each has its words, and its line in docs/metrics.md.
func (i *instance) numbers() map[string]float64 {
	i.t.Helper()
	_, text := i.told("/metrics")
	page, err := os.ReadFile(filepath.Join("..", "docs", "metrics.md"))
	if err != nil {
		i.t.Fatal(err)
	}
	all, helped := map[string]float64{}, ""
	for _, line := range strings.Split(string(text), "\n") {
		if name, words, ok := strings.Cut(strings.TrimPrefix(line, "# HELP "), " "); ok && strings.HasPrefix(line, "# HELP ") && words != "" {
			helped = name
		}
		m := regexp.MustCompile(`^(earshot_\w+)(?:\{.*\})? (\S+)$`).FindStringSubmatch(line)
		if m == nil {
			continue
		}
		v, err := strconv.ParseFloat(m[2], 64)
		if err != nil {
			i.t.Fatal(line, err)
		}
		all[m[1]] += v
		if suffix := strings.TrimPrefix(m[1], helped); !slices.Contains([]string{"", "_bucket", "_sum", "_count"}, suffix) || !strings.Contains(string(page), "| `"+helped+"` |") {
			i.t.Fatalf("%s has no words, or docs/metrics.md does not have it", m[1])
		}
	}
	return all
}

// until waits until a metric is as it should be.
func (i *instance) until(name string, is func(v float64) bool) {
	i.t.Helper()
	v := 0.0
	defer func() {
		if i.t.Failed() {
			i.t.Logf("%s of %s is %v", name, i.admin, v)
		}
	}()
	testenv.Wait(i.t, name+" of "+i.args[0]+" as it should be", 2*testenv.Patience, func() bool {
		v = i.numbers()[name]
		return is(v)
	})
}

func equal(want float64) func(float64) bool    { return func(v float64) bool { return v == want } }
func atLeast(least float64) func(float64) bool { return func(v float64) bool { return v >= least } }
func above(bound float64) func(float64) bool   { return func(v float64) bool { return v > bound } }

// agentOf is a Docker agent that tells of one container, with a record feed, while there is
// true.
func agentOf(t *testing.T, feed string, there *atomic.Bool) (url string) {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		l := told.List{Version: fmt.Sprint(there.Load()), Containers: []told.Container{}}
		if there.Load() {
			l.Containers = append(l.Containers, told.Container{
				ID: "0123456789ab", Name: "downcase", State: told.Running, Health: told.None, Addresses: map[string]string{"net": "127.0.0.1"},
				Labels: map[string]string{"earshot.enable": "true", "earshot.service": "downcase", "earshot.port": "8080", "earshot.route": "/x/*", "earshot.feed": port(feed)},
			})
		}
		_ = json.NewEncoder(w).Encode(l)
	}))
	t.Cleanup(s.Close)
	return s.URL
}

// of is how many batches, bytes and records the store of an instance has.
func (i *instance) of() (batches, bytes, records float64) {
	i.t.Helper()
	log, err := journal.Open(filepath.Join(i.data, "store"), journal.Options{Arrivals: true, ReadOnly: true})
	if err != nil {
		i.t.Fatal(err)
	}
	r := log.Reader(1)
	defer r.Close()
	err = r.Read(func(e *journal.Entry, _ uint64) error {
		batches, bytes, records = batches+1, bytes+float64(len(e.Raw)), records+float64(e.Count())
		return nil
	})
	if err != nil {
		i.t.Fatal(err)
	}
	return batches, bytes, records
}

// TestMetrics has known traffic and known faults, and asks /metrics what they were: a
// service, a hub that is killed and started again, a subscriber that hears both and so each
// record twice, and one that knows of records that it can't have, whose publisher goes and
// comes back.
func TestMetrics(t *testing.T) {
	service := newInstance(t, []string{"service", "downcase"}, "--journal-max-bytes", "16MiB")
	hubFeed, later := "tcp://127.0.0.1:"+freePort(t), "tcp://127.0.0.1:"+freePort(t)
	hub := newInstance(t, []string{"subscriber"}, "--connect", service.feed, "--subscriber-format", "json", "--feed-record", hubFeed, "--feed-replay", "tcp://127.0.0.1:"+freePort(t))
	both := newInstance(t, []string{"subscriber"}, "--connect", service.feed+","+hubFeed, "--subscriber-format", "json")
	for _, i := range []*instance{service, hub, both} {
		i.start()
	}
	hub.until("earshot_publishers_heard", equal(1))
	both.until("earshot_publishers_heard", equal(2))
	text, err := zmqContext(t).Sub(zmq.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer text.Close()
	if err := text.Connect(service.text); err != nil {
		t.Fatal(err)
	}
	if err := text.Subscribe(""); err != nil {
		t.Fatal(err)
	}

	// What is written and not durable yet is seen while answers come, and is none afterwards.
	a := &answers{}
	unsynced := map[*instance]string{service: "earshot_journal_unsynced_bytes", hub: "earshot_store_unsynced_bytes"}
	for i, name := range unsynced {
		testenv.Wait(t, name, testenv.Patience, func() bool {
			service.hello(a, 5)
			return i.numbers()[name] > 0
		})
	}
	testenv.Wait(t, "a frame on the text feed", testenv.Patience, func() bool {
		service.hello(a, 1)
		return service.numbers()["earshot_feed_text_frames_total"] > 0
	})
	n := float64(a.Count())
	for _, i := range []*instance{hub, both} {
		i.until("earshot_store_records_total", equal(n))
	}
	both.until("earshot_store_duplicate_records_total", atLeast(n))
	both.until("earshot_log_lines_total", equal(n))
	for i, name := range unsynced {
		i.until(name, equal(0))
	}
	service.until("earshot_replay_commits_total", atLeast(2))
	service.until("earshot_cursor_lag_records", equal(0))
	service.until("earshot_journal_lasts_seconds", above(0))
	service.until("earshot_journal_oldest_seconds", above(0))
	s, h, b := service.numbers(), hub.numbers(), both.numbers()
	for name, want := range map[string]float64{
		"earshot_records_total": n, "earshot_answer_seconds_count": n,
		"earshot_journal_bound_bytes": 16 << 20, "earshot_journal_held_bytes": 0, "earshot_journal_dropped_records_total": 0,
	} {
		if s[name] != want {
			t.Errorf("%s is %v, want %v", name, s[name], want)
		}
	}
	if g := s["earshot_journal_groups_total"]; g < 1 || g > n {
		t.Errorf("%v groups of %v records", g, n)
	}
	if w, j := s["earshot_journal_written_bytes_total"], s["earshot_journal_bytes"]; w < 300*n || j <= w || j > 2*w {
		t.Errorf("%v bytes were written for %v records, the journal has %v", w, n, j)
	}
	if m, sent := s["earshot_feed_messages_total"], s["earshot_feed_bytes_total"]; m < 1 || sent < h["earshot_store_bytes_total"] {
		t.Errorf("%v messages with %v bytes were sent, the hub has %v", m, sent, h["earshot_store_bytes_total"])
	}
	batches, bytes, records := hub.of()
	for name, want := range map[string]float64{"earshot_store_batches_total": batches, "earshot_store_bytes_total": bytes, "earshot_store_records_total": records} {
		if h[name] != want {
			t.Errorf("%s of the hub is %v, its store has %v", name, h[name], want)
		}
	}
	if h["earshot_store_commits_total"] < 1 || h["earshot_store_size_bytes"] <= bytes || h["earshot_feed_messages_total"] < 1 || b["earshot_log_position"] != n+1 {
		t.Errorf("of the hub %v commits, %v bytes, %v messages; %v is the next line of the other's log", h["earshot_store_commits_total"], h["earshot_store_size_bytes"], h["earshot_feed_messages_total"], b["earshot_log_position"])
	}

	// A killed hub is not heard, and fetches what it has missed.
	_ = hub.signal(syscall.SIGKILL)
	both.until("earshot_publishers_heard", equal(1))
	const missed = 40
	service.hello(a, missed)
	service.until("earshot_cursor_lag_records", equal(missed)) // the hub's; the other one commits
	hub.start()
	hub.until("earshot_store_records_total", equal(missed))
	hub.until("earshot_store_repairs_total", atLeast(1))
	both.until("earshot_publisher_reconnects_total", atLeast(1))
	both.until("earshot_publishers_heard", equal(2))
	both.until("earshot_store_records_total", equal(n+missed))
	service.until("earshot_cursor_lag_records", equal(0))
	after := service.numbers()
	for name, least := range map[string]float64{"earshot_replay_fetches_total": 1, "earshot_replay_commits_total": 1, "earshot_replay_bytes_total": missed * 300} {
		if after[name] < s[name]+least {
			t.Errorf("%s was %v and is %v, want %v more", name, s[name], after[name], least)
		}
	}

	// What is heard of and can't be fetched is missing, then stranded, then there.
	n += missed
	var there atomic.Bool
	there.Store(true)
	late := newInstance(t, []string{"subscriber"}, "--connect", "tcp://127.0.0.1:"+freePort(t), "--discover-docker-agent", agentOf(t, service.feed, &there), "--advertise", later, "--subscriber-format", "json")
	late.start()
	late.until("earshot_store_lag_records", equal(n))
	late.until("earshot_store_lag_seconds", above(0))
	if l := late.numbers(); l["earshot_store_records_total"] != 0 || l["earshot_store_stranded_records"] != 0 || l["earshot_publishers_found"] != 1 || l["earshot_publishers_followed"] != 2 {
		t.Errorf("%v records, %v stranded, %v of %v publishers found", l["earshot_store_records_total"], l["earshot_store_stranded_records"], l["earshot_publishers_found"], l["earshot_publishers_followed"])
	}
	_ = service.signal(syscall.SIGKILL)
	there.Store(false)
	late.until("earshot_store_stranded_records", equal(n))
	late.until("earshot_publishers_followed", equal(1))
	service.args = append(service.args, "--feed-replay", later)
	service.start()
	there.Store(true)
	late.until("earshot_store_stranded_records", equal(0))
	late.until("earshot_store_records_total", equal(n))
	late.until("earshot_store_lag_records", equal(0))
	service.hello(a, 1)
	for _, i := range []*instance{hub, both, late} {
		i.until("earshot_log_position", equal(n+2))
		if lost := i.numbers()["earshot_store_lost_records_total"]; lost != 0 {
			t.Errorf("%v records are lost", lost)
		}
	}
	for _, i := range []*instance{both, late, hub, service} {
		i.stop()
	}
	for _, i := range []*instance{both, late} {
		oracle(t, a, filepath.Join(i.data, "store"), filepath.Join(i.data, "logs"))
	}
}
