package testenv_test

import (
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/earshot-mq/earshot/internal/testenv"
)

// pair is a web server in one namespace and a client in another, not joined yet.
func pair(t *testing.T) (server, client *testenv.Netns, get func(within time.Duration) error) {
	t.Helper()
	server, client = testenv.NewNetns(t), testenv.NewNetns(t)
	var l net.Listener
	var err error
	server.Do(func() { l, err = net.Listen("tcp", ":80") })
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: http.NotFoundHandler()}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.Serve(l)
	}()
	t.Cleanup(func() {
		_ = s.Close()
		<-done
	})
	return server, client, func(within time.Duration) error {
		c := client.Client()
		defer c.CloseIdleConnections()
		c.Timeout = within
		resp, err := c.Get("http://10.1.1.1/")
		if err == nil {
			resp.Body.Close()
		}
		return err
	}
}

func TestNetns(t *testing.T) {
	server, client, get := pair(t)
	if err := get(time.Second); err == nil {
		t.Error("an answer of a namespace that is not joined")
	}
	for range 2 { // the second takes the place of the first
		server.Link(client, "pair", "10.1.1.1/24", "10.1.1.2/24")
		if err := get(testenv.Patience); err != nil {
			t.Error(err)
		}
	}
	rule := server.Rule("INPUT", "--protocol", "tcp", "--dport", "80", "--jump", "DROP")
	if err := get(300 * time.Millisecond); err == nil {
		t.Error("an answer in spite of a rule")
	}
	other := server.Rule("INPUT", "--protocol", "tcp", "--dport", "81", "--jump", "DROP")
	if n, none := rule.Packets(), other.Packets(); n == 0 || none > 0 {
		t.Errorf("%d packets were dropped for one port, %d for another", n, none)
	}
	rule.Remove()
	if err := get(testenv.Patience); err != nil {
		t.Error(err)
	}
	var own *testenv.Netns
	own.Do(func() {
		if i, err := net.InterfaceByName("pair"); err == nil {
			t.Errorf("%s is on this machine", i.Name)
		}
	})
}

func TestWire(t *testing.T) {
	server, client, get := pair(t)
	const delay = 20 * time.Millisecond
	w := testenv.NewWire(t, server, client, "pair", "10.1.1.1/24", "10.1.1.2/24", delay, delay)
	begun := time.Now()
	if err := get(testenv.Patience); err != nil {
		t.Error(err)
	}
	if took := time.Since(begun); took < 4*delay { // there and back, to connect and to ask
		t.Errorf("an answer after %v", took)
	}
	w.Set(time.Hour, 0)
	if err := get(300 * time.Millisecond); err == nil {
		t.Error("an answer at once over a slow line")
	}
}
