package zmq

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/earshot-mq/earshot/internal/room"
	"github.com/earshot-mq/earshot/internal/testenv"
)

func newContext(t *testing.T) *Context {
	t.Helper()
	c, err := NewContext()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// must returns a new socket that the test closes before its context.
func must(t *testing.T) func(*Socket, error) *Socket {
	return func(s *Socket, err error) *Socket {
		t.Helper()
		if err == nil {
			err = s.Watch()
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
		return s
	}
}

// pair is a publisher that drops nothing, and who subscribes to all of it.
func pair(t *testing.T) (pub, sub *Socket) {
	t.Helper()
	c := newContext(t)
	pub = must(t)(c.XPub("tcp://127.0.0.1:0", Options{SendHWM: -1}))
	sub = must(t)(c.Sub(Options{RecvHWM: -1}))
	if err := errors.Join(sub.Subscribe(""), sub.Connect(pub.Endpoint())); err != nil {
		t.Fatal(err)
	}
	recv(t, pub)
	return pub, sub
}

// recv waits for the next message by Ready alone.
func recv(t *testing.T, s *Socket) [][]byte {
	t.Helper()
	return wait(t, s, s.Recv)
}

func wait(t *testing.T, s *Socket, recv func() ([][]byte, error)) [][]byte {
	t.Helper()
	deadline := time.After(10 * time.Second)
	for {
		msg, err := recv()
		if err == nil {
			return msg
		}
		if !errors.Is(err, ErrAgain) {
			t.Fatal(err)
		}
		s.Rearm()
		select {
		case <-s.Ready():
		case <-deadline:
			t.Fatal("nothing came within 10 s")
		}
	}
}

func TestFeedReachesASubscriber(t *testing.T) {
	c := newContext(t)
	pub := must(t)(c.XPub("tcp://127.0.0.1:0", Options{SendHWM: -1}))
	sub := must(t)(c.Sub(Options{RecvHWM: -1}))
	if err := errors.Join(sub.Subscribe("downcase/"), sub.Connect(pub.Endpoint())); err != nil {
		t.Fatal(err)
	}
	if got := recv(t, pub); string(got[0]) != "\x01downcase/" {
		t.Fatalf("subscription %q", got)
	}
	const n = 5000
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := range n {
			if err := pub.Send([]byte("downcase/"), fmt.Append(nil, i)); err != nil {
				t.Error(err)
				return
			}
		}
	})
	for i := range n {
		if got := recv(t, sub); len(got) != 2 || string(got[1]) != fmt.Sprint(i) {
			t.Fatalf("message %d: %q", i, got)
		}
	}
	wg.Wait()
	if err := sub.Reconnect(pub.Endpoint()); err != nil {
		t.Fatal(err)
	}
	for got := recv(t, pub); string(got[0]) != "\x01downcase/"; got = recv(t, pub) {
	}
	if err := pub.Send([]byte("downcase/"), []byte("again")); err != nil {
		t.Fatal(err)
	}
	if got := recv(t, sub); string(got[1]) != "again" {
		t.Errorf("after reconnecting: %q", got)
	}
}

func TestRouterTellsThatAPeerIsGone(t *testing.T) {
	c := newContext(t)
	router := must(t)(c.Router("tcp://127.0.0.1:0", Options{}))
	dealer, err := c.Dealer(Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := dealer.Connect(router.Endpoint()); err != nil {
		t.Fatal(err)
	}
	// IMMEDIATE: until connected there is no room.
	testenv.Wait(t, "connection", testenv.Patience, func() bool { return dealer.Send([]byte("HELLO"), []byte("{}")) == nil })
	msg := recv(t, router)
	if len(msg) != 3 || string(msg[1]) != "HELLO" {
		t.Fatalf("%q", msg)
	}
	if err := router.Send(msg[0], []byte("WELCOME")); err != nil {
		t.Fatal(err)
	}
	if err := dealer.Close(); err != nil {
		t.Fatal(err)
	}
	testenv.Wait(t, "word that the peer is gone", testenv.Patience, func() bool {
		err = router.Send(msg[0], []byte("DATA"))
		return err != nil
	})
	if !errors.Is(err, ErrUnreachable) {
		t.Errorf("send to a closed peer: %v, want ErrUnreachable", err)
	}
}

// TestDealerWaitsForItsPeer: nothing is queued for a peer that is not there.
func TestDealerWaitsForItsPeer(t *testing.T) {
	c := newContext(t)
	dealer := must(t)(c.Dealer(Options{}))
	if err := dealer.Connect("tcp://127.0.0.1:1"); err != nil {
		t.Fatal(err)
	}
	if err := dealer.Send([]byte("HELLO"), []byte("{}")); !errors.Is(err, ErrAgain) {
		t.Errorf("Send to nobody = %v, want ErrAgain", err)
	}
}

// TestCloseDoesNotWait for a peer that takes nothing: what it did not get is fetched.
func TestCloseDoesNotWait(t *testing.T) {
	began := time.Now()
	t.Run("", func(t *testing.T) {
		c := newContext(t)
		router := must(t)(c.Router("tcp://127.0.0.1:0", Options{RecvHWM: 1}))
		dealer := must(t)(c.Dealer(Options{SendHWM: -1}))
		if err := dealer.Connect(router.Endpoint()); err != nil {
			t.Fatal(err)
		}
		testenv.Wait(t, "connection", testenv.Patience, func() bool { return dealer.Send([]byte("HELLO"), []byte("{}")) == nil })
		for range 2000 {
			if err := dealer.Send([]byte("DATA"), make([]byte, 64<<10)); err != nil {
				t.Fatal(err)
			}
		}
		if err := router.s.Unbind(router.Endpoint()); err != nil {
			t.Fatal(err)
		}
		began = time.Now()
	})
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("the end took %v", took)
	}
}

func TestBusyPort(t *testing.T) {
	c := newContext(t)
	a := must(t)(c.XPub("tcp://127.0.0.1:0", Options{}))
	if b, err := c.XPub(a.Endpoint(), Options{}); !errors.Is(err, ErrInUse) {
		t.Errorf("second bind of %s: %v, %v, want ErrInUse", a.Endpoint(), b, err)
	}
}

func TestReadyIsQuietWhenIdle(t *testing.T) {
	c := newContext(t)
	sub := must(t)(c.Sub(Options{}))
	fired := 0
	for end := time.After(300 * time.Millisecond); ; {
		if _, err := sub.Recv(); !errors.Is(err, ErrAgain) {
			t.Fatal(err)
		}
		sub.Rearm()
		select {
		case <-sub.Ready():
			fired++
			continue
		case <-end:
		}
		break
	}
	if fired > 20 {
		t.Errorf("an idle socket was ready %d times in 300 ms", fired)
	}
}

// Whole messages pass beside pebbe/zmq4: of any size, of more frames than fit at once,
// and empty ones.
func TestMessagesOfEveryShape(t *testing.T) {
	pub, sub := pair(t)
	many := make([][]byte, 20)
	for i := range many {
		many[i] = bytes.Repeat([]byte{byte(i)}, i)
	}
	for name, frames := range map[string][][]byte{
		"empty frame":       {{}},
		"two empty frames":  {{}, {}},
		"one byte":          {{7}},
		"all of the room":   {make([]byte, 1), make([]byte, scratchSize-1)},
		"one byte too many": {make([]byte, 2), make([]byte, scratchSize-1)},
		"large":             {[]byte("downcase/"), bytes.Repeat([]byte("x"), 1<<20)},
		"eight frames":      many[:8],
		"nine frames":       many[:9],
		"twenty frames":     many,
	} {
		if err := pub.Send(frames...); err != nil {
			t.Fatal(err)
		}
		if got := recv(t, sub); !slices.EqualFunc(got, frames, bytes.Equal) {
			t.Errorf("%s: got %d frames, %.60q", name, len(got), got)
		}
		if _, r, err := sub.RecvRoom(); !errors.Is(err, ErrAgain) || r != nil {
			t.Errorf("%s: after the last message: %v, want ErrAgain and no room", name, err)
		}
		if err := errors.Join(pub.Send(frames...), pub.Send([]byte("next"))); err != nil {
			t.Fatal(err)
		}
		var r *room.Room
		got := wait(t, sub, func() (got [][]byte, err error) {
			got, r, err = sub.RecvRoom()
			return got, err
		})
		if !slices.EqualFunc(got, frames, bytes.Equal) {
			t.Errorf("%s, into a room: got %d frames, %.60q", name, len(got), got)
		}
		r.Free()
		if next := recv(t, sub); len(next) != 1 || string(next[0]) != "next" {
			t.Errorf("%s: next is %q", name, next)
		}
	}
}
