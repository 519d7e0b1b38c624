package gateway

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/earshot-mq/earshot/internal/containers"
	"github.com/earshot-mq/earshot/internal/docker"
	"github.com/earshot-mq/earshot/internal/metric"
	"github.com/earshot-mq/earshot/internal/testenv"
)

// container makes one of labels in lines, "service=x"; its address is in the network
// back. It is as old as n is small.
func container(n int, lines string) containers.Container {
	c := containers.Container{
		ID: fmt.Sprintf("%012x", n), Name: fmt.Sprintf("c%d", n), Created: time.Unix(int64(n), 0),
		State: containers.Running, Health: containers.None,
		Labels:    map[string]string{"earshot.enable": "true", "earshot.port": "8080", "earshot.service": "x", "earshot.route": "/x/*"},
		Addresses: map[string]string{"shop_back": fmt.Sprintf("192.0.2.%d", n), "front": "198.51.100.1"},
	}
	for line := range strings.FieldsSeq(lines) {
		name, value, _ := strings.Cut(line, "=")
		c.Labels["earshot."+name] = value
		switch {
		case name == "state":
			c.State = value
			delete(c.Labels, "earshot.state")
		case name == "check":
			c.Health = value
			delete(c.Labels, "earshot.check")
		case value == "":
			delete(c.Labels, "earshot."+name)
		}
	}
	return c
}

// fileTable has the upstream file and the route /file of it.
func fileTable(t *testing.T) *Table {
	return tableOf(t, "upstreams: {file: {url: 'http://127.0.0.1:1'}}\nroutes: [{path: /file, upstream: file}]\n")
}

// show is what a table has of labels, and what is wrong.
func show(t *Table, problems []docker.Problem) string {
	var b strings.Builder
	for _, r := range t.routes {
		if u := t.upstreams[r.Upstream]; u.found {
			fmt.Fprintf(&b, "%s -> %s %v\n", r, r.Upstream, u.replicas)
		}
	}
	for _, p := range problems {
		fmt.Fprintln(&b, p)
	}
	return b.String()
}

// merge is what a file and the containers in the network back give together.
func merge(file *Table, m *memory, all []containers.Container, now time.Time) (*Table, []docker.Problem) {
	members, refused := docker.Read(all, "back")
	found, problems := gather(members)
	table, conflicts := file.with(m.keep(found, now))
	return table, slices.Concat(refused, problems, conflicts)
}

// TestFound has lists of containers, and the routes and errors that they give.
func TestFound(t *testing.T) {
	for name, c := range map[string]struct {
		all  []string // labels of containers, the first is the oldest
		want string
	}{
		"one":      {[]string{""}, "/x/* -> x [192.0.2.1:8080]\n"},
		"replicas": {[]string{"", "port=81", ""}, "/x/* -> x [192.0.2.1:8080 192.0.2.2:81 192.0.2.3:8080]\n"},
		"two services": {
			[]string{"service=b route=/b", "service=a route=/a methods=GET route.h=/h route.h.host=*.example"},
			"/b -> b [192.0.2.1:8080]\nGET /a -> a [192.0.2.2:8080]\n*.example/h -> a [192.0.2.2:8080]\n",
		},
		"not all serve": {
			[]string{"state=stopping", "check=unhealthy", "state=paused", "state=restarting", "check=starting", "check=healthy"},
			"/x/* -> x [192.0.2.6:8080]\n",
		},
		"all are starting": {[]string{"check=starting", "check=starting"}, "/x/* -> x [192.0.2.1:8080 192.0.2.2:8080]\n"},
		"none serves":      {[]string{"state=stopping", "check=unhealthy"}, "/x/* -> x []\n"},
		"one is wrong": {
			[]string{"rotue=/y", ""},
			"/x/* -> x [192.0.2.2:8080]\nc1: unknown label \"earshot.rotue\"; did you mean \"earshot.route\"?\n",
		},
		"wrong values": {
			[]string{"health=readyz", "balance=p3c", "records=none", "route=x", "methods=get", "host=:80", "strip-prefix=/y", "service=a/b", "body=10MB", "route.b=/x/*"},
			"c1: earshot.health: path: want a path such as /readyz, got \"readyz\"\n" +
				"c2: earshot.balance: unknown value \"p3c\"; did you mean \"p2c\"?\n" +
				"c3: earshot.records: unknown value \"none\"; known: gateway, service\n" +
				"c4: earshot.route: path: \"x\" does not begin with \"/\"\n" +
				"c5: earshot.route: methods[0]: unknown method \"get\"; did you mean \"GET\"?\n" +
				"c6: earshot.route: host: is without a port and a closing dot\n" +
				"c7: earshot.route: strip-prefix: \"/y\" is not the beginning of the path \"/x/*\"\n" +
				"c8: earshot.service: \"a/b\" is not made of letters, digits, - and _\n" +
				"c9: earshot.route: body: a record has at most 64KiB of a body, got 10MB\n" +
				"c10: earshot.route.b: \"/x/*\" takes the same requests as x earshot.route\n",
		},
		"not enabled": {[]string{"enable=false", "enable="}, ""},
		"the same route": {
			[]string{"service=b", "service=a route.own=/own"},
			"/x/* -> b [192.0.2.1:8080]\n/own -> a [192.0.2.2:8080]\n" +
				"c2: earshot.route: \"/x/*\" takes the same requests as b earshot.route, \"/x/*\", which was there before\n",
		},
		"a route of the file": {
			[]string{"route=/file route.own=/own"},
			"/own -> x [192.0.2.1:8080]\nc1: earshot.route: \"/file\" takes the same requests as routes[0] of the file, \"/file\", which counts\n",
		},
		"an upstream of the file": {
			[]string{"service=file", "service=file"},
			"c1: earshot.service: the file has an upstream \"file\", which counts\nc2: earshot.service: the file has an upstream \"file\", which counts\n",
		},
		"replicas that differ": {
			[]string{"", "route=/new"},
			"/x/* -> x [192.0.2.1:8080 192.0.2.2:8080]\nc2: is a replica of x, but has other labels than c1, which is older and counts\n",
		},
		"the older is stopping": {[]string{"state=stopping", "route=/new"}, "/new -> x [192.0.2.2:8080]\n"},
	} {
		t.Run(name, func(t *testing.T) {
			var all []containers.Container
			for i, lines := range c.all {
				all = append(all, container(i+1, lines))
			}
			table, problems := merge(fileTable(t), newMemory(), all, time.Now())
			if got := show(table, problems); got != c.want {
				t.Errorf("got\n%swant\n%s", got, c.want)
			}
			if r := table.Match("GET", "", "/file").Route; r == nil || r.Upstream != "file" {
				t.Errorf("/file leads to %v", r)
			}
		})
	}
}

// TestMemory: who had a route first keeps it, also when its containers are made anew, and
// a service that has gone has its routes, without replicas, for a minute.
func TestMemory(t *testing.T) {
	file, memory, now := fileTable(t), newMemory(), time.Now()
	step := func(name, want string, after time.Duration, all ...containers.Container) {
		t.Helper()
		now = now.Add(after)
		table, problems := merge(file, memory, all, now)
		if got := show(table, problems); got != want {
			t.Errorf("%s: got\n%swant\n%s", name, got, want)
		}
	}
	refused := "c2: earshot.route: \"/x/*\" takes the same requests as b earshot.route, \"/x/*\", which was there before\n"
	step("first", "/x/* -> b [192.0.2.1:8080]\n", 0, container(1, "service=b"))
	step("second", "/x/* -> b [192.0.2.1:8080]\n"+refused, 0, container(1, "service=b"), container(2, "service=a"))
	step("gone", "/x/* -> b []\n"+refused, time.Hour, container(2, "service=a"))
	step("made anew", "/x/* -> b [192.0.2.3:8080]\n"+refused, 59*time.Second, container(3, "service=b"), container(2, "service=a"))
	step("gone again", "/x/* -> b []\n"+refused, time.Second, container(2, "service=a"))
	step("for good", "/x/* -> a [192.0.2.2:8080]\n", time.Minute, container(2, "service=a"))
	step("both", "/x/* -> a []\n", time.Second)
	step("all", "", time.Minute)
}

// toldAgent is an agent that says what the test does. Without a list it fails.
type toldAgent struct {
	*httptest.Server
	mu      sync.Mutex
	list    *containers.List
	changed chan struct{}
}

func newToldAgent(t *testing.T) *toldAgent {
	a := &toldAgent{changed: make(chan struct{})}
	a.Server = httptest.NewServer(a)
	t.Cleanup(func() { a.CloseClientConnections(); a.Close() })
	return a
}

func (a *toldAgent) say(version string, all ...containers.Container) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.list = &containers.List{Version: version, Containers: all}
	if version == "" {
		a.list = nil
	}
	close(a.changed)
	a.changed = make(chan struct{})
}

func (a *toldAgent) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	list, changed := a.list, a.changed
	a.mu.Unlock()
	if list != nil && list.Version == r.URL.Query().Get("after") {
		select {
		case <-changed:
		case <-r.Context().Done():
		}
		a.mu.Lock()
		list = a.list
		a.mu.Unlock()
	}
	if list == nil {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	_ = json.NewEncoder(w).Encode(list)
}

// TestDiscovery: the table follows the agent's list, replicas that stay keep their
// connections, and while the agent is away the last table stays.
func TestDiscovery(t *testing.T) {
	a, b, agent := named(t, "a"), named(t, "b"), newToldAgent(t)
	log := &lines{}
	logger := slog.New(slog.NewTextHandler(log, nil))
	d := open(t, "", Options{}, nil)
	discovery := NewDiscovery(d.Gateway, d.now.Load().table, logger)
	follower := docker.NewFollower(agent.URL, "", logger)
	follower.Tell(discovery.Found)
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { _ = follower.Run(ctx) })
	defer running.Wait()
	defer cancel()
	if state, err := follower.State(); err == nil {
		t.Errorf("before an answer State = %q", state)
	}
	want := func(all []metric.Metric, name string, value float64) {
		t.Helper()
		for _, m := range all {
			if m.Name == name && m.Value() != value {
				t.Errorf("%s = %v, want %v", name, m.Value(), value)
			}
		}
	}
	at := func(n int, s *raw, lines string) containers.Container {
		host, port, _ := strings.Cut(s.addr, ":")
		c := container(n, "port="+port+" "+lines)
		c.Addresses = map[string]string{"bridge": host}
		return c
	}
	until := func(path, want string) {
		t.Helper()
		testenv.Wait(t, want+"of "+path, patienceInTests, func() bool {
			_, body := get(t, "http://"+d.addr+path)
			return strings.HasPrefix(body, want)
		})
	}
	agent.say("1", at(1, a, ""))
	until("/x/1", "a 0 ")
	agent.say("2", at(1, a, ""), at(2, b, ""))
	until("/x/2", "b 0 ")
	agent.say("3", at(1, a, ""), at(2, b, "state=stopping"))
	until("/x/3", "a 0 ") // the connection that it had
	for range 20 {
		until("/x/4", "a 0 ")
	}
	agent.say("4", at(1, a, ""), at(2, b, "sevrice=x"), at(3, b, "enable=yes"))
	state := func(want string) {
		t.Helper()
		testenv.Wait(t, "state "+want, patienceInTests, func() bool {
			state, err := follower.State()
			return err == nil && strings.HasPrefix(state, want)
		})
	}
	state(`degraded: c2: unknown label "earshot.sevrice"; did you mean "earshot.service"?; c3: earshot.enable: want true or false, got "yes"`)
	want(discovery.Metrics(), "earshot_gateway_found_services", 1)
	want(discovery.Metrics(), "earshot_gateway_refused_containers", 0)
	want(follower.Metrics(), "earshot_discovery_refused_containers", 2)
	agent.say("5", at(1, a, ""), at(2, b, "balance=p3c"))
	state("ok: 2 containers")
	want(discovery.Metrics(), "earshot_gateway_refused_containers", 1)
	if got := discovery.State(); got != `degraded: c2: earshot.balance: unknown value "p3c"; did you mean "p2c"?` {
		t.Errorf("State = %q", got)
	}
	agent.say("5", at(1, a, ""), at(2, b, "sevrice=x"))
	agent.say("6", at(1, a, ""), at(2, b, "sevrice=x"), at(4, b, "service=y route=/y"))
	until("/y", "b ")
	if n := strings.Count(log.String(), "labels are refused"); n != 4 {
		t.Errorf("the log says %d times that labels are refused, want once for each of 4:\n%s", n, log)
	}

	agent.say("") // away
	state("degraded: the Docker agent is away")
	want(follower.Metrics(), "earshot_discovery_stale", 1)
	until("/x/5", "a 0 ")
	agent.say("6", at(4, b, "service=y route=/y"))
	until("/x/6", `{"detail":"upstream \"x\" failed: no connection"`)
	until("/y", "b ")
}

// lines is a log.
type lines struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// TestFoundAndAnotherFile: with another file what was found stays, as far as the file leaves it.
func TestFoundAndAnotherFile(t *testing.T) {
	a, file := named(t, "a"), named(t, "file")
	text := func(path string) string {
		return "upstreams: {file: {url: 'http://" + file.addr + "'}}\nroutes: [{path: " + path + ", upstream: file}]\n"
	}
	d := open(t, text("/file"), Options{}, nil)
	discovery := NewDiscovery(d.Gateway, d.now.Load().table, nil)
	host, port, _ := strings.Cut(a.addr, ":")
	c := container(1, "port="+port)
	c.Addresses = map[string]string{"bridge": host}
	members, _ := docker.Read([]containers.Container{c}, "")
	discovery.Found(members)
	for _, step := range []struct{ file, at, want string }{
		{"", "/x/1", "a 0 "},
		{"", "/file", "file 0 "},
		{"/other", "/x/2", "a 0 "},
		{"", "/other", "file 0 "},
		{"", "/file", `{"detail":"no route`},
		{"/x/*", "/x/3", "file 0 "},
		{"/file", "/x/4", "a "},
	} {
		if step.file != "" {
			if err := discovery.Swap(tableOf(t, text(step.file))); err != nil {
				t.Fatal(err)
			}
		}
		for _, after := range []string{"the file", "the list that comes then"} {
			if _, body := get(t, "http://"+d.addr+step.at); !strings.HasPrefix(body, step.want) {
				t.Errorf("after %s %s gives %q, want %q", after, step.at, body, step.want)
			}
			discovery.Found(members)
		}
	}
	if err := discovery.Swap(nil); err == nil {
		t.Error("Swap(nil) = nil")
	}
}
