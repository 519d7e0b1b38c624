package admin_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/earshot-mq/earshot/internal/admin"
	"github.com/earshot-mq/earshot/internal/metric"
)

func newServer(t testing.TB, o admin.Options) *admin.Server {
	t.Helper()
	if o.Addr == "" {
		o.Addr = "127.0.0.1:5001"
	}
	s, err := admin.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// ask sends a request with a Host and header fields, "Name: value".
func ask(s *admin.Server, method, path, host string, fields ...string) *http.Response {
	r := httptest.NewRequest(method, path, nil)
	r.Host = host
	for _, f := range fields {
		name, value, _ := strings.Cut(f, ": ")
		r.Header.Set(name, value)
	}
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, r)
	return w.Result()
}

func TestWhereItListens(t *testing.T) {
	for name, c := range map[string]struct {
		o  admin.Options
		ok bool
	}{
		"loopback":             {admin.Options{Addr: "127.0.0.1:5001"}, true},
		"all of loopback":      {admin.Options{Addr: "127.9.9.9:5001"}, true},
		"loopback of IPv6":     {admin.Options{Addr: "[::1]:5001"}, true},
		"loopback, mapped":     {admin.Options{Addr: "[::ffff:127.0.0.1]:5001"}, true},
		"localhost":            {admin.Options{Addr: "localhost:5001"}, true},
		"every address":        {admin.Options{Addr: ":5001"}, false},
		"every IPv4 address":   {admin.Options{Addr: "0.0.0.0:5001"}, false},
		"a name":               {admin.Options{Addr: "example.org:5001"}, false},
		"looks like loopback":  {admin.Options{Addr: "127.0.0.1.example.org:5001"}, false},
		"nothing":              {admin.Options{}, false},
		"with a token":         {admin.Options{Addr: ":5001", Token: "t"}, true},
		"in a private network": {admin.Options{Addr: ":5001", Private: true}, true},
	} {
		if _, err := admin.New(c.o); (err == nil) != c.ok {
			t.Errorf("%s: New(%+v) = %v", name, c.o, err)
		}
	}
}

func TestGuards(t *testing.T) {
	const token = "0123456789abcdef"
	bearer := "Authorization: Bearer " + token
	for name, c := range map[string]struct {
		o      admin.Options
		path   string
		host   string
		fields []string
		want   int
	}{
		"loopback":                     {path: "/metrics", host: "127.0.0.1:5001", want: 200},
		"loopback of IPv6":             {path: "/metrics", host: "[::1]:5001", want: 200},
		"localhost":                    {path: "/metrics", host: "LocalHost:5001", want: 200},
		"localhost without a port":     {path: "/metrics", host: "localhost", want: 200},
		"rebound name":                 {path: "/metrics", host: "evil.example:5001", want: 403},
		"rebound name, health":         {path: "/livez", host: "evil.example:5001", want: 403},
		"looks like loopback":          {path: "/metrics", host: "127.0.0.1.evil.example", want: 403},
		"no host":                      {path: "/metrics", host: "", want: 403},
		"own origin":                   {path: "/metrics", host: "localhost:5001", fields: []string{"Origin: http://localhost:5001"}, want: 200},
		"other origin":                 {path: "/metrics", host: "localhost:5001", fields: []string{"Origin: http://evil.example"}, want: 403},
		"other port":                   {path: "/metrics", host: "localhost:5001", fields: []string{"Origin: http://localhost:8000"}, want: 403},
		"hidden origin":                {path: "/metrics", host: "localhost:5001", fields: []string{"Origin: null"}, want: 403},
		"image of another site":        {path: "/metrics", host: "localhost:5001", fields: []string{"Sec-Fetch-Site: cross-site"}, want: 403},
		"page of the same site":        {path: "/metrics", host: "localhost:5001", fields: []string{"Sec-Fetch-Site: same-site"}, want: 403},
		"typed in":                     {path: "/metrics", host: "localhost:5001", fields: []string{"Sec-Fetch-Site: none"}, want: 200},
		"private: address":             {o: admin.Options{Private: true}, path: "/metrics", host: "10.0.0.7:5001", want: 200},
		"private: address of IPv6":     {o: admin.Options{Private: true}, path: "/metrics", host: "[fd00::7]:5001", want: 200},
		"private: container":           {o: admin.Options{Private: true}, path: "/metrics", host: "gateway:5001", want: 200},
		"private: Kubernetes":          {o: admin.Options{Private: true}, path: "/metrics", host: "gateway.shop.svc.cluster.local:5001", want: 200},
		"private: rebound name":        {o: admin.Options{Private: true}, path: "/metrics", host: "evil.example:5001", want: 403},
		"private: looks like Docker's": {o: admin.Options{Private: true}, path: "/metrics", host: "gateway.internal.example", want: 403},
		"token":                        {o: admin.Options{Token: token}, path: "/metrics", host: "example.org", fields: []string{bearer}, want: 200},
		"token, scheme in small":       {o: admin.Options{Token: token}, path: "/metrics", host: "x", fields: []string{"Authorization: bearer " + token}, want: 200},
		"token: none":                  {o: admin.Options{Token: token}, path: "/metrics", host: "127.0.0.1:5001", want: 401},
		"token: wrong":                 {o: admin.Options{Token: token}, path: "/metrics", host: "x", fields: []string{bearer + "0"}, want: 401},
		"token: a part":                {o: admin.Options{Token: token}, path: "/metrics", host: "x", fields: []string{bearer[:len(bearer)-1]}, want: 401},
		"token: other scheme":          {o: admin.Options{Token: token}, path: "/metrics", host: "x", fields: []string{"Authorization: Basic " + token}, want: 401},
		"token: health is open":        {o: admin.Options{Token: token}, path: "/readyz", host: "x", want: 200},
		"token: not below health":      {o: admin.Options{Token: token}, path: "/readyz/", host: "x", want: 401},
		"token: foreign page":          {o: admin.Options{Token: token}, path: "/metrics", host: "x", fields: []string{bearer, "Origin: http://evil.example"}, want: 403},
		"unknown":                      {path: "/nothing", host: "localhost", want: 404},
	} {
		t.Run(name, func(t *testing.T) {
			resp := ask(newServer(t, c.o), http.MethodGet, c.path, c.host, c.fields...)
			if resp.StatusCode != c.want {
				b, _ := io.ReadAll(resp.Body)
				t.Fatalf("%s of %q = %d, want %d: %s", c.path, c.host, resp.StatusCode, c.want, b)
			}
			if c.want >= 400 && resp.Header.Get("Content-Type") != "application/problem+json" {
				t.Errorf("the refusal is %s", resp.Header.Get("Content-Type"))
			}
			if (c.want == 401) != (resp.Header.Get("WWW-Authenticate") == "Bearer") {
				t.Errorf("WWW-Authenticate = %q", resp.Header.Get("WWW-Authenticate"))
			}
			for field, want := range map[string]string{
				"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store", "Cross-Origin-Resource-Policy": "same-origin",
				"Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'", "Referrer-Policy": "no-referrer",
			} {
				if got := resp.Header.Get(field); got != want {
					t.Errorf("%s = %q, want %q", field, got, want)
				}
			}
		})
	}
}

func TestWrongMethod(t *testing.T) {
	resp := ask(newServer(t, admin.Options{}), http.MethodPost, "/livez", "localhost")
	b, _ := io.ReadAll(resp.Body)
	if resp.StatusCode != 405 || resp.Header.Get("Allow") != "GET, HEAD" || !strings.Contains(string(b), "allowed: GET, HEAD") {
		t.Errorf("POST /livez = %d, Allow %q: %s", resp.StatusCode, resp.Header.Get("Allow"), b)
	}
}

func TestHandle(t *testing.T) {
	s := newServer(t, admin.Options{})
	s.Handle("GET /v1/things/{name}", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.PathValue("name")) }))
	b, _ := io.ReadAll(ask(s, http.MethodGet, "/v1/things/x", "localhost").Body)
	if string(b) != "x" {
		t.Errorf("the handler answered %q", b)
	}
}

func say(state string, err error) admin.Check {
	return func(context.Context) (string, error) { return state, err }
}

func TestHealth(t *testing.T) {
	full := errors.New("no space left in /secret/place")
	for name, c := range map[string]struct {
		checks map[string]admin.Check
		token  string
		status int
		want   admin.Health
	}{
		"nothing to check": {status: 200, want: admin.Health{Status: "ok", Version: "1.2.3", Checks: map[string]admin.Result{}}},
		"well": {
			checks: map[string]admin.Check{"store": say("ok", nil), "feed": say("", nil)}, status: 200,
			want: admin.Health{Status: "ok", Version: "1.2.3", Checks: map[string]admin.Result{"store": {State: "ok"}, "feed": {State: "ok"}}},
		},
		"degraded": {
			checks: map[string]admin.Check{"journal": say("degraded: 5 bytes are held in memory", nil), "feed": say("", nil)}, status: 200,
			want: admin.Health{Status: "degraded", Version: "1.2.3", Checks: map[string]admin.Result{"journal": {State: "degraded: 5 bytes are held in memory"}, "feed": {State: "ok"}}},
		},
		"unhealthy": {
			checks: map[string]admin.Check{"journal": say("degraded", nil), "store": say("full", full), "x": say("", full)}, status: 503,
			want: admin.Health{Status: "unhealthy", Version: "1.2.3", Checks: map[string]admin.Result{
				"journal": {State: "degraded"}, "store": {State: "full", Error: full.Error()}, "x": {State: "failed", Error: full.Error()},
			}},
		},
		"unhealthy, for strangers": {
			checks: map[string]admin.Check{"store": say("full", full)}, token: "0123456789abcdef", status: 503,
			want: admin.Health{Status: "unhealthy", Checks: map[string]admin.Result{"store": {State: "full"}}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t, admin.Options{Version: "1.2.3", Token: c.token})
			for n, f := range c.checks {
				s.Check(n, admin.Ready, f)
			}
			resp := ask(s, http.MethodGet, "/readyz", "localhost")
			var got admin.Health
			if err := json.NewDecoder(resp.Body).Decode(&got); err != nil {
				t.Fatal(err)
			}
			if resp.StatusCode != c.status || fmt.Sprint(got) != fmt.Sprint(c.want) {
				t.Errorf("/readyz = %d %+v, want %d %+v", resp.StatusCode, got, c.status, c.want)
			}
			if live := ask(s, http.MethodGet, "/livez", "localhost"); live.StatusCode != 200 {
				t.Errorf("/livez = %d, but its checks are others", live.StatusCode)
			}
		})
	}
}

func TestLiveness(t *testing.T) {
	s := newServer(t, admin.Options{})
	s.Check("writer", admin.Live, say("stuck", errors.New("no progress for a minute")))
	if got := ask(s, http.MethodGet, "/livez", "localhost").StatusCode; got != 503 {
		t.Errorf("/livez = %d, want 503", got)
	}
	if got := ask(s, http.MethodGet, "/readyz", "localhost").StatusCode; got != 200 {
		t.Errorf("/readyz = %d, want 200", got)
	}
}

func TestChecksAreBounded(t *testing.T) {
	s := newServer(t, admin.Options{})
	s.Check("has a deadline", admin.Ready, func(ctx context.Context) (string, error) {
		if _, ok := ctx.Deadline(); !ok {
			return "", errors.New("no deadline")
		}
		return "ok", nil
	})
	if got := ask(s, http.MethodGet, "/readyz", "localhost").StatusCode; got != 200 {
		t.Errorf("/readyz = %d", got)
	}
}

func TestMetrics(t *testing.T) {
	s := newServer(t, admin.Options{Version: "1.2.3"})
	if err := s.Counter("earshot_records_total", "Records.", func() float64 { return 42 }); err != nil {
		t.Fatal(err)
	}
	if err := s.Gauge("earshot_held_bytes", "Bytes.", func() float64 { return 7 }); err != nil {
		t.Fatal(err)
	}
	if err := s.Register([]metric.Metric{{
		Name: "earshot_replica_in", Help: "1 while it is in.", Now: true, Labels: []string{"upstream", "replica"},
		Each: func(yield func(float64, ...string)) { yield(1, "a", "127.0.0.1:1"); yield(0, "a", `"\n`) },
	}}); err != nil {
		t.Fatal(err)
	}
	add, err := s.Counts("earshot_unrecorded_total", "Answers of net/http itself.", "status")
	if err != nil {
		t.Fatal(err)
	}
	add("431")
	add("431")
	for name, err := range map[string]error{
		"taken":   s.Counter("earshot_records_total", "Again.", func() float64 { return 0 }),
		"no name": s.Gauge("", "", func() float64 { return 0 }),
	} {
		if err == nil {
			t.Errorf("%s: registering is fine", name)
		}
	}
	if _, err := s.Counts("earshot_held_bytes", "", "x"); err == nil {
		t.Error("a name that is taken is fine")
	}
	b, err := io.ReadAll(ask(s, http.MethodGet, "/metrics", "localhost").Body)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		"earshot_records_total 42", "earshot_held_bytes 7", `earshot_unrecorded_total{status="431"} 2`, `version="1.2.3"} 1`,
		`earshot_replica_in{replica="127.0.0.1:1",upstream="a"} 1`, `earshot_replica_in{replica="\"\\n",upstream="a"} 0`, "go_goroutines ", "process_",
	} {
		if !strings.Contains(string(b), line) {
			t.Errorf("/metrics lacks %q", line)
		}
	}
	told := map[string]string{}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, "# HELP "); ok {
			name, words, _ := strings.Cut(rest, " ")
			told[name] = strings.TrimSpace(words)
		} else if name := strings.FieldsFunc(line, func(r rune) bool { return r == ' ' || r == '{' })[0]; strings.HasPrefix(name, "earshot_") && told[name] == "" {
			t.Errorf("%s has no words", name)
		}
	}
	for name, words := range map[string]string{"earshot_records_total": "Records.", "earshot_replica_in": "1 while it is in.", "earshot_unrecorded_total": "Answers of net/http itself."} {
		if told[name] != words {
			t.Errorf("%s is %q, want %q", name, told[name], words)
		}
	}
}

func ExampleServer() {
	s, err := admin.New(admin.Options{Addr: "127.0.0.1:5001", Version: "1.2.3"})
	if err != nil {
		fmt.Println(err)
		return
	}
	s.Check("journal", admin.Ready, func(context.Context) (string, error) { return "ok", nil })
	door := httptest.NewServer(s.Handler())
	defer door.Close()
	client := admin.Client{Addr: door.Listener.Addr().String()}
	resp, err := client.Do(context.Background(), http.MethodGet, "/readyz")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	fmt.Print(string(b), err)
	// Output:
	// {"status":"ok","version":"1.2.3","checks":{"journal":{"state":"ok"}}}
	// <nil>
}
