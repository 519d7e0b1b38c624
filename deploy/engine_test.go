package deploy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// fake is an Engine that gives one answer to all that is asked beside its ping.
func fake(t *testing.T, status int, body string) *Engine {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Api-Version", "1.41")
		if r.URL.Path == "/_ping" {
			return
		}
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}))
	t.Cleanup(srv.Close)
	t.Setenv("DOCKER_HOST", "tcp://"+srv.Listener.Addr().String())
	t.Setenv("DOCKER_TLS_VERIFY", "")
	e, err := Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	return e
}

func TestOpenWithoutEngine(t *testing.T) {
	t.Setenv("DOCKER_HOST", "unix://"+filepath.Join(t.TempDir(), "docker.sock"))
	_, err := Open(t.Context())
	if !errors.Is(err, ErrNoEngine) || !strings.HasPrefix(err.Error(), "deploy: ping ") {
		t.Errorf("Open() = %v, want ErrNoEngine", err)
	}
}

func TestOpenWithBadHost(t *testing.T) {
	t.Setenv("DOCKER_HOST", "nonsense")
	if _, err := Open(t.Context()); err == nil || errors.Is(err, ErrNoEngine) {
		t.Errorf("Open() = %v: a wrong DOCKER_HOST is no missing Engine", err)
	}
}

func TestOpenEndsWithItsContext(t *testing.T) {
	wait := make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-wait }))
	t.Cleanup(srv.Close)
	t.Cleanup(func() { close(wait) })
	t.Setenv("DOCKER_HOST", "tcp://"+srv.Listener.Addr().String())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Open(ctx); !errors.Is(err, context.Canceled) || errors.Is(err, ErrNoEngine) {
		t.Errorf("Open() = %v, want context.Canceled", err)
	}
}

func TestVersion(t *testing.T) {
	engine, api, err := fake(t, http.StatusOK, `{"Version":"20.10.24","ApiVersion":"1.41"}`).Version(t.Context())
	if engine != "20.10.24" || api != "1.41" || err != nil {
		t.Errorf("Version() = %q, %q, %v", engine, api, err)
	}
	if _, _, err := fake(t, http.StatusInternalServerError, `{"message":"no"}`).Version(t.Context()); err == nil {
		t.Error("Version() of an Engine that fails is no error")
	}
}

func TestBuild(t *testing.T) {
	dir := tree(t, map[string]string{"Dockerfile": "FROM scratch"})
	for name, c := range map[string]struct {
		body    string
		id, log string
		err     string // a part of it
	}{
		"done":        {body: `{"stream":"Step 1/1\n"}{"aux":{"ID":"sha256:1"}}{"stream":"ok\n"}`, id: "sha256:1", log: "Step 1/1\nok\n"},
		"failed":      {body: `{"stream":"Step 1/1\n"}{"errorDetail":{"message":"no such base"},"error":"no such base"}`, log: "Step 1/1\n", err: "no such base"},
		"cut":         {body: `{"stream":"Step 1/1\n"}{"str`, log: "Step 1/1\n", err: "unexpected EOF"},
		"not told":    {body: `{"stream":"Step 1/1\n"}`, log: "Step 1/1\n", err: "no image"},
		"not JSON":    {body: `<html>`, err: "invalid character"},
		"no progress": {err: "no image"},
	} {
		t.Run(name, func(t *testing.T) {
			var log strings.Builder
			id, err := fake(t, http.StatusOK, c.body).Build(t.Context(), dir, BuildOptions{Tag: "x", Log: &log, Args: map[string]string{"VERSION": "1"}})
			if c.err == "" && (err != nil || id != c.id) {
				t.Errorf("Build() = %q, %v, want %q", id, err, c.id)
			}
			if c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err) || !strings.HasPrefix(err.Error(), "deploy: build ")) {
				t.Errorf("Build() = %v, want an error with %q", err, c.err)
			}
			if log.String() != c.log {
				t.Errorf("log %q, want %q", log.String(), c.log)
			}
		})
	}
}

func TestBuildOfNothing(t *testing.T) {
	_, err := fake(t, http.StatusOK, `{"aux":{"ID":"sha256:1"}}`).Build(t.Context(), filepath.Join(t.TempDir(), "none"), BuildOptions{})
	if err == nil || !strings.Contains(err.Error(), "none") {
		t.Errorf("Build() = %v, want an error that names the folder", err)
	}
}

func TestNotFound(t *testing.T) {
	e := fake(t, http.StatusNotFound, `{"message":"no such thing"}`)
	ctx := t.Context()
	_, image := e.Image(ctx, "x")
	_, inspect := e.Inspect(ctx, "x")
	for what, err := range map[string]error{
		"image": image, "inspect": inspect, "start": e.Start(ctx, "x"), "kill": e.Kill(ctx, "x", "SIGKILL"),
		"wait": e.WaitHealthy(ctx, "x"), "copy": e.Copy(ctx, "x", "/data", t.TempDir()),
	} {
		if !errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), `"x"`) {
			t.Errorf("%s: %v, want ErrNotFound with the name", what, err)
		}
	}
	if err := errors.Join(e.Remove(ctx, "x"), e.RemoveImage(ctx, "x")); err != nil {
		t.Errorf("removing what is not there: %v", err)
	}
}

func TestWaitHealthy(t *testing.T) {
	const inspect = `{"Id":"1","Name":"/web","State":{"Status":%q,"ExitCode":%d%s},"Config":{"Image":"x"},"NetworkSettings":{"Ports":{}}}`
	for name, c := range map[string]struct {
		status, health string
		exit           int
		want           string // a part of the error
	}{
		"healthy":         {"running", `,"Health":{"Status":"healthy"}`, 0, ""},
		"unhealthy":       {"running", `,"Health":{"Status":"unhealthy"}`, 0, "running, health unhealthy"},
		"ended":           {"exited", `,"Health":{"Status":"starting"}`, 2, "exited, health starting, exit code 2"},
		"no health check": {"running", "", 0, "health none"},
	} {
		t.Run(name, func(t *testing.T) {
			e := fake(t, http.StatusOK, fmt.Sprintf(inspect, c.status, c.exit, c.health))
			err := e.WaitHealthy(t.Context(), "web")
			if c.want == "" && err != nil || c.want != "" && (!errors.Is(err, ErrUnhealthy) || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("WaitHealthy() = %v, want %q", err, c.want)
			}
		})
	}
}

func TestInspectAndList(t *testing.T) {
	e := fake(t, http.StatusOK, `{"Id":"1","Name":"/web","State":{"Status":"running"},"Config":{"Image":"x","Labels":{"a":"b"}},
		"NetworkSettings":{"Networks":{"back":{"IPAddress":"172.20.0.2","GlobalIPv6Address":"fd00::2"},"six":{"GlobalIPv6Address":"fd00::3"}},
			"Ports":{"5000/tcp":[{"HostIp":"127.0.0.1","HostPort":"32768"}],"4444/tcp":null,"5001/tcp":[{"HostIp":"::1","HostPort":"9"}]}}}`)
	c, err := e.Inspect(t.Context(), "web")
	if err != nil || c.Name != "web" || c.Image != "x" || c.Labels["a"] != "b" || c.Health != "none" {
		t.Errorf("Inspect() = %+v, %v", c, err)
	}
	if at, ok := c.Published("5000/tcp"); !ok || at != "127.0.0.1:32768" {
		t.Errorf("Published(5000/tcp) = %q, %v", at, ok)
	}
	if at, ok := c.Published("5001/tcp"); !ok || at != "[::1]:9" {
		t.Errorf("Published(5001/tcp) = %q, %v", at, ok)
	}
	if at, ok := c.Published("4444/tcp"); ok {
		t.Errorf("Published(4444/tcp) = %q, want none", at)
	}
	if c.Addresses["back"] != "172.20.0.2" || c.Addresses["six"] != "fd00::3" {
		t.Errorf("Addresses = %q", c.Addresses)
	}
	e = fake(t, http.StatusOK, `[{"Id":"2","Names":["/b"],"State":"exited"},
		{"Id":"1","Names":["/a"],"State":"running","Ports":[{"IP":"127.0.0.1","PrivatePort":5000,"PublicPort":7,"Type":"tcp"},{"PrivatePort":4444,"Type":"tcp"}]}]`)
	all, err := e.List(t.Context(), map[string]string{"a": "b"})
	if err != nil || len(all) != 2 || all[0].Name != "a" || all[1].Name != "b" || len(all[0].Ports) != 1 {
		t.Fatalf("List() = %+v, %v", all, err)
	}
	if at, _ := all[0].Published("5000/tcp"); at != "127.0.0.1:7" {
		t.Errorf("Published(5000/tcp) = %q", at)
	}
}

func TestNetworks(t *testing.T) {
	e := fake(t, http.StatusOK, `[{"Name":"front"},{"Name":"back","Internal":true}]`)
	got, err := e.Networks(t.Context(), map[string]string{"a": ""})
	if want := []Network{{"back", true}, {"front", false}}; err != nil || !slices.Equal(got, want) {
		t.Errorf("Networks() = %v, %v, want %v", got, err, want)
	}
}

func TestCreateNeedsAPort(t *testing.T) {
	_, err := fake(t, http.StatusCreated, `{"Id":"1"}`).Create(t.Context(), Spec{Image: "x", Publish: []string{"a:b:c"}})
	if err == nil || !strings.Contains(err.Error(), "a:b:c") {
		t.Errorf("Create() = %v, want an error that names the port", err)
	}
}

func Example() {
	ctx := context.Background()
	e, err := Open(ctx)
	if errors.Is(err, ErrNoEngine) {
		fmt.Println("start Docker first")
		return
	}
	id, err := e.Run(ctx, Spec{Image: "earshot", Publish: []string{"127.0.0.1::5000"}})
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := e.WaitHealthy(ctx, id); err != nil {
		fmt.Println(err)
	}
}
