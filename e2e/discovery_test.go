package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/earshot-mq/earshot/deploy"
	"github.com/earshot-mq/earshot/internal/testenv"
)

// fleet is containers with labels, an agent that tells of them and a gateway that finds
// them; the last two are processes of this machine.
type fleet struct {
	t      *testing.T
	engine *deploy.Engine
	run    string // part of all names
	dir    string // with the program that the containers run
	agent  func() *output
	gw     *instance
	file   string // the gateway's
}

func newFleet(t *testing.T) *fleet {
	t.Helper()
	const image = "debian:bookworm-slim"
	f := &fleet{t: t, engine: engine(t), run: fmt.Sprintf("%08x", rand.Uint32())}
	if _, err := f.engine.Image(t.Context(), image); errors.Is(err, deploy.ErrNotFound) {
		testenv.Missing(t, "the image "+image+" is not there: .ci/base-images makes it")
	}
	var err error
	if f.dir, err = os.MkdirTemp("", "earshot"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(f.dir) })
	build := exec.Command("go", "build", "-o", filepath.Join(f.dir, "replica"), "./testdata/replica")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if err := os.Chmod(f.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	at := "127.0.0.1:" + freePort(t)
	f.agent = func() *output { return start(t, command("docker-agent", "--agent-listen", at)) }
	f.file = filepath.Join(f.dir, "earshot.yaml")
	if err := os.WriteFile(f.file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	f.gw = newInstance(t, []string{"gateway"}, "--config", f.file, "--discover-docker-agent", "http://"+at, "--discover-docker-network", "bridge")
	return f
}

// labels are those of a service whose route is /RUN/SERVICE/*.
func (f *fleet) labels(service string, more ...string) map[string]string {
	l := map[string]string{
		"earshot.enable": "true", "earshot.service": service + "-" + f.run, "earshot.port": "8080",
		"earshot.route": "/" + f.run + "/" + service + "/*",
	}
	for i := 0; i < len(more); i += 2 {
		l[more[i]] = more[i+1]
	}
	return l
}

// add starts a container.
func (f *fleet) add(name string, labels map[string]string) (id string) {
	f.t.Helper()
	id, err := f.engine.Run(f.t.Context(), deploy.Spec{
		Image: "debian:bookworm-slim", Name: "earshot-e2e-" + f.run + "-" + name, Labels: labels,
		Volumes: []string{f.dir + ":/srv:ro"}, Command: []string{"/srv/replica"},
	})
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { removeContainer(f.t, f.engine, id) })
	return id
}

func (f *fleet) url(service string) string { return f.gw.http + "/" + f.run + "/" + service + "/" }

// until waits until the service answers as wanted.
func (f *fleet) until(service string, status int) {
	f.t.Helper()
	testenv.Wait(f.t, fmt.Sprintf("%d of %s", status, service), 20*time.Second, func() bool {
		resp, err := http.Get(f.url(service))
		if err != nil {
			return false
		}
		resp.Body.Close()
		return resp.StatusCode == status
	})
}

// health is what the gateway says of its containers.
func (f *fleet) health() string {
	resp, err := http.Get("http://" + f.gw.admin + "/readyz")
	if err != nil {
		return err.Error()
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(resp.Body)
	return string(b)
}

// crowd asks a service from several clients until told to stop, and counts who answered.
type crowd struct {
	mu     sync.Mutex
	by     map[string]int // answers of each container
	failed []string
	stop   chan struct{}
	all    sync.WaitGroup
}

// newCrowd begins to ask, with GET and POST; a URL with a query with GET only.
func newCrowd(url string) *crowd {
	c := &crowd{by: map[string]int{}, stop: make(chan struct{})}
	posts := !strings.Contains(url, "?")
	for i := range 8 {
		c.all.Go(func() {
			client := &http.Client{Transport: &http.Transport{}, Timeout: 20 * time.Second}
			defer client.CloseIdleConnections()
			for {
				select {
				case <-c.stop:
					return
				default:
					c.ask(client, url, posts && i%2 == 0)
				}
			}
		})
	}
	return c
}

func (c *crowd) ask(client *http.Client, url string, post bool) {
	method, text := http.MethodGet, ""
	if post {
		method, text = http.MethodPost, "x"
	}
	q, err := http.NewRequest(method, url, strings.NewReader(text))
	if err != nil {
		panic(err)
	}
	resp, err := client.Do(q)
	var b []byte
	if err == nil {
		b, err = io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			err = fmt.Errorf("%s: %s", resp.Status, b)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		c.failed = append(c.failed, time.Now().Format("05.000")+" "+method+": "+err.Error())
		return
	}
	c.by[string(b)]++
}

// counts are the answers of each container until now.
func (c *crowd) counts() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.by)
}

// answering waits until all of these containers, and no others, answer.
func (c *crowd) answering(t *testing.T, ids ...string) {
	t.Helper()
	var want []string
	for _, id := range ids {
		want = append(want, id[:12])
	}
	slices.Sort(want)
	var got []string
	testenv.Wait(t, fmt.Sprintf("answers of %v", want), 20*time.Second, func() bool {
		before := c.counts()
		time.Sleep(200 * time.Millisecond) // who answers in this while
		got = nil
		for id, n := range c.counts() {
			if n > before[id] {
				got = append(got, id)
			}
		}
		slices.Sort(got)
		return slices.Equal(got, want)
	})
}

// end ends the load; nothing may have failed.
func (c *crowd) end(t *testing.T) {
	t.Helper()
	close(c.stop)
	c.all.Wait()
	n := 0
	for _, k := range c.by {
		n += k
	}
	t.Logf("%d answers: %v", n, c.by)
	if len(c.failed) > 0 {
		t.Errorf("%d of %d requests failed; the first: %v", len(c.failed), n+len(c.failed), c.failed[:min(len(c.failed), 5)])
	}
}

// TestDiscoveryScale scales a service from one container to three and back while it is
// asked without a pause: no request fails. The agent is killed in between.
func TestDiscoveryScale(t *testing.T) {
	if testing.Short() {
		testenv.Skip(t, "the container tests: they take a while")
	}
	t.Parallel()
	f := newFleet(t)
	agent := f.agent()
	first := f.add("1", f.labels("a"))
	f.gw.start()
	f.until("a", http.StatusOK)
	if resp, err := http.Get(f.gw.http + "/elsewhere"); err != nil || resp.StatusCode != http.StatusNotFound {
		t.Errorf("/elsewhere: %v, %v", resp, err)
	}

	c := newCrowd(f.url("a"))
	c.answering(t, first)
	second, third := f.add("2", f.labels("a")), f.add("3", f.labels("a"))
	c.answering(t, first, second, third)

	// While there is no agent the gateway goes on with what it knows, and afterwards with
	// what is.
	_ = agent.signal(syscall.SIGKILL)
	testenv.Wait(t, "word of the agent", 10*time.Second, func() bool { return strings.Contains(f.health(), "the Docker agent is away") })
	c.answering(t, first, second, third)
	fourth := f.add("4", f.labels("a"))
	f.agent()
	c.answering(t, first, second, third, fourth)

	for _, id := range []string{first, third, fourth} {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		if err := f.engine.Stop(ctx, id, 10*time.Second); err != nil {
			t.Error(err)
		}
		cancel()
	}
	c.answering(t, second)
	c.end(t)
}

// TestDiscoveryFaults: a container with labels that are wrong is refused by name and the
// rest serves on; one that is killed is gone.
func TestDiscoveryFaults(t *testing.T) {
	if testing.Short() {
		testenv.Skip(t, "the container tests: they take a while")
	}
	t.Parallel()
	f := newFleet(t)
	f.agent()
	good := f.add("good", f.labels("good"))
	f.gw.start()
	f.until("good", http.StatusOK)

	bad := f.add("bad", f.labels("bad", "earshot.rout.x", "/x"))
	f.add("twin", f.labels("twin", "earshot.route", "/"+f.run+"/good/*"))
	f.add("quiet", map[string]string{"earshot.service": "quiet-" + f.run, "earshot.port": "8080", "earshot.route": "/" + f.run + "/quiet/*"})
	for _, want := range []string{
		"earshot-e2e-" + f.run + `-bad: unknown label \"earshot.rout.x\"`,
		"earshot-e2e-" + f.run + `-twin: earshot.route: \"/` + f.run + `/good/*\" takes the same requests as good-` + f.run,
	} {
		testenv.Wait(t, want, 20*time.Second, func() bool { return strings.Contains(f.health(), want) })
	}
	f.until("good", http.StatusOK)
	f.until("bad", http.StatusNotFound)
	f.until("quiet", http.StatusNotFound)
	// Another file leaves what was found.
	f.gw.rewrite(f.file, "upstreams: {dir: {static: "+f.dir+"}}\nroutes: [{path: /replica, upstream: dir}]\n")
	f.gw.says("/metrics", "earshot_config_reloads_total 1\n")
	if file, found := status(t, f.gw.http+"/replica"), status(t, f.url("good")); file != http.StatusOK || found != http.StatusOK {
		t.Errorf("with another file its route gives %d, that of the labels %d", file, found)
	}
	if err := f.engine.Remove(t.Context(), bad); err != nil {
		t.Fatal(err)
	}
	testenv.Wait(t, "no word of bad", 20*time.Second, func() bool { return !strings.Contains(f.health(), f.run+"-bad") })
	if err := f.engine.Kill(t.Context(), good, "SIGKILL"); err != nil {
		t.Fatal(err)
	}
	f.until("good", http.StatusBadGateway) // it is known, and may come back
	if err := f.engine.Start(t.Context(), good); err != nil {
		t.Fatal(err)
	}
	f.until("good", http.StatusOK)
}

// composeLabels brings up the overlay as an operator does, with the agent in its own
// container, and scales the labelled service under load.
func composeLabels(t *testing.T, e *deploy.Engine, tag string, program ...string) {
	info, err := os.Stat("/var/run/docker.sock")
	if err != nil {
		testenv.Missing(t, "the Docker socket at its usual place: "+err.Error())
	}
	p := newProject(t, e, root, tag, program)
	more := filepath.Join(t.TempDir(), "more.yml")
	text := fmt.Sprintf("services:\n  docker-agent: {image: %q, healthcheck: {interval: 3s}}\n  wordcount: {image: %q, healthcheck: {interval: 3s}}\n", tag, tag)
	if err := os.WriteFile(more, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	p.args = append(p.args, "--file", filepath.Join(root, "deploy", "docker-labels.yml"), "--file", more)
	p.env = append(p.env, fmt.Sprintf("DOCKER_GID=%d", info.Sys().(*syscall.Stat_t).Gid))
	up := func(n string) {
		p.run("up", "-d", "--no-build", "--no-recreate", "--scale", "wordcount="+n, "gateway", "subscriber", "docker-agent", "wordcount")
	}
	up("1")
	url := p.http + "/wordcount/?text=to+be"
	testenv.Wait(t, "an answer", time.Minute, func() bool { _, err := get(url); return err == nil })
	p.healthy("docker-agent", "subscriber")
	for _, service := range []string{"gateway", "subscriber"} {
		if out, err := p.exec(service, "ls", "/var/run/docker.sock"); err == nil {
			t.Errorf("the %s has the socket: %s", service, out)
		}
	}
	if out, err := p.exec("docker-agent", "id", "-u"); err != nil || out != "65532" {
		t.Errorf("the agent's user is %q, %v", out, err)
	}
	if out, err := p.exec("subscriber", "printenv", "EARSHOT_SUBSCRIBER_CONNECT"); err != nil || strings.Contains(out, "wordcount") {
		t.Errorf("the subscriber is told where wordcount is: %q, %v", out, err)
	}
	if out, err := p.exec("gateway", "earshot", "explain", "GET", "/wordcount/"); err != nil || !strings.Contains(out, "upstream wordcount: found by labels") {
		t.Errorf("explain: %v\n%s", err, out)
	}
	stop := make(chan struct{})
	a := ask(p.http+"/wordcount/?text=", 3, stop)
	enough := func(replicas int) {
		t.Helper()
		began := a.Count()
		testenv.Wait(t, fmt.Sprintf("answers of %d replicas", replicas), time.Minute, func() bool {
			return a.Count() > began+300 && a.streams(`{"words":`) >= replicas
		})
	}
	enough(1)
	up("3")
	p.healthy("wordcount")
	enough(3)
	a.logged(t, time.Minute, p.logged)
	up("1")
	enough(3)
	close(stop)
	a.wait()
	a.logged(t, time.Minute, p.logged)
	for _, got := range a.Whole() {
		if !strings.HasPrefix(got.Body, `{"words":`) {
			t.Errorf("%s: the answer is %s", got.Record, got.Body)
		}
	}
	if a.Cut() > 0 {
		t.Errorf("%d requests failed", a.Cut())
	}
	p.run("stop")
	dir := t.TempDir()
	if err := e.Copy(within(t, time.Minute), p.container("subscriber").ID, "/data", dir); err != nil {
		t.Fatal(err)
	}
	oracle(t, a, filepath.Join(dir, "data", "store"), filepath.Join(dir, "data", "logs"))
}
