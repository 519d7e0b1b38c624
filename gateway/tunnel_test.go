package gateway

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/websocket"
)

// TestWebSocketEcho uses a real client and a real server, and outlives the limit of the
// whole exchange.
func TestWebSocketEcho(t *testing.T) {
	addr := serve(t, websocket.Handler(func(c *websocket.Conn) { _, _ = io.Copy(c, c) }), false)
	d := open(t, one(addr, "    timeouts: {total: 300ms}\n"), Options{}, nil)
	c, err := websocket.Dial("ws://"+d.addr+"/chat?room=1", "", "http://"+d.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	if err := c.SetDeadline(time.Now().Add(patienceInTests)); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"hello", strings.Repeat("x", 100_000), "\x00\xff"} {
		if err := websocket.Message.Send(c, text); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, len(text)) // the server answers in as many frames as it likes
		if _, err := io.ReadFull(c, got); err != nil || string(got) != text {
			t.Fatalf("%q, %v; want %q", got, err, text)
		}
		time.Sleep(200 * time.Millisecond) // so that the limit passes on the way
	}
}

const (
	upgrade  = "GET /ws HTTP/1.1\r\n" + host + "Connection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\nSec-WebSocket-Key: a\r\n\r\n"
	switched = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: b\r\nKeep-Alive: x\r\n\r\n"
)

// TestTunnelHalfClose: each side may end before the other, and early bytes are kept.
func TestTunnelHalfClose(t *testing.T) {
	end := make(chan string, 1)
	b := onceServer(t, func(c *peer) {
		c.say(switched + "early from the backend;")
		got, err := io.ReadAll(c.r)
		if err != nil {
			t.Error(err)
		}
		end <- string(got)
		c.say("after the client's end")
	})
	d := open(t, one(b.addr, ""), Options{}, nil)
	c := dial(t, d.addr)
	c.say(upgrade + "\x81\x00early\nfrom the client;")
	a, err := http.ReadResponse(c.r, nil)
	if err != nil || a.StatusCode != 101 || a.Header.Get("Upgrade") != "websocket" || a.Header.Get("Connection") != "Upgrade" ||
		a.Header.Get("Sec-Websocket-Accept") != "b" || a.Header.Get("Keep-Alive") != "" || a.Header.Get("X-Request-Id") == "" {
		t.Fatalf("%v %v", a, err)
	}
	c.say("later")
	if err := c.Conn.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if got := <-end; got != "\x81\x00early\nfrom the client;later" {
		t.Errorf("the backend got %q", got)
	}
	if got := c.rest(); got != "early from the backend;after the client's end" {
		t.Errorf("the client got %q", got)
	}
	if h := b.heads()[0]; !strings.Contains(h, "Connection: Upgrade\r\n") || !strings.Contains(h, "Upgrade: websocket\r\n") || !strings.Contains(h, "Sec-Websocket-Key: a\r\n") {
		t.Errorf("the backend was asked\n%s", h)
	}
}

// TestTunnelIdle: a tunnel in which nothing moves is closed, one in which something does
// is not.
func TestTunnelIdle(t *testing.T) {
	left := make(chan error, 1)
	b := onceServer(t, func(c *peer) {
		c.say(switched)
		for range 5 {
			time.Sleep(100 * time.Millisecond) // less than the limit each, more in all
			c.say("x")
		}
		_, err := io.ReadAll(c.r)
		left <- err
	})
	d := open(t, one(b.addr, "    timeouts: {stream-idle: 400ms, total: 300ms, body-idle: 300ms}\n"), Options{}, nil)
	c := dial(t, d.addr)
	c.say(upgrade)
	start := time.Now()
	if got := c.rest(); !strings.HasSuffix(got, "\r\n\r\nxxxxx") {
		t.Errorf("the client got %q", got)
	}
	if took := time.Since(start); took < 800*time.Millisecond {
		t.Errorf("closed after %v", took)
	}
	<-left
}

// TestTunnelRefused: a backend that answers otherwise is heard as usual.
func TestTunnelRefused(t *testing.T) {
	for name, c := range map[string]struct {
		out    string
		status int
	}{
		"no":             {"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno", 403},
		"other protocol": {strings.Replace(switched, "websocket", "h2c", 1), 502},
		"no protocol":    {strings.Replace(switched, "Upgrade: websocket\r\n", "", 1), 502},
	} {
		t.Run(name, func(t *testing.T) {
			b := onceServer(t, func(p *peer) { p.say(c.out); _, _ = io.Copy(io.Discard, p.r) })
			d := open(t, one(b.addr, ""), Options{}, nil)
			client := dial(t, d.addr)
			client.say(upgrade)
			if a, body := client.answer("GET"); a.StatusCode != c.status || !a.Close {
				t.Errorf("%s %s, close %v", a.Status, body, a.Close)
			}
			if rest := client.rest(); rest != "" {
				t.Errorf("then %q", rest)
			}
		})
	}
}

// TestTunnelClientLeaves: the backend's connection ends with the client's.
func TestTunnelClientLeaves(t *testing.T) {
	left := make(chan error, 1)
	b := onceServer(t, func(c *peer) {
		c.say(switched)
		for {
			if _, err := io.WriteString(c.Conn, strings.Repeat("x", 10000)); err != nil {
				left <- err
				return
			}
		}
	})
	d := open(t, one(b.addr, ""), Options{}, nil)
	c := dial(t, d.addr)
	c.say(upgrade)
	if _, err := c.r.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	_ = c.Close()
	select {
	case err := <-left:
		if errors.Is(err, io.EOF) {
			t.Error(err)
		}
	case <-time.After(patienceInTests):
		t.Error("the backend still writes")
	}
}
