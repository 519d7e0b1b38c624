package publisher

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/earshot-mq/earshot/internal/testenv"
	"github.com/earshot-mq/earshot/publisher/record"
)

func ExampleRecorder() {
	stream := &fakeSink{} // a *Stream of a Publisher
	rec, err := NewRecorder(stream, RecorderOptions{})
	if err != nil {
		fmt.Println(err)
		return
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /hello/{name}", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "hello %s", r.PathValue("name"))
	})
	server := httptest.NewServer(rec.Wrap(mux))
	defer server.Close()

	resp, err := http.Get(server.URL + "/hello/world?token=12345")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Body.Close()
	r := stream.all()[0]
	fmt.Println(resp.Header.Get("Earshot-Record"))
	fmt.Println(r.Subject, r.HTTP.Status, r.HTTP.Method, r.HTTP.Path, r.HTTP.Query, string(r.HTTP.Body))
	// Output:
	// q7k3v9x2m1t8w/19a8f3c2e4b00d17/1
	// /hello/{name} 200 GET /hello/world token=REDACTED hello world
}

func TestNewRecorderRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		o    RecorderOptions
		want string
	}{
		"form":          {RecorderOptions{Client: "half"}, `client "half"`},
		"no key":        {RecorderOptions{Client: ClientHMAC, HMACKey: []byte("short")}, "5 bytes"},
		"prefix":        {RecorderOptions{Trusted: []netip.Prefix{{}}}, "trusted"},
		"large body":    {RecorderOptions{MaxBody: record.MaxBody + 1}, "body limit 65537"},
		"negative body": {RecorderOptions{MaxBody: -1}, "body limit -1"},
	} {
		if _, err := NewRecorder(&fakeSink{}, c.o); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: NewRecorder = %v, want an error with %q", name, err, c.want)
		}
	}
}

func TestBodies(t *testing.T) {
	say := func(contentType, body string, more ...func(http.ResponseWriter, *http.Request)) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", contentType)
			for _, f := range more {
				f(w, r)
			}
			_, _ = io.WriteString(w, body)
		}
	}
	limit := func(n int) func(http.ResponseWriter, *http.Request) {
		return func(_ http.ResponseWriter, r *http.Request) { FromContext(r.Context()).SetBodyLimit(n) }
	}
	flush := func(w http.ResponseWriter, _ *http.Request) { w.(http.Flusher).Flush() }
	field := func(k, v string) func(http.ResponseWriter, *http.Request) {
		return func(w http.ResponseWriter, _ *http.Request) { w.Header().Set(k, v) }
	}
	const kib = 1 << 10
	for name, c := range map[string]struct {
		h         http.HandlerFunc
		media     string
		kind      record.BodyKind
		body      string
		truncated bool
		bytes     int
	}{
		"text":            {h: say("Text/Plain; charset=utf-8", "héllo"), media: "text/plain", kind: record.BodyText, body: "héllo"},
		"json":            {h: say("application/json", `{"a":1}`), media: "application/json", kind: record.BodyJSON, body: `{"a":1}`},
		"problem":         {h: say("application/problem+json", `{"a":1}`), media: "application/problem+json", kind: record.BodyJSON, body: `{"a":1}`},
		"xml":             {h: say("application/atom+xml", `<a/>`), media: "application/atom+xml", kind: record.BodyText, body: `<a/>`},
		"script":          {h: say("application/javascript", `a()`), media: "application/javascript", kind: record.BodyText, body: `a()`},
		"form":            {h: say(formType, `password=1`), media: formType, kind: record.BodyText, body: `password=REDACTED`, bytes: 10},
		"image":           {h: say("image/png", "PNG"), media: "image/png", bytes: 3},
		"octets":          {h: say("application/octet-stream", "x"), media: "application/octet-stream", bytes: 1},
		"encoded":         {h: say("text/plain", "zip", field("Content-Encoding", "gzip")), media: "text/plain", bytes: 3},
		"none":            {h: say("text/plain", ""), media: "text/plain"},
		"never":           {h: say("text/plain", "hello", limit(-1)), media: "text/plain", bytes: 5},
		"never, flushed":  {h: say("text/plain", "hello", limit(-1), flush), media: "text/plain", bytes: 5},
		"at its limit":    {h: say("text/plain", "hello", limit(5)), media: "text/plain", kind: record.BodyText, body: "hello"},
		"above its limit": {h: say("text/plain", "hello", limit(4)), media: "text/plain", kind: record.BodyText, body: "hell", truncated: true, bytes: 5},
		"flushed, limit":  {h: say("text/plain", "hello", limit(4), flush), media: "text/plain", kind: record.BodyText, body: "hell", truncated: true, bytes: 5},
		"cut json":        {h: say("application/json", `{"a":1}`, limit(4)), media: "application/json", kind: record.BodyText, body: `{"a"`, truncated: true, bytes: 7},
		"cut rune":        {h: say("text/plain", "aé", limit(2)), media: "text/plain", kind: record.BodyText, body: "a", truncated: true, bytes: 3},
		"cut long rune":   {h: say("text/plain", "a\U0001f600b", limit(4)), media: "text/plain", kind: record.BodyText, body: "a", truncated: true, bytes: 6},
		"whole rune":      {h: say("text/plain", "a\U0001f600b", limit(5)), media: "text/plain", kind: record.BodyText, body: "a\U0001f600", truncated: true, bytes: 6},
		"more than asked": {
			h: say("text/plain", strings.Repeat("x", 65*kib), limit(1<<30)), media: "text/plain", kind: record.BodyText,
			body: strings.Repeat("x", 64*kib), truncated: true, bytes: 65 * kib,
		},
		"secret across the limit": {
			h: say("text/plain", strings.Repeat("x", 4*kib-20)+" "+token+" "+strings.Repeat("y", 8*kib), limit(4*kib)), media: "text/plain",
			kind: record.BodyText, body: strings.Repeat("x", 4*kib-20) + " REDACTED " + strings.Repeat("y", 10), truncated: true, bytes: 12*kib - 20 + 2 + len(token),
		},
		"secrets across the limit of a large body": {
			h: say("text/plain", strings.Repeat("x", 64*kib-100)+token+strings.Repeat("y", 200*kib)), media: "text/plain",
			kind: record.BodyText, body: strings.Repeat("x", 64*kib-100) + "REDACTED", truncated: true, bytes: 264*kib - 100 + len(token),
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if c.bytes == 0 {
				c.bytes = len(c.body)
			}
			s := &fakeSink{}
			a := ask(t, serveRecorded(t, "HTTP/1.1", s, RecorderOptions{}, c.h), "GET", "/")
			receive(t, a.done, "the answer")
			r := s.only(t).HTTP
			if r.MediaType != c.media || r.BodyKind != c.kind || r.Truncated != c.truncated || r.Bytes != int64(c.bytes) || len(a.body) != c.bytes {
				t.Errorf("record: %q, kind %d, truncated %v, %d bytes; want %q, %d, %v, %d", r.MediaType, r.BodyKind, r.Truncated, r.Bytes, c.media, c.kind, c.truncated, c.bytes)
			}
			// What is cut off for safety may be more than the limit asks for, never less.
			if got := string(r.Body); got != c.body && !(strings.Contains(name, "across") && strings.HasPrefix(c.body, got) && len(got) > len(c.body)-2*overlap) {
				t.Errorf("body %q, want %q", short(got), short(c.body))
			}
			if strings.Contains(string(r.Body), "eyJ") {
				t.Errorf("body has a part of the secret: %q", r.Body[len(r.Body)-50:])
			}
		})
	}
}

func TestMarks(t *testing.T) {
	forge := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set(MarkHeader, "forged/mark")
		w.Header().Set(headerRequestID, "forged")
		_, _ = io.WriteString(w, "x")
	}
	how := func(f func(*Exchange), h http.HandlerFunc) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) { f(FromContext(r.Context())); h(w, r) }
	}
	whole := testRun.String() + "/1"
	for name, c := range map[string]struct {
		h       http.HandlerFunc
		conceal bool
		mark    string
		records int
		id      bool // the request id is the recorder's
	}{
		"overwritten":            {h: forge, mark: whole, records: 1, id: true},
		"flushed":                {h: flushes(forge), mark: testRun.String(), records: 1, id: true},
		"concealed":              {h: forge, conceal: true, records: 1, id: true},
		"skipped":                {h: how((*Exchange).Skip, forge), id: true},
		"passed on":              {h: how((*Exchange).PassOn, forge), mark: "forged/mark"},
		"passed on, flushed":     {h: how((*Exchange).PassOn, flushes(forge)), mark: "forged/mark"},
		"passed on, concealed":   {h: how((*Exchange).PassOn, forge), conceal: true},
		"skipped too late":       {h: func(w http.ResponseWriter, r *http.Request) { flushes(forge)(w, r); FromContext(r.Context()).Skip() }, mark: testRun.String(), records: 1, id: true},
		"skipped after a header": {h: func(w http.ResponseWriter, r *http.Request) { forge(w, r); FromContext(r.Context()).Skip() }, id: true},
	} {
		for _, protocol := range protocols {
			t.Run(name+" "+protocol, func(t *testing.T) {
				s := &fakeSink{}
				a := ask(t, serveRecorded(t, protocol, s, RecorderOptions{Conceal: c.conceal}, c.h), "GET", "/")
				if receive(t, a.done, "the answer"); a.err != nil || string(a.body) != "x" {
					t.Fatalf("answer %q, %v", a.body, a.err)
				}
				h := (<-a.header).Header
				if got := h.Get(MarkHeader); got != c.mark {
					t.Errorf("mark %q, want %q", got, c.mark)
				}
				if got := h.Get(headerRequestID); (got != "forged") != c.id {
					t.Errorf("request id %q", got)
				}
				testenv.Wait(t, "release", patience, func() bool { return s.reserved.Load() == 0 })
				if rs := s.all(); len(rs) != c.records || c.records == 1 && rs[0].HTTP.Request != h.Get(headerRequestID) {
					t.Errorf("records %+v, want %d with id %s", rs, c.records, h.Get(headerRequestID))
				}
			})
		}
	}
}

// What passes through is not buffered: each part is there before the next is written.
func TestPassedOnIsNotBuffered(t *testing.T) {
	for _, protocol := range protocols {
		t.Run(protocol, func(t *testing.T) {
			s, next := &fakeSink{}, make(chan struct{})
			a := ask(t, serveRecorded(t, protocol, s, RecorderOptions{}, func(w http.ResponseWriter, r *http.Request) {
				FromContext(r.Context()).PassOn()
				w.Header().Set("Content-Length", "8")
				for range 4 {
					_, _ = io.WriteString(w, "xy")
					w.(http.Flusher).Flush()
					<-next
				}
			}), "GET", "/")
			for n := range 4 {
				testenv.Wait(t, "a part", patience, func() bool { return a.bytes.Load() == int64(2*n+2) })
				if testenv.Wait(t, "release", patience, func() bool { return s.reserved.Load() == 0 }); s.taken.Load() != 1 {
					t.Errorf("%d reservations", s.taken.Load())
				}
				next <- struct{}{}
			}
			if receive(t, a.done, "the end"); a.err != nil || len(s.all()) != 0 {
				t.Errorf("%v, records %v", a.err, s.all())
			}
		})
	}
}

func TestRequestOfHandler(t *testing.T) {
	const trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	for name, c := range map[string]struct {
		header  http.Header
		trusted bool
		id      string // empty: a new one
		trace   string
		state   string
		client  string
	}{
		"bare":                  {client: "127.0.0.1"},
		"id of a stranger":      {header: http.Header{"X-Request-Id": {"abc"}}, client: "127.0.0.1"},
		"id of a friend":        {header: http.Header{"X-Request-Id": {"aB1._-"}}, trusted: true, id: "aB1._-", client: "127.0.0.1"},
		"bad id of a friend":    {header: http.Header{"X-Request-Id": {"a b"}}, trusted: true, client: "127.0.0.1"},
		"long id of a friend":   {header: http.Header{"X-Request-Id": {strings.Repeat("a", 65)}}, trusted: true, client: "127.0.0.1"},
		"two ids":               {header: http.Header{"X-Request-Id": {"a", "b"}}, trusted: true, client: "127.0.0.1"},
		"trace":                 {header: http.Header{"Traceparent": {trace}, "Tracestate": {"a=1"}}, trace: trace, state: "a=1", client: "127.0.0.1"},
		"bad trace":             {header: http.Header{"Traceparent": {"00-0-0-0"}, "Tracestate": {"a=1"}}, client: "127.0.0.1"},
		"two traces":            {header: http.Header{"Traceparent": {trace, trace}}, client: "127.0.0.1"},
		"mark":                  {header: http.Header{MarkHeader: {"x/y/1"}}, client: "127.0.0.1"},
		"forwarded by stranger": {header: http.Header{"X-Forwarded-For": {"192.0.2.7"}}, client: "127.0.0.1"},
		"forwarded by friend":   {header: http.Header{"X-Forwarded-For": {"192.0.2.7"}}, trusted: true, client: "192.0.2.7"},
	} {
		t.Run(name, func(t *testing.T) {
			s, o := &fakeSink{}, RecorderOptions{}
			if c.trusted {
				o.Trusted = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
			}
			var got http.Header
			var id string
			srv := serveRecorded(t, "HTTP/1.1", s, o, func(_ http.ResponseWriter, r *http.Request) {
				got, id = r.Header.Clone(), FromContext(r.Context()).RequestID()
			})
			req, _ := http.NewRequest("GET", srv.URL, nil)
			for k, v := range c.header {
				req.Header[k] = v
			}
			a := askFor(srv, req)
			receive(t, a.done, "the answer")
			answered := (<-a.header).Header.Get(headerRequestID)
			r := s.only(t)
			if c.id != "" && id != c.id || c.id == "" && (len(id) != 26 || id == c.header.Get("X-Request-Id")) {
				t.Errorf("id %q, want %q", id, c.id)
			}
			if answered != id || r.HTTP.Request != id || len(got["X-Request-Id"]) != 1 || got.Get("X-Request-Id") != id {
				t.Errorf("id %q, in the answer %q, in the record %q, in the request %q", id, answered, r.HTTP.Request, got["X-Request-Id"])
			}
			if r.Traceparent != c.trace || got.Get("Traceparent") != c.trace || got.Get("Tracestate") != c.state {
				t.Errorf("trace %q, handler's %q and %q; want %q, %q", r.Traceparent, got.Get("Traceparent"), got.Get("Tracestate"), c.trace, c.state)
			}
			if got.Get(MarkHeader) != "" {
				t.Errorf("the handler sees a mark: %q", got.Get(MarkHeader))
			}
			if r.HTTP.Client != c.client {
				t.Errorf("client %q, want %q", r.HTTP.Client, c.client)
			}
		})
	}
}

func TestSubject(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /items/{id}", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("example.org/h/", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("/set/", func(_ http.ResponseWriter, r *http.Request) {
		x := FromContext(r.Context())
		x.SetRoute("/set/:id")
		x.SetUpstream("shop")
		x.SetError("refused by http://me:pw@shop")
	})
	for target, want := range map[string]string{
		"/items/7": "/items/{id}", "/set/7": "/set/:id", "/unknown/7": "", "http://example.org/h/7": "example.org/h/",
	} {
		s := &fakeSink{}
		recorder(t, s, RecorderOptions{}).Wrap(mux).ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", target, nil))
		r := s.only(t)
		if r.Subject != want {
			t.Errorf("%s: subject %q, want %q", target, r.Subject, want)
		}
		if target == "/set/7" && (r.HTTP.Upstream != "shop" || r.HTTP.Error != "refused by http://REDACTED@shop") {
			t.Errorf("upstream %q, error %q", r.HTTP.Upstream, r.HTTP.Error)
		}
	}
}

func TestPathStaysEscaped(t *testing.T) {
	s := &fakeSink{}
	srv := serveRecorded(t, "HTTP/1.1", s, RecorderOptions{}, func(http.ResponseWriter, *http.Request) {})
	_, _ = io.ReadAll(dial(t, srv, "GET /a%2Fb%20c/%0A?q=%0a&token=1 HTTP/1.0\r\n\r\n"))
	if h := s.only(t).HTTP; h.Path != "/a%2Fb%20c/%0A" || h.Query != "q=%0a&token=REDACTED" || h.Method != "GET" {
		t.Errorf("record: %s %q ? %q", h.Method, h.Path, h.Query)
	}
}

func TestNoExchange(t *testing.T) {
	x := FromContext(context.Background())
	if x != nil {
		t.Fatalf("FromContext = %v, want nil", x)
	}
	x.SetRoute("a")
	x.SetUpstream("a")
	x.SetError("a")
	x.SetBodyLimit(1)
	x.Skip()
	x.PassOn()
	if id := x.RequestID(); id != "" {
		t.Errorf("RequestID = %q", id)
	}
}

// A writer that its handler has leaked must not reach another request's answer.
func TestLeakedWriter(t *testing.T) {
	s := &fakeSink{}
	var leaked http.ResponseWriter
	var exchange *Exchange
	srv := serveRecorded(t, "HTTP/1.1", s, RecorderOptions{}, func(w http.ResponseWriter, r *http.Request) {
		leaked, exchange = w, FromContext(r.Context())
		_, _ = io.WriteString(w, "x")
	})
	receive(t, ask(t, srv, "GET", "/").done, "the answer")
	testenv.Wait(t, "the handler to end", patience, func() bool { return s.reserved.Load() == 0 })
	srv.Close()
	exchange.SetRoute("/late")
	if n, err := leaked.Write([]byte("y")); n != 0 || err == nil {
		t.Errorf("Write = %d, %v; want an error", n, err)
	}
	if err := http.NewResponseController(leaked).Flush(); err == nil {
		t.Error("Flush = nil")
	}
	if _, _, err := http.NewResponseController(leaked).Hijack(); err == nil {
		t.Error("Hijack = nil")
	}
	leaked.WriteHeader(500)
	if r := s.only(t); r.Subject != "" || string(r.HTTP.Body) != "x" {
		t.Errorf("record: %+v", r)
	}
}

// Many answers at once, each with its own record: the pooled buffers do not mix.
func TestManyAtOnce(t *testing.T) {
	for _, protocol := range protocols {
		t.Run(protocol, func(t *testing.T) {
			s := &fakeSink{}
			srv := serveRecorded(t, protocol, s, RecorderOptions{}, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "text/plain")
				b := bytes.Repeat([]byte(r.URL.RawQuery+"\n"), 1+len(r.URL.RawQuery)*60)
				_, _ = w.Write(b[:len(b)/2])
				if len(b)%2 == 0 {
					w.(http.Flusher).Flush()
				}
				_, _ = w.Write(b[len(b)/2:])
			})
			var clients sync.WaitGroup
			for c := range 8 {
				clients.Go(func() {
					for n := range 40 {
						q := fmt.Sprintf("%d-%d%s", c, n, strings.Repeat("x", n))
						resp, err := srv.Client().Get(srv.URL + "/?" + q)
						if err != nil {
							t.Error(err)
							return
						}
						body, err := io.ReadAll(resp.Body)
						resp.Body.Close()
						if want := strings.Repeat(q+"\n", 1+len(q)*60); err != nil || string(body) != want {
							t.Errorf("%s: %d bytes, %v; want %d", q, len(body), err, len(want))
						}
					}
				})
			}
			clients.Wait()
			rs := s.wait(t, 320)
			for _, r := range rs {
				want := strings.Repeat(r.HTTP.Query+"\n", 1+len(r.HTTP.Query)*60)
				if got := string(r.HTTP.Body); got != want[:min(len(want), record.MaxBody)] || r.HTTP.Bytes != int64(len(want)) || r.HTTP.Aborted {
					t.Errorf("%s: record has %d bytes of %d, want %d", r.HTTP.Query, len(got), r.HTTP.Bytes, len(want))
				}
			}
			if len(rs) != 320 {
				t.Errorf("%d records, want 320", len(rs))
			}
		})
	}
}

// The whole line of a small answer, as the journal gets it.
func TestLine(t *testing.T) {
	s := &fakeSink{}
	srv := serveRecorded(t, "HTTP/1.1", s, RecorderOptions{}, func(w http.ResponseWriter, r *http.Request) {
		FromContext(r.Context()).SetRoute("/downcase/")
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = io.WriteString(w, "lower case of HELLO is hello")
	})
	receive(t, ask(t, srv, "GET", "/downcase/?param=HELLO").done, "the answer")
	r := s.only(t)
	if r.Time.IsZero() || r.HTTP.Duration <= 0 || len(r.HTTP.Request) != 26 {
		t.Errorf("record: %+v", r)
	}
	r.Source, r.Time, r.HTTP.Duration, r.HTTP.Request = "/downcase", time.Unix(0, 0), 412*time.Microsecond, "01JD"
	line := record.Append(nil, &r)
	const want = `{"specversion":"1.0","id":"q7k3v9x2m1t8w/19a8f3c2e4b00d17/1","source":"/downcase","type":"earshot.http.v1","time":"1970-01-01T00:00:00.000000000Z",` +
		`"subject":"/downcase/","data":{"method":"GET","path":"/downcase/","query":"param=HELLO","status":200,"us":412,"client":"127.0.0.1","request":"01JD",` +
		`"bytes":28,"type":"text/plain","body":"lower case of HELLO is hello"}}` + "\n"
	if string(line) != want || !json.Valid(line) {
		t.Errorf("line\n%s, want\n%s", line, want)
	}
}
