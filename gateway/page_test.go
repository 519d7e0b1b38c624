package gateway

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/earshot-mq/earshot/internal/testenv"
	"github.com/earshot-mq/earshot/publisher/record"
)

// says is a service that answers everything with this JSON.
func says(body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, body)
	}
}

// status is a service that answers everything with this status and these fields.
func status(code int, fields ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i < len(fields); i += 2 {
			w.Header().Set(fields[i], fields[i+1])
		}
		w.WriteHeader(code)
	}
}

// hangs is a service that never answers.
func hangs(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

// services is a configuration of upstreams with the names and handlers, and one of a
// composition "page" that stands behind it. A nil handler is an upstream that is dead.
func services(t *testing.T, handlers map[string]http.HandlerFunc, composition string) string {
	t.Helper()
	var b strings.Builder
	b.WriteString("upstreams:\n")
	for name, h := range handlers {
		addr := refused(t)
		if h != nil {
			addr = serve(t, h, false)
		}
		fmt.Fprintf(&b, "  %s:\n    url: http://%s\n", name, addr)
	}
	b.WriteString("compositions:\n  page:\n" + composition)
	b.WriteString("\nroutes:\n  - {path: \"/page/{id}\", compose: page}\n")
	return b.String()
}

// three are parts with one view of all; more is said of part b.
func three(more string) string {
	return `
    timeout: 5s
    parts:
      - {name: a, upstream: a, path: "/a/{id}", required: true}
      - {name: b, upstream: b, path: "/b/{id}"` + more + `}
      - {name: c, upstream: c, path: "/c/{id}"}
    views:
      all: [a, b, c]`
}

func page(t *testing.T, d *door, target string) (*http.Response, string) {
	t.Helper()
	return get(t, "http://"+d.addr+target)
}

// TestPageOrder: the view's order counts, not who was faster; and all parts are asked at
// once.
func TestPageOrder(t *testing.T) {
	var here atomic.Int32
	all := make(chan struct{})
	last := make(chan struct{})
	meets := func(body string, after, then chan struct{}) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if here.Add(1) == 3 {
				close(all)
			}
			for _, c := range []chan struct{}{all, after} {
				select {
				case <-c:
				case <-r.Context().Done():
				}
			}
			says(body)(w, r)
			if then != nil {
				close(then)
			}
		}
	}
	d := open(t, services(t, map[string]http.HandlerFunc{
		"a": meets(`{"x":1}`, last, nil), "b": meets(`[1,{"x":2}]`, all, nil), "c": meets(`"three"`, all, last),
	}, three("")), Options{}, nil)
	a, body := page(t, d, "/page/7")
	if want := `{"a":{"x":1},"b":[1,{"x":2}],"c":"three"}` + "\n"; a.StatusCode != 200 || body != want {
		t.Errorf("%s %s, want %s", a.Status, body, want)
	}
	if got := a.Header.Get("Content-Type"); got != "application/json" {
		t.Errorf("Content-Type %q", got)
	}
}

// TestPageBytes: no value is read and written again.
func TestPageBytes(t *testing.T) {
	const odd = `{"id":12345678901234567890,"price":1.10,"big":1E400,"text":"\u0041<&\/é","deep":[ 1.0 , -0 ]}`
	asked := make(chan string, 1)
	d := open(t, services(t, map[string]http.HandlerFunc{
		"a": says(" \n" + odd + "\n"),
		"b": func(w http.ResponseWriter, r *http.Request) { asked <- r.RequestURI; says("1.50")(w, r) },
	}, `
    parts:
      - {name: a, upstream: a, path: "/"}
      - {name: b, upstream: b, path: "/b/{part.a.id}/{part.a.deep.0}?text={part.a.text}&price={part.a.price}"}
    views:
      all: [a, b, {take: a.price, as: price}, {take: a, as: some, pick: [big, id]}]`), Options{}, nil)
	_, body := page(t, d, "/page/7")
	want := `{"a":` + odd + `,"b":1.50,"price":1.10,"some":{"big":1E400,"id":12345678901234567890}}` + "\n"
	if body != want {
		t.Errorf("the page is\n%s want\n%s", body, want)
	}
	if got, want := <-asked, "/b/12345678901234567890/1.0?text=A%3C%26%2F%C3%A9&price=1.10"; got != want {
		t.Errorf("b was asked for %s, want %s", got, want)
	}
}

// TestMissing: what an optional part can do wrong costs the page that part, and the page
// says so.
func TestMissing(t *testing.T) {
	good := says(`{"ok":true}`)
	text := func(s string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			_, _ = io.WriteString(w, s)
		}
	}
	for name, c := range map[string]struct {
		b    http.HandlerFunc
		more string
		want string // of "missing"; "" is none
	}{
		"none": {good, "", ""},
		"problem type": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/vnd.x+json; a=b")
			_, _ = io.WriteString(w, "1")
		}, "", ""},
		"no content": {status(204), "", ""},
		"dead":       {nil, "", `{"part":"b","reason":"unreachable"}`},
		"slow":       {hangs, ", timeout: 50ms", `{"part":"b","reason":"timeout"}`},
		"slow body": {func(w http.ResponseWriter, r *http.Request) {
			says(`{"a":`)(w, r)
			_ = http.NewResponseController(w).Flush()
			hangs(w, r)
		}, ", timeout: 50ms", `{"part":"b","reason":"timeout"}`},
		"cut": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Content-Length", "9")
			_, _ = io.WriteString(w, "12")
		}, "", `{"part":"b","reason":"failed"}`},
		"not found":       {status(404), "", `{"part":"b","reason":"status","status":404}`},
		"failed":          {status(500), "", `{"part":"b","reason":"status","status":500}`},
		"redirect":        {status(302, "Location", "/a/7"), "", `{"part":"b","reason":"status","status":302}`},
		"partial":         {status(206, "Content-Range", "bytes 0-1/2"), "", `{"part":"b","reason":"status","status":206}`},
		"page of HTML":    {text("<p>"), "", `{"part":"b","reason":"not-json"}`},
		"JSON, said HTML": {text("1"), "", `{"part":"b","reason":"not-json"}`},
		"HTML, said JSON": {says("<p>"), "", `{"part":"b","reason":"not-json"}`},
		"empty":           {says(""), "", `{"part":"b","reason":"not-json"}`},
		"twice a name":    {says(`{"a":1,"a":2}`), "", `{"part":"b","reason":"not-json"}`},
		"Latin 1":         {says("\"\xe9\""), "", `{"part":"b","reason":"not-json"}`},
		"too deep":        {says(strings.Repeat("[", 65) + strings.Repeat("]", 65)), "", `{"part":"b","reason":"not-json"}`},
		"compressed": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			says("1")(w, r)
		}, "", `{"part":"b","reason":"not-json"}`},
		"just short enough": {says(strings.Repeat("1", 64)), ", max-bytes: 64", ""},
		"too long":          {says(strings.Repeat("1", 65)), ", max-bytes: 64", `{"part":"b","reason":"too-large"}`},
		"too long, in bits": {func(w http.ResponseWriter, r *http.Request) {
			for range 65 {
				says("1")(w, r)
				_ = http.NewResponseController(w).Flush()
			}
		}, ", max-bytes: 64", `{"part":"b","reason":"too-large"}`},
	} {
		t.Run(name, func(t *testing.T) {
			d := open(t, services(t, map[string]http.HandlerFunc{"a": good, "b": c.b, "c": good}, three(c.more)), Options{}, nil)
			a, body := page(t, d, "/page/7")
			var got map[string]json.RawMessage
			if err := json.Unmarshal([]byte(body), &got); err != nil || a.StatusCode != 200 {
				t.Fatalf("%s %s: %v", a.Status, body, err)
			}
			want := ""
			if c.want != "" {
				want = "[" + c.want + "]"
			}
			_, hasB := got["b"]
			if string(got["missing"]) != want || hasB != (want == "") || got["a"] == nil || got["c"] == nil {
				t.Errorf("the page is %s", body)
			}
		})
	}
}

// TestRequired: the status of a page that can't be made is the truth.
func TestRequired(t *testing.T) {
	for name, c := range map[string]struct {
		a      http.HandlerFunc
		status int
		reason string
		field  string
	}{
		"dead":             {nil, 502, "unreachable", ""},
		"slow":             {hangs, 504, "timeout", ""},
		"not found":        {status(404), 404, "status", ""},
		"gone":             {status(410), 410, "status", ""},
		"bad request":      {status(400), 400, "status", ""},
		"no credentials":   {status(401, "WWW-Authenticate", "Bearer"), 401, "status", "Www-Authenticate"},
		"forbidden":        {status(403), 403, "status", ""},
		"invalid":          {status(422), 422, "status", ""},
		"too many":         {status(429, "Retry-After", "7"), 429, "status", "Retry-After"},
		"overloaded":       {status(503, "Retry-After", "7"), 503, "status", "Retry-After"},
		"its upstream":     {status(504), 504, "status", ""},
		"broken":           {status(500, "Retry-After", "7"), 502, "status", ""},
		"wrong method":     {status(405), 502, "status", ""},
		"redirect":         {status(307, "Location", "http://evil.example/"), 502, "status", ""},
		"no JSON":          {says("<p>"), 502, "not-json", ""},
		"longer than 1MiB": {says(`"` + strings.Repeat("x", 1<<20) + `"`), 502, "too-large", ""},
	} {
		t.Run(name, func(t *testing.T) {
			text := services(t, map[string]http.HandlerFunc{"a": c.a, "b": says("1"), "c": says("1")}, three(""))
			timeout := "5s"
			if c.status == 504 && c.reason == "timeout" {
				timeout = "200ms"
			}
			d := open(t, strings.Replace(text, "required: true", "required: true, timeout: "+timeout, 1), Options{}, nil)
			a, body := page(t, d, "/page/7")
			doc := readDocument(t, a, body)
			if a.StatusCode != c.status || doc.Part != "a" || doc.Upstream != "a" || doc.Reason != c.reason {
				t.Errorf("%s %s, want %d, %s", a.Status, body, c.status, c.reason)
			}
			for _, name := range []string{"Www-Authenticate", "Retry-After", "Location"} {
				if got := a.Header.Get(name); (got != "") != (name == c.field) {
					t.Errorf("%s: %q", name, got)
				}
			}
			if strings.Contains(body, "127.0.0.1") {
				t.Errorf("the client is told an address: %s", body)
			}
		})
	}
}

// TestFirstRequired: of several required parts that fail, the one that is declared first
// decides, however slow it is.
func TestFirstRequired(t *testing.T) {
	second := make(chan struct{})
	d := open(t, services(t, map[string]http.HandlerFunc{
		"a": func(w http.ResponseWriter, _ *http.Request) {
			<-second
			time.Sleep(20 * time.Millisecond) /* for b to be heard */
			w.WriteHeader(404)
		},
		"b": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500); close(second) },
		"c": says("1"),
	}, three(", required: true")), Options{}, nil)
	if a, body := page(t, d, "/page/7"); a.StatusCode != 404 || readDocument(t, a, body).Part != "a" {
		t.Errorf("%s %s", a.Status, body)
	}
}

// TestNothing: a page of which there is nothing is no page, whatever is required.
func TestNothing(t *testing.T) {
	for name, c := range map[string]struct {
		a, b http.HandlerFunc
		want int
		part string
	}{
		"both":         {status(404), nil, 404, "a"},
		"slow":         {hangs, status(404), 504, "a"},
		"one is there": {status(404), says("null"), 200, ""},
	} {
		t.Run(name, func(t *testing.T) {
			d := open(t, services(t, map[string]http.HandlerFunc{"a": c.a, "b": c.b}, `
    timeout: 200ms
    parts:
      - {name: late, upstream: b, path: "/{part.a.x}"}
      - {name: a, upstream: a, path: "/"}
      - {name: b, upstream: b, path: "/"}
    views: {all: [late, a, b]}`), Options{}, nil)
			a, body := page(t, d, "/page/7")
			if a.StatusCode != c.want || c.want != 200 && readDocument(t, a, body).Part != c.part {
				t.Errorf("%s %s", a.Status, body)
			}
			if want := `{"b":null,"missing":[{"part":"late","reason":"needs","needs":"a"},{"part":"a","reason":"status","status":404}]}` + "\n"; c.want == 200 && body != want {
				t.Errorf("the page is %s want %s", body, want)
			}
		})
	}
}

// TestDeadline: the page leaves when the part's time is up, not later.
func TestDeadline(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		most time.Duration
	}{
		"the part's": {strings.Replace(three(", timeout: 100ms"), "5s", "8s", 1), 4 * time.Second},
		"the page's": {strings.Replace(three(""), "5s", "150ms", 1), 4 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			d := open(t, services(t, map[string]http.HandlerFunc{"a": says("1"), "b": hangs, "c": says("3")}, c.text), Options{}, nil)
			start := time.Now()
			a, body := page(t, d, "/page/7")
			if took := time.Since(start); took < 100*time.Millisecond || took > c.most {
				t.Errorf("the page left after %v", took)
			}
			if want := `{"a":1,"c":3,"missing":[{"part":"b","reason":"timeout"}]}` + "\n"; a.StatusCode != 200 || body != want {
				t.Errorf("%s %s want %s", a.Status, body, want)
			}
		})
	}
}

// TestSequence: a part that needs a value of another is asked with it, and not at all
// without.
func TestSequence(t *testing.T) {
	for name, c := range map[string]struct {
		a      http.HandlerFunc
		id     string
		asked  string
		b      string // of the page
		reason string
		status int // of the page when b is required
	}{
		"text":            {says(`{"m":{"ids":["x","y/../z?a=b#c%2f é"]}}`), "7", "/m/7/y%2F..%2Fz", "", "no-value", 502},
		"escaped":         {says(`{"m":{"ids":[1,"y/z?a=b#c%2f é"]}}`), "7", "/m/7/y%2Fz%3Fa=b%23c%252f%20%C3%A9", "2", "", 200},
		"number":          {says(`{"m":{"ids":[1,12345678901234567890]}}`), "7", "/m/7/12345678901234567890", "2", "", 200},
		"truth":           {says(`{"m":{"ids":[1,false]}}`), "7", "/m/7/false", "2", "", 200},
		"null":            {says(`{"m":{"ids":[1,null]}}`), "7", "", "", "no-value", 502},
		"absent":          {says(`{"m":{"ids":[1]}}`), "7", "", "", "no-value", 502},
		"no such member":  {says(`[]`), "7", "", "", "no-value", 502},
		"object":          {says(`{"m":{"ids":[1,{}]}}`), "7", "", "", "no-value", 502},
		"empty":           {says(`{"m":{"ids":[1,""]}}`), "7", "", "", "no-value", 502},
		"dots":            {says(`{"m":{"ids":[1,".."]}}`), "7", "", "", "no-value", 502},
		"zero byte":       {says(`{"m":{"ids":[1,"a\u0000"]}}`), "7", "", "", "no-value", 502},
		"endless":         {says(`{"m":{"ids":[1,"` + strings.Repeat("x", 3000) + `"]}}`), "7", "", "", "no-value", 502},
		"client's escape": {says(`{"m":{"ids":[1,2]}}`), "a%20%3F%25", "/m/a%20%3F%25/2", "2", "", 200},
	} {
		for _, required := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, required %v", name, required), func(t *testing.T) {
				asked := make(chan string, 1)
				d := open(t, services(t, map[string]http.HandlerFunc{
					"a": c.a, "b": func(w http.ResponseWriter, r *http.Request) { asked <- r.RequestURI; says("2")(w, r) },
				}, fmt.Sprintf(`
    parts:
      - {name: b, upstream: b, path: "/m/{id}/{part.a.m.ids.1}", required: %v}
      - {name: a, upstream: a, path: "/", required: true}
    views: {all: [b, {take: a, pick: [none]}]}`, required)), Options{}, nil)
				a, body := page(t, d, "/page/"+c.id)
				if c.reason == "" {
					if got := <-asked; got != c.asked || !strings.HasPrefix(body, `{"b":2,`) {
						t.Errorf("asked %s, want %s; the page is %s", got, c.asked, body)
					}
					return
				}
				if len(asked) > 0 {
					t.Errorf("b was asked for %s", <-asked)
				}
				if required {
					if doc := readDocument(t, a, body); a.StatusCode != c.status || doc.Reason != c.reason {
						t.Errorf("%s %s", a.Status, body)
					}
				} else if a.StatusCode != 200 || !strings.Contains(body, `"missing":[{"part":"b","reason":"`+c.reason+`"}]`) {
					t.Errorf("%s %s", a.Status, body)
				}
			})
		}
	}
}

// TestNotTheClientsFault: a status that blames the request is the page's only when it can
// be about what the client has said.
func TestNotTheClientsFault(t *testing.T) {
	for name, c := range map[string]struct {
		path         string
		status, want int
	}{
		"not found, by the client's id":     {"/b/{id}?x={part.a.x}", 404, 404},
		"not found, by another's value":     {"/b/{part.a.x}?x={id}", 404, 502},
		"gone, by another's value":          {"/b/{part.a.x}", 410, 502},
		"invalid, with something of its":    {"/b/{part.a.x}?in={query.in|'EUR'}", 422, 422},
		"invalid, with nothing of its":      {"/b/{part.a.x}?in=EUR", 422, 502},
		"bad request, with nothing of its":  {"/b", 400, 502},
		"forbidden, whatever was asked for": {"/b/{part.a.x}", 403, 403},
	} {
		t.Run(name, func(t *testing.T) {
			d := open(t, services(t, map[string]http.HandlerFunc{"a": says(`{"x":1}`), "b": status(c.status)}, `
    parts:
      - {name: a, upstream: a, path: "/", required: true}
      - {name: b, upstream: b, path: "`+c.path+`", required: true}
    views: {all: [a, b]}`), Options{}, nil)
			if a, body := page(t, d, "/page/7"); a.StatusCode != c.want || readDocument(t, a, body).Part != "b" {
				t.Errorf("%s %s, want %d", a.Status, body, c.want)
			}
		})
	}
}

// TestWhen: a part that is not wanted is not asked and not missing, nor what needs it.
func TestWhen(t *testing.T) {
	const text = `
    parts:
      - {name: a, upstream: a, path: "/a"}
      - {name: b, upstream: b, path: "/b?customer={query.customer}", when: query.customer, required: true}
      - {name: c, upstream: c, path: "/c/{part.b.x}"}
    views: {all: [a, b, c]}`
	for target, c := range map[string]struct {
		status     int
		body, last string
	}{
		"/page/7":                       {200, `{"a":"/a"}` + "\n", ""},
		"/page/7?customer=":             {200, `{"a":"/a"}` + "\n", ""},
		"/page/7?Customer=9&x=1;y=2":    {400, "the query can't be read", ""},
		"/page/7?customer=9":            {200, `{"a":"/a","b":{"x":"b9"},"c":"/c/b9"}` + "\n", "9"},
		"/page/7?customer=a%26b%2F..+c": {200, `{"a":"/a","b":{"x":"b9"},"c":"/c/b9"}` + "\n", "a&b/.. c"},
		"/page/7?customer=9&customer=9": {400, `the query has \"customer\" more than once`, ""},
		"/page/7?other=9&other=9":       {200, `{"a":"/a"}` + "\n", ""},
		"/page/7?a;customer=9&%zz":      {400, "the query can't be read", ""},
	} {
		t.Run(target, func(t *testing.T) {
			echo := func(w http.ResponseWriter, r *http.Request) { says(`"`+r.RequestURI+`"`)(w, r) }
			got := make(chan string, 1)
			d := open(t, services(t, map[string]http.HandlerFunc{"a": echo, "c": echo, "b": func(w http.ResponseWriter, r *http.Request) {
				got <- r.URL.Query().Get("customer")
				says(`{"x":"b9"}`)(w, r)
			}}, text), Options{}, nil)
			a, body := page(t, d, target)
			if a.StatusCode != c.status || c.status == 200 && body != c.body || !strings.Contains(body, c.body) {
				t.Errorf("%s %s, want %d %s", a.Status, body, c.status, c.body)
			}
			if c.last != "" && <-got != c.last || len(got) > 0 {
				t.Error("b was asked for another customer")
			}
		})
	}
}

// TestNeededParameter: without a parameter that a required part needs, the request is
// at fault.
func TestNeededParameter(t *testing.T) {
	const text = `
    parts:
      - {name: a, upstream: a, path: "/a?q={query.q}", required: true}
    views: {all: [a]}`
	d := open(t, services(t, map[string]http.HandlerFunc{"a": says("1")}, text), Options{}, nil)
	if a, body := page(t, d, "/page/7"); a.StatusCode != 400 || !strings.Contains(body, "{query.q} has no value") {
		t.Errorf("%s %s", a.Status, body)
	}
	if a, body := page(t, d, "/page/7?q=1"); a.StatusCode != 200 || body != "{\"a\":1}\n" {
		t.Errorf("%s %s", a.Status, body)
	}
}

// TestViews: a view has what it takes, under its names, and asks nobody else.
func TestViews(t *testing.T) {
	var others atomic.Int32
	text := services(t, map[string]http.HandlerFunc{
		"a": says(`{"id":7,"name":"iPhone","cost":1,"photos":[{"url":"u","by":"x"}],"m":3}`),
		"b": says(`{"name":"shop","bank":"secret"}`),
		"c": func(w http.ResponseWriter, r *http.Request) { others.Add(1); says("3")(w, r) },
	}, `
    parts:
      - {name: product, upstream: a, path: "/a"}
      - {name: merchant, upstream: b, path: "/b/{part.product.m}"}
      - {name: reviews, upstream: c, path: "/c"}
    views:
      web: [product, {take: merchant, pick: [name]}, reviews]
      mobile:
        - product.name
        - {take: merchant.name, as: seller}
        - {take: product.photos, pick: [{take: url, as: src}]}
        - product.none
      api:
        - {take: merchant, as: merchant, pick: [{take: name, as: title}]}`)
	text += `  - {path: "/web", compose: page, view: web}
  - {path: "/mobile", compose: page, view: mobile}
  - {path: "/api", compose: page, view: api}
`
	d := open(t, strings.Replace(text, "  - {path: \"/page/{id}\", compose: page}\n", "", 1), Options{}, nil)
	for target, want := range map[string]string{
		"/mobile": `{"name":"iPhone","seller":"shop","photos":[{"src":"u"}]}`,
		"/api":    `{"merchant":{"title":"shop"}}`,
	} {
		if a, body := page(t, d, target); a.StatusCode != 200 || body != want+"\n" {
			t.Errorf("%s: %s %s want %s", target, a.Status, body, want)
		}
	}
	if n := others.Load(); n != 0 {
		t.Errorf("the reviews were asked for %d times by views that have none", n)
	}
	want := `{"product":{"id":7,"name":"iPhone","cost":1,"photos":[{"url":"u","by":"x"}],"m":3},"merchant":{"name":"shop"},"reviews":3}`
	if a, body := page(t, d, "/web"); a.StatusCode != 200 || body != want+"\n" {
		t.Errorf("%s %s want %s", a.Status, body, want)
	}
}

// TestPageSize: a page that would be longer than it may be is refused.
func TestPageSize(t *testing.T) {
	for name, c := range map[string]struct{ size, status int }{"as long as it may be": {99, 200}, "longer": {100, 502}} {
		t.Run(name, func(t *testing.T) {
			d := open(t, services(t, map[string]http.HandlerFunc{"a": says(strings.Repeat("1", c.size))}, `
    max-bytes: 104
    parts: [{name: a, upstream: a, path: "/"}]
    views: {all: [a]}`), Options{}, nil)
			if a, body := page(t, d, "/page/7"); a.StatusCode != c.status || c.status != 200 && !strings.Contains(body, "the page is longer than 104 bytes") {
				t.Errorf("%s %s", a.Status, body)
			}
		})
	}
}

// TestPageHeaders: what a part gets of the client's header, and the client of the parts'.
func TestPageHeaders(t *testing.T) {
	heads := map[string]chan http.Header{"a": make(chan http.Header, 1), "b": make(chan http.Header, 1)}
	part := func(name string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			h := r.Header.Clone()
			h.Set("Host", r.Host)
			heads[name] <- h
			for _, f := range []string{"Set-Cookie", "Earshot-Record", "ETag", "Cache-Control", "X-Internal", "Vary"} {
				w.Header().Set(f, "of a part")
			}
			says("1")(w, r)
		}
	}
	d := open(t, services(t, map[string]http.HandlerFunc{"a": part("a"), "b": part("b")}, `
    headers: [accept-language]
    parts:
      - {name: a, upstream: a, path: "/"}
      - {name: b, upstream: b, path: "/", headers: [Authorization, Cookie]}
    views: {all: [a, b]}`), Options{Expose: true}, nil)
	c := dial(t, d.addr)
	c.say("GET /page/7 HTTP/1.1\r\nHost: shop.example\r\nAccept-Language: de\r\nAuthorization: Bearer x\r\nCookie: a=b\r\nX-Other: 1\r\n" +
		"Accept: text/html\r\nAccept-Encoding: gzip\r\nIf-None-Match: \"x\", *\r\nRange: bytes=0-1\r\nX-Forwarded-For: 9.9.9.9\r\nEarshot-Record: x\r\n" +
		"User-Agent: me\r\nTraceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\nX-Request-Id: mine\r\n\r\n")
	a, body := c.answer("GET")
	if a.StatusCode != 200 || body != "{\"a\":1,\"b\":1}\n" {
		t.Fatalf("%s %s", a.Status, body)
	}
	id := a.Header.Get("X-Request-Id")
	for name, more := range map[string]http.Header{"a": {}, "b": {"Authorization": {"Bearer x"}, "Cookie": {"a=b"}}} {
		want := http.Header{
			"Accept": {"application/json"}, "Accept-Encoding": {"identity"}, "Accept-Language": {"de"}, "X-Request-Id": {id},
			"Traceparent": {"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}, "Via": {"1.1 earshot"},
			"X-Forwarded-For": {"127.0.0.1"}, "X-Forwarded-Proto": {"http"}, "X-Forwarded-Host": {"shop.example"}, "Host": {"shop.example"},
		}
		for k, v := range more {
			want[k] = v
		}
		got := <-heads[name]
		if len(got) != len(want) {
			t.Errorf("part %s got %v", name, got)
		}
		for k, v := range want {
			if !slices.Equal(got[k], v) {
				t.Errorf("part %s got %s: %q, want %q", name, k, got[k], v)
			}
		}
	}
	want := http.Header{
		"Content-Type": {"application/json"}, "Content-Length": {"14"}, "Cache-Control": {"no-store"}, "X-Request-Id": {id}, "Date": a.Header["Date"],
	}
	for k, v := range a.Header {
		if !slices.Equal(v, want[k]) {
			t.Errorf("the client got %s: %q, want %q", k, v, want[k])
		}
	}
	if id == "" || id == "mine" || len(a.Header) != len(want) {
		t.Errorf("the client got %v", a.Header)
	}
}

// TestPageMethods: HEAD has the header of GET; all else is refused.
func TestPageMethods(t *testing.T) {
	methods := make(chan string, 1)
	d := open(t, services(t, map[string]http.HandlerFunc{"a": func(w http.ResponseWriter, r *http.Request) {
		methods <- r.Method
		says("1")(w, r)
	}}, `
    parts: [{name: a, upstream: a, path: "/"}]
    views: {all: [a]}`), Options{}, nil)
	c := dial(t, d.addr)
	c.say("HEAD /page/7 HTTP/1.1\r\n" + host + "\r\n")
	if a, body := c.answer("HEAD"); a.StatusCode != 200 || a.ContentLength != 8 || body != "" || <-methods != "GET" {
		t.Errorf("%s %d %q", a.Status, a.ContentLength, body)
	}
	c.say("POST /page/7 HTTP/1.1\r\n" + host + "Content-Length: 0\r\n\r\n")
	if a, _ := c.answer("POST"); a.StatusCode != 405 || a.Header.Get("Allow") != "GET, HEAD" {
		t.Errorf("%s Allow: %s", a.Status, a.Header.Get("Allow"))
	}
}

// TestPageRecords: the gateway has one record of the page, each service one of its part,
// all with one request id.
func TestPageRecords(t *testing.T) {
	addrA, inA := service(t, says(`{"x":1}`))
	addrB, inB := service(t, says(`{"y":2}`))
	const text = `upstreams: {a: {url: "http://%s"}, b: {url: "http://%s"}, c: {url: "http://%s"}}
compositions:
  page:
    parts:
      - {name: a, upstream: a, path: "/a"}
      - {name: b, upstream: b, path: "/b/{part.a.x}"}
      - {name: c, upstream: c, path: "/c"}
    views: {all: [a, b, c]}
routes:
  - {path: "/page/{id}", compose: page}
  - {path: "/short/{id}", compose: page, body: 4}
  - {path: "/none/{id}", compose: page, body: 0}
`
	d, ours := recorded(t, fmt.Sprintf(text, addrA, addrB, refused(t)), true)
	c := dial(t, d.addr)
	c.say("GET /page/7?q=1 HTTP/1.1\r\n" + host + "Traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n\r\n")
	a, body := c.answer("GET")
	r, ra, rb := ours.wait(t, 1)[0], inA.wait(t, 1)[0], inB.wait(t, 1)[0]
	id := a.Header.Get("X-Request-Id")
	if mark := a.Header.Values("Earshot-Record"); len(mark) != 1 || !strings.HasPrefix(mark[0], "gggggggggggg0/") {
		t.Errorf("the mark is %q", mark)
	}
	if r.Subject != "/page/{id}" || r.HTTP.Status != 200 || r.HTTP.Path != "/page/7" || r.HTTP.BodyKind != record.BodyJSON || strings.TrimSpace(string(r.HTTP.Body)) != strings.TrimSpace(body) {
		t.Errorf("%+v\n%s", r, r.HTTP.Body)
	}
	if r.HTTP.Error != "c: connection refused" || !strings.Contains(body, `"missing":[{"part":"c","reason":"unreachable"}]`) {
		t.Errorf("error %q, page %s", r.HTTP.Error, body)
	}
	for _, part := range []record.Record{ra, rb} {
		if id == "" || part.HTTP.Request != id || r.HTTP.Request != id || part.Traceparent != r.Traceparent || r.Traceparent == "" || part.HTTP.Client != "127.0.0.1" {
			t.Errorf("%+v", part)
		}
	}
	if ra.HTTP.Path != "/a" || rb.HTTP.Path != "/b/1" {
		t.Errorf("paths %s and %s", ra.HTTP.Path, rb.HTTP.Path)
	}
	for target, most := range map[string]int{"/short/7": 4, "/none/7": 0} {
		page(t, d, target)
		all := ours.all()
		if got := all[len(all)-1].HTTP; got.Status != 200 || len(got.Body) > most {
			t.Errorf("%s: the record has %q of the body", target, got.Body)
		}
	}
}

// TestNoPageRecord: a page that could not be made is a record of the gateway too.
func TestNoPageRecord(t *testing.T) {
	d, ours := recorded(t, services(t, map[string]http.HandlerFunc{"a": status(404), "b": says("1"), "c": says("1")}, three("")), false)
	a, body := page(t, d, "/page/7")
	r := ours.wait(t, 1)[0]
	if a.StatusCode != 404 || r.HTTP.Status != 404 || r.HTTP.Error != "a: it answers 404" || r.Subject != "/page/{id}" || !strings.Contains(body, r.HTTP.Request) {
		t.Errorf("%s %s\n%+v", a.Status, body, r)
	}
}

// TestPageClientLeaves: the parts are given up with the client.
func TestPageClientLeaves(t *testing.T) {
	var here, gone atomic.Int32
	wait := func(_ http.ResponseWriter, r *http.Request) {
		here.Add(1)
		<-r.Context().Done()
		gone.Add(1)
	}
	text := services(t, map[string]http.HandlerFunc{"a": wait, "b": wait, "c": wait}, strings.Replace(three(""), "5s", "1m", 1))
	d, ours := recorded(t, text, false)
	c := dial(t, d.addr)
	c.say("GET /page/7 HTTP/1.1\r\n" + host + "\r\n")
	testenv.Wait(t, "all parts are asked", testenv.Patience, func() bool { return here.Load() == 3 })
	_ = c.Close()
	testenv.Wait(t, "all parts are given up", testenv.Patience, func() bool { return gone.Load() == 3 })
	if r := ours.wait(t, 1)[0]; !r.HTTP.Aborted || r.HTTP.Error != "the client went away" || r.HTTP.Status != 0 {
		t.Errorf("%+v", r)
	}
}

// TestRequiredEndsTheOthers: when there will be no page, nobody goes on working for it.
func TestRequiredEndsTheOthers(t *testing.T) {
	b, over := make(chan struct{}), make(chan struct{})
	text := services(t, map[string]http.HandlerFunc{
		"a": func(w http.ResponseWriter, _ *http.Request) { <-b; w.WriteHeader(404) },
		"b": func(_ http.ResponseWriter, r *http.Request) { close(b); <-r.Context().Done(); close(over) },
		"c": says("1"),
	}, strings.Replace(three(""), "5s", "1m", 1))
	d := open(t, text, Options{}, nil)
	if a, body := page(t, d, "/page/7"); a.StatusCode != 404 {
		t.Errorf("%s %s", a.Status, body)
	}
	select {
	case <-over:
	case <-time.After(patienceInTests):
		t.Error("b was not given up")
	}
}

// TestPageSwap: a page that has begun ends with the table that it began with.
func TestPageSwap(t *testing.T) {
	here, on := make(chan struct{}), make(chan struct{})
	text := func(body string) string {
		return services(t, map[string]http.HandlerFunc{"a": func(w http.ResponseWriter, r *http.Request) {
			if body == "1" {
				close(here)
				<-on
			}
			says(body)(w, r)
		}}, `
    parts: [{name: a, upstream: a, path: "/"}]
    views: {all: [a]}`)
	}
	d := open(t, text("1"), Options{}, nil)
	first := make(chan string)
	go func() {
		_, body := page(t, d, "/page/7")
		first <- body
	}()
	<-here
	if err := d.Swap(tableOf(t, text("2"))); err != nil {
		t.Error(err)
	}
	if _, body := page(t, d, "/page/7"); body != "{\"a\":2}\n" {
		t.Errorf("the new page is %s", body)
	}
	close(on)
	if body := <-first; body != "{\"a\":1}\n" {
		t.Errorf("the page that had begun is %s", body)
	}
}

// TestDefaults: of several places where a value may be the first that has it counts, and
// a part that may do without another's value is asked also when that one is missing.
func TestDefaults(t *testing.T) {
	echo := func(w http.ResponseWriter, r *http.Request) { says(`"`+r.RequestURI+`"`)(w, r) }
	for target, c := range map[string]struct {
		user http.HandlerFunc
		want string
	}{
		"/page/7":                     {nil, `{"price":"/7?in=EUR&with="}`},
		"/page/7?in=GBP":              {nil, `{"price":"/7?in=GBP&with="}`},
		"/page/7?user=u":              {says(`{"in":"USD","with":"a,b"}`), `{"price":"/7?in=USD&with=a%2Cb","user":"USD"}`},
		"/page/7?user=u&in=GBP":       {says(`{"in":"USD","with":""}`), `{"price":"/7?in=GBP&with=","user":"USD"}`},
		"/page/7?user=u&in=":          {says(`{"in":null}`), `{"price":"/7?in=EUR&with=","user":null}`},
		"/page/7?user=u&in=GBP&why=n": {status(404), `{"price":"/7?in=GBP&with=","missing":[{"part":"user","reason":"status","status":404}]}`},
		"/page/7?user=dead":           {nil, `{"price":"/7?in=EUR&with=","missing":[{"part":"user","reason":"unreachable"}]}`},
	} {
		t.Run(target, func(t *testing.T) {
			d := open(t, services(t, map[string]http.HandlerFunc{"price": echo, "user": c.user}, `
    parts:
      - {name: price, upstream: price, path: "/{id}?in={query.in|part.user.in|'EUR'}&with={part.user.with|''}", required: true}
      - {name: user, upstream: user, path: "/{query.user}", when: query.user}
    views: {all: [price, {take: user.in, as: user}]}`), Options{}, nil)
			if a, body := page(t, d, target); a.StatusCode != 200 || body != c.want+"\n" {
				t.Errorf("%s %s want %s", a.Status, body, c.want)
			}
		})
	}
}

// TestCompositionDoc: the example of the documentation is a configuration.
func TestCompositionDoc(t *testing.T) {
	doc, err := os.ReadFile("../docs/composition.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(string(doc), "```yaml\n")
	text, _, ok := strings.Cut(text, "```")
	if table := tableOf(t, text); !ok || len(table.Routes()) != 3 {
		t.Errorf("the example has %d routes, want 3", len(table.Routes()))
	}
}

// TestMissingMetrics: what pages go without is counted.
func TestMissingMetrics(t *testing.T) {
	d := open(t, services(t, map[string]http.HandlerFunc{"a": says("1"), "b": status(500), "c": nil}, three("")), Options{}, nil)
	page(t, d, "/page/7")
	page(t, d, "/page/8")
	got := map[string]float64{}
	for _, m := range d.Metrics() {
		if m.Name == "earshot_page_parts_missing_total" {
			m.Each(func(n float64, labels ...string) { got[strings.Join(labels, " ")] = n })
		}
	}
	if want := map[string]float64{"page b status": 2, "page c unreachable": 2}; !maps.Equal(got, want) {
		t.Errorf("counted %v, want %v", got, want)
	}
}
