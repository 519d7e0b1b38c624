package gateway

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// routesOf makes a table of lines "METHODS host/path"; METHODS may be missing.
func routesOf(lines ...string) (*Table, error) {
	c := Config{Upstreams: map[string]UpstreamConfig{"back": {URL: "http://127.0.0.1:1"}}}
	for _, line := range lines {
		c.Routes = append(c.Routes, routeOf(line))
	}
	return NewTable(c)
}

func routeOf(line string) RouteConfig {
	r := RouteConfig{Upstream: "back"}
	methods, where, ok := strings.Cut(line, " ")
	if !ok {
		methods, where = "", line
	}
	if methods != "" {
		r.Methods = strings.Split(methods, ",")
	}
	i := strings.IndexByte(where, '/')
	r.Host, r.Path = where[:i], where[i:]
	return r
}

var manyRoutes = []string{
	"/*",
	"/x",
	"/x/",
	"/x/*",
	"/x/{id}",
	"/x/{id}/y",
	"/x/me/*",
	"/{any}/y",
	"GET /m",
	"POST,PUT /m",
	"GET /m/{a}",
	"HEAD /m/{a}",
	"DELETE /m/1",
	"/m/{a}/all",
	"PATCH /m/{a}/all",
	"shop.example/*",
	"shop.example/x",
	"*.example/x",
	"*.deep.example/x",
	"GET *.deep.example/y",
	"/münchen/{straße}/*", // a parameter of letters beyond ASCII is refused below
}

func TestMatch(t *testing.T) {
	table, err := routesOf(manyRoutes[:len(manyRoutes)-1]...)
	if err != nil {
		t.Fatal(err)
	}
	for request, want := range map[string]string{
		"GET other/":                 "/*",
		"GET other/z":                "/*",
		"GET other/x":                "/x",
		"GET other/x/":               "/x/",
		"GET other/x/1":              "/x/{id}",
		"GET other/x/1/":             "/x/*",
		"GET other/x/1/y":            "/x/{id}/y",
		"GET other/x/1/z":            "/x/*",
		"GET other/x/me":             "/x/me/*",
		"GET other/x/me/y":           "/x/me/*",
		"GET other/x//y":             "/x/*",
		"GET other/z/y":              "/{any}/y",
		"GET other//y":               "/*",
		"GET other/m":                "GET /m",
		"HEAD other/m":               "GET /m",
		"PUT other/m":                "POST,PUT /m",
		"BREW other/m":               "/*",
		"GET other/m/1":              "GET /m/{a}",
		"HEAD other/m/1":             "HEAD /m/{a}",
		"DELETE other/m/1":           "DELETE /m/1",
		"DELETE other/m/2":           "/*",
		"GET other/m/1/all":          "/m/{a}/all",
		"PATCH other/m/1/all":        "PATCH /m/{a}/all",
		"GET shop.example/x":         "shop.example/x",
		"GET SHOP.example.:8080/x":   "shop.example/x",
		"GET shop.example/x/1":       "shop.example/*",
		"GET a.shop.example/x":       "*.example/x",
		"GET .example/x":             "/x",
		"GET example/x":              "/x",
		"GET deep.example/x":         "*.example/x",
		"GET a.deep.example/x":       "*.deep.example/x",
		"GET a.b.deep.example/x":     "*.deep.example/x",
		"HEAD a.deep.example/y":      "GET *.deep.example/y",
		"POST a.deep.example/y":      "/*",
		"GET [::1]:80/x":             "/x",
		"CONNECT other/x":            "",
		"TRACE other/x":              "",
		"GET a.deep.example/x/../..": "/x/*",
	} {
		t.Run(request, func(t *testing.T) {
			method, where, _ := strings.Cut(request, " ")
			i := strings.IndexByte(where, '/')
			got := table.Match(method, where[:i], where[i:])
			if text := fmt.Sprint(got.Route); want != "" && text != want || want == "" && got.Route != nil {
				t.Errorf("Match = %s, want %s", text, want)
			}
			explains(t, table, method, where[:i], where[i:])
		})
	}
}

// explains fails unless Explain, which goes by the rules, and Match, which goes by a
// tree, say the same.
func explains(t *testing.T, table *Table, method, host, path string) {
	t.Helper()
	m := table.Match(method, host, path)
	var taken []*Route
	for _, v := range table.Explain(method, host, path) {
		if v.Taken {
			taken = append(taken, v.Route)
		}
		if v.Reason == "" {
			t.Errorf("Explain(%s %s%s) gives no reason for %s", method, host, path, v.Route)
		}
	}
	if m.Route == nil && len(taken) > 0 || m.Route != nil && !slices.Equal(taken, []*Route{m.Route}) {
		t.Errorf("Match(%s %s%s) = %v, Explain = %v", method, host, path, m.Route, taken)
	}
}

func TestAllow(t *testing.T) {
	table, err := routesOf("GET /m", "POST,PUT /m", "DELETE /{x}", "PATCH shop.example/m", "/any")
	if err != nil {
		t.Fatal(err)
	}
	for request, want := range map[string]string{
		"BREW other/m":        "DELETE GET HEAD POST PUT",
		"BREW shop.example/m": "DELETE GET HEAD PATCH POST PUT",
		"BREW other/n":        "DELETE",
		"BREW other/n/m":      "",
		"TRACE other/any":     "DELETE GET HEAD OPTIONS PATCH POST PUT",
	} {
		method, where, _ := strings.Cut(request, " ")
		i := strings.IndexByte(where, '/')
		m := table.Match(method, where[:i], where[i:])
		if got := strings.Join(m.Allow, " "); m.Route != nil || got != want {
			t.Errorf("Match(%s) = %v, allow %q, want none, allow %q", request, m.Route, got, want)
		}
	}
}

func TestExplain(t *testing.T) {
	table, err := routesOf("/x/{id}", "GET /x/me", "shop.example/x/me", "/x", "/x/me/y", "/x/*")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, v := range table.Explain(http.MethodPost, "other.example", "/x/me") {
		got = append(got, fmt.Sprintf("%s %v: %s", v.Route.Name, v.Taken, v.Reason))
	}
	want := []string{
		`routes[0] true: matches, and is the most specific`,
		`routes[1] false: the method is POST, not HEAD or GET`,
		`routes[2] false: the host is "other.example", not "shop.example"`,
		`routes[3] false: the path goes on with "me" after segment 1`,
		`routes[4] false: the path ends after segment 2`,
		`routes[5] false: matches, but routes[0] is more specific`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("Explain =\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestMatchDoesNotAllocate: it is done for each request.
func TestMatchDoesNotAllocate(t *testing.T) {
	table, err := routesOf(manyRoutes[:len(manyRoutes)-1]...)
	if err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(100, func() { table.Match("GET", "shop.example", "/x/1/y") }); n > 0 {
		t.Errorf("Match makes %v allocations", n)
	}
}

// FuzzMatch makes a table of lines and asks it: tree and rules must agree, and each
// route that was accepted must be reachable.
func FuzzMatch(f *testing.F) {
	all := strings.Join(manyRoutes, "\n")
	f.Add(all, "GET", "a.deep.example:80", "/x/1/y")
	f.Add("/{a}/b\n/a/{b}\n/a/*", "POST", "", "/a/b")
	f.Add("GET /\n/\nHEAD /", "HEAD", "x", "/")
	f.Add("*.a/\n*.b.a/\nb.a/", "GET", "c.b.a.", "/")
	f.Fuzz(func(t *testing.T, text, method, host, path string) {
		var lines []string
		for _, line := range strings.Split(text, "\n") {
			if _, where, ok := strings.Cut(line, " "); !ok && !strings.Contains(line, "/") || ok && !strings.Contains(where, "/") {
				continue
			}
			if len(lines) < 40 {
				if _, err := routesOf(append(lines, line)...); err == nil {
					lines = append(lines, line)
				}
			}
		}
		table, err := routesOf(lines...)
		if err != nil {
			t.Fatal(err)
		}
		explains(t, table, method, host, path)
		for _, r := range table.Routes() {
			method, host, path := witness(r)
			explains(t, table, method, host, path)
			if m := table.Match(method, host, path); m.Route != r {
				t.Errorf("%s of %q can't be reached: %s %s%s goes to %v", r, lines, method, host, path, m.Route)
			}
		}
	})
}

// witness is a request that nothing but r takes, unless r is shadowed.
func witness(r *Route) (method, host, path string) {
	method, host = "BREW", r.Host
	if len(r.Methods) > 0 {
		method = r.Methods[0]
	}
	if strings.HasPrefix(host, "*") || host == "" {
		host = "0witness" + strings.TrimPrefix(host, "*")
	}
	for _, seg := range r.pattern {
		switch seg.kind {
		case literal:
			path += "/" + seg.text
		case parameter:
			path += "/0witness"
		default:
			path += "//0witness" // an empty segment is no parameter
		}
	}
	return method, host, path
}

func FuzzAmbiguous(f *testing.F) {
	for _, s := range []string{"/", "/a/../b", "/%2e%2e/", "//", "/a%2fb", "/a;b/..;/c", "/%00", "http://a/b", "/\\", "/a?b#c", "*", "/%2", "/%%2f"} {
		f.Add(s, uint8(1))
	}
	f.Fuzz(func(t *testing.T, target string, strip uint8) {
		r, err := http.NewRequest(http.MethodGet, target, nil)
		if err != nil {
			return
		}
		r.RequestURI = target
		if ambiguous(r) != "" {
			return
		}
		path := r.URL.Path
		for _, part := range strings.Split(path, "/") {
			if part == "." || part == ".." {
				t.Errorf("%q passes, and has a dot segment", target)
			}
		}
		raw := r.URL.EscapedPath()
		if strings.Count(raw, "/") != strings.Count(path, "/") {
			t.Errorf("%q passes, and has other segments when it is decoded", target)
		}
		n := min(int(strip), strings.Count(path, "/"))
		left, ok := cutSegments(raw, n)
		if !strings.HasPrefix(left, "/") || !ok && !strings.HasPrefix(left, "//") || !strings.HasSuffix(raw, left) && left != "/" {
			t.Errorf("cutSegments(%q, %d) = %q, %v", raw, n, left, ok)
		}
	})
}
