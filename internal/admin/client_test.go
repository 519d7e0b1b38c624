package admin_test

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/earshot-mq/earshot/internal/admin"
	"github.com/earshot-mq/earshot/internal/testenv"
)

// is tells whether an error is this one of the client's own, and no other.
func is(err, want error) bool {
	for _, e := range []error{admin.ErrUnhealthy, admin.ErrNotFound} {
		if errors.Is(err, e) != errors.Is(want, e) {
			return false
		}
	}
	return true
}

func TestClientErrors(t *testing.T) {
	s := newServer(t, admin.Options{Token: "0123456789abcdef"})
	s.Check("store", admin.Ready, say("full", errors.New("no space\x1b[31m left")))
	s.Check("feed", admin.Ready, say("", nil))
	s.Check("journal", admin.Ready, say("degraded: the disk of /data is full", errors.New("it can't be written")))
	s.Check("log", admin.Ready, say("ok; 3 lost since the start", nil))
	real := httptest.NewServer(s.Handler())
	defer real.Close()
	odd := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/moved":
			http.Redirect(w, r, "/elsewhere", http.StatusFound)
		default:
			http.Error(w, "teapot", http.StatusTeapot)
		}
	}))
	defer odd.Close()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	at, oddAt := real.Listener.Addr().String(), odd.Listener.Addr().String()
	for name, c := range map[string]struct {
		client admin.Client
		path   string
		want   string
		is     error
	}{
		"nobody":         {admin.Client{Addr: nobody}, "/livez", "admin: nothing answers at " + nobody, nil},
		"no token":       {admin.Client{Addr: at}, "/metrics", "401 Unauthorized: this needs the admin token: Authorization: Bearer …; set EARSHOT_ADMIN_TOKEN", nil},
		"not ready":      {admin.Client{Addr: at, Token: "0123456789abcdef"}, "/readyz", at + "/readyz: unhealthy: journal: degraded: the disk of /data is full; store: no space\\x1b[31m left", admin.ErrUnhealthy},
		"for strangers":  {admin.Client{Addr: at}, "/readyz", at + "/readyz: unhealthy: journal: degraded; store: full", admin.ErrUnhealthy},
		"not there":      {admin.Client{Addr: at, Token: "0123456789abcdef"}, "/v1/tail", "404 Not Found: nothing is here", admin.ErrNotFound},
		"another server": {admin.Client{Addr: oddAt}, "/livez", "418 I'm a teapot", nil},
		"redirected":     {admin.Client{Addr: oddAt}, "/moved", "302 Found", nil},
		"no address":     {admin.Client{Addr: "x y"}, "/livez", "admin: ", nil},
	} {
		t.Run(name, func(t *testing.T) {
			resp, err := c.client.Do(t.Context(), http.MethodGet, c.path)
			if err == nil {
				_ = resp.Body.Close()
				t.Fatalf("Do is fine, want %s", c.want)
			}
			if !strings.Contains(err.Error(), c.want) || !is(err, c.is) {
				t.Errorf("Do = %v, want it to say %q and to be %v", err, c.want, c.is)
			}
		})
	}
}

func TestClientReachesEveryAddress(t *testing.T) {
	s := newServer(t, admin.Options{Private: true})
	for name, c := range map[string]struct{ listen, ask string }{
		"IPv4": {"0.0.0.0:0", "0.0.0.0:%d"}, "any": {":0", ":%d"}, "IPv6": {"[::1]:0", "[::]:%d"},
	} {
		t.Run(name, func(t *testing.T) {
			l, err := net.Listen("tcp", c.listen)
			if err != nil {
				testenv.Missing(t, "such an address: "+err.Error())
			}
			door := &httptest.Server{Listener: l, Config: &http.Server{Handler: s.Handler()}}
			door.Start()
			defer door.Close()
			client := admin.Client{Addr: fmt.Sprintf(c.ask, l.Addr().(*net.TCPAddr).Port)}
			resp, err := client.Do(t.Context(), http.MethodGet, "/livez")
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
		})
	}
}

// TestClientAsksNoProxy: a proxy would see the token. It asks in a process of its own, since
// net/http reads these variables once.
func TestClientAsksNoProxy(t *testing.T) {
	const child = "EARSHOT_TEST_PROXIED"
	if os.Getenv(child) == "" {
		proxy := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the proxy was asked") }))
		defer proxy.Close()
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestClientAsksNoProxy$")
		cmd.Env = append(os.Environ(), child+"=1", "HTTP_PROXY="+proxy.URL, "http_proxy="+proxy.URL, "NO_PROXY=", "no_proxy=")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v: %s", err, out)
		}
		return
	}
	client := admin.Client{Addr: "192.0.2.1.invalid:1", Token: "0123456789abcdef"}
	if _, err := client.Do(t.Context(), http.MethodGet, "/livez"); err == nil {
		t.Error("a host that is not there answered")
	}
}
