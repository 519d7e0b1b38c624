package gateway

import (
	"bufio"
	"net/http"
	"strings"
	"testing"
)

// TestPlan: what a Plan says is what happens.
func TestPlan(t *testing.T) {
	b := named(t, "b")
	d := open(t, "trusted: [127.0.0.1]\nupstreams: {b: {url: 'http://"+b.addr+"'}}\nroutes:\n"+
		"- {path: /shop/*, strip-prefix: /shop, upstream: b}\n- {path: /get, methods: [GET], upstream: b}\n", Options{}, nil)
	for _, text := range []string{
		"GET /shop/a%20b?c=d;e HTTP/1.1\r\n" + host + "X-Forwarded-For: 192.0.2.1\r\nConnection: x-a\r\nX-A: b\r\nX_B: c\r\n\r\n",
		"DELETE /shop HTTP/1.1\r\n" + host + "Accept: a\r\nAccept: b\r\n\r\n",
		"HEAD /get HTTP/1.1\r\n" + host + "User-Agent: me\r\n\r\n",
		"POST /get HTTP/1.1\r\n" + host + "Content-Length: 0\r\n\r\n",
		"GET /elsewhere HTTP/1.1\r\n" + host + "\r\n",
		"GET /shop//x HTTP/1.1\r\n" + host + "\r\n",
		"GET /a/../b HTTP/1.1\r\n" + host + "\r\n",
		"GET /get HTTP/1.1\r\n" + host + "Via: " + strings.Repeat("1.1 earshot, ", 8) + "1.1 x\r\n\r\n",
	} {
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(text)))
		if err != nil {
			t.Fatal(err)
		}
		r.RemoteAddr = "127.0.0.1:1"
		plan := d.now.Load().table.Plan(r)
		before := len(b.heads())
		c := dial(t, d.addr)
		c.say(text)
		a, body := c.answer(r.Method)
		if plan.Status != 0 {
			if a.StatusCode != plan.Status || len(b.heads()) != before {
				t.Errorf("%q: the plan is %d %s, the answer %s %s", text, plan.Status, plan.Refusal, a.Status, body)
			}
			if got := a.Header.Get("Allow"); got != strings.Join(plan.Allow, ", ") {
				t.Errorf("%q: the plan allows %q, the answer %q", text, plan.Allow, got)
			}
			continue
		}
		if len(b.heads()) != before+1 {
			t.Errorf("%q: not sent, %s", text, a.Status)
			continue
		}
		sent, err := http.ReadRequest(bufio.NewReader(strings.NewReader(b.heads()[before])))
		if err != nil {
			t.Fatal(err)
		}
		want := plan.Request
		want.Header.Del("X-Request-Id")
		sent.Header.Del("X-Request-Id")
		if want.Header.Get("User-Agent") == "" {
			want.Header.Del("User-Agent") // which is not sent
		}
		if sent.Method != want.Method || sent.RequestURI != want.URL.RequestURI() || sent.Host != want.Host {
			t.Errorf("%q: sent %s %s %s", text, sent.Method, sent.RequestURI, sent.Host)
		}
		for name := range want.Header {
			if got := strings.Join(sent.Header[name], "|"); got != strings.Join(want.Header[name], "|") {
				t.Errorf("%q: sent %s: %q, the plan has %q", text, name, got, want.Header[name])
			}
		}
		if len(sent.Header) != len(want.Header) {
			t.Errorf("%q: sent %v, the plan has %v", text, sent.Header, want.Header)
		}
	}
}
