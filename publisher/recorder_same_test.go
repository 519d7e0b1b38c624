package publisher

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/earshot-mq/earshot/internal/testenv"
	"github.com/earshot-mq/earshot/publisher/record"
)

// answers are handlers whose answers must be the same with and without a recorder.
var answers = map[string]http.HandlerFunc{
	"nothing": func(http.ResponseWriter, *http.Request) {},
	"sniffed": func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html><p>hello") },
	"two writes": func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "<ht")
		_, _ = io.WriteString(w, "ml>")
	},
	"sniffed by what is flushed": func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "<ht")
		w.(http.Flusher).Flush()
		_, _ = io.WriteString(w, "ml>")
	},
	"a short and a long write": func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "<ht")
		_, _ = io.WriteString(w, "ml>"+strings.Repeat("x", 200_000))
	},
	"announced, a short and a long write": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "200006")
		_, _ = io.WriteString(w, "<ht")
		_, _ = io.WriteString(w, "ml>"+strings.Repeat("x", 200_000))
	},
	"binary": func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("\x89PNG\x0D\x0A\x1A\x0A....")) },
	"no type": func(w http.ResponseWriter, _ *http.Request) {
		w.Header()["Content-Type"] = nil
		_, _ = io.WriteString(w, "x")
	},
	"no date": func(w http.ResponseWriter, _ *http.Request) { w.Header()["Date"] = nil },
	"encoded": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "br")
		_, _ = io.WriteString(w, "<html>")
	},
	"empty": func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(nil); w.WriteHeader(500) },
	"twice": func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(201)
		w.WriteHeader(500)
		_, _ = io.WriteString(w, "x")
	},
	"redirect": func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/there", http.StatusFound) },
	"error":    func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusTeapot) },
	"header after WriteHeader": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-A", "1")
		w.Header().Set("X-B", "1")
		w.WriteHeader(200)
		w.Header().Set("X-A", "2")
		w.Header().Add("X-A", "3")
		w.Header().Del("X-B")
		w.Header().Set("X-C", "3")
		_, _ = io.WriteString(w, "x")
	},
	"header after Write": func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "x")
		w.Header().Set("X-C", "3")
		w.Header().Set("Content-Type", "application/json")
	},
	"trailers": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Trailer", "X-Sum, X-More")
		_, _ = io.WriteString(w, "x")
		w.Header().Set("X-Sum", "1")
		w.Header().Set("X-Other", "2")
	},
	"trailers set before": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Trailer", "X-Sum")
		w.Header().Set("X-Sum", "1")
		w.WriteHeader(200)
		_, _ = io.WriteString(w, "x")
		w.Header().Set("X-Sum", "2")
	},
	"trailers after a Flush": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Trailer", "X-Sum")
		_, _ = io.WriteString(w, "x")
		w.(http.Flusher).Flush()
		w.Header().Set("X-Sum", "1")
		w.Header().Set(http.TrailerPrefix+"X-Late", "1")
	},
	"late trailers": func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "x")
		w.(http.Flusher).Flush()
		w.Header().Set(http.TrailerPrefix+"X-Late", "1")
	},
	"late trailers of a longer body": func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write(text(10_000))
		w.Header().Set(http.TrailerPrefix+"X-Late", "1")
	},
	"trailers of a longer body": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Trailer", "X-Sum")
		_, _ = w.Write(text(10_000))
		w.Header().Set("X-Sum", "1")
	},
	"10 KB":  func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(text(10_000)) },
	"2048":   func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(text(2048)) },
	"2049":   func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(text(2049)) },
	"300 KB": func(w http.ResponseWriter, _ *http.Request) { writes(300_000, false)(w, nil) },
	"body of a 204": func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(204)
		if n, err := io.WriteString(w, "x"); n != 0 || !errors.Is(err, http.ErrBodyNotAllowed) {
			panic(err)
		}
	},
	"304 with fields": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Etag", `"1"`)
		w.Header().Set("Content-Type", "text/css")
		w.WriteHeader(304)
	},
	"more than announced": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "5")
		_, _ = io.WriteString(w, "hello")
		if _, err := io.WriteString(w, "!"); err == nil {
			panic("no error")
		}
	},
	"length that is none": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "0")
		w.WriteHeader(200)
	},
	"content": func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, "a.txt", time.Unix(1e9, 0), bytes.NewReader(text(1000)))
	},
	"range": func(w http.ResponseWriter, r *http.Request) {
		r.Header.Set("Range", "bytes=10-20")
		http.ServeContent(w, r, "a.txt", time.Unix(1e9, 0), bytes.NewReader(text(1000)))
	},
	"copied": func(w http.ResponseWriter, _ *http.Request) { _, _ = io.Copy(w, bytes.NewReader(text(100_000))) },
	"copied, announced": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100000")
		_, _ = io.Copy(w, io.LimitReader(bytes.NewReader(text(200_000)), 100_000))
	},
	"nothing copied": func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.Copy(w, strings.NewReader(""))
		w.WriteHeader(418)
	},
	"timeout handler": func(w http.ResponseWriter, r *http.Request) {
		http.TimeoutHandler(http.HandlerFunc(writes(100, false)), time.Minute, "late").ServeHTTP(w, r)
	},
	"cookies": func(w http.ResponseWriter, _ *http.Request) {
		http.SetCookie(w, &http.Cookie{Name: "a", Value: "1"})
		http.SetCookie(w, &http.Cookie{Name: "b", Value: "2"})
	},
	"connection closed": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Connection", "close")
		_, _ = io.WriteString(w, "x")
	},
}

// seen is what a client can tell of an answer.
type seen struct {
	Proto, Body string
	Status      int
	Length      int64
	Coding      []string
	Close       bool
	Header      http.Header
	Trailer     http.Header
	Err         bool
}

func see(t *testing.T, srv *httptest.Server, method, proto10 string) seen {
	t.Helper()
	var resp *http.Response
	var err error
	if proto10 != "" {
		resp, err = http.ReadResponse(bufio.NewReader(dial(t, srv, method+" / HTTP/1.0\r\n"+proto10+"\r\n")), &http.Request{Method: method})
	} else {
		req, _ := http.NewRequest(method, srv.URL, nil)
		resp, err = srv.Client().Do(req)
	}
	if err != nil {
		return seen{Err: true}
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	s := seen{resp.Proto, string(body), resp.StatusCode, resp.ContentLength, resp.TransferEncoding, resp.Close, resp.Header, resp.Trailer, err != nil}
	for _, k := range []string{"Date", MarkHeader, headerRequestID} {
		if v := s.Header[k]; len(v) > 0 {
			delete(s.Header, k)
		}
	}
	return s
}

func TestRecordingChangesNoAnswer(t *testing.T) {
	for name, h := range answers {
		for protocol, c := range map[string]struct{ server, proto10 string }{
			"HTTP/1.1": {server: "HTTP/1.1"}, "HTTP/2": {server: "HTTP/2.0"},
			"HTTP/1.0": {"HTTP/1.1", "Host: x\r\n"}, "HTTP/1.0 kept": {"HTTP/1.1", "Connection: keep-alive\r\n"},
		} {
			t.Run(name+" "+protocol, func(t *testing.T) {
				if name == "more than announced" && c.server == "HTTP/2.0" {
					return // net/http resets the stream; recorded, the client gets what was announced
				}
				t.Parallel()
				s := &fakeSink{}
				bare, rec := serve(t, c.server, h), serveRecorded(t, c.server, s, RecorderOptions{}, h)
				bare.Config.ErrorLog, rec.Config.ErrorLog = quiet, quiet
				for i, method := range []string{"GET", "HEAD"} {
					want, got := see(t, bare, method, c.proto10), see(t, rec, method, c.proto10)
					if want.Length < 0 && got.Length >= 0 && got.Length <= bufferSize10 && (got.Length == int64(len(want.Body)) || method == "HEAD") {
						// A length where net/http gave up counting is all that may be more.
						got.Length, got.Coding = want.Length, want.Coding
						got.Close, want.Close = false, false
						for _, h := range []http.Header{got.Header, want.Header} {
							delete(h, "Content-Length")
							delete(h, "Connection")
						}
					}
					if !reflect.DeepEqual(got, want) {
						got.Body, want.Body = short(got.Body), short(want.Body)
						t.Errorf("%s: recorded\n%+v, bare\n%+v", method, got, want)
					}
					if rs := s.wait(t, i+1); rs[i].HTTP.Status != want.Status || !want.Err && rs[i].HTTP.Bytes != int64(len(want.Body)) {
						t.Errorf("%s: record has status %d, %d bytes; want %d, %d", method, rs[i].HTTP.Status, rs[i].HTTP.Bytes, want.Status, len(want.Body))
					}
				}
			})
		}
	}
}

func short(s string) string { return s[:min(len(s), 80)] }

func TestEarlyHintsPassAtOnce(t *testing.T) {
	for _, protocol := range protocols {
		t.Run(protocol, func(t *testing.T) {
			s, go_ := &fakeSink{}, make(chan struct{})
			srv := serveRecorded(t, protocol, s, RecorderOptions{}, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Link", "</a.css>; rel=preload")
				w.Header().Set(MarkHeader, "forged")
				w.WriteHeader(http.StatusEarlyHints)
				<-go_ // until the client has it
				w.WriteHeader(http.StatusCreated)
			})
			req, _ := http.NewRequest("GET", srv.URL, nil)
			var link, mark string
			req = req.WithContext(httptrace.WithClientTrace(req.Context(), &httptrace.ClientTrace{
				Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
					link, mark = h.Get("Link"), h.Get(MarkHeader)
					close(go_)
					return nil
				},
			}))
			a := askFor(srv, req)
			receive(t, a.done, "the answer")
			if resp := <-a.header; resp.StatusCode != 201 || link == "" || mark != "" {
				t.Errorf("status %d, early link %q, mark %q", resp.StatusCode, link, mark)
			}
			if r := s.only(t); r.HTTP.Status != 201 {
				t.Errorf("record has status %d, want the final one", r.HTTP.Status)
			}
		})
	}
}

// spy sees what reaches net/http's ReadFrom.
type spy struct {
	http.ResponseWriter
	files *atomic.Int64
}

func (s spy) Unwrap() http.ResponseWriter { return s.ResponseWriter }
func (s spy) ReadFrom(r io.Reader) (int64, error) {
	n, err := s.ResponseWriter.(io.ReaderFrom).ReadFrom(r)
	if l, ok := r.(*io.LimitedReader); ok {
		if _, ok := l.R.(syscall.Conn); ok {
			s.files.Add(n)
		}
	}
	return n, err
}

func TestFilesAreSentByTheKernel(t *testing.T) {
	const size = 1 << 20
	path := filepath.Join(t.TempDir(), "a.bin")
	if err := os.WriteFile(path, text(size), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, h := range map[string]http.HandlerFunc{
		"ServeFile": func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, path) },
		"Copy": func(w http.ResponseWriter, r *http.Request) {
			f, err := os.Open(path)
			if err != nil {
				panic(err)
			}
			defer f.Close()
			w.Header().Set("Content-Type", "application/octet-stream")
			w.Header().Set("Content-Length", "1048576")
			if n, err := io.Copy(w, f); n != size || err != nil {
				panic(err)
			}
		},
		"passed on": func(w http.ResponseWriter, r *http.Request) {
			FromContext(r.Context()).PassOn()
			http.ServeFile(w, r, path)
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, files := &fakeSink{}, new(atomic.Int64)
			wrapped := recorder(t, s, RecorderOptions{}).Wrap(h)
			srv := serve(t, "HTTP/1.1", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { wrapped.ServeHTTP(spy{w, files}, r) }))
			a := ask(t, srv, "GET", "/")
			if receive(t, a.done, "the file"); a.err != nil || !bytes.Equal(a.body, text(size)) {
				t.Fatalf("%d bytes, %v", len(a.body), a.err)
			}
			if n := files.Load(); n < size-bufferSize-copySize {
				t.Errorf("%d of %d bytes went from the file to the socket", n, size)
			}
			if name == "passed on" {
				return
			}
			if r := s.only(t); r.HTTP.Bytes != size || r.HTTP.BodyKind != record.BodyNone || r.HTTP.Aborted {
				t.Errorf("record: %+v", r.HTTP)
			}
		})
	}
}

func TestControls(t *testing.T) {
	for _, protocol := range protocols {
		t.Run(protocol, func(t *testing.T) {
			s := &fakeSink{}
			srv := serveRecorded(t, protocol, s, RecorderOptions{}, func(w http.ResponseWriter, _ *http.Request) {
				c := http.NewResponseController(w)
				err := errors.Join(c.SetReadDeadline(time.Now().Add(time.Minute)), c.SetWriteDeadline(time.Now().Add(time.Minute)), c.EnableFullDuplex(), c.Flush())
				if err != nil {
					t.Error(err)
				}
				if protocol == "HTTP/2.0" {
					if _, _, err := c.Hijack(); !errors.Is(err, http.ErrNotSupported) {
						t.Errorf("Hijack = %v, want %v", err, http.ErrNotSupported)
					}
				}
				//nolint:staticcheck // gin asks for it
				if n, ok := w.(http.CloseNotifier); !ok || n.CloseNotify() == nil {
					t.Error("no CloseNotify")
				}
			})
			receive(t, ask(t, srv, "GET", "/").done, "the answer")
		})
	}
}

// A deadline that has passed cuts the answer: the control reaches the connection.
func TestWriteDeadlineCuts(t *testing.T) {
	s := &fakeSink{}
	srv := serveRecorded(t, "HTTP/1.1", s, RecorderOptions{}, func(w http.ResponseWriter, _ *http.Request) {
		if err := http.NewResponseController(w).SetWriteDeadline(time.Unix(1, 0)); err != nil {
			t.Error(err)
		}
		_, _ = w.Write(text(200_000))
	})
	a := ask(t, srv, "GET", "/")
	if receive(t, a.done, "the cut"); a.err == nil {
		t.Error("the answer came whole")
	}
	if r := s.only(t); !r.HTTP.Aborted {
		t.Errorf("record: %+v; want it aborted", r.HTTP)
	}
}

// The writers below a recorder: what they can do, it shows; what they cannot, it does not.
type (
	below      struct{ http.ResponseWriter }
	belowPush  struct{ below }
	belowWrap  struct{ http.ResponseWriter }
	belowFlush struct{ below }
)

func (belowPush) Push(string, *http.PushOptions) error { return errors.New("pushed") }
func (belowFlush) Flush()                              {}
func (b belowWrap) Unwrap() http.ResponseWriter        { return b.ResponseWriter }

func TestClaims(t *testing.T) {
	type claims struct{ flush, hijack, push bool }
	claimed := func(w http.ResponseWriter) (c claims) {
		_, c.flush = w.(http.Flusher)
		_, c.hijack = w.(http.Hijacker)
		_, c.push = w.(http.Pusher)
		return c
	}
	rec := recorder(t, &fakeSink{}, RecorderOptions{})
	for name, c := range map[string]struct {
		w    http.ResponseWriter
		want claims
	}{
		"nothing":         {below{httptest.NewRecorder()}, claims{}},
		"flush":           {belowFlush{below{httptest.NewRecorder()}}, claims{flush: true}},
		"unwraps":         {belowWrap{belowFlush{}}, claims{flush: true}},
		"push":            {belowPush{below{httptest.NewRecorder()}}, claims{push: true, flush: true}},
		"unwraps to push": {belowWrap{belowPush{}}, claims{push: true, flush: true}},
	} {
		p := &response{rec: rec, under: c.w}
		if got := claimed(p.writer()); got != c.want {
			t.Errorf("%s: claims %+v, want %+v", name, got, c.want)
		}
	}
	for protocol, want := range map[string]claims{"HTTP/1.1": {flush: true, hijack: true}, "HTTP/2.0": {flush: true, push: true}} {
		srv := serveRecorded(t, protocol, &fakeSink{}, RecorderOptions{}, func(w http.ResponseWriter, _ *http.Request) {
			if got := claimed(w); got != want {
				t.Errorf("%s: claims %+v, want %+v", protocol, got, want)
			}
			if p, ok := w.(http.Pusher); ok { // Go's client takes none
				if err := p.Push("/x", nil); !errors.Is(err, http.ErrNotSupported) {
					t.Errorf("Push = %v, want %v", err, http.ErrNotSupported)
				}
			}
		})
		receive(t, ask(t, srv, "GET", "/").done, "the answer")
	}
}

// TestFormFiles: what a form has put into files is removed when its answer has left, as
// net/http does it.
func TestFormFiles(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	for name, end := range map[string]func(){"returns": func() {}, "panics": func() { panic("no") }} {
		t.Run(name, func(t *testing.T) {
			files := 0
			s := httptest.NewServer(recorder(t, nopSink{}, RecorderOptions{}).Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if err := r.ParseMultipartForm(10); err != nil {
					t.Error(err)
				}
				all, err := os.ReadDir(dir)
				if files = len(all); err != nil {
					t.Error(err)
				}
				end()
			})))
			body, contentType := testenv.Form(t)
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL, body)
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Content-Type", contentType)
			resp, err := s.Client().Do(r)
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
			s.Close() // waits for the handler
			if files != 1 {
				t.Fatalf("%d files of a form: this shows nothing", files)
			}
			if all, err := os.ReadDir(dir); err != nil || len(all) > 0 {
				t.Errorf("files are left: %v, %v", all, err)
			}
		})
	}
}
