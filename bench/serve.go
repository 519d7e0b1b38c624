package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"

	"github.com/earshot-mq/earshot/bench/talk"
	"github.com/earshot-mq/earshot/publisher"
	"github.com/earshot-mq/earshot/services/downcase"
)

// warmUp is how many answers each connection gets before anything is measured.
const warmUp = 50

// lower gives downcase's answer without a router.
func lower(w http.ResponseWriter, r *http.Request) {
	param := r.URL.Query().Get("param")
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = io.WriteString(w, "lower case of "+param+" is "+downcase.Lower(param)) // fails only when the client is gone
}

// serveRole answers requests, recorded or not.
func serveRole(ctx context.Context, c *talk.Control, t task) (err error) {
	var handler http.Handler = http.HandlerFunc(lower)
	f := facts{}
	var pub *running
	if t.Recorded {
		if pub, err = newRunning(ctx, t.Dir, false); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, pub.stop()) }()
		rec, err := publisher.NewRecorder(pub.stream, publisher.RecorderOptions{Logger: logger()})
		if err != nil {
			return err
		}
		handler, f["feed"] = rec.Wrap(handler), pub.feed
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	f["addr"] = l.Addr().String()
	server := &http.Server{Handler: handler}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	defer func() {
		err = errors.Join(err, server.Close())
		if e := <-served; !errors.Is(e, http.ErrServerClosed) {
			err = errors.Join(err, e)
		}
	}()
	if err := c.Say("bound", f); err != nil {
		return err
	}
	if err := c.Ready(nil); err != nil {
		return err
	}
	used, err := c.Done(nil)
	if err != nil {
		return err
	}
	if pub == nil {
		return c.Usage(used, nil)
	}
	return c.Usage(used, facts{"recorded": fmt.Sprint(pub.recorded())})
}

// loadRole asks over and over on so many connections.
func loadRole(ctx context.Context, c *talk.Control, t task) error {
	asks, err := newAskers(ctx, t.Addr, t.Callers)
	if err != nil {
		return err
	}
	defer closeAll(asks)
	if err := askAll(asks, warmUp*len(asks)); err != nil {
		return err
	}
	if err := c.Ready(nil); err != nil {
		return err
	}
	if err := askAll(asks, t.Records); err != nil {
		return err
	}
	used, err := c.Done(facts{"answers": fmt.Sprint(t.Records + warmUp*len(asks))})
	if err != nil {
		return err
	}
	return c.Usage(used, nil)
}

// askAll shares n requests among connections; every answer has to be right.
func askAll(asks []*asker, n int) error {
	var wg sync.WaitGroup
	errs := make([]error, len(asks))
	for i, a := range asks {
		share := n / len(asks)
		if i < n%len(asks) {
			share++
		}
		wg.Go(func() {
			for range share {
				if errs[i] = a.ask("HELLO", "hello"); errs[i] != nil {
					return
				}
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// asker is one keep-alive connection, as cheap as a client can be, so that the server
// gets the cores.
type asker struct {
	conn    net.Conn
	in      *bufio.Reader
	request []byte
	answer  []byte
}

func newAskers(ctx context.Context, addr string, n int) (asks []*asker, err error) {
	for range n {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
		if err != nil {
			closeAll(asks)
			return nil, err
		}
		asks = append(asks, &asker{conn: conn, in: bufio.NewReader(conn)})
	}
	return asks, nil
}

func closeAll(asks []*asker) {
	for _, a := range asks {
		_ = a.conn.Close() // nothing is left to be sent
	}
}

// ask asks for a text and fails if the answer is not its lower case.
func (a *asker) ask(param, lower string) error {
	a.request = append(append(append(a.request[:0], "GET /downcase/?param="...), param...), " HTTP/1.1\r\nHost: bench\r\n\r\n"...)
	if _, err := a.conn.Write(a.request); err != nil {
		return err
	}
	length := -1
	for first := true; ; first = false {
		line, err := a.in.ReadSlice('\n')
		if err != nil {
			return err
		}
		line = bytes.TrimRight(line, "\r\n")
		if first && !bytes.HasPrefix(line, []byte("HTTP/1.1 200 ")) {
			return fmt.Errorf("status line %q", line)
		}
		if len(line) == 0 {
			break
		}
		if key, value, _ := bytes.Cut(line, []byte(": ")); bytes.EqualFold(key, []byte("content-length")) {
			if length, err = strconv.Atoi(string(value)); err != nil {
				return fmt.Errorf("Content-Length %q: %w", value, err)
			}
		}
	}
	if length < 0 {
		return errors.New("answer without Content-Length")
	}
	if cap(a.answer) < length {
		a.answer = make([]byte, length)
	}
	a.answer = a.answer[:length]
	if _, err := io.ReadFull(a.in, a.answer); err != nil {
		return err
	}
	if want := "lower case of " + param + " is " + lower; string(a.answer) != want {
		return fmt.Errorf("answer %q, want %q", a.answer, want)
	}
	return nil
}
