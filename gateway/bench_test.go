package gateway

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
)

// BenchmarkServe is one GET of 1 KiB through the gateway over loopback, upstream and
// client included; reverse is the same through the standard library's proxy.
func BenchmarkServe(b *testing.B) {
	text := strings.Repeat("x", 1024)
	back := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, text)
	}))
	defer back.Close()
	table, err := NewTable(Config{
		Upstreams: map[string]UpstreamConfig{"back": {URL: back.URL}},
		Routes:    []RouteConfig{{Path: "/*", Upstream: "back"}},
	})
	if err != nil {
		b.Fatal(err)
	}
	gw, err := New(Options{Table: table})
	if err != nil {
		b.Fatal(err)
	}
	to, err := url.Parse(back.URL)
	if err != nil {
		b.Fatal(err)
	}
	for name, h := range map[string]http.Handler{
		"gateway": gw,
		"reverse": &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(to); r.SetXForwarded() }, Transport: &http.Transport{
			MaxIdleConnsPerHost: 64, DisableCompression: true,
		}},
	} {
		b.Run(name, func(b *testing.B) {
			front := httptest.NewServer(h)
			defer front.Close()
			c, err := net.Dial("tcp", front.Listener.Addr().String())
			if err != nil {
				b.Fatal(err)
			}
			defer func() { _ = c.Close() }()
			r := bufio.NewReader(c)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := io.WriteString(c, "GET /a?b=c HTTP/1.1\r\nHost: shop.example\r\nAccept: */*\r\nUser-Agent: x\r\n\r\n"); err != nil {
					b.Fatal(err)
				}
				a, err := http.ReadResponse(r, nil)
				if err != nil {
					b.Fatal(err)
				}
				if n, err := io.Copy(io.Discard, a.Body); err != nil || n != 1024 {
					b.Fatal(n, err)
				}
			}
		})
	}
}
