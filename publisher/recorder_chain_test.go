package publisher

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"

	"golang.org/x/net/websocket"

	"github.com/earshot-mq/earshot/internal/testenv"
)

// proxy passes on what is marked, as a gateway does.
func proxy(t *testing.T, s *fakeSink, to *httptest.Server) *httptest.Server {
	target, err := url.Parse(to.URL)
	if err != nil {
		t.Fatal(err)
	}
	return serve(t, "HTTP/1.1", recorder(t, s, RecorderOptions{Conceal: true}).Wrap(&httputil.ReverseProxy{
		Rewrite:  func(r *httputil.ProxyRequest) { r.SetURL(target) },
		ErrorLog: quiet,
		ModifyResponse: func(r *http.Response) error {
			if r.Header.Get(MarkHeader) != "" {
				FromContext(r.Request.Context()).PassOn()
			}
			return nil
		},
	}))
}

// Whoever makes an answer records it, and whoever passes it on does not: one line, either
// of the service or of the gateway.
func TestOneLineThroughTwoRecorders(t *testing.T) {
	next := make(chan struct{})
	handler := http.NewServeMux()
	handler.HandleFunc("/small", writes(28, false))
	handler.HandleFunc("/large", writes(300_000, true))
	handler.HandleFunc("/flushed", flushes(writes(28, true)))
	handler.HandleFunc("/events", events(next))
	handler.HandleFunc("/abort", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	handler.Handle("/ws", websocket.Handler(func(ws *websocket.Conn) { _, _ = io.Copy(ws, ws) }))
	foreign := serve(t, "HTTP/1.1", handler)
	foreign.Config.ErrorLog = quiet

	for _, kind := range []string{"recorded", "foreign"} {
		for path, size := range map[string]int{"/small": 28, "/large": 300_000, "/flushed": 28, "/events": 18, "/ws": 0} {
			t.Run(kind+path, func(t *testing.T) {
				inner, outer := &fakeSink{}, &fakeSink{}
				service := foreign
				if kind == "recorded" {
					service = serveRecorded(t, "HTTP/1.1", inner, RecorderOptions{}, handler.ServeHTTP)
				}
				gateway := proxy(t, outer, service)
				owner, other := outer, inner
				if kind == "recorded" {
					owner, other = inner, outer
				}
				if path == "/ws" {
					ws, err := websocket.Dial("ws"+strings.TrimPrefix(gateway.URL, "http")+path, "", gateway.URL)
					if err != nil {
						t.Fatal(err)
					}
					buf := make([]byte, 10)
					if _, err := io.WriteString(ws, "hello"); err != nil {
						t.Error(err)
					}
					if n, err := ws.Read(buf); err != nil || string(buf[:n]) != "hello" {
						t.Errorf("got %q, %v", buf[:n], err)
					}
					ws.Close()
				} else {
					a := ask(t, gateway, "GET", path)
					if path == "/events" {
						for n := range 2 {
							next <- struct{}{}
							testenv.Wait(t, "an event", patience, func() bool { return a.bytes.Load() == int64(9*n+9) })
						}
						next <- struct{}{}
						testenv.Wait(t, "an event", patience, func() bool { return a.bytes.Load() == 27 })
						gateway.CloseClientConnections()
					} else if receive(t, a.done, "the answer"); a.err != nil || len(a.body) != size || (<-a.header).Header.Get(MarkHeader) != "" {
						t.Errorf("%d bytes, %v", len(a.body), a.err)
					}
				}
				r := owner.only(t)
				if path != "/events" && path != "/ws" && (r.HTTP.Bytes != int64(size) || r.HTTP.Aborted) {
					t.Errorf("record: %+v", r.HTTP)
				}
				testenv.Wait(t, "both handlers to end", patience, func() bool { return inner.reserved.Load() == 0 && outer.reserved.Load() == 0 })
				if rs := other.all(); len(rs) != 0 {
					t.Errorf("recorded twice: %+v", rs)
				}
			})
		}
	}

	// The service's answer never came, and the gateway made one: two answers, two lines.
	inner, outer := &fakeSink{}, &fakeSink{}
	gateway := proxy(t, outer, serveRecorded(t, "HTTP/1.1", inner, RecorderOptions{}, handler.ServeHTTP))
	a := ask(t, gateway, "GET", "/abort")
	receive(t, a.done, "the answer")
	if in, out := inner.only(t).HTTP, outer.only(t).HTTP; !in.Aborted || out.Status != http.StatusBadGateway || out.Aborted {
		t.Errorf("records: %+v and %+v", in, out)
	}
}
