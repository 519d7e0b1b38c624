package e2e_test

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/earshot-mq/earshot/internal/testenv"
)

// TestConcurrentClients asks with 1, 8 and 64 clients at once: every answer is on the
// text feed once, in the store once and in the log once.
func TestConcurrentClients(t *testing.T) {
	i := newInstance(t, []string{"up"}, "--subscriber-format", "json")
	i.start()
	heard := classic(t, i.text)
	joined(t, i, heard)
	a := &answers{}
	for _, clients := range []int{1, 8, 64} {
		var wg sync.WaitGroup
		for c := range clients {
			wg.Go(func() {
				client := &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 1}}
				for n := range 1280 / clients {
					if !a.get(client, fmt.Sprintf("%s/downcase/?param=AT-%d-%d-%d", i.http, clients, c, n)) {
						t.Errorf("client %d of %d: request %d failed", c, clients, n)
					}
				}
			})
		}
		wg.Wait()
	}
	testenv.Wait(t, "a frame for each answer", 20*time.Second, func() bool { return len(heard()) >= a.Count()+1 })
	i.stop()
	oracle(t, a, filepath.Join(i.data, "store"), filepath.Join(i.data, "logs"))
	got := heard()
	for _, one := range a.Whole() {
		if got[one.Body] != 1 {
			t.Errorf("%q came %d times on the text feed", one.Body, got[one.Body])
		}
	}
	if a.Count() != 3*1280 {
		t.Errorf("%d answers, want %d", a.Count(), 3*1280)
	}
}

// TestGatewayBeforeAService runs gateway, service and subscriber as three processes: an
// answer has one line, of who made it.
func TestGatewayBeforeAService(t *testing.T) {
	svc := newInstance(t, []string{"service", "downcase"})
	svc.start()
	file := filepath.Join(t.TempDir(), "earshot.yaml")
	config := fmt.Sprintf("upstreams:\n  downcase:\n    url: %s\n  nobody:\n    url: http://127.0.0.1:%s\n"+
		"routes:\n  - path: /downcase/*\n    upstream: downcase\n  - path: /nobody/*\n    upstream: nobody\n", svc.http, freePort(t))
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	gw := newInstance(t, []string{"gateway"}, "--config", file)
	gw.start()
	sub := newInstance(t, []string{"subscriber"}, "--connect", svc.feed+","+gw.feed)
	sub.start()
	ask := func(path string, want int) *http.Response {
		t.Helper()
		resp, err := http.Get(gw.http + path)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("GET %s: %d %s, want %d", path, resp.StatusCode, body, want)
		}
		if want >= 500 && !strings.Contains(string(body), `nobody`) {
			t.Errorf("GET %s does not say which upstream: %s", path, body)
		}
		return resp
	}
	first := ask("/downcase/?param=HELLO", http.StatusOK)
	ask("/downcase/", http.StatusBadRequest)
	ask("/nobody/", http.StatusBadGateway)
	ask("/elsewhere", http.StatusNotFound)
	if first.Header.Get("X-Request-Id") == "" {
		t.Error("no request id")
	}
	log := func() string {
		b, _ := os.ReadFile(filepath.Join(sub.data, "logs", "subscriber.log"))
		return string(b)
	}
	testenv.Wait(t, "four lines", 20*time.Second, func() bool { return strings.Count(log(), "\n") >= 4 })
	for _, i := range []*instance{gw, svc, sub} {
		i.stop()
	}
	lines := strings.Split(strings.TrimSpace(log()), "\n")
	for _, want := range []string{" downcase 200 GET /downcase/ ", " downcase 400 GET /downcase/ ", " gateway 502 GET /nobody/ ", " gateway 404 GET /elsewhere "} {
		n := 0
		for _, l := range lines {
			if strings.Contains(l, want) {
				n++
			}
		}
		if n != 1 {
			t.Errorf("%d lines with %q in\n%s", n, want, log())
		}
	}
}

// TestTail shows the log live, history and present in one.
func TestTail(t *testing.T) {
	i := newInstance(t, []string{"up"})
	i.start()
	get := func(word string) {
		resp, err := http.Get(i.http + "/downcase/?param=" + word)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
	}
	get("BEFORE")
	testenv.Wait(t, "its line", 10*time.Second, func() bool {
		b, _ := os.ReadFile(filepath.Join(i.data, "logs", "subscriber.log"))
		return strings.Contains(string(b), "BEFORE")
	})
	tail := start(t, command("tail", "--admin-listen", i.admin, "--format", "message"))
	testenv.Wait(t, "history", 10*time.Second, func() bool { return strings.Contains(tail.String(), "lower case of BEFORE is before - ") })
	get("AFTER")
	testenv.Wait(t, "what comes", 10*time.Second, func() bool { return strings.Contains(tail.String(), "lower case of AFTER is after - ") })
	if err := tail.signal(syscall.SIGINT); err != nil || strings.Count(tail.String(), "\n") != 2 {
		t.Errorf("after Ctrl-C: %v, %q", err, tail)
	}
}
