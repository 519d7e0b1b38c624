package gateway

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/earshot-mq/earshot/gateway/upstream"
	"github.com/earshot-mq/earshot/internal/config"
)

// TestConfigErrors compares the errors of each testdata/errors/*.yaml with the .golden
// beside it.
func TestConfigErrors(t *testing.T) {
	files, err := filepath.Glob("testdata/errors/*.yaml")
	if err != nil || len(files) < 5 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			_, err := ReadTable(file)
			if !errors.Is(err, config.ErrInvalid) {
				t.Fatalf("ReadTable = %v, want config.ErrInvalid", err)
			}
			golden := strings.TrimSuffix(file, ".yaml") + ".golden"
			if os.Getenv("UPDATE_GOLDEN") != "" {
				if err := os.WriteFile(golden, []byte(err.Error()+"\n"), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, rerr := os.ReadFile(golden)
			if rerr != nil {
				t.Fatal(rerr)
			}
			if err.Error()+"\n" != string(want) {
				t.Errorf("ReadTable:\n%v\nwant\n%s", err, want)
			}
		})
	}
}

func TestReadTable(t *testing.T) {
	table, err := ReadTable("testdata/gateway.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if n := len(table.Routes()); n != 5 {
		t.Errorf("%d routes, want 5", n)
	}
	down := table.upstreams["downcase"]
	if !down.same(target{origins: []string{"http://127.0.0.1:8080"}}) || down.stream != upstream.DefaultStreamIdle || !down.marked || down.rewrite {
		t.Errorf("downcase = %+v", down)
	}
	legacy := table.upstreams["legacy"]
	if legacy.marked || !legacy.rewrite || legacy.stream != time.Hour || legacy.options.Dial != time.Second || legacy.options.MaxIdle != 8 {
		t.Errorf("legacy = %+v", legacy)
	}
	shop := table.upstreams["shop"].options
	if shop.Balance != upstream.RoundRobin || shop.Health != (upstream.Health{Path: "/readyz", Every: 2 * time.Second, Timeout: 500 * time.Millisecond}) {
		t.Errorf("shop = %+v", shop)
	}
	for path, want := range map[string]struct {
		total time.Duration
		body  int
	}{
		"/downcase/":     {DefaultTotal, 0},
		"/legacy/x":      {10 * time.Minute, 4 << 10},
		"/legacy/report": {2 * time.Minute, 0},
	} {
		r := table.Match("GET", "any", path).Route
		if r == nil || r.total != want.total || r.body != want.body {
			t.Errorf("Match(%s) = %+v, want total %v and body %d", path, r, want.total, want.body)
		}
	}
}

// TestNewTableErrors has configurations that were made in code.
func TestNewTableErrors(t *testing.T) {
	good := func() Config {
		return Config{
			Upstreams: map[string]UpstreamConfig{"back": {URL: "http://a:1"}},
			Routes:    []RouteConfig{{Path: "/", Upstream: "back"}},
		}
	}
	for name, c := range map[string]struct {
		spoil func(*Config)
		want  string
	}{
		"url":     {func(c *Config) { c.Upstreams["back"] = UpstreamConfig{URL: "a:1"} }, `gateway: upstreams.back: url: want http://host:port or https://host:port, got "a:1"`},
		"records": {func(c *Config) { c.Upstreams["back"] = UpstreamConfig{URL: "http://a", Records: "nobody"} }, `gateway: upstreams.back: records: unknown value "nobody"; known: gateway, service`},
		"host":    {func(c *Config) { c.Upstreams["back"] = UpstreamConfig{URL: "http://a", Host: "clinet"} }, `gateway: upstreams.back: host: unknown value "clinet"; did you mean "client"?`},
		"timeout": {func(c *Config) {
			c.Upstreams["back"] = UpstreamConfig{URL: "http://a", Timeouts: TimeoutsConfig{Dial: -1}}
		}, `gateway: upstreams.back: dial: want a duration above zero, got -1ns`},
		"name": {func(c *Config) { c.Upstreams["a b"] = UpstreamConfig{URL: "http://a"} }, `gateway: upstreams: the name "a b" is not made of letters, digits, - and _`},
		"path": {func(c *Config) { c.Routes[0].Path = "x" }, `gateway: routes[0]: path: "x" does not begin with "/"`},
	} {
		t.Run(name, func(t *testing.T) {
			conf := good()
			if _, err := NewTable(conf); err != nil {
				t.Fatal(err)
			}
			c.spoil(&conf)
			if _, err := NewTable(conf); err == nil || err.Error() != c.want {
				t.Errorf("NewTable:\n%v\nwant\n%s", err, c.want)
			}
		})
	}
}

func FuzzConfig(f *testing.F) {
	for _, file := range []string{"testdata/gateway.yaml", "testdata/errors/routes.yaml", "testdata/errors/upstreams.yaml"} {
		b, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte("upstreams: {a: {url: 'http://a'}}\nroutes: [{path: '/{a}/*', upstream: a, strip-prefix: '/{a}'}]"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var c Config
		if err := config.Decode("f.yaml", b, &c); err != nil {
			if !errors.Is(err, config.ErrInvalid) {
				t.Errorf("Decode = %v, which does not wrap ErrInvalid", err)
			}
			return
		}
		for _, u := range c.Upstreams {
			if u.CA != "" || u.Static != "" {
				return // a file that may go away
			}
		}
		table, err := NewTable(c)
		if err != nil {
			t.Fatalf("Decode takes what NewTable refuses: %v", err)
		}
		for _, r := range table.Routes() {
			method, host, path := witness(r)
			explains(t, table, method, host, path)
		}
	})
}
