package process_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/earshot-mq/earshot/internal/process"
	"github.com/earshot-mq/earshot/internal/testenv"
)

// site is a server that runs.
type site struct {
	addr string
	stop context.CancelFunc
	done chan struct{}
	err  error

	mu  sync.Mutex
	own []int
}

func serve(t *testing.T, h http.HandlerFunc, o process.ServeOptions, wrap ...func(context.Context) context.Context) *site {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	s := &site{addr: l.Addr().String(), stop: cancel, done: make(chan struct{})}
	o.Own = func(status int) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.own = append(s.own, status)
	}
	for _, w := range wrap {
		ctx = w(ctx)
	}
	run := process.Serve(l, h, o)
	go func() {
		defer close(s.done)
		s.err = run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		wait(t, "the end of the server", s.done)
	})
	return s
}

func (s *site) owns() []int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.own)
}

func (s *site) dial(t *testing.T) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestOwnAnswersAreCounted(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) }, process.ServeOptions{})
	const get = "GET / HTTP/1.1\r\nHost: x\r\n\r\n"
	for name, c := range map[string]struct {
		send string
		want []int
	}{
		"fine":               {get, nil},
		"not found by mux":   {"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n", nil},
		"no HTTP":            {"hello\r\n\r\n", []int{400}},
		"no host":            {"GET / HTTP/1.1\r\n\r\n", []int{400}},
		"long header":        {"GET / HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("x", 32<<10) + "\r\n\r\n", []int{431}},
		"expectation":        {"GET / HTTP/1.1\r\nHost: x\r\nExpect: tea\r\n\r\n", []int{417}},
		"options *":          {"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", []int{200}},
		"version":            {"GET / HTTP/3.7\r\nHost: x\r\n\r\n", []int{505}},
		"encoding":           {"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: zip\r\n\r\n", []int{501}},
		"pipelined":          {get + "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n" + get + "\x00\r\n\r\n", []int{200, 400}},
		"continue":           {"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nhi", nil},
		"gone in the middle": {"GET / HT", []int{400}},
		"nothing":            {"", nil},
	} {
		t.Run(name, func(t *testing.T) {
			before := len(s.owns())
			conn := s.dial(t)
			if _, err := io.WriteString(conn, c.send); err != nil {
				t.Fatal(err)
			}
			if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
				t.Fatal(err)
			}
			answers, err := io.ReadAll(conn)
			if err != nil {
				t.Fatal(err)
			}
			testenv.Wait(t, "the count", testenv.Patience, func() bool { return len(s.owns())-before >= len(c.want) })
			if got := s.owns()[before:]; !slices.Equal(got, c.want) {
				t.Errorf("own answers of %.40q = %v, want %v; the client got %.100q", c.send, got, c.want, answers)
			}
		})
	}
}

func TestAnswerInFlightLeaves(t *testing.T) {
	began, finish := make(chan struct{}), make(chan struct{})
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		close(began)
		<-finish
		_, _ = io.WriteString(w, "whole")
	}, process.ServeOptions{})
	answer := make(chan string, 1)
	go func() {
		resp, err := http.Get("http://" + s.addr)
		if err != nil {
			answer <- err.Error()
			return
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		answer <- fmt.Sprint(string(b), err)
	}()
	wait(t, "the request", began)
	s.stop()
	testenv.Wait(t, "the end of the listener", testenv.Patience, func() bool {
		c, err := net.Dial("tcp", s.addr)
		if err == nil {
			_ = c.Close()
		}
		return err != nil
	})
	close(finish)
	if got := <-answer; got != "whole<nil>" {
		t.Errorf("the answer in flight is %q", got)
	}
	wait(t, "the end", s.done)
	if s.err != nil {
		t.Errorf("Run = %v", s.err)
	}
}

func TestStreamIsCutAfterGrace(t *testing.T) {
	gone := make(chan struct{})
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "data: 1\n\n")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
		close(gone)
	}, process.ServeOptions{Grace: 50 * time.Millisecond})
	resp, err := http.Get("http://" + s.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	s.stop()
	wait(t, "the end of the handler", gone)
	wait(t, "the end", s.done)
	if s.err != nil {
		t.Errorf("Run = %v", s.err)
	}
}

func TestStreamsEndByCut(t *testing.T) {
	cut := make(chan struct{})
	began := make(chan struct{})
	s := serve(t, func(http.ResponseWriter, *http.Request) { close(began); <-cut }, process.ServeOptions{
		Grace: time.Hour,
		Cut:   func(context.Context) error { close(cut); return nil },
	})
	conn := s.dial(t)
	if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	wait(t, "the request", began)
	s.stop()
	wait(t, "the end", s.done)
}

func TestHijackedIsCut(t *testing.T) {
	began, gone := make(chan struct{}), make(chan struct{})
	s := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		c, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
		}
		close(began)
		_, _ = io.Copy(io.Discard, c) // as a proxy of a WebSocket does
		close(gone)
	}, process.ServeOptions{Grace: 50 * time.Millisecond})
	conn := s.dial(t)
	if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	wait(t, "the request", began)
	s.stop()
	wait(t, "the end of the handler", gone)
	wait(t, "the end", s.done)
	if s.err != nil {
		t.Errorf("Run = %v", s.err)
	}
}

func TestHandlerThatStays(t *testing.T) {
	began, finish := make(chan struct{}), make(chan struct{})
	defer close(finish)
	s := serve(t, func(http.ResponseWriter, *http.Request) { close(began); <-finish }, process.ServeOptions{Grace: 10 * time.Millisecond})
	if _, err := io.WriteString(s.dial(t), "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	wait(t, "the request", began)
	s.stop()
	wait(t, "the end", s.done)
	if !errors.Is(s.err, process.ErrStop) {
		t.Errorf("Run = %v, want ErrStop", s.err)
	}
}

// TestSilentConnectionsDontHoldTheStop: browsers connect ahead, and net/http alone
// would wait five seconds for what they might send.
func TestSilentConnectionsDontHoldTheStop(t *testing.T) {
	s := serve(t, func(http.ResponseWriter, *http.Request) {}, process.ServeOptions{})
	silent := s.dial(t)
	kept := s.dial(t)
	if _, err := io.WriteString(kept, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if _, err := http.ReadResponse(bufio.NewReader(kept), nil); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	s.stop()
	wait(t, "the end", s.done)
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("the stop took %v", took)
	}
	if _, err := silent.Read(make([]byte, 1)); err == nil {
		t.Error("the silent connection is open")
	}
}

func TestRushCuts(t *testing.T) {
	began := make(chan struct{})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { close(began); <-r.Context().Done() })
	ctx, cancel := context.WithCancel(t.Context())
	hurry, done := make(chan struct{}), make(chan error, 1)
	go func() {
		done <- process.Stages(ctx, quiet, hurry, process.Stage{Name: "gateway", Run: process.Serve(l, h, process.ServeOptions{Grace: time.Hour})})
	}()
	s := &site{addr: l.Addr().String()}
	if _, err := io.WriteString(s.dial(t), "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	wait(t, "the request", began)
	cancel()
	close(hurry)
	select {
	case err := <-done:
		if err != nil {
			t.Errorf("Stages = %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("the second signal did not cut the answer")
	}
}

func TestListenerThatFails(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := process.Serve(l, http.NotFoundHandler(), process.ServeOptions{})(t.Context()); err == nil || !errors.Is(err, net.ErrClosed) {
		t.Errorf("Run on a closed listener = %v, want net.ErrClosed", err)
	}
}

func TestPanicsAreErrors(t *testing.T) {
	var mu sync.Mutex
	var b bytes.Buffer
	log := slog.New(slog.NewTextHandler(writer(func(p []byte) (int, error) {
		mu.Lock()
		defer mu.Unlock()
		return b.Write(p)
	}), nil))
	s := serve(t, func(http.ResponseWriter, *http.Request) { panic("at the disco") }, process.ServeOptions{Logger: log})
	if resp, err := http.Get("http://" + s.addr); err == nil {
		_ = resp.Body.Close()
		t.Error("the panic was answered")
	}
	testenv.Wait(t, "the log", testenv.Patience, func() bool { mu.Lock(); defer mu.Unlock(); return strings.Contains(b.String(), "at the disco") })
	mu.Lock()
	defer mu.Unlock()
	if !strings.Contains(b.String(), "level=ERROR") {
		t.Errorf("the log has %s", b.String())
	}
}

type writer func([]byte) (int, error)

func (w writer) Write(p []byte) (int, error) { return w(p) }
