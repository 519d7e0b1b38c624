package gateway

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// site is a folder with some files.
func site(t *testing.T, files map[string]string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// TestFiles: a folder beside an upstream, below a prefix, with the gateway's own
// problems for what is not there.
func TestFiles(t *testing.T) {
	b := named(t, "b")
	dir := site(t, map[string]string{"index.html": "<p>home", "a/x.txt": "x", "large": strings.Repeat("0123456789", 1<<18), ".env": "secret"})
	d := open(t, "upstreams:\n  files: {static: "+dir+"}\n  back: {url: 'http://"+b.addr+"'}\nroutes:\n"+
		"- {path: /assets/*, strip-prefix: /assets, upstream: files}\n- {path: /assets/api/*, upstream: back}\n", Options{}, nil)
	for path, want := range map[string]struct {
		status     int
		body, more string // more: Location, or the problem's detail
	}{
		"/assets":           {200, "<p>home", ""},
		"/assets/":          {200, "<p>home", ""},
		"/assets/a/x.txt":   {200, "x", ""},
		"/assets/a":         {301, "", "./a/"},
		"/assets/large":     {200, strings.Repeat("0123456789", 1<<18), ""},
		"/assets/api/x":     {200, "b 0 /assets/api/x", ""},
		"/assets/nobody":    {404, "", "there is no such file"},
		"/assets/.env":      {404, "", "there is no such file"},
		"/assets/a/../.env": {400, "", "the path has a dot segment"},
		"/assets/%2e%2e/x":  {400, "", "the path has a dot segment"},
		"/assets//a/x.txt":  {400, "", "the path has an empty segment where another path begins"},
		"/assets/a%2fx.txt": {400, "", "the path has an escaped slash"},
		"/assets/a/%00":     {400, "", "the path has a backslash or a zero byte"},
	} {
		c := dial(t, d.addr)
		c.say("GET " + path + " HTTP/1.1\r\n" + host + "\r\n")
		a, body := c.answer("GET")
		more := a.Header.Get("Location")
		if a.StatusCode >= 400 {
			more, body = readDocument(t, a, body).Detail, ""
		}
		if a.StatusCode != want.status || body != want.body || more != want.more {
			t.Errorf("%s: %s %.40q %q, want %+.60v", path, a.Status, body, more, want)
		}
		if a.Header.Get("X-Request-Id") == "" {
			t.Errorf("%s: no request id", path)
		}
	}
	c := dial(t, d.addr)
	c.say("POST /assets/a/x.txt HTTP/1.1\r\n" + host + "Content-Length: 0\r\n\r\n")
	if a, body := c.answer("POST"); a.StatusCode != 405 || a.Header.Get("Allow") != "GET, HEAD" {
		t.Errorf("POST: %s %s", a.Status, body)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if a, body := get(t, "http://"+d.addr+"/assets/a/x.txt"); a.StatusCode != 503 || readDocument(t, a, body).Detail != "the file can't be read now" {
		t.Errorf("without the folder: %s %s", a.Status, body)
	}
}

// TestFilesAreRecorded: they are the gateway's own answers; the body only as far as the
// route says.
func TestFilesAreRecorded(t *testing.T) {
	dir := site(t, map[string]string{"x.txt": "0123456789"})
	d, j := recorded(t, "upstreams:\n  files: {static: "+dir+"}\nroutes:\n"+
		"- {path: /*, upstream: files}\n- {path: /some/*, strip-prefix: /some, upstream: files, body: 4}\n", false)
	for i, want := range []struct {
		path, route, body string
		status            int
	}{
		{"/x.txt", "/*", "", 200},
		{"/some/x.txt", "/some/*", "0123", 200},
		{"/nobody", "/*", "", 404},
	} {
		get(t, "http://"+d.addr+want.path)
		r := j.wait(t, i+1)[i]
		body := string(r.HTTP.Body)
		if want.status == 404 {
			body = "" // the problem, which the gateway made
		}
		if r.HTTP.Status != want.status || r.Subject != want.route || body != want.body || r.HTTP.Upstream != "files" {
			t.Errorf("%s: %d %s %q of %q", want.path, r.HTTP.Status, r.Subject, r.HTTP.Body, r.HTTP.Upstream)
		}
	}
}
