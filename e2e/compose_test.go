package e2e_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/earshot-mq/earshot/deploy"
	"github.com/earshot-mq/earshot/internal/testenv"
)

// project is docker-compose.yml as it stands, with ports, an image and a name of this
// run, so that several runs do not meet.
type project struct {
	t    *testing.T
	e    *deploy.Engine
	name string
	args []string // of compose: the program and what stands before its command
	env  []string
	http string
	text string // the subscriber's text feed

	stale bool // the Engine does not let go of a network
}

// containers are the services of docker-compose.yml.
var containers = []string{
	"gateway", "subscriber", "downcase", "products", "merchants", "offers", "prices", "payments",
	"inventory", "reviews", "recommendations", "orders",
}

// override is what the test needs beside docker-compose.yml: the image that is built
// already, records that can be told apart, and health checks that do not take long.
func override(tag string) []byte {
	text := []byte("services:\n")
	for _, name := range containers {
		text = fmt.Appendf(text, "  %s: {image: %q, healthcheck: {interval: 3s}, environment: {%s}}\n", name, tag, map[string]string{
			"gateway":    `EARSHOT_RECORD_EXPOSE: "true"`,
			"subscriber": "EARSHOT_SUBSCRIBER_FORMAT: json",
		}[name])
	}
	return text
}

// combined runs a program and returns what it prints.
func combined(t *testing.T, limit time.Duration, env []string, args ...string) ([]byte, error) {
	t.Helper()
	// Not t.Context(): it is over when the cleanups run.
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Env, cmd.WaitDelay = append(os.Environ(), env...), 5*time.Second
	return cmd.CombinedOutput()
}

// newProject names a project, whose paths begin at dir; nothing of it is there yet. At the end nothing is left.
func newProject(t *testing.T, e *deploy.Engine, dir, tag string, compose []string) *project {
	t.Helper()
	file := filepath.Join(t.TempDir(), "override.yml")
	if err := os.WriteFile(file, override(tag), 0o644); err != nil {
		t.Fatal(err)
	}
	p := &project{t: t, e: e, name: fmt.Sprintf("earshot-e2e-%08x", rand.Uint32())}
	p.args = append(compose, "--project-directory", dir, "--project-name", p.name,
		"--file", filepath.Join(root, "docker-compose.yml"), "--file", file)
	port := freePort(t)
	p.http, p.env = "http://127.0.0.1:"+port, []string{"PORT=" + port}
	for _, name := range []string{"ADMIN_PORT", "RECORD_PORT", "REPLAY_PORT"} {
		p.env = append(p.env, name+"="+freePort(t))
	}
	text := freePort(t)
	// Engine 20.10 can deadlock when many containers end while it is asked for their network
	// (libnetwork's processEndpointDelete against FindNetwork), and does nothing any more then.
	p.text, p.env = "tcp://127.0.0.1:"+text, append(p.env, "TEXT_PORT="+text)
	if len(compose) > 1 { // docker-compose 1.29 itself can wait for ever with a low limit
		p.env = append(p.env, "COMPOSE_PARALLEL_LIMIT=4")
	}
	t.Cleanup(p.remove)
	return p
}

// run runs a command of compose.
func (p *project) run(args ...string) {
	p.t.Helper()
	if out, err := combined(p.t, 3*time.Minute, p.env, append(p.args, args...)...); err != nil {
		p.t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// down takes the containers down. An Engine may then count an endpoint of a network that no
// container has (moby issue 42119), and does so until it is started anew: with that this test
// has nothing to do, but it says so and looks that no container is left.
func (p *project) down(args ...string) {
	p.t.Helper()
	out, err := combined(p.t, 3*time.Minute, p.env, append(p.args, append([]string{"down"}, args...)...)...)
	if p.stale = p.stale || bytes.Contains(out, []byte("has active endpoints")); err != nil && !p.stale {
		p.t.Fatalf("down: %v\n%s", err, out)
	}
	if all, err := p.e.List(p.t.Context(), map[string]string{"com.docker.compose.project": p.name}); err != nil || len(all) > 0 {
		p.t.Fatalf("after down there are %v, %v", all, err)
	}
	if p.stale {
		p.t.Logf("the Engine holds a network of containers that are gone: %s", out)
	}
}

// remove takes everything down, whatever state it is in.
func (p *project) remove() {
	if p.t.Failed() {
		out, _ := combined(p.t, 30*time.Second, p.env, append(p.args, "logs", "--no-color", "--tail", "40")...)
		p.t.Logf("the containers printed:\n%s", out)
	}
	out, err := combined(p.t, 90*time.Second, p.env, append(p.args, "down", "--volumes", "--remove-orphans", "--timeout", "1")...)
	if p.stale { // compose gives up before the volumes
		out, err = combined(p.t, time.Minute, nil, "docker", "volume", "prune", "--force", "--filter", "label=com.docker.compose.project="+p.name)
	}
	if err != nil {
		p.t.Errorf("down: %v\n%s", err, out)
	}
}

// replicas are the containers of a service.
func (p *project) replicas(service string) []deploy.Container {
	p.t.Helper()
	all, err := p.e.List(p.t.Context(), map[string]string{"com.docker.compose.project": p.name, "com.docker.compose.service": service})
	if err != nil {
		p.t.Fatal(err)
	}
	return all
}

// container is the one of a service.
func (p *project) container(service string) deploy.Container {
	p.t.Helper()
	all := p.replicas(service)
	if len(all) != 1 {
		p.t.Fatalf("%s has %d containers, want 1", service, len(all))
	}
	return all[0]
}

// healthy waits until the Engine finds all containers of the services healthy.
func (p *project) healthy(services ...string) {
	p.t.Helper()
	for _, service := range services {
		for _, c := range p.replicas(service) {
			if err := p.e.WaitHealthy(within(p.t, 2*time.Minute), c.ID); err != nil {
				p.t.Fatalf("%s: %v", service, err)
			}
		}
	}
}

// exec runs a command in the container of a service.
func (p *project) exec(service string, command ...string) (string, error) {
	out, err := p.e.Exec(within(p.t, 20*time.Second), p.container(service).ID, command...)
	return string(bytes.TrimSpace(out)), err
}

// composeBuilds asks that docker-compose makes of the folder what Build has made of it:
// both send the same files, and the builder has done everything already.
func composeBuilds(t *testing.T, e *deploy.Engine, dir, tag string, program ...string) {
	version, err := combined(t, 20*time.Second, nil, append(program, "version", "--short")...)
	if err != nil {
		t.Fatalf("version: %v\n%s", err, version)
	}
	if !bytes.HasPrefix(version, []byte("1.")) {
		testenv.Skip(t, fmt.Sprintf("docker-compose 1.29 not found, only %s, which builds with BuildKit", bytes.TrimSpace(version)))
	}
	other := tag + "-compose"
	p := newProject(t, e, dir, other, program)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := e.RemoveImage(ctx, other); err != nil {
			t.Error(err)
		}
	})
	if out, err := combined(t, 8*time.Minute, p.env, append(p.args, "build", "--build-arg", "VERSION=e2e")...); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	want, err := e.Image(t.Context(), tag)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := e.Image(t.Context(), other); err != nil || got.ID != want.ID {
		t.Errorf("docker-compose made %s, want %s: %v", got.ID, want.ID, err)
	}
}

// shops has one shop at a time: with two that are torn down together Engine 20.10 was once
// left with a network that it would not remove.
var shops sync.Mutex

// compose brings docker-compose.yml up, looks at it, does to it under load what an operator
// or bad luck does, and takes it down.
func compose(t *testing.T, e *deploy.Engine, tag string, program ...string) {
	shops.Lock()
	defer shops.Unlock()
	p := newProject(t, e, root, tag, program)
	p.run("up", "-d", "--no-build")
	p.healthy(containers...)
	p.isHardened()
	p.isPrivate()
	p.publishesOnLoopback()
	p.pages()

	p.idles()
	p.missesOne()

	seed := rand.Uint64()
	t.Logf("killed in the order of seed %d", seed)
	stop := make(chan struct{})
	a := load(p.http, 3, stop)
	pages := a.pages(p.http, stop)
	p.enough(a)
	kill := slices.Clone(containers)
	rand.New(rand.NewPCG(seed, 0)).Shuffle(len(kill), func(i, j int) { kill[i], kill[j] = kill[j], kill[i] })
	for three := range slices.Chunk(kill, 3) {
		p.run(append([]string{"kill"}, three...)...)
		p.run(append([]string{"start"}, three...)...)
		p.healthy(three...)
		p.enough(a)
	}
	p.run(append([]string{"restart"}, kill[:4]...)...)
	p.enough(a)
	p.run("up", "-d", "--no-build", "--no-recreate", "--scale", "downcase=3")
	p.healthy("downcase")
	testenv.Wait(t, "answers of three replicas", time.Minute, func() bool { return a.streams("lower case of ") >= 3 })
	p.run("up", "-d", "--no-build", "--no-recreate", "--scale", "downcase=1")
	p.enough(a)
	for range either(10, 3) {
		p.run("up", "-d", "--no-build", "--force-recreate")
		p.healthy(containers...)
		p.enough(a)
	}
	p.down()
	p.run("up", "-d", "--no-build")
	p.healthy(containers...)
	p.enough(a)
	close(stop)
	a.wait()
	pages()
	dir := t.TempDir()
	a.logged(t, time.Minute, p.logged)

	p.run("stop")
	for _, service := range containers {
		if c, err := e.Inspect(t.Context(), p.container(service).ID); err != nil || c.State != "exited" || c.Exit != 0 {
			t.Errorf("%s after stop: %s, exit code %d, %v", service, c.State, c.Exit, err)
		}
	}
	if err := e.Copy(within(t, time.Minute), p.container("subscriber").ID, "/data", dir); err != nil {
		t.Fatal(err)
	}
	oracle(t, a, filepath.Join(dir, "data", "store"), filepath.Join(dir, "data", "logs"))

	p.down("--volumes")
	p.isGone()
}

// pages asks for the page in its three views, and for a classic client at the one address
// that has the answers of all services.
func (p *project) pages() {
	p.t.Helper()
	for _, view := range []string{"web", "mobile", "api"} {
		at := p.http + "/" + view + "/v1/products/iphone-16-128?customer=c1001"
		testenv.Wait(p.t, "the whole page for "+view, 30*time.Second, func() bool {
			page, err := get(at)
			return err == nil && strings.Contains(page, `"iphone-16-128"`) && !strings.Contains(page, `"missing"`)
		})
	}
	// A frame of one that answers in plain text, and one of the merchant's.
	hears(p.t, p.text, p.http+"/downcase/?param=HELLO", "lower case of HELLO is hello")
}

// pages asks for pages, no two of them the same, until stop is closed; wait waits for its end.
func (a *answers) pages(base string, stop <-chan struct{}) (wait func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		a.Loop(&http.Client{Timeout: 10 * time.Second}, stop, func(n int) (string, string) {
			view := []string{"web", "mobile", "api"}[n%3]
			return fmt.Sprintf("%s/%s/v1/products/iphone-16-128?customer=c1001&n=%d", base, view, n), ""
		})
	}()
	return func() { <-done }
}

// streams counts the streams that answers beginning with prefix came from.
func (a *answers) streams(prefix string) int {
	seen := map[string]bool{}
	for _, got := range a.Whole() {
		if stream, _, ok := strings.Cut(got.Record, "/"); ok && strings.HasPrefix(got.Body, prefix) {
			seen[stream] = true
		}
	}
	return len(seen)
}

// enough waits for some hundred further answers of downcase.
func (p *project) enough(a *answers) {
	p.t.Helper()
	before := a.ofDowncase()
	testenv.Wait(p.t, "answers of downcase", time.Minute, func() bool { return a.ofDowncase() > before+200 })
}

// ofDowncase counts the answers that downcase made; while it is down they are the
// gateway's.
func (a *answers) ofDowncase() (n int) {
	for _, got := range a.Whole() {
		if strings.HasPrefix(got.Body, "lower case of ") {
			n++
		}
	}
	return n
}

// logged is the ids in the log files of the subscriber's container, copied here. Each look
// has a folder of its own: what is there already is not overwritten.
func (p *project) logged() map[string]int {
	dir := p.t.TempDir()
	defer os.RemoveAll(dir)
	if err := p.e.Copy(within(p.t, time.Minute), p.container("subscriber").ID, "/data/logs", dir); err != nil {
		p.t.Fatal(err)
	}
	return logIDs(p.t, filepath.Join(dir, "logs"))
}

// idles asks what all containers together need while there is nothing to do.
func (p *project) idles() {
	p.t.Helper()
	var total uint64
	for _, service := range containers {
		n, err := p.e.Memory(p.t.Context(), p.container(service).ID)
		if err != nil {
			p.t.Fatal(err)
		}
		total += n
	}
	p.t.Logf("%d containers use %d MB of memory", len(containers), total/1e6)
	if total > 300e6 {
		p.t.Errorf("the containers use %d bytes of memory, want at most 300 MB", total)
	}
}

// missesOne asks for the page without the service that recommends: it costs the page what
// is recommended, and the page says so.
func (p *project) missesOne() {
	p.t.Helper()
	p.run("kill", "recommendations")
	page, err := get(p.http + "/web/v1/products/iphone-16-128")
	if err != nil || !strings.Contains(page, `"iphone-16-128"`) || !strings.Contains(page, `"missing":[{"part":"together"`) {
		p.t.Errorf("without recommendations the page is %s, %v", page, err)
	}
	p.run("start", "recommendations")
	p.healthy("recommendations")
}

// isHardened asks inside of the containers what they may do.
func (p *project) isHardened() {
	p.t.Helper()
	for service, memory := range map[string]string{"gateway": "268435456", "subscriber": "268435456", "downcase": "134217728", "orders": "134217728"} {
		if id, err := p.exec(service, "id", "-u"); err != nil || id == "0" || id == "" {
			p.t.Errorf("%s runs as user %q, %v", service, id, err)
		}
		if out, err := p.exec(service, "touch", "/usr/local/bin/x", "/tmp/x"); err == nil || !strings.Contains(err.Error(), "Read-only file system") {
			p.t.Errorf("%s can write to its root: %q, %v", service, out, err)
		}
		status, err := p.exec(service, "cat", "/proc/1/status")
		for _, want := range []string{"NoNewPrivs:\t1", "CapEff:\t0000000000000000", "CapBnd:\t0000000000000000"} {
			if err != nil || !strings.Contains(status, want) {
				p.t.Errorf("%s has capabilities or may get them, want %q: %v\n%s", service, want, err, status)
			}
		}
		const limit = "cat /sys/fs/cgroup/memory.max 2>/dev/null || cat /sys/fs/cgroup/memory/memory.limit_in_bytes"
		if got, err := p.exec(service, "sh", "-c", limit); err != nil || got != memory {
			p.t.Errorf("%s may use %s bytes of memory, want %s: %v", service, got, memory, err)
		}
	}
}

// isPrivate asks the Engine for the networks: nobody outside reaches downcase, nor it
// anybody.
func (p *project) isPrivate() {
	p.t.Helper()
	networks, err := p.e.Networks(p.t.Context(), map[string]string{"com.docker.compose.project": p.name})
	back := deploy.Network{Name: p.name + "_back", Internal: true}
	if err != nil || !slices.Contains(networks, back) {
		p.t.Errorf("networks %+v, %v: want %+v among them", networks, err, back)
	}
	at := p.container("downcase").Addresses
	if len(at) != 1 || at[back.Name] == "" {
		p.t.Errorf("downcase has the addresses %v, want one in %s", at, back.Name)
	}
}

// publishesOnLoopback asks the Engine what can be reached from the host.
func (p *project) publishesOnLoopback() {
	p.t.Helper()
	for service, want := range map[string]int{"gateway": 1, "subscriber": 4, "downcase": 0, "orders": 0} {
		c, err := p.e.Inspect(p.t.Context(), p.container(service).ID)
		if err != nil || len(c.Ports) != want {
			p.t.Errorf("%s publishes %v, want %d ports: %v", service, c.Ports, want, err)
		}
		for port, at := range c.Ports {
			if len(at) != 1 || !strings.HasPrefix(at[0], "127.0.0.1:") {
				p.t.Errorf("%s publishes %s at %v, want loopback only", service, port, at)
			}
		}
	}
}

// isGone asks that nothing of the project is left.
func (p *project) isGone() {
	p.t.Helper()
	of := map[string]string{"com.docker.compose.project": p.name}
	containers, err := p.e.List(p.t.Context(), of)
	if err != nil {
		p.t.Fatal(err)
	}
	volumes, err := p.e.Volumes(p.t.Context(), of)
	if err != nil {
		p.t.Fatal(err)
	}
	networks, err := p.e.Networks(p.t.Context(), of)
	if err != nil {
		p.t.Fatal(err)
	}
	if p.stale {
		volumes, networks = nil, nil // remove takes the volumes
	}
	if len(containers)+len(volumes)+len(networks) > 0 {
		p.t.Errorf("after down: containers %v, volumes %v, networks %v", containers, volumes, networks)
	}
}
