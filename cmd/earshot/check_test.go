package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/earshot-mq/earshot/internal/containers"
	"github.com/earshot-mq/earshot/internal/testenv"
)

// call runs a command as main does, and returns what it prints and its exit code.
func call(t *testing.T, args ...string) (out string, code int, err error) {
	t.Helper()
	var b bytes.Buffer
	root := rootCommand()
	root.SetArgs(args)
	root.SetOut(&b)
	root.SetErr(t.Output())
	err = root.ExecuteContext(t.Context())
	var exit *exitError
	switch {
	case errors.As(err, &exit):
		code = exit.code
	case err != nil:
		code = 1
	}
	return b.String(), code, err
}

func write(t *testing.T, text string) (file string) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "earshot.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

const good = `data: /nowhere
upstreams:
  shop: {url: "http://127.0.0.1:8080"}
  files: {static: "."}
routes:
  - {path: /orders, methods: [POST], upstream: shop}
  - {path: "/shop/{id}", strip-prefix: /shop, upstream: shop, timeout: 5s}
  - {path: /*, upstream: files}
`

// TestCheck: all that is wrong, settings and gateway alike, in the order of the lines.
func TestCheck(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		args []string
		out  string
		code int
	}{
		"good":        {text: good, out: "earshot.yaml: ok; 3 routes, 2 upstreams\n"},
		"good for up": {text: good, args: []string{"--up"}, out: "earshot.yaml: ok; 3 routes, 2 upstreams\n"},
		"both": {
			text: "routes: [{path: x, upstream: shpo}]\nhttp: {lisen: a}\nupstreams: {shop: {url: 'http://a'}}\njournal:\n  sync: sometimes\n",
			out: "earshot.yaml:1: routes[0].path: \"x\" does not begin with \"/\"\n" +
				"earshot.yaml:1: routes[0].upstream: unknown upstream \"shpo\"; did you mean \"shop\"?\n" +
				"earshot.yaml:2: unknown key \"lisen\" in http; did you mean \"listen\"?\n" +
				"earshot.yaml:5: journal.sync: want one of interval, always, never, got \"sometimes\"\n",
			code: 1,
		},
		"not YAML":        {text: "a: [", out: "earshot.yaml:1: not YAML: did not find expected node content\n", code: 1},
		"nothing":         {text: "", out: "earshot.yaml: there are no routes\n", code: 1},
		"a pattern":       {text: good + "redact: {pattern: ['(']}\n", out: "(", code: 1},
		"up's routes":     {text: "upstreams: {a: {url: 'http://a'}}\nroutes: [{path: /downcase/*, upstream: a}]\n", args: []string{"--up"}, out: "takes the same requests", code: 1},
		"up's own route":  {text: "upstreams: {downcase: {url: 'http://a'}}\nroutes: [{path: /downcase/*, upstream: downcase}]\n", args: []string{"--up"}, out: "earshot.yaml: ok; 1 route, 1 upstream\n"},
		"not for up":      {text: "upstreams: {a: {url: 'http://a'}}\nroutes: [{path: /downcase/*, upstream: a}]\n", out: "earshot.yaml: ok; 1 route, 1 upstream\n"},
		"no such service": {text: good + "services: [downcas]\n", args: []string{"--up"}, out: "did you mean \"downcase\"?", code: 1},
	} {
		t.Run(name, func(t *testing.T) {
			out, code, err := call(t, append([]string{"check", write(t, c.text)}, c.args...)...)
			if code != c.code || !strings.Contains(out, c.out) || strings.Count(c.out, "\n") > 0 && out != c.out {
				t.Errorf("code %d, %v\n%s\nwant %d\n%s", code, err, out, c.code, c.out)
			}
			if n := fmt.Sprintf("%d error", strings.Count(out, "\n")); code == 1 && !strings.Contains(err.Error(), n) {
				t.Errorf("%v, want it to say %s", err, n)
			}
		})
	}
	for _, args := range [][]string{{"check"}, {"check", "a", "b"}, {"check", filepath.Join(t.TempDir(), "nobody")}, {"check", "--downn", "a"}} {
		if out, code, err := call(t, args...); code != 2 || out != "" {
			t.Errorf("%v: code %d, %v, %q", args, code, err, out)
		}
	}
}

// TestExplain: the route, why not the others, whom it asks, and what it sends.
func TestExplain(t *testing.T) {
	t.Chdir(t.TempDir())
	file := write(t, "trusted: [10.0.0.0/8]\n"+good)
	for name, c := range map[string]struct {
		args []string
		want []string
		not  string
		code int
	}{
		"a route": {
			args: []string{"/shop/7?x=a;b", "-H", "X-Forwarded-For: 198.51.100.1", "-H", "Host: shop.example"},
			want: []string{
				"GET shop.example/shop/7?x=a;b\n", "\n> routes[1]  /shop/{id}", "matches, and is the most specific",
				"\n  routes[2]", "matches, but routes[1] is more specific", `segment 1 is "shop", not "orders"`,
				"upstream shop: http://127.0.0.1:8080\n", "replicas: 127.0.0.1:8080; the only one\n", "limit: 5s",
				"  GET /7?x=a;b\n  Host: shop.example\n", "X-Forwarded-For: 192.0.2.1\n", "X-Forwarded-Prefix: /shop\n",
			},
			not: "198.51.100.1",
		},
		"a trusted peer":    {args: []string{"/shop/7", "-H", "X-Forwarded-For: 198.51.100.1", "--from", "10.1.2.3"}, want: []string{"X-Forwarded-For: 198.51.100.1, 10.1.2.3\n"}},
		"a URL":             {args: []string{"post", "http://a:81/orders"}, want: []string{"POST a:81/orders\n", "> routes[0]", "  POST /orders\n  Host: a:81\n"}},
		"a file":            {args: []string{"http://a"}, want: []string{"> routes[2]", "upstream files: the file / below .\n"}},
		"a built-in":        {args: []string{"/downcase/", "--up"}, want: []string{"upstream downcase: a built-in service"}},
		"a method":          {args: []string{"DELETE", "/orders"}, want: []string{"the method is DELETE, not POST", "answer: 405", "allowed: GET, HEAD, POST\n"}, not: "> ", code: 1},
		"two readings":      {args: []string{"/a/%2e%2e/b"}, want: []string{"answer: 400, the path has a dot segment\n"}, not: "routes[", code: 1},
		"no URL":            {args: []string{"shop"}, code: 2},
		"no header":         {args: []string{"/", "-H", "x"}, code: 2},
		"a header too many": {args: []string{"/", "-H", "A: b\r\nC: d"}, code: 2},
		"no method":         {args: []string{"G T", "/"}, code: 2},
		"no peer":           {args: []string{"/", "--from", "here"}, code: 2},
		"nothing":           {code: 2},
	} {
		t.Run(name, func(t *testing.T) {
			out, code, err := call(t, append([]string{"explain", "--config", file}, c.args...)...)
			if code != c.code || c.not != "" && strings.Contains(out, c.not) || c.code == 2 && out != "" {
				t.Errorf("code %d, want %d, and no %q: %v\n%s", code, c.code, c.not, err, out)
			}
			for _, w := range c.want {
				if !strings.Contains(out, w) {
					t.Errorf("lacks %q:\n%s", w, out)
				}
			}
		})
	}
	if _, code, err := call(t, "explain", "/"); code != 2 || !strings.Contains(err.Error(), "there are no routes") {
		t.Errorf("without a file: %d %v", code, err)
	}
}

// TestExplainReplicas: a name that is known here has its addresses there.
func TestExplainReplicas(t *testing.T) {
	addrs, err := net.DefaultResolver.LookupNetIP(t.Context(), "ip", "localhost")
	if err != nil {
		testenv.Missing(t, "the name localhost: "+err.Error())
	}
	file := write(t, "upstreams: {a: {urls: ['http://localhost:8080', 'http://127.0.0.9:8080'], balance: round-robin, health: {path: /readyz}}}\nroutes: [{path: /*, upstream: a}]\n")
	out, code, err := call(t, "explain", "--config", file, "/")
	if err != nil || code != 0 || !strings.Contains(out, net.JoinHostPort(addrs[0].Unmap().String(), "8080")) ||
		!strings.Contains(out, "127.0.0.9:8080; one after the other; only those that are ready by /readyz\n") {
		t.Errorf("%d %v\n%s", code, err, out)
	}
	file = write(t, "upstreams: {a: {url: 'http://no-such-name.invalid'}}\nroutes: [{path: /*, upstream: a}]\n")
	if out, code, _ := call(t, "explain", "--config", file, "/"); code != 0 || !strings.Contains(out, "replicas: not all are known here") {
		t.Errorf("%d\n%s", code, out)
	}
}

// TestExplainContainers: what an agent says of containers stands beside the file; without
// an agent's answer the file is explained alone.
func TestExplainContainers(t *testing.T) {
	agent := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != containers.Path {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		list := containers.List{Version: "1"}
		for n, path := range []string{"/found/*", "/found/*", "/orders"} {
			list.Containers = append(list.Containers, containers.Container{
				Name: fmt.Sprintf("c%d", n), ID: fmt.Sprint(n), State: containers.Running, Health: containers.None, Addresses: map[string]string{"back": fmt.Sprintf("192.0.2.%d", n)},
				Labels: map[string]string{"earshot.enable": "true", "earshot.service": path[1:3], "earshot.port": "80", "earshot.route": path, "earshot.methods": "POST", "earshot.health": "/readyz"},
			})
		}
		_ = json.NewEncoder(w).Encode(list)
	}))
	defer agent.Close()
	file := write(t, good)
	for name, c := range map[string]struct {
		agent string
		path  string
		want  []string
		code  int
	}{
		"found": {agent.URL, "/found/1", []string{
			`labels are refused: c2: earshot.route: "POST /orders" takes the same requests as routes[0] of the file, "POST /orders", which counts` + "\n",
			"> fo earshot.route", "upstream fo: found by labels\n",
			"replicas: 192.0.2.0:80, 192.0.2.1:80; of two taken at random the one with fewer requests in flight; only those that are ready by /readyz\n", "  POST /found/1\n",
		}, 0},
		"the file": {agent.URL, "/orders", []string{"> routes[0]", "upstream shop: http://127.0.0.1:8080\n"}, 0},
		"away":     {"http://127.0.0.1:1", "/found/1", []string{"containers are not known here: docker: ask the agent: ", "answer: 405"}, 1},
	} {
		out, code, err := call(t, "explain", "--config", file, "--discover-docker-agent", c.agent, "POST", c.path)
		if code != c.code {
			t.Errorf("%s: code %d, want %d: %v", name, code, c.code, err)
		}
		for _, want := range c.want {
			if !strings.Contains(out, want) {
				t.Errorf("%s lacks %q:\n%s", name, want, out)
			}
		}
	}
}
