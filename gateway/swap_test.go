package gateway

import (
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
)

// named is a backend that says its name and its connection.
func named(t *testing.T, name string) *raw {
	return rawServer(t, func(n int, c *peer) {
		for {
			r, _ := c.readRequest()
			if r == nil {
				return
			}
			text := fmt.Sprintf("%s %d %s", name, n, r.URL.RequestURI())
			c.say(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(text), text))
		}
	})
}

// TestSwap: the next request goes by the new table, an unchanged upstream keeps its
// connections, and what is in flight ends as it began.
func TestSwap(t *testing.T) {
	a, b := named(t, "a"), named(t, "b")
	table := func(path string, b *raw, more string) string {
		return "upstreams:\n  a: {url: 'http://" + a.addr + "'}\n  b: {url: 'http://" + b.addr + "'" + more + "}\n" +
			"routes:\n- {path: /a, upstream: a}\n- {path: " + path + ", upstream: b}\n"
	}
	d := open(t, table("/b", b, ""), Options{}, nil)
	want := func(path, text string) {
		t.Helper()
		if _, body := get(t, "http://"+d.addr+path); !strings.HasPrefix(body, text) {
			t.Errorf("%s gives %q, want %q", path, body, text)
		}
	}
	want("/a", "a 0 ")
	want("/b", "b 0 ")
	swap := func(text string) {
		t.Helper()
		if err := d.Swap(tableOf(t, text)); err != nil {
			t.Fatal(err)
		}
	}
	swap(table("/c", b, ", records: gateway"))
	want("/a", "a 0 ")
	want("/c", "b 0 ")
	want("/b", `{"detail":"no route`)
	swap(table("/c", b, ", max-idle: 3"))
	want("/a", "a 0 ")
	want("/c", "b 1 ")
	if err := d.Swap(nil); err == nil {
		t.Error("Swap(nil) = nil")
	}
	want("/c", "b 1 ")
	d.Close()
	want("/c", "b 2 ")
}

func TestSwapUnderLoad(t *testing.T) {
	b := named(t, "b")
	text := func(i int) string { return one(b.addr, fmt.Sprintf("    max-idle: %d\n", i%2+1)) }
	d := open(t, text(0), Options{}, nil)
	var clients sync.WaitGroup
	for range 4 {
		clients.Go(func() {
			c := dial(t, d.addr)
			for range 50 {
				c.say("GET / HTTP/1.1\r\n" + host + "\r\n")
				a, err := http.ReadResponse(c.r, nil)
				if err != nil {
					t.Error(err)
					return
				}
				if _, err := io.Copy(io.Discard, a.Body); err != nil || a.StatusCode != 200 {
					t.Errorf("%s %v", a.Status, err)
				}
			}
		})
	}
	for i := range 50 {
		if err := d.Swap(tableOf(t, text(i))); err != nil {
			t.Error(err)
		}
	}
	clients.Wait()
}

func TestStripPrefix(t *testing.T) {
	b := named(t, "b")
	d := open(t, "upstreams: {b: {url: 'http://"+b.addr+"'}}\nroutes:\n"+
		"- {path: /shop/*, strip-prefix: /shop, upstream: b}\n"+
		"- {path: '/v/{n}/x', strip-prefix: '/v/{n}', upstream: b}\n"+
		"- {path: /shop/sub/, strip-prefix: /shop/sub/, upstream: b}\n", Options{}, nil)
	for path, want := range map[string]struct{ target, prefix string }{
		"/shop":            {"/", "/shop"},
		"/shop?a":          {"/?a", "/shop"},
		"/shop/":           {"/", "/shop"},
		"/shop/a%20b/c?d":  {"/a%20b/c?d", "/shop"},
		"/%73hop/shop/x":   {"/shop/x", "/%73hop"},
		"/v/1%202/x":       {"/x", "/v/1%202"},
		"/shop/sub/":       {"/", "/shop/sub"},
		"/shop/sub/a//b//": {"/sub/a//b//", "/shop"},
	} {
		c := dial(t, d.addr)
		c.say("GET " + path + " HTTP/1.1\r\n" + host + "X-Forwarded-Prefix: /evil\r\n\r\n")
		a, body := c.answer("GET")
		heads := b.heads()
		if _, got, _ := strings.Cut(strings.TrimPrefix(body, "b "), " "); a.StatusCode != 200 || got != want.target ||
			!strings.Contains(heads[len(heads)-1], "X-Forwarded-Prefix: "+want.prefix+"\r\n") {
			t.Errorf("%s: %s %q, want %q below %q\n%s", path, a.Status, body, want.target, want.prefix, heads[len(heads)-1])
		}
	}
	c := dial(t, d.addr)
	c.say("GET /shop//admin HTTP/1.1\r\n" + host + "\r\n")
	if a, body := c.answer("GET"); a.StatusCode != 400 {
		t.Errorf("/shop//admin: %s %s", a.Status, body)
	}
}

// TestTrusted: what a trusted peer says of the client is continued; names with
// underscores and Proxy are not its to say.
func TestTrusted(t *testing.T) {
	for name, c := range map[string]struct {
		in   string
		want []string
		not  []string
	}{
		"X-Forwarded": {
			"X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-For: 10.0.0.1\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: front\r\nX-Forwarded-Port: 443\r\nX-Real-Ip: 192.0.2.1\r\nForwarded: for=x\r\nX-Request-Id: id-1.a_b\r\nX_A: b\r\nProxy: c\r\n",
			[]string{"X-Forwarded-For: 192.0.2.1, 10.0.0.1, 127.0.0.1\r\n", "X-Forwarded-Proto: https\r\n", "X-Forwarded-Host: front\r\n", "X-Forwarded-Port: 443\r\n", "X-Real-Ip: 192.0.2.1\r\n", "X-Request-Id: id-1.a_b\r\n"},
			[]string{"X_A", "Proxy", "\r\nForwarded"},
		},
		"Forwarded": {
			"Forwarded: for=192.0.2.1;proto=https\r\n",
			[]string{"Forwarded: for=192.0.2.1;proto=https, for=127.0.0.1;proto=http\r\n", "X-Forwarded-Host: shop.example\r\n"},
			[]string{"X-Forwarded-For"},
		},
		"bad id":  {"X-Request-Id: a b\r\n", nil, []string{"X-Request-Id: a b"}},
		"long id": {"X-Request-Id: " + strings.Repeat("a", 65) + "\r\n", nil, []string{strings.Repeat("a", 65)}},
		"two ids": {"X-Request-Id: a\r\nX-Request-Id: b\r\n", nil, []string{"X-Request-Id: a\r\n", "X-Request-Id: b\r\n"}},
		"nothing": {"", []string{"X-Forwarded-For: 127.0.0.1\r\n"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			b := named(t, "b")
			d := open(t, "trusted: [127.0.0.0/8]\n"+one(b.addr, ""), Options{}, nil)
			client := dial(t, d.addr)
			client.say("GET / HTTP/1.1\r\n" + host + c.in + "\r\n")
			client.answer("GET")
			probe{at: c.want, not: c.not}.judge(t, b.heads(), 1)
		})
	}
}

func TestPeerOf(t *testing.T) {
	for remote, want := range map[string]string{
		"192.0.2.1:80": "192.0.2.1", "[::ffff:192.0.2.1]:80": "192.0.2.1", "[fe80::1%eth0]:80": "fe80::1", "@": "invalid IP", "": "invalid IP",
	} {
		if got := peerOf(&http.Request{RemoteAddr: remote}); got.String() != want {
			t.Errorf("peerOf(%q) = %v, want %s", remote, got, want)
		}
	}
	h := http.Header{"Forwarded": {"for=a"}}
	addForwarded(h, &http.Request{}, netip.MustParseAddr("2001:db8::1"))
	if got := h.Get("Forwarded"); got != `for=a, for="[2001:db8::1]";proto=http` {
		t.Errorf("Forwarded: %s", got)
	}
}

// TestHost: the upstream is sent the client's, or its own.
func TestHost(t *testing.T) {
	b := named(t, "b")
	for more, want := range map[string]string{"": "shop.example", "    host: client\n": "shop.example", "    host: upstream\n": b.addr} {
		d := open(t, one(b.addr, more), Options{}, nil)
		c := dial(t, d.addr)
		c.say("GET / HTTP/1.1\r\n" + host + "\r\n")
		c.answer("GET")
		heads := b.heads()
		if !strings.Contains(heads[len(heads)-1], "Host: "+want+"\r\nVia") || !strings.Contains(heads[len(heads)-1], "X-Forwarded-Host: shop.example\r\n") {
			t.Errorf("%q: want Host: %s\n%s", more, want, heads[len(heads)-1])
		}
	}
}
