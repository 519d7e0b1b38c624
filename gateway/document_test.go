package gateway

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/earshot-mq/earshot/gateway/openapi"
	"github.com/earshot-mq/earshot/gateway/openapi/openapitest"
)

// documented is an upstream with a document of one operation for each path.
func documented(t *testing.T, paths ...string) (addr string) {
	t.Helper()
	var items []string
	for _, p := range paths {
		items = append(items, fmt.Sprintf(`%q:{"get":{"responses":{"200":{"description":"ok","content":{"application/json":{"schema":
			{"type":"object","properties":{"n":{"type":"integer","maximum":9007199254740993}}}}}}}}}`, p))
	}
	return serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/openapi.json" {
			t.Errorf("it was asked for %s", r.URL)
		}
		_, _ = fmt.Fprintf(w, `{"openapi":"3.1.0","info":{"title":"t","version":"1"},"paths":{%s}}`, strings.Join(items, ","))
	}), true)
}

// merged asks for the document and says which paths it has, and what of its services.
func (d *door) document(t *testing.T) (paths []string, states map[string]string, body string) {
	t.Helper()
	a, body := get(t, "http://"+d.addr+"/openapi.json")
	if a.StatusCode != http.StatusOK {
		t.Fatalf("%s %s", a.Status, body)
	}
	if wrong := openapitest.Check([]byte(body)); len(wrong) > 0 {
		t.Errorf("it is not valid: %s\n%s", strings.Join(wrong, "\n"), body)
	}
	var doc struct {
		Paths    map[string]any
		Services []struct{ Name, State, Reason string } `json:"x-earshot-services"`
	}
	if err := json.Unmarshal([]byte(body), &doc); err != nil {
		t.Fatal(err)
	}
	for path := range doc.Paths {
		paths = append(paths, path)
	}
	slices.Sort(paths)
	states = map[string]string{}
	for _, s := range doc.Services {
		states[s.Name] = strings.TrimSuffix(s.State+": "+s.Reason, ": ")
	}
	return paths, states, body
}

const documents = "- {path: /openapi.json, openapi: json}\n- {path: /docs, openapi: page}\n"

// TestDocument: the operations to which the table leads, and who is left out and why.
func TestDocument(t *testing.T) {
	l := listen(t)
	dead := l.Addr().String()
	_ = l.Close()
	mute := rawServer(t, func(_ int, c *peer) { c.readHead(); c.rest() }).addr
	without := serve(t, http.NotFoundHandler(), true)
	garbage := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>")) }), true)
	d := open(t, "upstreams:\n"+
		"  a: {url: 'http://"+documented(t, "/a/x", "/a/{id}", "/secret")+"'}\n"+
		"  b: {url: 'http://"+documented(t, "/x/{key}", "/")+"'}\n"+
		"  dead: {url: 'http://"+dead+"'}\n  mute: {url: 'http://"+mute+"'}\n  without: {url: 'http://"+without+"'}\n"+
		"  garbage: {url: 'http://"+garbage+"'}\n  unasked: {url: 'http://"+dead+"', openapi: none}\n  unused: {url: 'http://"+dead+"'}\n"+
		"  files: {static: "+t.TempDir()+"}\n"+
		"compositions:\n  page:\n    parts: [{name: part, upstream: a, path: '/a/{id}?q={query.q}'}]\n    views: {v: [{take: part, pick: [n]}]}\n"+
		"routes:\n"+documents+"- {path: /a/*, upstream: a}\n- {path: /a/x, upstream: b}\n- {path: /b/*, upstream: b, strip-prefix: /b}\n"+
		"- {path: '/page/{id}', compose: page}\n"+
		"- {path: /1, upstream: dead}\n- {path: /2, upstream: mute}\n- {path: /3, upstream: without}\n- {path: /4, upstream: garbage}\n"+
		"- {path: /5, upstream: unasked}\n- {path: /6, upstream: files}\n", Options{}, nil)
	begun := time.Now()
	paths, states, body := d.document(t)
	if took := time.Since(begun); took > 3*openapi.Patience {
		t.Errorf("it took %v", took)
	}
	if want := []string{"/a/{id}", "/b/", "/b/x/{key}", "/page/{id}"}; !slices.Equal(paths, want) {
		t.Errorf("paths %q, want %q", paths, want)
	}
	for name, want := range map[string]string{
		"a": "present", "b": "present", "dead": "left out: connection refused", "mute": "left out: no whole answer within 1s",
		"without": "without", "garbage": "left out: it is not valid JSON", "unasked": "without",
	} {
		if states[name] != want {
			t.Errorf("%s is %q, want %q", name, states[name], want)
		}
	}
	if len(states) != 7 {
		t.Errorf("there are %v", states)
	}
	if !strings.Contains(body, `{"properties":{"n":{"maximum":9007199254740993,"type":"integer"}},"type":"object"}`) {
		t.Errorf("the page has no member n of its part's type:\n%s", body)
	}
	host, _, _ := net.SplitHostPort(dead)
	if strings.Contains(body, host) {
		t.Errorf("it has an address: %s", body)
	}
}

// TestDocumentIsNoFailure: a service that is slow to say what it has is not one that fails.
func TestDocumentIsNoFailure(t *testing.T) {
	mute := rawServer(t, func(_ int, c *peer) { c.readHead(); c.rest() }).addr
	d := open(t, "upstreams: {a: {urls: ['http://"+mute+"', 'http://"+documented(t, "/a")+"'], balance: round-robin}}\nroutes: [{path: /a, upstream: a}]\n", Options{}, nil)
	now := d.now.Load()
	var all sync.WaitGroup
	for range 12 {
		all.Go(func() { new(openapi.Collector).Collect([]openapi.Source{now.source("a")}) })
	}
	all.Wait()
	for _, r := range now.backends["a"].State().Replicas {
		if !r.In || r.Ejections > 0 {
			t.Errorf("a replica is left out: %+v", r)
		}
	}
}

// TestDocumentOverHTTP: an answer as others are: validators, HEAD, methods, no script.
func TestDocumentOverHTTP(t *testing.T) {
	d := open(t, "upstreams: {a: {url: 'http://"+documented(t, "/a")+"'}}\nroutes:\n"+documents+"- {path: /a, upstream: a}\n", Options{}, nil)
	for path, want := range map[string]struct{ media, has string }{
		"/openapi.json": {"application/json", `"/a"`},
		"/docs":         {"text/html; charset=utf-8", `<a href="/openapi.json">`},
	} {
		a, body := get(t, "http://"+d.addr+path)
		tag := a.Header.Get("Etag")
		if a.StatusCode != 200 || a.Header.Get("Content-Type") != want.media || !strings.Contains(body, want.has) || tag == "" ||
			a.Header.Get("X-Request-Id") == "" || a.Header.Get("Cache-Control") != "no-cache" {
			t.Errorf("%s: %s %v %.300s", path, a.Status, a.Header, body)
		}
		if csp := a.Header.Get("Content-Security-Policy"); (csp == openapi.Policy) != (path == "/docs") {
			t.Errorf("%s: policy %q", path, csp)
		}
		for request, status := range map[string]int{
			"GET " + path + " HTTP/1.1\r\nHost: " + d.addr + "\r\nIf-None-Match: " + tag + "\r\n\r\n": 304,
			"HEAD " + path + " HTTP/1.1\r\n" + host + "\r\n":                                          200,
			"POST " + path + " HTTP/1.1\r\n" + host + "Content-Length: 0\r\n\r\n":                     405,
		} {
			c := dial(t, d.addr)
			c.say(request)
			method, _, _ := strings.Cut(request, " ")
			if a, body := c.answer(method); a.StatusCode != status || status != 405 && body != "" {
				t.Errorf("%s: %s %.80q", request, a.Status, body)
			}
		}
	}
	for header, want := range map[string]string{
		"Host: gw.example:81\r\n":                                "http://gw.example:81/a",
		"Host: gw.example\r\nX-Forwarded-Proto: https\r\n":       "http://gw.example/a",
		"Host: gw\"><b>\r\n":                                     "400",
		"Host: gw'example\r\nX-Forwarded-Host: evil.example\r\n": "http://localhost/a",
	} {
		c := dial(t, d.addr)
		c.say("GET /docs HTTP/1.1\r\n" + header + "\r\n")
		if a, body := c.answer("GET"); !strings.Contains(body, "curl &#39;"+want+"&#39;") && !strings.HasPrefix(a.Status, want) {
			t.Errorf("%q: %s, the page has no %s", header, a.Status, want)
		}
	}
}

// TestDocumentIsRecorded: it is the gateway's own answer; the body only as far as the
// route says.
func TestDocumentIsRecorded(t *testing.T) {
	d, j := recorded(t, "upstreams: {a: {url: 'http://"+documented(t, "/a")+"'}}\nroutes:\n"+documents+
		"- {path: /some, openapi: json, body: 8}\n- {path: /a, upstream: a}\n", false)
	for i, want := range []struct{ path, body string }{{"/openapi.json", ""}, {"/docs", ""}, {"/some", ""}} {
		a, body := get(t, "http://"+d.addr+want.path)
		r := j.wait(t, i+1)[i]
		if want.path == "/some" {
			want.body = body[:8]
		}
		if r.HTTP.Status != 200 || r.Subject != want.path || string(r.HTTP.Body) != want.body || r.HTTP.Upstream != "" || r.HTTP.Bytes != int64(len(body)) {
			t.Errorf("%s: %+v, %s", want.path, r.HTTP, a.Status)
		}
	}
}

// TestDocumentFollows: a new table is a new document, and services found by labels are
// in it.
func TestDocumentFollows(t *testing.T) {
	a, b := documented(t, "/a"), documented(t, "/x/{id}")
	table := func(path string) *Table {
		return tableOf(t, "upstreams: {a: {url: 'http://"+a+"'}}\nroutes:\n"+documents+"- {path: "+path+", upstream: a}\n")
	}
	d := open(t, "upstreams: {a: {url: 'http://"+a+"'}}\nroutes:\n"+documents+"- {path: /a, upstream: a}\n", Options{}, nil)
	if paths, _, _ := d.document(t); !slices.Equal(paths, []string{"/a"}) {
		t.Errorf("paths %q", paths)
	}
	if err := d.Swap(table("/b")); err != nil {
		t.Fatal(err)
	}
	if paths, states, _ := d.document(t); len(paths) != 0 || states["a"] != "present" {
		t.Errorf("paths %q of %v", paths, states)
	}
	next := tableOf(t, "upstreams: {a: {url: 'http://"+a+"'}, x: {url: 'http://x'}}\nroutes:\n"+documents+
		"- {path: /a, upstream: a}\n- {path: /x/*, upstream: x}\n")
	found := next.upstreams["x"]
	found.origins, found.found, found.replicas = nil, true, []netip.AddrPort{netip.MustParseAddrPort(b)}
	next.upstreams["x"] = found
	if err := d.Swap(next); err != nil {
		t.Fatal(err)
	}
	if paths, states, _ := d.document(t); !slices.Equal(paths, []string{"/a", "/x/{id}"}) || states["x"] != "present" {
		t.Errorf("paths %q of %v", paths, states)
	}
}
