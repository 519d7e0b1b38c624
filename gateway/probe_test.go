package gateway

import (
	"strings"
	"testing"
)

// probe is bytes from a client, and what has to become of them.
type probe struct {
	in     string
	status []int    // of the answers, in order; the backend says 200
	closed bool     // the connection ends after them
	at     []string // what stands in the backend's request
	not    []string // what does not
	head   []string // what stands in the gateway's last answer
}

const host = "Host: shop.example\r\n"

// TestProbes sends bytes that a client library would not send. The rows are those of the
// survey of proxies in which each did something else.
func TestProbes(t *testing.T) {
	for name, p := range map[string]probe{
		"plain": {
			in: "GET /a HTTP/1.1\r\n" + host + "\r\n", status: []int{200},
			at:  []string{"GET /a HTTP/1.1\r\n", "Host: shop.example\r\n", "X-Forwarded-For: 127.0.0.1\r\n", "X-Forwarded-Proto: http\r\n", "X-Forwarded-Host: shop.example\r\n", "X-Request-Id: ", "Via: 1.1 earshot\r\n"},
			not: []string{"User-Agent", "Accept-Encoding", "Connection"},
		},
		"two on one connection": {
			in: "POST /a HTTP/1.1\r\n" + host + "Content-Length: 3\r\n\r\nabcGET /b HTTP/1.1\r\n" + host + "\r\n", status: []int{200, 200},
			at: []string{"POST /a", "GET /b"},
		},
		"HTTP/1.0": {in: "GET /a HTTP/1.0\r\n\r\n", status: []int{200}, closed: true, at: []string{"GET /a HTTP/1.1\r\n", "Via: 1.0 earshot\r\n"}},

		// Where a message ends.
		"length and coding":       {in: "POST / HTTP/1.1\r\n" + host + "Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nX", status: []int{400}, closed: true},
		"coding and length":       {in: "POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\nContent-Length: 6\r\n\r\n0\r\n\r\nX", status: []int{400}, closed: true},
		"equal lengths":           {in: "POST / HTTP/1.1\r\n" + host + "Content-Length: 1\r\nContent-Length: 1\r\n\r\nx", status: []int{400}, closed: true},
		"different lengths":       {in: "POST / HTTP/1.1\r\n" + host + "Content-Length: 1\r\nContent-Length: 2\r\n\r\nxy", status: []int{400}, closed: true},
		"list of lengths":         {in: "POST / HTTP/1.1\r\n" + host + "Content-Length: 1, 1\r\n\r\nx", status: []int{400}, closed: true},
		"length with sign":        {in: "POST / HTTP/1.1\r\n" + host + "Content-Length: +1\r\n\r\nx", status: []int{400}, closed: true},
		"negative length":         {in: "POST / HTTP/1.1\r\n" + host + "Content-Length: -1\r\n\r\n", status: []int{400}, closed: true},
		"hexadecimal length":      {in: "POST / HTTP/1.1\r\n" + host + "Content-Length: 0x1\r\n\r\nx", status: []int{400}, closed: true},
		"empty length":            {in: "POST / HTTP/1.1\r\n" + host + "Content-Length:\r\n\r\n", status: []int{400}, closed: true},
		"huge length":             {in: "POST / HTTP/1.1\r\n" + host + "Content-Length: 99999999999999999999\r\n\r\n", status: []int{400}, closed: true},
		"space before the colon":  {in: "POST / HTTP/1.1\r\n" + host + "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n", status: []int{400}, closed: true},
		"folded coding":           {in: "POST / HTTP/1.1\r\n" + host + "Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n", status: []int{400}, closed: true},
		"coding in HTTP/1.0":      {in: "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", status: []int{400}, closed: true},
		"coding twice":            {in: "POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", status: []int{400}, closed: true},
		"coding identity":         {in: "POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: identity\r\n\r\n", status: []int{400}, closed: true},
		"coding list":             {in: "POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", status: []int{400}, closed: true},
		"coding with control":     {in: "POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n", status: []int{400}, closed: true},
		"chunked":                 {in: "POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: Chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", status: []int{200}, at: []string{"Transfer-Encoding: chunked\r\n"}, not: []string{"Content-Length"}},
		"chunk extension":         {in: "POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n0\r\n\r\nGET /b HTTP/1.1\r\n" + host + "\r\n", status: []int{200, 200}},
		"chunk size bare LF":      {in: "POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n3\nabc\r\n0\r\n\r\n", status: []int{400}, closed: true},
		"chunk size 0x":           {in: "POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n0x3\r\nabc\r\n0\r\n\r\n", status: []int{400}, closed: true},
		"chunk size with sign":    {in: "POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n+3\r\nabc\r\n0\r\n\r\n", status: []int{400}, closed: true},
		"chunk size overflow":     {in: "POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n10000000000000003\r\nabc\r\n0\r\n\r\n", status: []int{400}, closed: true},
		"chunk longer than said":  {in: "POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n", status: []int{400}, closed: true},
		"chunk extension bare LF": {in: "POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n3;a\nb\r\nabc\r\n0\r\n\r\n", status: []int{400}, closed: true},
		"trailer":                 {in: "POST / HTTP/1.1\r\n" + host + "Trailer: X-A\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-A: b\r\n\r\nGET /b HTTP/1.1\r\n" + host + "\r\n", status: []int{200, 200}, not: []string{"X-A", "Trailer"}},

		// Lines.
		"bare LF":            {in: "GET / HTTP/1.1\nHost: a\n\n", status: []int{400}, closed: true},
		"one bare LF":        {in: "GET / HTTP/1.1\r\n" + host + "A: b\nC: d\r\n\r\n", status: []int{400}, closed: true},
		"bare CR":            {in: "GET / HTTP/1.1\r\n" + host + "A: b\rC: d\r\n\r\n", status: []int{400}, closed: true},
		"folded":             {in: "GET / HTTP/1.1\r\n" + host + "A: b\r\n c\r\n\r\n", status: []int{400}, closed: true},
		"space in a name":    {in: "GET / HTTP/1.1\r\n" + host + "A b: c\r\n\r\n", status: []int{400}, closed: true},
		"no colon":           {in: "GET / HTTP/1.1\r\n" + host + "A\r\n\r\n", status: []int{400}, closed: true},
		"empty name":         {in: "GET / HTTP/1.1\r\n" + host + ": c\r\n\r\n", status: []int{400}, closed: true},
		"zero byte":          {in: "GET / HTTP/1.1\r\n" + host + "A: b\x00c\r\n\r\n", status: []int{400}, closed: true},
		"space first":        {in: "GET / HTTP/1.1\r\n A: b\r\n" + host + "\r\n", status: []int{400}, closed: true},
		"two spaces":         {in: "GET  / HTTP/1.1\r\n" + host + "\r\n", status: []int{400}, closed: true},
		"tab for space":      {in: "GET\t/ HTTP/1.1\r\n" + host + "\r\n", status: []int{400}, closed: true},
		"HTTP/0.9":           {in: "GET /\r\n\r\n", status: []int{400}, closed: true},
		"HTTP/2.0":           {in: "GET / HTTP/2.0\r\n" + host + "\r\n", status: []int{400}, closed: true},
		"HTTP/2 preface":     {in: "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", status: []int{400}, closed: true},
		"lower-case version": {in: "GET / http/1.1\r\n" + host + "\r\n", status: []int{400}, closed: true},
		"method in brackets": {in: "GE(T / HTTP/1.1\r\n" + host + "\r\n", status: []int{400}, closed: true},
		"empty line first":   {in: "\r\nGET / HTTP/1.1\r\n" + host + "\r\n", status: []int{400}, closed: true},
		"long header":        {in: "GET / HTTP/1.1\r\n" + host + "A: " + strings.Repeat("a", 30<<10) + "\r\n\r\n", status: []int{431}, closed: true},
		"many fields":        {in: "GET / HTTP/1.1\r\n" + host + strings.Repeat("A: b\r\n", 101) + "\r\n", status: []int{431}},

		// Host and target.
		"no host":            {in: "GET / HTTP/1.1\r\n\r\n", status: []int{400}, closed: true},
		"two hosts":          {in: "GET / HTTP/1.1\r\n" + host + host + "\r\n", status: []int{400}, closed: true},
		"host with user":     {in: "GET / HTTP/1.1\r\nHost: a@b\r\n\r\n", status: []int{400}, closed: true},
		"absolute":           {in: "GET http://other.example/a?b HTTP/1.1\r\n" + host + "\r\n", status: []int{200}, at: []string{"GET /a?b HTTP/1.1\r\n", "Host: other.example\r\n", "X-Forwarded-Host: other.example\r\n"}, not: []string{"shop.example"}},
		"absolute, ftp":      {in: "GET ftp://other.example/a HTTP/1.1\r\n" + host + "\r\n", status: []int{400}},
		"absolute, user":     {in: "GET http://u:p@other.example/a HTTP/1.1\r\n" + host + "\r\n", status: []int{400}},
		"no slash":           {in: "GET a HTTP/1.1\r\n" + host + "\r\n", status: []int{400}, closed: true},
		"star":               {in: "GET * HTTP/1.1\r\n" + host + "\r\n", status: []int{400}},
		"fragment":           {in: "GET /x#f HTTP/1.1\r\n" + host + "\r\n", status: []int{400}, closed: true},
		"dots":               {in: "GET /a/../b HTTP/1.1\r\n" + host + "\r\n", status: []int{400}},
		"one dot":            {in: "GET /a/./b HTTP/1.1\r\n" + host + "\r\n", status: []int{400}},
		"dots at the end":    {in: "GET /a/.. HTTP/1.1\r\n" + host + "\r\n", status: []int{400}},
		"dots, slash hidden": {in: "GET /a/..%2fb HTTP/1.1\r\n" + host + "\r\n", status: []int{400}},
		"dots hidden":        {in: "GET /a/%2e%2E/b HTTP/1.1\r\n" + host + "\r\n", status: []int{400}},
		"dots, semicolon":    {in: "GET /a/..;x=y/b HTTP/1.1\r\n" + host + "\r\n", status: []int{400}},
		"three dots":         {in: "GET /a/.../b HTTP/1.1\r\n" + host + "\r\n", status: []int{200}, at: []string{"GET /a/.../b "}},
		"slash hidden":       {in: "GET /a%2Fb HTTP/1.1\r\n" + host + "\r\n", status: []int{400}},
		"backslash hidden":   {in: "GET /a%5cb HTTP/1.1\r\n" + host + "\r\n", status: []int{400}},
		"backslash":          {in: "GET /a\\b HTTP/1.1\r\n" + host + "\r\n", status: []int{400}},
		"zero hidden":        {in: "GET /a%00b HTTP/1.1\r\n" + host + "\r\n", status: []int{400}},
		"bad escape":         {in: "GET /a%zz HTTP/1.1\r\n" + host + "\r\n", status: []int{400}, closed: true},
		"two slashes":        {in: "GET //b HTTP/1.1\r\n" + host + "\r\n", status: []int{400}},
		"two slashes inside": {in: "GET /a//b HTTP/1.1\r\n" + host + "\r\n", status: []int{200}, at: []string{"GET /a//b "}},
		"escapes stay":       {in: "GET /%61%20b%3F%25 HTTP/1.1\r\n" + host + "\r\n", status: []int{200}, at: []string{"GET /%61%20b%3F%25 "}},
		"bytes beyond ASCII": {in: "GET /\xc3\xa4?\xc3\xa4 HTTP/1.1\r\n" + host + "\r\n", status: []int{200}, at: []string{"GET /%C3%A4?\xc3\xa4 "}},
		"semicolon in query": {in: "GET /?a=1;b=2&c=%zz&d=%2f#  HTTP/1.1\r\n" + host + "\r\n", status: []int{400}, closed: true},
		"query verbatim":     {in: "GET /?a=1;b=2&c=%zz&d=%2f&&e=../?f HTTP/1.1\r\n" + host + "\r\n", status: []int{200}, at: []string{"GET /?a=1;b=2&c=%zz&d=%2f&&e=../?f "}},
		"empty query":        {in: "GET /? HTTP/1.1\r\n" + host + "\r\n", status: []int{200}, at: []string{"GET /? "}},
		"CONNECT":            {in: "CONNECT a:80 HTTP/1.1\r\n" + host + "\r\n", status: []int{501}, closed: true},
		"CONNECT with path":  {in: "CONNECT /a HTTP/1.1\r\n" + host + "\r\n", status: []int{501}, closed: true},
		"TRACE":              {in: "TRACE / HTTP/1.1\r\n" + host + "\r\n", status: []int{405}, head: []string{"Allow: DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT"}},
		"unknown method":     {in: "BREW / HTTP/1.1\r\n" + host + "\r\n", status: []int{200}, at: []string{"BREW / HTTP/1.1"}},
		"HEAD":               {in: "HEAD / HTTP/1.1\r\n" + host + "\r\n", status: []int{200}, at: []string{"HEAD / HTTP/1.1"}},

		// Fields of the connection.
		"protected": {
			in:     "GET / HTTP/1.1\r\n" + host + "Connection: close, authorization, Cookie, X-Forwarded-For, x-real-ip, traceparent, x-request-id, host\r\nAuthorization: Basic x\r\nCookie: a=b\r\nTraceparent: 00\r\n\r\n",
			status: []int{200}, closed: true, at: []string{"Authorization: Basic x\r\n", "Cookie: a=b\r\n", "X-Forwarded-For: 127.0.0.1\r\n", "X-Request-Id: ", "Host: shop.example"}, not: []string{"Connection"},
		},
		"nominated": {
			in:     "GET / HTTP/1.1\r\n" + host + "Connection: keep-alive, x-HOP\r\nX-Hop: a\r\nX-End: b\r\nKeep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\nProxy-Authorization: Basic x\r\nTE: gzip, trailers\r\n\r\n",
			status: []int{200}, at: []string{"X-End: b\r\n", "Te: trailers\r\n"}, not: []string{"X-Hop", "Keep-Alive", "Proxy-", "Connection", "gzip"},
		},
		"empty connection token": {in: "GET / HTTP/1.1\r\n" + host + "Connection: ,,\r\nX-End: b\r\n\r\n", status: []int{200}, at: []string{"X-End: b\r\n"}, not: []string{"Connection"}},
		"h2c": {
			in:     "GET / HTTP/1.1\r\n" + host + "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\nGET /b HTTP/1.1\r\n" + host + "\r\n",
			status: []int{200, 200}, not: []string{"Upgrade", "Http2-Settings", "HTTP2-Settings", "Connection"},
		},
		"upgrade refused": {
			in:     "GET / HTTP/1.1\r\n" + host + "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
			status: []int{200}, closed: true, at: []string{"Upgrade: websocket\r\n", "Connection: Upgrade\r\n"},
		},
		"upgrade by POST": {
			in:     "POST / HTTP/1.1\r\n" + host + "Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 1\r\n\r\nx",
			status: []int{200}, closed: true, not: []string{"Upgrade"},
		},
		"upgrade with a body": {
			in:     "GET / HTTP/1.1\r\n" + host + "Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 1\r\n\r\nx",
			status: []int{200}, closed: true, not: []string{"Upgrade"},
		},

		// Who the client is.
		"forwarded": {
			in: "GET / HTTP/1.1\r\n" + host + "X-Forwarded-For: 10.0.0.1\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: evil\r\nX-Forwarded-Port: 1\r\nX-Forwarded-Prefix: /evil\r\nForwarded: for=10.0.0.2\r\nX-Real-IP: 10.0.0.3\r\n" +
				"X-Original-URL: /evil\r\nX-Rewrite-URL: /evil\r\nTrue-Client-IP: 10.0.0.4\r\nX-Request-ID: evil\r\n\r\n",
			status: []int{200}, at: []string{"X-Forwarded-For: 127.0.0.1\r\n", "X-Forwarded-Proto: http\r\n", "X-Forwarded-Host: shop.example\r\n"}, not: []string{"10.0.0", "evil", "X-Forwarded-Port"},
		},
		"underscores": {in: "GET / HTTP/1.1\r\n" + host + "X_Auth_User: root\r\nX_Forwarded_For: 10.0.0.1\r\nX-A_B: c\r\n\r\n", status: []int{200}, not: []string{"_"}},
		"httpoxy":     {in: "GET / HTTP/1.1\r\n" + host + "Proxy: http://evil\r\n\r\n", status: []int{200}, not: []string{"evil", "Proxy"}},
		"mark":        {in: "GET / HTTP/1.1\r\n" + host + "Earshot-Record: a/b/1\r\n\r\n", status: []int{200}, not: []string{"Earshot-Record"}, head: []string{"HTTP/1.1 200"}},
		"circle":      {in: "GET / HTTP/1.1\r\n" + host + "Via: 1.1 a" + strings.Repeat(", 1.1 earshot", 8) + "\r\n\r\n", status: []int{508}},
		"via":         {in: "GET / HTTP/1.1\r\n" + host + "Via: 1.0 a\r\nVia: 1.1 earshot\r\n\r\n", status: []int{200}, at: []string{"Via: 1.0 a, 1.1 earshot, 1.1 earshot\r\n"}},
		"expectation": {in: "GET / HTTP/1.1\r\n" + host + "Expect: foo\r\n\r\n", status: []int{417}, closed: true},
		"user agent":  {in: "GET / HTTP/1.1\r\n" + host + "User-Agent: me\r\nAccept-Encoding: br\r\n\r\n", status: []int{200}, at: []string{"User-Agent: me\r\n", "Accept-Encoding: br\r\n"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p.run(t)
		})
	}
}

func (p probe) run(t *testing.T) {
	b := rawServer(t, func(_ int, c *peer) {
		for {
			if r, _ := c.readRequest(); r == nil {
				return
			}
			c.say("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		}
	})
	d := open(t, one(b.addr, ""), Options{}, nil)
	c := dial(t, d.addr)
	c.say(p.in)
	method, _, _ := strings.Cut(strings.TrimLeft(p.in, "\r\n"), " ")
	good := 0
	for i, want := range p.status {
		a, body := c.answer(method)
		method = "GET"
		if a.StatusCode != want {
			t.Fatalf("answer %d is %d, want %d\n%s", i, a.StatusCode, want, body)
		}
		if want == 200 {
			good++
		}
		var head strings.Builder
		head.WriteString(a.Proto + " " + a.Status + "\r\n")
		if err := a.Header.Write(&head); err != nil {
			t.Fatal(err)
		}
		for _, s := range p.head {
			if !strings.Contains(head.String(), s) {
				t.Errorf("the answer has no %q:\n%s", s, head.String())
			}
		}
	}
	if p.closed {
		if left := c.rest(); left != "" {
			t.Errorf("after the answer comes %q", left)
		}
	} else {
		c.say("GET /still-open HTTP/1.1\r\n" + host + "\r\n")
		if a, _ := c.answer("GET"); a.StatusCode != 200 {
			t.Errorf("the connection is of no more use: %s", a.Status)
		}
		good++
	}
	p.judge(t, b.heads(), good)
}

func (p probe) judge(t *testing.T, heads []string, want int) {
	t.Helper()
	if n := len(heads); n > 0 && strings.Contains(heads[n-1], "/still-open") {
		heads, want = heads[:n-1], want-1
	}
	all := strings.Join(heads, "")
	for _, s := range p.at {
		if !strings.Contains(all, s) {
			t.Errorf("the backend got no %q:\n%s", s, all)
		}
	}
	for _, s := range p.not {
		if strings.Contains(all, s) {
			t.Errorf("the backend got %q:\n%s", s, all)
		}
	}
	// A body that turns out to be malformed has its head there already; more must not be.
	if len(heads) > want && (len(heads) > want+1 || !strings.Contains(all, "chunked")) {
		t.Errorf("the backend got %d requests, want %d:\n%s", len(heads), want, all)
	}
}
