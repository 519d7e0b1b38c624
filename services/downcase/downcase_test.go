package downcase_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/earshot-mq/earshot/internal/process"
	"github.com/earshot-mq/earshot/services"
	"github.com/earshot-mq/earshot/services/downcase"
)

func newHandler(t testing.TB) http.Handler {
	t.Helper()
	h, err := downcase.New().Handler(services.HandlerOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func ask(h http.Handler, method, target string) *http.Response {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(method, target, nil))
	return w.Result()
}

func body(t *testing.T, r *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func Example() {
	h, err := downcase.New().Handler(services.HandlerOptions{})
	if err != nil {
		fmt.Println(err)
		return
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/downcase/?param=HELLO", nil))
	fmt.Println(w.Code, w.Header().Get("Content-Type"))
	fmt.Println(w.Body)
	// Output:
	// 200 text/plain; charset=utf-8
	// lower case of HELLO is hello
}

func TestAnswer(t *testing.T) {
	h := newHandler(t)
	for name, c := range map[string]struct{ target, want string }{
		"classic":                        {"/downcase/?param=HELLO", "lower case of HELLO is hello"},
		"without the closing slash":      {"/downcase?param=HELLO", "lower case of HELLO is hello"},
		"empty":                          {"/downcase/?param=", "lower case of  is "},
		"without an equals sign":         {"/downcase/?param", "lower case of  is "},
		"of several the first":           {"/downcase/?param=A&param=B", "lower case of A is a"},
		"of several the first, if empty": {"/downcase/?param=&param=B", "lower case of  is "},
		"beside others":                  {"/downcase/?x=1&&param=A&y", "lower case of A is a"},
		"an escaped name":                {"/downcase/?p%61ram=A", "lower case of A is a"},
		"space as plus":                  {"/downcase/?param=A+B", "lower case of A B is a b"},
		"plus as escape":                 {"/downcase/?param=A%2BB", "lower case of A+B is a+b"},
		"semicolon is text":              {"/downcase/?param=A;param=B", "lower case of A;param=B is a;param=b"},
		"equals sign is text":            {"/downcase/?param=A=B", "lower case of A=B is a=b"},
		"percent sign is text":           {"/downcase/?param=100%25%", "lower case of 100%% is 100%%"},
		"half an escape is text":         {"/downcase/?param=%4", "lower case of %4 is %4"},
		"no escape is text":              {"/downcase/?param=%4G%zz", "lower case of %4G%zz is %4g%zz"},
		"two code points":                {"/downcase/?param=%C4%B0", "lower case of İ is i\u0307"},
		"final sigma":                    {"/downcase/?param=%CE%9F%CE%A3", "lower case of ΟΣ is ος"},
		"not UTF-8":                      {"/downcase/?param=A%FFB", "lower case of A\ufffdB is a\ufffdb"},
		"cut UTF-8 is one":               {"/downcase/?param=%F0%9F%98", "lower case of \ufffd is \ufffd"},
		"a surrogate is three":           {"/downcase/?param=%ED%A0%80", "lower case of \ufffd\ufffd\ufffd is \ufffd\ufffd\ufffd"},
		"control characters":             {"/downcase/?param=A%00%0D%0A%1B", "lower case of A\x00\r\n\x1b is a\x00\r\n\x1b"},
		"raw bytes":                      {"/downcase/?param=\xc3\x84", "lower case of Ä is ä"},
	} {
		t.Run(name, func(t *testing.T) {
			r := ask(h, http.MethodGet, c.target)
			if got := body(t, r); r.StatusCode != http.StatusOK || got != c.want {
				t.Errorf("GET %s = %d %q, want 200 %q", c.target, r.StatusCode, got, c.want)
			}
			if got, want := r.Header.Get("Content-Type"), "text/plain; charset=utf-8"; got != want {
				t.Errorf("Content-Type = %q, want %q", got, want)
			}
		})
	}
}

func TestRefuse(t *testing.T) {
	h := newHandler(t)
	for name, c := range map[string]struct {
		method, target string
		status         int
		detail         string // a part of it
		location       string
		allow          string
	}{
		"no query": {
			target: "/downcase/", status: 400, location: "query.param",
			detail: "param is missing; for example: /downcase/?param=HELLO",
		},
		"another name": {
			target: "/downcase/?parameter=A&Param=B", status: 400, location: "query.param",
			detail: "param is missing",
		},
		"param too long": {
			target: "/downcase/?param=" + strings.Repeat("A", downcase.MaxParam+1), status: 414, location: "query.param",
			detail: "query.param has 8193 bytes; the limit is 8192",
		},
		"param of replacement characters": {
			target: "/downcase/?param=" + strings.Repeat("\xff", downcase.MaxParam/3+1), status: 414, location: "query.param",
			detail: "the limit is 8192",
		},
		"query too long": {
			target: "/downcase/?param=A&x=" + strings.Repeat("A", downcase.MaxQuery), status: 414, location: "query",
			detail: "the limit is 12288",
		},
		"method": {
			method: http.MethodPost, target: "/downcase/?param=A", status: 405, allow: "GET, HEAD", location: "method",
			detail: "POST is not a method of this route",
		},
		"method without the closing slash": {
			method: http.MethodDelete, target: "/downcase?param=A", status: 405, allow: "GET, HEAD", location: "method",
			detail: "DELETE is not a method of this route",
		},
		"another path": {
			target: "/downcase/more?param=A", status: 404, detail: "no route /downcase/more",
		},
	} {
		t.Run(name, func(t *testing.T) {
			method := c.method
			if method == "" {
				method = http.MethodGet
			}
			r := ask(h, method, c.target)
			var p struct {
				Title, Detail string
				Status        int
				Errors        []struct{ Location, Message string }
			}
			if err := json.Unmarshal([]byte(body(t, r)), &p); err != nil {
				t.Fatal(err)
			}
			if r.StatusCode != c.status || p.Status != c.status || p.Title != http.StatusText(c.status) {
				t.Errorf("status = %d, document says %d %q, want %d", r.StatusCode, p.Status, p.Title, c.status)
			}
			if got := r.Header.Get("Content-Type"); got != "application/problem+json" {
				t.Errorf("Content-Type = %q", got)
			}
			if !strings.Contains(p.Detail, c.detail) {
				t.Errorf("detail = %q, want %q in it", p.Detail, c.detail)
			}
			if c.location != "" && (len(p.Errors) != 1 || p.Errors[0].Location != c.location) {
				t.Errorf("errors = %v, want one at %s", p.Errors, c.location)
			}
			if got := r.Header.Get("Allow"); got != c.allow {
				t.Errorf("Allow = %q, want %q", got, c.allow)
			}
		})
	}
}

// TestLimits sees on a server with the house's limits that what is just allowed is
// answered and what is just beyond is refused by the service, not by net/http.
func TestLimits(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- process.Serve(l, newHandler(t), process.ServeOptions{})(ctx) }()
	defer func() {
		stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	}()
	escaped := (downcase.MaxQuery - len("param=")) / 3
	for name, c := range map[string]struct {
		query  string
		status int
		body   string
	}{
		"longest text":    {"param=" + strings.Repeat("A", downcase.MaxParam), 200, answer(strings.Repeat("A", downcase.MaxParam))},
		"longest query":   {"param=" + strings.Repeat("%41", escaped), 200, answer(strings.Repeat("A", escaped))},
		"text too long":   {"param=" + strings.Repeat("A", downcase.MaxParam+1), 414, ""},
		"query too long":  {"param=" + strings.Repeat("%41", escaped+1), 414, ""},
		"much too long":   {"param=" + strings.Repeat("A", downcase.MaxQuery+3<<10), 414, ""},
		"nothing at all":  {"", 400, ""},
		"nothing to read": {"param=", 200, "lower case of  is "},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := http.Get("http://" + l.Addr().String() + "/downcase/?" + c.query)
			if err != nil {
				t.Fatal(err)
			}
			defer r.Body.Close()
			got := body(t, r)
			if r.StatusCode != c.status || c.body != "" && got != c.body {
				t.Errorf("status = %d with %d bytes, want %d with %d", r.StatusCode, len(got), c.status, len(c.body))
			}
		})
	}
}

func answer(text string) string {
	return "lower case of " + text + " is " + downcase.Lower(text)
}

func TestHead(t *testing.T) {
	srv := httptest.NewServer(newHandler(t))
	defer srv.Close()
	for _, path := range []string{"/downcase/", "/downcase"} {
		r, err := http.Head(srv.URL + path + "?param=HELLO")
		if err != nil {
			t.Fatal(err)
		}
		if got := body(t, r); r.StatusCode != http.StatusOK || got != "" || r.ContentLength != 28 {
			t.Errorf("HEAD %s = %d, %d bytes announced, body %q, want 200, 28, none", path, r.StatusCode, r.ContentLength, got)
		}
		r.Body.Close()
	}
}
