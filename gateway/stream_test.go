package gateway

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/earshot-mq/earshot/internal/testenv"
)

// onceServer runs script once, on the first connection to a backend, after a request's head.
func onceServer(t *testing.T, script func(c *peer)) *raw {
	return rawServer(t, func(n int, c *peer) {
		if c.readHead() == "" {
			return
		}
		script(c)
	})
}

// TestEventsAreNotDelayed: each event is at the client before the backend sends the next,
// and the header before the first.
func TestEventsAreNotDelayed(t *testing.T) {
	t.Parallel()
	for name, header := range map[string]string{
		"event stream": "Content-Type: text/event-stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\n",
		"chunked":      "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n",
		"until close":  "Content-Type: text/plain\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			next := make(chan struct{})
			b := onceServer(t, func(c *peer) {
				c.say("HTTP/1.1 200 OK\r\n" + header + "\r\n")
				for i := range 3 {
					<-next
					text := fmt.Sprintf("data: %d\n\n", i)
					if strings.Contains(header, "chunked") {
						text = fmt.Sprintf("%x\r\n%s\r\n", len(text), text)
					}
					c.say(text)
				}
				<-next
				if strings.Contains(header, "chunked") {
					c.say("0\r\n\r\n")
				}
			})
			d := open(t, one(b.addr, ""), Options{}, nil)
			c := dial(t, d.addr)
			c.say("GET / HTTP/1.1\r\n" + host + "\r\n")
			a, err := http.ReadResponse(c.r, nil)
			if err != nil {
				t.Fatal(err)
			}
			for i := range 3 {
				next <- struct{}{}
				buf := make([]byte, 64)
				n, err := a.Body.Read(buf)
				if want := fmt.Sprintf("data: %d\n\n", i); err != nil || string(buf[:n]) != want {
					t.Fatalf("event %d: %q, %v; want %q", i, buf[:n], err, want)
				}
			}
			close(next)
			if rest, err := io.ReadAll(a.Body); err != nil || len(rest) > 0 {
				t.Errorf("the end: %q, %v", rest, err)
			}
		})
	}
}

func TestTrailers(t *testing.T) {
	for name, announced := range map[string]string{"announced": "Trailer: X-Sum, X-Late\r\n", "not announced": ""} {
		t.Run(name, func(t *testing.T) {
			b := onceServer(t, func(c *peer) {
				c.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n" + announced + "\r\n2\r\nhi\r\n0\r\nX-Sum: abc\r\nConnection: x\r\nX-Late: d\r\n\r\n")
			})
			d := open(t, one(b.addr, ""), Options{}, nil)
			c := dial(t, d.addr)
			c.say("GET / HTTP/1.1\r\n" + host + "TE: trailers\r\n\r\n")
			a, body := c.answer("GET")
			if body != "hi" || a.Trailer.Get("X-Sum") != "abc" || a.Trailer.Get("X-Late") != "d" || len(a.Trailer) != 2 {
				t.Errorf("%q, trailers %v", body, a.Trailer)
			}
		})
	}
}

// TestInterimAnswers: 103 passes with its fields, and they are not in the final answer;
// to HTTP/1.0, and 100 to whoever did not ask, nothing passes.
func TestInterimAnswers(t *testing.T) {
	for version, want := range map[string]string{
		"1.1": "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 200 OK\r\n",
		"1.0": "HTTP/1.0 200 OK\r\n",
	} {
		t.Run(version, func(t *testing.T) {
			b := onceServer(t, func(c *peer) {
				c.say("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\nConnection: x\r\n\r\n" +
					"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")
			})
			d := open(t, one(b.addr, ""), Options{}, nil)
			c := dial(t, d.addr)
			c.say("GET / HTTP/" + version + "\r\n" + host + "Connection: close\r\n\r\n")
			got := c.rest()
			if !strings.HasPrefix(got, want) || strings.Count(got, "Link:") != strings.Count(want, "Link:") {
				t.Errorf("got\n%s\nwant it to begin with\n%s", got, want)
			}
		})
	}
}

func TestExpectContinue(t *testing.T) {
	t.Parallel()
	const head = "POST / HTTP/1.1\r\n" + host + "Expect: 100-continue\r\nContent-Length: 4\r\n"
	t.Run("exactly one, from the backend", func(t *testing.T) {
		asked := make(chan struct{})
		b := onceServer(t, func(c *peer) {
			<-asked
			c.say("HTTP/1.1 100 Continue\r\n\r\n")
			body := make([]byte, 4)
			if _, err := io.ReadFull(c.r, body); err != nil || string(body) != "body" {
				t.Errorf("the backend got %q, %v", body, err)
			}
			c.say("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		})
		d := open(t, one(b.addr, ""), Options{}, nil)
		c := dial(t, d.addr)
		c.say(head + "Connection: close\r\n\r\n")
		close(asked)
		if line, err := c.r.ReadString('\n'); err != nil || line != "HTTP/1.1 100 Continue\r\n" {
			t.Fatalf("%q, %v", line, err)
		}
		c.say("body")
		if got := c.rest(); !strings.HasPrefix(got, "\r\nHTTP/1.1 200 OK\r\n") {
			t.Errorf("after the 100: %q", got)
		}
		if h := b.heads()[0]; !strings.Contains(h, "Expect: 100-continue\r\n") {
			t.Errorf("the backend was not asked: %s", h)
		}
	})
	t.Run("a backend that does not know it", func(t *testing.T) {
		b := onceServer(t, func(c *peer) {
			body := make([]byte, 4)
			if _, err := io.ReadFull(c.r, body); err != nil {
				t.Error(err)
			}
			c.say("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		})
		d := open(t, one(b.addr, ""), Options{}, nil)
		c := dial(t, d.addr)
		c.say(head + "Connection: close\r\n\r\n")
		if line, err := c.r.ReadString('\n'); err != nil || line != "HTTP/1.1 100 Continue\r\n" {
			t.Fatalf("%q, %v", line, err)
		}
		c.say("body")
		if got := c.rest(); !strings.HasPrefix(got, "\r\nHTTP/1.1 200 OK\r\n") {
			t.Errorf("after the 100: %q", got)
		}
	})
	for name, closing := range map[string]string{"refused early": "", "refused early, closing": "Connection: close\r\n"} {
		t.Run(name, func(t *testing.T) {
			b := onceServer(t, func(c *peer) {
				c.say("HTTP/1.1 403 Forbidden\r\nContent-Length: 3\r\n" + closing + "\r\nno\n")
				_, _ = io.Copy(io.Discard, c.r)
			})
			d := open(t, one(b.addr, ""), Options{}, nil)
			c := dial(t, d.addr)
			c.say(head + "\r\n")
			if got := c.rest(); !strings.HasPrefix(got, "HTTP/1.1 403 Forbidden\r\n") || !strings.HasSuffix(got, "\r\n\r\nno\n") ||
				!strings.Contains(got, "Connection: close\r\n") {
				t.Errorf("got\n%s", got)
			}
		})
	}
}

// TestEarlyAnswer: a backend that answers in the middle of an upload and stops reading is
// heard, whether it closes the connection or not.
func TestEarlyAnswer(t *testing.T) {
	t.Parallel()
	for name, after := range map[string]func(c *peer){
		"reset": func(*peer) {},                                       // closing with unread bytes resets
		"stays": func(c *peer) { time.Sleep(300 * time.Millisecond) }, // and reads nothing, as long
		"half open": func(c *peer) {
			_ = c.Conn.(interface{ CloseWrite() error }).CloseWrite()
			_, _ = io.Copy(io.Discard, c.r)
		},
	} {
		t.Run(name, func(t *testing.T) {
			for range 5 {
				b := onceServer(t, func(c *peer) {
					some := make([]byte, 1000)
					if _, err := io.ReadFull(c.r, some); err != nil {
						t.Error(err)
					}
					c.say("HTTP/1.1 413 Content Too Large\r\nContent-Length: 4\r\n\r\nbig\n")
					after(c)
				})
				d := open(t, one(b.addr, ""), Options{}, nil)
				c := dial(t, d.addr)
				c.say("POST / HTTP/1.1\r\n" + host + "Content-Length: 100000000\r\n\r\n")
				stop := make(chan struct{})
				go func() {
					defer close(stop)
					piece := strings.Repeat("x", 64<<10)
					for range 100000000 / len(piece) {
						if _, err := io.WriteString(c.Conn, piece); err != nil {
							return
						}
					}
				}()
				a, body := c.answer("POST")
				if a.StatusCode != 413 || body != "big\n" {
					t.Fatalf("%s %q", a.Status, body)
				}
				_ = c.Close()
				<-stop
			}
		})
	}
}

// TestEarlyAnswerEndsConnection: a connection on which the answer left before the request was read is not used again:
// net/http would read the rest of the one while it waits for the next.
func TestEarlyAnswerEndsConnection(t *testing.T) {
	back := rawServer(t, func(_ int, c *peer) {
		c.readHead()
		c.say("HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno")
		c.rest()
	})
	d := open(t, one(back.addr, ""), Options{}, nil)
	c := dial(t, d.addr)
	c.say("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello")
	a, body := c.answer(http.MethodPost)
	if a.StatusCode != http.StatusRequestEntityTooLarge || body != "no" {
		t.Errorf("answer is %s %q", a.Status, body)
	}
	c.say("hello")
	if !a.Close {
		t.Error("the client may use the connection again")
		c.say("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello")
		c.answer(http.MethodPost)
	}
}

// TestBothWaysAtOnce: an answer may begin before its request has ended.
func TestBothWaysAtOnce(t *testing.T) {
	b := onceServer(t, func(c *peer) {
		c.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
		for { // chunks come as they are sent
			size, err := c.r.ReadString('\n')
			if err != nil || size == "0\r\n" {
				break
			}
			text, err := c.r.ReadString('\n')
			if err != nil {
				break
			}
			c.say(size + text)
		}
		c.say("0\r\n\r\n")
	})
	d := open(t, one(b.addr, ""), Options{}, nil)
	c := dial(t, d.addr)
	c.say("POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n")
	a, err := http.ReadResponse(c.r, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, word := range []string{"one", "two", "six"} {
		c.say("3\r\n" + word + "\r\n")
		got := make([]byte, 3)
		if _, err := io.ReadFull(a.Body, got); err != nil || string(got) != word {
			t.Fatalf("%q, %v, want %s", got, err, word)
		}
	}
	c.say("0\r\n\r\n")
	if rest, err := io.ReadAll(a.Body); err != nil || len(rest) > 0 {
		t.Errorf("the end: %q, %v", rest, err)
	}
}

// TestClientLeaves: the backend hears of it, in every phase.
func TestClientLeaves(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ in, out string }{
		"before the answer": {"GET / HTTP/1.1\r\n" + host + "\r\n", ""},
		"in the answer":     {"GET / HTTP/1.1\r\n" + host + "\r\n", "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: a\n\n"},
		"in the upload":     {"POST / HTTP/1.1\r\n" + host + "Content-Length: 9\r\n\r\nabc", ""},
	} {
		t.Run(name, func(t *testing.T) {
			left := make(chan struct{})
			b := onceServer(t, func(p *peer) {
				p.say(c.out)
				_, _ = io.Copy(io.Discard, p.r)
				close(left)
			})
			d := open(t, one(b.addr, ""), Options{}, nil)
			client := dial(t, d.addr)
			client.say(c.in)
			testenv.Wait(t, "the backend has the request", testenv.Patience, func() bool { return len(b.heads()) == 1 })
			if c.out != "" {
				if _, err := client.r.ReadString('\n'); err != nil {
					t.Fatal(err)
				}
			}
			_ = client.Close()
			select {
			case <-left:
			case <-time.After(patienceInTests):
				t.Error("the backend still has its connection")
			}
		})
	}
}

// TestCutAnswers: what an upstream cuts short never looks whole to the client.
func TestCutAnswers(t *testing.T) {
	for name, out := range map[string]string{
		"length":           "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc",
		"chunked":          "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
		"chunk":            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc",
		"no closing CRLF":  "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n",
		"chunk is garbage": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			b := onceServer(t, func(c *peer) { c.say(out) })
			d := open(t, one(b.addr, ""), Options{}, nil)
			c := dial(t, d.addr)
			c.say("GET / HTTP/1.1\r\n" + host + "\r\n")
			a, err := http.ReadResponse(c.r, nil)
			if err != nil {
				return // cut before anything left is cut too
			}
			if body, err := io.ReadAll(a.Body); err == nil {
				t.Errorf("the client takes %s %q for whole", a.Status, body)
			}
			if n := len(b.heads()); n != 1 {
				t.Errorf("the backend was asked %d times", n)
			}
		})
	}
}

// TestAnswersWithoutBody keeps what the header says of the body that does not come.
func TestAnswersWithoutBody(t *testing.T) {
	for name, c := range map[string]struct{ method, out, want string }{
		"HEAD": {"HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 1234\r\nContent-Type: a/b\r\n\r\n", "Content-Length: 1234\r\n"},
		"304":  {"GET", "HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\n\r\n", "Etag: \"a\"\r\n"},
		"204":  {"DELETE", "HTTP/1.1 204 No Content\r\n\r\n", "HTTP/1.1 204 No Content\r\n"},
	} {
		t.Run(name, func(t *testing.T) {
			b := rawServer(t, func(_ int, p *peer) {
				for p.readHead() != "" {
					p.say(c.out)
				}
			})
			d := open(t, one(b.addr, ""), Options{}, nil)
			client := dial(t, d.addr)
			for range 2 { // the connections stay good
				client.say(c.method + " / HTTP/1.1\r\n" + host + "\r\n")
				var got strings.Builder
				for {
					line, err := client.r.ReadString('\n')
					if got.WriteString(line); err != nil || line == "\r\n" {
						break
					}
				}
				if !strings.Contains(got.String(), c.want) {
					t.Errorf("no %q in\n%s", c.want, got.String())
				}
			}
		})
	}
}

// TestHeadersOfAnswers: what belongs to the upstream's connection stays there, and
// nothing is guessed.
func TestHeadersOfAnswers(t *testing.T) {
	b := onceServer(t, func(c *peer) {
		c.say("HTTP/1.1 207 Odd Words\r\nConnection: x-hop, content-type, set-cookie\r\nX-Hop: a\r\nKeep-Alive: timeout=5\r\nProxy-Authenticate: x\r\nUpgrade: h2c\r\n" +
			"Earshot-Record: forged/1/1\r\nX-Request-Id: other\r\nSet-Cookie: a=b\r\nSet-Cookie: c=d\r\nServer: back\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n\r\n<html")
	})
	d := open(t, one(b.addr, "    records: gateway\n"), Options{Expose: true}, nil)
	c := dial(t, d.addr)
	c.say("GET / HTTP/1.1\r\n" + host + "\r\n")
	a, body := c.answer("GET")
	if a.StatusCode != 207 || body != "<html" || a.Header.Get("Server") != "back" || a.Header.Get("Content-Encoding") != "gzip" ||
		fmt.Sprint(a.Header["Set-Cookie"]) != "[a=b c=d]" {
		t.Errorf("%s %q %v", a.Status, body, a.Header)
	}
	for _, name := range []string{"X-Hop", "Keep-Alive", "Proxy-Authenticate", "Upgrade", "Earshot-Record", "Content-Type", "Connection"} {
		if v, ok := a.Header[name]; ok {
			t.Errorf("%s: %q came through", name, v)
		}
	}
	if id := a.Header["X-Request-Id"]; len(id) != 1 || id[0] == "other" {
		t.Errorf("the request id is %q", id)
	}
}

// TestLargeBodies go through unchanged both ways.
func TestLargeBodies(t *testing.T) {
	addr := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Has("length") {
			w.Header().Set("Content-Length", r.Header.Get("Content-Length"))
		}
		_ = http.NewResponseController(w).EnableFullDuplex()
		_, _ = io.Copy(w, r.Body)
	}), false)
	d := open(t, one(addr, ""), Options{}, nil)
	text := strings.Repeat("0123456789abcdef", 1<<18) // 4 MiB
	for _, query := range []string{"", "?length"} {
		ctx, cancel := context.WithTimeout(t.Context(), patienceInTests)
		defer cancel()
		r, err := http.NewRequestWithContext(ctx, http.MethodPut, "http://"+d.addr+"/"+query, strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		a, err := http.DefaultTransport.(*http.Transport).Clone().RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(a.Body)
		if err != nil || string(got) != text {
			t.Errorf("%q: %d bytes, %v; want %d", query, len(got), err, len(text))
		}
		_ = a.Body.Close()
	}
}
