package static_test

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/earshot-mq/earshot/gateway/static"
)

// put writes a file of a folder, an hour old.
func put(t *testing.T, dir, name, text string) (path string) {
	t.Helper()
	path = filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	age(t, path, time.Hour)
	return path
}

func age(t *testing.T, path string, d time.Duration) {
	t.Helper()
	if err := os.Chtimes(path, time.Time{}, time.Now().Add(-d)); err != nil {
		t.Fatal(err)
	}
}

// serve serves a folder below /.
func serve(t *testing.T, dir string) (url string) {
	t.Helper()
	f, err := static.New(dir)
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch err := f.Serve(w, r, r.URL.Path); {
		case errors.Is(err, static.ErrNotFound):
			w.WriteHeader(http.StatusNotFound)
		case err != nil:
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	t.Cleanup(s.Close)
	return s.URL
}

var plain = &http.Transport{DisableCompression: true}

// ask sends a request with header fields, "Name: value", and decodes nothing.
func ask(t *testing.T, method, url string, fields ...string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Accept-Encoding", "identity")
	for _, f := range fields {
		name, value, _ := strings.Cut(f, ": ")
		r.Header.Set(name, value)
	}
	a, err := plain.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = a.Body.Close() }()
	b, err := io.ReadAll(a.Body)
	if err != nil {
		t.Fatal(err)
	}
	return a, string(b)
}

// TestWhatIsThere: a path is the file below the folder or nothing.
func TestWhatIsThere(t *testing.T) {
	parent := t.TempDir()
	dir := filepath.Join(parent, "site")
	put(t, parent, "secret.txt", "secret")
	put(t, dir, "index.html", "<p>home")
	put(t, dir, "a/index.html", "<p>a")
	put(t, dir, "a b/ü.txt", "umlaut")
	put(t, dir, "empty/file", "x")
	put(t, dir, ".env", "secret")
	put(t, dir, "a/.git/config", "secret")
	put(t, dir, ".well-known/security.txt", "Contact: me")
	put(t, dir, ".well-known/.key", "secret")
	put(t, dir, "...", "secret")
	for name, to := range map[string]string{"out": "../secret.txt", "absolute": filepath.Join(parent, "secret.txt"), "up": "..", "in": "a/index.html", "dangling": "nobody", "loop": "loop"} {
		if err := os.Symlink(to, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o644); err != nil {
		t.Fatal(err)
	}
	url := serve(t, dir)
	for path, want := range map[string]struct {
		status int
		body   string
	}{
		"/":                                {200, "<p>home"},
		"/index.html":                      {200, "<p>home"},
		"/a/":                              {200, "<p>a"},
		"/in":                              {200, "<p>a"},
		"/a%20b/%C3%BC.txt":                {200, "umlaut"},
		"/empty/file":                      {200, "x"},
		"/.well-known/security.txt":        {200, "Contact: me"},
		"/a":                               {301, "./a/"},
		"/a?x=1;y":                         {301, "./a/?x=1;y"},
		"/a%20b":                           {301, "./a%20b/"},
		"/empty/":                          {404, ""}, // nothing is listed
		"/empty/file/":                     {404, ""},
		"/nobody":                          {404, ""},
		"/.env":                            {404, ""},
		"/a/.git/config":                   {404, ""},
		"/.well-known/.key":                {404, ""},
		"/a/.well-known/x":                 {404, ""},
		"/...":                             {404, ""},
		"/out":                             {404, ""},
		"/absolute":                        {404, ""},
		"/up/secret.txt":                   {404, ""},
		"/dangling":                        {404, ""},
		"/loop":                            {404, ""},
		"/pipe":                            {404, ""},
		"/%2e%2e/secret.txt":               {404, ""},
		"/a/..%2f..%2fsecret.txt":          {404, ""},
		"//index.html":                     {404, ""},
		"/a//index.html":                   {404, ""},
		"/index.html%00":                   {404, ""},
		"/a%5cindex.html":                  {404, ""},
		"/" + strings.Repeat("x", 300):     {404, ""},
		"/a/" + strings.Repeat("x/", 4000): {404, ""},
	} {
		t.Run(path[:min(len(path), 40)], func(t *testing.T) {
			a, body := ask(t, "GET", url+path)
			if a.StatusCode == 301 {
				body = a.Header.Get("Location")
			}
			if a.StatusCode != want.status || body != want.body {
				t.Errorf("%s %q, want %d %q", a.Status, body, want.status, want.body)
			}
		})
	}
}

// TestConditions: validators and ranges, for GET and HEAD.
func TestConditions(t *testing.T) {
	dir := t.TempDir()
	put(t, dir, "digits.txt", "0123456789")
	url := serve(t, dir) + "/digits.txt"
	first, body := ask(t, "GET", url)
	tag, modified := first.Header.Get("Etag"), first.Header.Get("Last-Modified")
	for name, want := range map[string]string{
		"Content-Type": "text/plain; charset=utf-8", "Content-Length": "10", "Accept-Ranges": "bytes",
		"X-Content-Type-Options": "nosniff", "Vary": "Accept-Encoding",
	} {
		if got := first.Header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if body != "0123456789" || len(tag) < 10 || tag[0] != '"' || modified == "" {
		t.Fatalf("%q, ETag %s, Last-Modified %s", body, tag, modified)
	}
	before := time.Now().Add(-2 * time.Hour).UTC().Format(http.TimeFormat)
	for name, c := range map[string]struct {
		fields []string
		status int
		body   string
	}{
		"same":               {[]string{"If-None-Match: " + tag}, 304, ""},
		"weakly the same":    {[]string{`If-None-Match: "x", W/` + tag}, 304, ""},
		"another":            {[]string{`If-None-Match: "x"`}, 200, "0123456789"},
		"not modified":       {[]string{"If-Modified-Since: " + modified}, 304, ""},
		"modified":           {[]string{"If-Modified-Since: " + before}, 200, "0123456789"},
		"the tag goes first": {[]string{`If-None-Match: "x"`, "If-Modified-Since: " + modified}, 200, "0123456789"},
		"must match":         {[]string{`If-Match: "x"`}, 412, ""},
		"range":              {[]string{"Range: bytes=2-4"}, 206, "234"},
		"the end":            {[]string{"Range: bytes=-3"}, 206, "789"},
		"range of the same":  {[]string{"Range: bytes=2-4", "If-Range: " + tag}, 206, "234"},
		"range of another":   {[]string{"Range: bytes=2-4", `If-Range: "x"`}, 200, "0123456789"},
		"beyond":             {[]string{"Range: bytes=20-"}, 416, "invalid range: failed to overlap\n"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, method := range []string{"GET", "HEAD"} {
				a, body := ask(t, method, url, c.fields...)
				want := c.body
				if method == "HEAD" {
					want = ""
				}
				if a.StatusCode != c.status || body != want {
					t.Errorf("%s: %s %q, want %d %q", method, a.Status, body, c.status, want)
				}
				if c.status < 400 && a.Header.Get("Etag") != tag {
					t.Errorf("%s: ETag %s", method, a.Header.Get("Etag"))
				}
			}
		})
	}
}

// TestTagChanges with every way of changing a file, also those that keep size and time.
func TestTagChanges(t *testing.T) {
	dir := t.TempDir()
	path := put(t, dir, "x", "one")
	url := serve(t, dir) + "/x"
	seen := map[string]string{}
	epoch := time.Unix(0, 0)
	for _, step := range []struct {
		name string
		do   func() error
	}{
		{"as it is", func() error { return nil }},
		{"other content", func() error { return os.WriteFile(path, []byte("two"), 0o644) }},
		{"content, with the time set back", func() error {
			return errors.Join(os.WriteFile(path, []byte("six"), 0o644), os.Chtimes(path, epoch, epoch))
		}},
		{"another file with that time", func() error {
			put(t, dir, "y", "ten")
			return errors.Join(os.Chtimes(filepath.Join(dir, "y"), epoch, epoch), os.Rename(filepath.Join(dir, "y"), path))
		}},
	} {
		time.Sleep(20 * time.Millisecond) // the kernel's clock for files has ticks
		if err := step.do(); err != nil {
			t.Fatal(err)
		}
		a, _ := ask(t, "GET", url)
		tag := a.Header.Get("Etag")
		if other, ok := seen[tag]; ok {
			t.Errorf("%s: the tag of %s", step.name, other)
		}
		seen[tag] = step.name
		if a.Header.Get("Last-Modified") != "" && strings.Contains(step.name, "time") {
			t.Errorf("%s: Last-Modified: %s", step.name, a.Header.Get("Last-Modified"))
		}
		if again, _ := ask(t, "GET", url); again.Header.Get("Etag") != tag {
			t.Errorf("%s: the tag changes by itself", step.name)
		}
	}
}

// TestCodings: who accepts it gets the file that is compressed beside it.
func TestCodings(t *testing.T) {
	dir := t.TempDir()
	const text = "a text that is long enough"
	var zipped strings.Builder
	z := gzip.NewWriter(&zipped)
	if _, err := io.WriteString(z, text); err != nil || z.Close() != nil {
		t.Fatal(err)
	}
	put(t, dir, "all.js", text)
	put(t, dir, "all.js.br", "brotli")
	put(t, dir, "all.js.zst", "zstandard")
	put(t, dir, "all.js.gz", zipped.String())
	put(t, dir, "gzip.css", text)
	put(t, dir, "gzip.css.gz", zipped.String())
	put(t, dir, "stale.css", text)
	age(t, put(t, dir, "stale.css.gz", "of an older one"), 2*time.Hour)
	put(t, dir, "only.css.gz", zipped.String())
	put(t, dir, "folder.css", text)
	put(t, dir, "folder.css.gz/x", "x")
	url := serve(t, dir)
	tags := map[string]string{}
	for name, c := range map[string]struct{ path, accept, coding, body string }{
		"nothing said":    {"/all.js", "", "", text},
		"a browser":       {"/all.js", "gzip, deflate, br, zstd", "br", "brotli"},
		"no brotli":       {"/all.js", "gzip, zstd", "zstd", "zstandard"},
		"gzip alone":      {"/all.js", "GZIP", "gzip", zipped.String()},
		"old name":        {"/all.js", "x-gzip", "gzip", zipped.String()},
		"weights":         {"/all.js", "br;q=0.5, zstd; q=0.6, gzip;q=0.7", "gzip", zipped.String()},
		"not wanted":      {"/all.js", "br;q=0, gzip;q=0.000", "", text},
		"anything":        {"/all.js", "*", "br", "brotli"},
		"anything but":    {"/all.js", "*, br;q=0", "zstd", "zstandard"},
		"rather plain":    {"/all.js", "br;q=0.5, identity", "", text},
		"another coding":  {"/all.js", "deflate, compress", "", text},
		"nonsense":        {"/all.js", "br;q=x, gzip;q=2, ;;, zstd;level=1", "", text},
		"one is there":    {"/gzip.css", "br, gzip", "gzip", zipped.String()},
		"stale":           {"/stale.css", "gzip", "", text},
		"a folder":        {"/folder.css", "gzip", "", text},
		"by its own name": {"/all.js.gz", "gzip", "", zipped.String()},
	} {
		t.Run(name, func(t *testing.T) {
			fields := []string{"Accept-Encoding: " + c.accept}
			a, body := ask(t, "GET", url+c.path, fields...)
			if a.StatusCode != 200 || body != c.body || a.Header.Get("Content-Encoding") != c.coding {
				t.Fatalf("%s, %q, %q; want %q, %q", a.Status, a.Header.Get("Content-Encoding"), body, c.coding, c.body)
			}
			if a.Header.Get("Vary") != "Accept-Encoding" || a.ContentLength != int64(len(c.body)) {
				t.Errorf("Vary %q, length %d", a.Header.Get("Vary"), a.ContentLength)
			}
			tag := a.Header.Get("Etag")
			if other, ok := tags[tag]; ok && other != c.path+c.coding {
				t.Errorf("%s has the tag of %s", c.path+c.coding, other)
			}
			tags[tag] = c.path + c.coding
			if h, _ := ask(t, "HEAD", url+c.path, fields...); h.ContentLength != int64(len(c.body)) || h.Header.Get("Etag") != tag {
				t.Errorf("HEAD: %d bytes, %s", h.ContentLength, h.Header.Get("Etag"))
			}
			if n, _ := ask(t, "GET", url+c.path, append(fields, "If-None-Match: "+tag)...); n.StatusCode != 304 || n.Header.Get("Vary") == "" {
				t.Errorf("If-None-Match: %s", n.Status)
			}
			if m, _ := ask(t, "GET", url+c.path, append(fields, `If-Match: "x"`)...); m.StatusCode != 412 {
				t.Errorf("If-Match: %s", m.Status)
			}
			if p, part := ask(t, "GET", url+c.path, append(fields, "Range: bytes=1-2")...); p.StatusCode != 206 || part != c.body[1:3] {
				t.Errorf("Range: %s %q", p.Status, part)
			}
		})
	}
	if a, _ := ask(t, "GET", url+"/only.css", "Accept-Encoding: gzip"); a.StatusCode != 404 {
		t.Errorf("only the compressed one is there: %s", a.Status)
	}
	if a, _ := ask(t, "GET", url+"/all.js.gz"); a.Header.Get("Content-Type") != "application/gzip" {
		t.Errorf("a compressed file by its own name is %s", a.Header.Get("Content-Type"))
	}
}

// TestTypes do not depend on the machine.
func TestTypes(t *testing.T) {
	dir := t.TempDir()
	url := serve(t, dir)
	for name, want := range map[string]string{
		"a.html": "text/html; charset=utf-8", "a.JS": "text/javascript; charset=utf-8", "a.mjs": "text/javascript; charset=utf-8",
		"a.json": "application/json", "a.svg": "image/svg+xml; charset=utf-8", "a.wasm": "application/wasm", "a.woff2": "font/woff2",
		"a": "application/octet-stream", "a.unknown": "application/octet-stream",
	} {
		put(t, dir, name, "<html>")
		if a, _ := ask(t, "GET", url+"/"+name); a.Header.Get("Content-Type") != want {
			t.Errorf("%s: %s, want %s", name, a.Header.Get("Content-Type"), want)
		}
	}
}

// TestReplacedFolder: a folder that is exchanged as a whole is the new one at once.
func TestReplacedFolder(t *testing.T) {
	parent := t.TempDir()
	put(t, parent, "v1/x", "one")
	put(t, parent, "v2/x", "two")
	link := filepath.Join(parent, "now")
	if err := os.Symlink("v1", link); err != nil {
		t.Fatal(err)
	}
	url := serve(t, link)
	if _, body := ask(t, "GET", url+"/x"); body != "one" {
		t.Errorf("%q", body)
	}
	if err := errors.Join(os.Symlink("v2", link+"~"), os.Rename(link+"~", link)); err != nil {
		t.Fatal(err)
	}
	if _, body := ask(t, "GET", url+"/x"); body != "two" {
		t.Errorf("after the exchange: %q", body)
	}
	if err := os.Remove(link); err != nil {
		t.Fatal(err)
	}
	if a, _ := ask(t, "GET", url+"/x"); a.StatusCode != 503 {
		t.Errorf("without a folder: %s", a.Status)
	}
}

func TestNew(t *testing.T) {
	dir := t.TempDir()
	for _, path := range []string{filepath.Join(dir, "nobody"), put(t, dir, "file", "x")} {
		if _, err := static.New(path); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("New(%s) = %v", path, err)
		}
	}
}

// FuzzServe: whatever is asked for, the answer is a file of the folder or none.
func FuzzServe(f *testing.F) {
	parent := f.TempDir()
	dir := filepath.Join(parent, "site")
	if err := errors.Join(os.MkdirAll(filepath.Join(dir, "a", ".b"), 0o755), os.WriteFile(filepath.Join(parent, "secret"), []byte("secret"), 0o644),
		os.WriteFile(filepath.Join(dir, "a", ".b", "c"), []byte("secret"), 0o644), os.WriteFile(filepath.Join(dir, "a", "b"), []byte("public"), 0o644),
		os.Symlink("..", filepath.Join(dir, "up"))); err != nil {
		f.Fatal(err)
	}
	folder, err := static.New(dir)
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{"/a/b", "/up/secret", "/../secret", "/a/.b/c", "/a", "//", "", "/a/./b", "/a/b\x00", "/a/\\..\\b"} {
		f.Add(seed, "gzip")
	}
	f.Fuzz(func(t *testing.T, name, accept string) {
		r := httptest.NewRequest("GET", "/x", nil)
		r.Header["Accept-Encoding"] = []string{accept}
		w := httptest.NewRecorder()
		err := folder.Serve(w, r, name)
		if err != nil && !errors.Is(err, static.ErrNotFound) {
			t.Errorf("Serve(%q) = %v", name, err)
		}
		if err == nil && w.Code == 200 && (w.Body.String() != "public" || !fs.ValidPath(strings.TrimPrefix(name, "/"))) {
			t.Errorf("Serve(%q) = %q", name, w.Body)
		}
	})
}

func ExampleFolder_Serve() {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if err := os.WriteFile(filepath.Join(dir, "index.html"), []byte("<p>hello"), 0o600); err != nil {
		fmt.Println(err)
		return
	}
	f, err := static.New(dir)
	if err != nil {
		fmt.Println(err)
		return
	}
	w := httptest.NewRecorder()
	err = f.Serve(w, httptest.NewRequest(http.MethodGet, "/", nil), "/")
	fmt.Println(w.Code, w.Header().Get("Content-Type"), w.Body, err)
	// Output: 200 text/html; charset=utf-8 <p>hello <nil>
}
