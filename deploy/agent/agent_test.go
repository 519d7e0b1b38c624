package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/earshot-mq/earshot/deploy"
	"github.com/earshot-mq/earshot/internal/containers"
	"github.com/earshot-mq/earshot/internal/testenv"
)

const (
	image    = "debian:bookworm-slim"
	patience = 20 * time.Second
)

// lab is an Engine, and an agent that follows it by way of a relay.
type lab struct {
	t      *testing.T
	engine *deploy.Engine
	relay  *relay
	at     string // the agent's
	agent  *Agent
	prefix string // of the names of all containers
}

func newLab(t *testing.T) *lab {
	t.Helper()
	e, err := deploy.Open(t.Context())
	if errors.Is(err, deploy.ErrNoEngine) {
		testenv.Skip(t, fmt.Sprintf("no Docker Engine: %v", err))
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	if _, err := e.Image(t.Context(), image); errors.Is(err, deploy.ErrNotFound) {
		testenv.Missing(t, "the image "+image+" is not there: .ci/base-images makes it")
	}
	l := &lab{t: t, engine: e, relay: newRelay(t), prefix: fmt.Sprintf("earshot-agent-%08x-", rand.Uint32())}
	l.at = l.start(Options{Socket: l.relay.path, Wait: 2 * time.Second})
	return l
}

// start starts an agent and returns where it is asked.
func (l *lab) start(o Options) string {
	o.Logger = slog.New(slog.NewTextHandler(l.t.Output(), nil))
	a := New(o)
	l.agent = a
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := a.Run(ctx); err != nil {
			l.t.Error(err)
		}
	})
	s := httptest.NewServer(a)
	l.t.Cleanup(func() {
		a.Close()
		s.Close()
		cancel()
		running.Wait()
	})
	return s.URL
}

// run starts a container that is removed when the test ends.
func (l *lab) run(name string, s deploy.Spec) (id string) {
	l.t.Helper()
	s.Image, s.Name = image, l.prefix+name
	if s.Command == nil {
		s.Command = []string{"sleep", "300"}
	}
	id, err := l.engine.Run(l.t.Context(), s)
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() {
		if err := l.engine.Remove(context.Background(), id); err != nil {
			l.t.Error(err)
		}
	})
	return id
}

// ask asks the agent, and returns what it says of this test's containers.
func (l *lab) ask(at, after string) (version string, mine map[string]containers.Container, body string) {
	l.t.Helper()
	answer, err := http.Get(at + containers.Path + "?after=" + after)
	if err != nil {
		l.t.Fatal(err)
	}
	defer answer.Body.Close()
	b, err := io.ReadAll(answer.Body)
	if err != nil {
		l.t.Fatal(err)
	}
	mine = map[string]containers.Container{}
	if answer.StatusCode != http.StatusOK {
		return "", mine, string(b)
	}
	var list containers.List
	if err := json.Unmarshal(b, &list); err != nil {
		l.t.Fatalf("%v: %s", err, b)
	}
	for _, c := range list.Containers {
		if name, ok := strings.CutPrefix(c.Name, l.prefix); ok {
			mine[name] = c
		}
	}
	return list.Version, mine, string(b)
}

// until asks again and again, as the gateway does, until the agent says what is wanted.
func (l *lab) until(what string, ok func(map[string]containers.Container) bool) (took time.Duration) {
	l.t.Helper()
	began := time.Now()
	version := ""
	var mine map[string]containers.Container
	for time.Since(began) < patience {
		if version, mine, _ = l.ask(l.at, version); ok(mine) {
			return time.Since(began)
		}
		if version == "" {
			time.Sleep(50 * time.Millisecond) // it does not know yet, and does not wait
		}
	}
	l.t.Fatalf("not within %v: %s; the agent says %+v", patience, what, mine)
	return 0
}

func (l *lab) untilState(name, state string) time.Duration {
	l.t.Helper()
	return l.until(name+" is "+state, func(m map[string]containers.Container) bool { return m[name].State == state })
}

// is fails where a container is in another state now.
func (l *lab) is(name, state string) {
	l.t.Helper()
	if _, mine, _ := l.ask(l.at, ""); mine[name].State != state {
		l.t.Errorf("%s is %q, want %q", name, mine[name].State, state)
	}
}

// metric waits until a number of the agent is as it should be.
func (l *lab) metric(name string, ok func(float64) bool) {
	l.t.Helper()
	for _, m := range l.agent.Metrics() {
		if m.Name != name {
			continue
		}
		testenv.Wait(l.t, name+" as it should be", patience, func() bool { return ok(m.Value()) })
		return
	}
	l.t.Fatalf("there is no metric %s", name)
}

func labels(more ...string) map[string]string {
	m := map[string]string{"earshot.enable": "true", "earshot.service": "x"}
	for i := 0; i < len(more); i += 2 {
		m[more[i]] = more[i+1]
	}
	return m
}

// TestContainers follows real containers from start to end, and tells nothing of them
// that is nobody's affair.
func TestContainers(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	secret := "s3cr3t-of-the-test"
	id := l.run("a", deploy.Spec{
		Labels:  labels("other.label", secret, "earshot.route", "/x/*"),
		Env:     map[string]string{"PASSWORD": secret},
		Volumes: []string{t.TempDir() + ":/" + secret},
		Command: []string{"sh", "-c", "sleep 300 # " + secret},
	})
	none := l.run("none", deploy.Spec{Labels: map[string]string{"other.label": "earshot.enable"}})
	l.untilState("a", containers.Running)
	_, mine, body := l.ask(l.at, "")
	if strings.Contains(body, secret) || strings.Contains(body, none[:12]) {
		t.Errorf("the agent says %s", body)
	}
	want, err := l.engine.Inspect(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	a := mine["a"]
	if a.ID != id[:12] || a.Health != containers.None || a.Addresses["bridge"] != want.Addresses["bridge"] || a.Addresses["bridge"] == "" ||
		len(a.Labels) != 3 || a.Labels["earshot.route"] != "/x/*" || time.Since(a.Created) > time.Minute {
		t.Errorf("a = %+v, want %+v", a, want)
	}

	// A signal that does not end it changes nothing. The next event is known to be later.
	if err := l.engine.Kill(t.Context(), id, "SIGHUP"); err != nil {
		t.Fatal(err)
	}
	other := l.run("b", deploy.Spec{Labels: labels()})
	l.untilState("b", containers.Running)
	l.is("a", containers.Running)

	// It is stopping while Docker waits for it, before it is gone.
	stopped := make(chan error, 1)
	began := time.Now()
	go func() { stopped <- l.engine.Stop(context.Background(), id, 3*time.Second) }()
	l.untilState("a", containers.Stopping)
	t.Logf("stopping was seen after %v", time.Since(began))
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("it was seen to be stopping after %v", took)
	}
	l.untilState("a", "")
	if err := <-stopped; err != nil {
		t.Fatal(err)
	}
	if err := l.engine.Start(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	l.untilState("a", containers.Running)

	if err := l.engine.Kill(t.Context(), other, "SIGKILL"); err != nil {
		t.Fatal(err)
	}
	l.untilState("b", "")
	l.is("a", containers.Running)
}

// TestHealth follows what a container's own check says.
func TestHealth(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	id := l.runChecked("checked", "test -e /ready")
	health := func(want string) {
		t.Helper()
		l.until("checked is "+want, func(m map[string]containers.Container) bool { return m["checked"].Health == want })
	}
	health(containers.Unhealthy)
	if _, err := l.engine.Exec(t.Context(), id, "touch", "/ready"); err != nil {
		t.Fatal(err)
	}
	health(containers.Healthy)
	if _, err := l.engine.Exec(t.Context(), id, "rm", "/ready"); err != nil {
		t.Fatal(err)
	}
	health(containers.Unhealthy)
}

// runChecked runs a container with a health check, which Spec has not.
func (l *lab) runChecked(name, check string) (id string) {
	l.t.Helper()
	e := newEngine(DefaultSocket)
	body := fmt.Sprintf(`{"Image":%q,"Cmd":["sleep","300"],"Labels":{"earshot.enable":"true"},
		"Healthcheck":{"Test":["CMD-SHELL",%q],"Interval":200000000,"Timeout":1000000000,"Retries":1}}`, image, check)
	answer, err := e.http.Post("http://docker/containers/create?name="+l.prefix+name, "application/json", strings.NewReader(body))
	if err != nil {
		l.t.Fatal(err)
	}
	defer answer.Body.Close()
	var made struct{ ID string }
	if err := json.NewDecoder(answer.Body).Decode(&made); err != nil || made.ID == "" {
		l.t.Fatalf("%s, %v", answer.Status, err)
	}
	l.t.Cleanup(func() {
		if err := l.engine.Remove(context.Background(), made.ID); err != nil {
			l.t.Error(err)
		}
	})
	if err := l.engine.Start(l.t.Context(), made.ID); err != nil {
		l.t.Fatal(err)
	}
	return made.ID
}

// TestEventsLost cuts the stream of events: what happened meanwhile is known afterwards,
// also that a container was told to end, which the Engine tells in an event only.
func TestEventsLost(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	ends := l.run("ends", deploy.Spec{Labels: labels()})
	stops := l.run("stops", deploy.Spec{Labels: labels()})
	l.untilState("ends", containers.Running)
	l.untilState("stops", containers.Running)

	l.metric("earshot_agent_stale", func(v float64) bool { return v == 0 })
	l.metric("earshot_agent_containers", func(v float64) bool { return v >= 2 }) // others use this Engine too
	l.metric("earshot_agent_lists_total", func(v float64) bool { return v == 1 })
	l.metric("earshot_agent_reconnects_total", func(v float64) bool { return v == 0 })
	l.relay.cut()
	l.metric("earshot_agent_stale", func(v float64) bool { return v == 1 })
	l.metric("earshot_agent_failures_total", func(v float64) bool { return v >= 1 })
	if err := l.engine.Kill(t.Context(), ends, "SIGKILL"); err != nil {
		t.Fatal(err)
	}
	// As process 1 sleep does not hear it, so it stays.
	if err := l.engine.Kill(t.Context(), stops, "SIGTERM"); err != nil {
		t.Fatal(err)
	}
	l.run("new", deploy.Spec{Labels: labels()})
	l.is("ends", containers.Running) // what is known stays
	l.is("stops", containers.Running)
	l.relay.mend()
	l.untilState("new", containers.Running)
	l.untilState("ends", "")
	l.untilState("stops", containers.Stopping)
	l.metric("earshot_agent_stale", func(v float64) bool { return v == 0 })
	l.metric("earshot_agent_lists_total", func(v float64) bool { return v >= 2 })
	l.metric("earshot_agent_reconnects_total", func(v float64) bool { return v >= 1 })
	l.metric("earshot_agent_list_age_seconds", func(v float64) bool { return v < patience.Seconds() })

	// An agent that is new knows it too.
	l.at = l.start(Options{})
	l.untilState("stops", containers.Stopping)
	l.is("new", containers.Running)
}

// TestNews: an answer waits for a change and no longer than it should.
func TestNews(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.run("a", deploy.Spec{Labels: labels()})
	l.untilState("a", containers.Running)
	version, _, _ := l.ask(l.at, "")
	began := time.Now()
	for time.Since(began) < patience {
		asked := time.Now()
		next, _, _ := l.ask(l.at, version)
		if next != version { // others use this Engine too
			version = next
			continue
		}
		if took := time.Since(asked); took < 1900*time.Millisecond || took > 5*time.Second {
			t.Errorf("without a change the answer came after %v, want 2 s", took)
		}
		break
	}
	for query, want := range map[string]int{"?after=no-such": 200, "?before=1": 400, "?after=1&after=2": 400, "?after=%zz": 400, "": 200} {
		answer, err := http.Get(l.at + containers.Path + query)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode != want {
			t.Errorf("%q: %s, want %d", query, answer.Status, want)
		}
	}
}

// TestNoEngine: nothing is said of containers before the Engine was asked.
func TestNoEngine(t *testing.T) {
	a := New(Options{Socket: filepath.Join(t.TempDir(), "none")})
	w := httptest.NewRecorder()
	a.ServeHTTP(w, httptest.NewRequest(http.MethodGet, containers.Path, nil))
	if w.Code != http.StatusServiceUnavailable {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if state, err := a.Ready(t.Context()); err == nil {
		t.Errorf("Ready = %q", state)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	if err := a.Run(ctx); err != nil {
		t.Error(err)
	}
}

// TestSeats: so many wait for a change and no more, and who has been answered makes room.
func TestSeats(t *testing.T) {
	a := New(Options{Wait: time.Hour})
	a.synced = true
	for round := range 2 {
		now, _, _ := a.list()
		ask := func() *httptest.ResponseRecorder {
			w := httptest.NewRecorder()
			a.ServeHTTP(w, httptest.NewRequest(http.MethodGet, containers.Path+"?after="+now.Version, nil))
			return w
		}
		var waiting sync.WaitGroup
		for range maxWaiting {
			waiting.Go(func() {
				if w := ask(); w.Code != http.StatusOK {
					t.Errorf("round %d: who waited got %d %s", round, w.Code, w.Body)
				}
			})
		}
		testenv.Wait(t, "all who wait", patience, func() bool { return len(a.seats) == maxWaiting })
		if w := ask(); w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
			t.Errorf("round %d: one too many got %d %s", round, w.Code, w.Body)
		}
		a.mu.Lock()
		a.publish()
		a.mu.Unlock()
		waiting.Wait()
	}
}

func TestSignalNumber(t *testing.T) {
	for name, want := range map[string]string{
		"": "15", "SIGTERM": "15", "TERM": "15", "SIGQUIT": "3", "sigint": "2", "9": "9", "SIGRTMIN+3": "37", "SIGNONE": "15", "WINCH": "28",
	} {
		if got := signalNumber(name); got != want {
			t.Errorf("signalNumber(%q) = %s, want %s", name, got, want)
		}
	}
}

// relay is a socket that leads to the Engine's, until it is cut.
type relay struct {
	path  string
	mu    sync.Mutex
	whole bool
	conns []net.Conn
}

func newRelay(t *testing.T) *relay {
	r := &relay{path: filepath.Join(t.TempDir(), "docker.sock"), whole: true}
	l, err := net.Listen("unix", r.path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close(); r.cut() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go r.pass(c)
		}
	}()
	return r
}

func (r *relay) pass(c net.Conn) {
	defer c.Close()
	r.mu.Lock()
	whole := r.whole
	r.mu.Unlock()
	if !whole {
		return
	}
	to, err := net.Dial("unix", DefaultSocket)
	if err != nil {
		return
	}
	defer to.Close()
	r.mu.Lock()
	r.conns = append(r.conns, c, to)
	r.mu.Unlock()
	go func() { _, _ = io.Copy(to, c); to.Close() }()
	_, _ = io.Copy(c, to)
}

func (r *relay) cut() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.whole = false
	for _, c := range r.conns {
		c.Close()
	}
	r.conns = nil
}

func (r *relay) mend() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.whole = true
}
