package zmq

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/earshot-mq/earshot/internal/room"
	"github.com/earshot-mq/earshot/internal/testenv"
)

// lent is how many rooms libzmq has.
func lent() int {
	reclaim()
	lending.Lock()
	defer lending.Unlock()
	return len(lending.loans) - len(lending.free)
}

// Bytes that are sent from where they are arrive as they were, although their owner has
// freed them (with the race detector on, a room that is free is overwritten), and every room
// comes back: what has left, what was refused, and what a stalled peer never took.
func TestLentRooms(t *testing.T) {
	c, err := NewContext()
	if err != nil {
		t.Fatal(err)
	}
	pub, err := c.XPub("tcp://127.0.0.1:0", Options{SendHWM: 8})
	if err != nil {
		t.Fatal(err)
	}
	sub, err := c.Sub(Options{RecvHWM: 8})
	if err != nil {
		t.Fatal(err)
	}
	stalled, err := c.Sub(Options{RecvHWM: 1})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(pub.Watch(), sub.Watch(), sub.Subscribe("a/"), stalled.Subscribe("b/"), sub.Connect(pub.Endpoint()), stalled.Connect(pub.Endpoint())); err != nil {
		t.Fatal(err)
	}
	recv(t, pub)
	recv(t, pub)
	if err := pub.Lossy(false); err != nil {
		t.Fatal(err)
	}
	send := func(topic string, i int) error {
		r := room.Get(worthLending + i)
		defer r.Free()
		r.B = append(r.B, bytes.Repeat([]byte{byte(i)}, worthLending+i)...)
		return pub.SendRoom([]byte(topic), r.B, r)
	}
	const n = 500
	took := 0
	take := func() {
		for {
			m, err := sub.Recv()
			if errors.Is(err, ErrAgain) {
				sub.Rearm()
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if want := bytes.Repeat([]byte{byte(took)}, worthLending+took); len(m) != 2 || !bytes.Equal(m[1], want) {
				t.Fatalf("message %d: %d frames, %d bytes of %x", took, len(m), len(m[1]), m[1][:1])
			}
			took++
		}
	}
	refused := 0
	for i := 0; i < n; {
		switch err := send("a/", i); {
		case err == nil:
			i++
		case errors.Is(err, ErrAgain):
			refused++
			take()
		default:
			t.Fatal(err)
		}
	}
	testenv.Wait(t, "the messages", testenv.Patience, func() bool { take(); return took == n })
	if refused == 0 {
		t.Error("the peer's queue was never full")
	}
	testenv.Wait(t, "the rooms", testenv.Patience, func() bool { return lent() == 0 })

	full := 0 // in a row
	testenv.Wait(t, "a full queue", testenv.Patience, func() bool {
		if full++; !errors.Is(send("b/", n), ErrAgain) {
			full = 0
		}
		return full == 100
	})
	if lent() == 0 {
		t.Error("a stalled peer's queue holds no room")
	}
	if err := errors.Join(pub.Close(), sub.Close(), stalled.Close(), c.Close()); err != nil {
		t.Fatal(err)
	}
	if n := lent(); n > 0 {
		t.Errorf("%d rooms are lent, and there is no context any more", n)
	}
}

// When everything that can be lent is, the rest is copied.
func TestTooManyLoans(t *testing.T) {
	pub, sub := pair(t)
	lending.Lock()
	free := lending.free
	lending.free = nil
	lending.Unlock()
	r := room.Get(worthLending)
	r.B = append(r.B, bytes.Repeat([]byte("x"), worthLending)...)
	if err := pub.SendRoom([]byte("a/"), r.B, r); err != nil {
		t.Fatal(err)
	}
	r.Free()
	lending.Lock()
	lending.free = append(lending.free, free...)
	lending.Unlock()
	if m := recv(t, sub); len(m) != 2 || !bytes.Equal(m[1], bytes.Repeat([]byte("x"), worthLending)) {
		t.Errorf("%d frames came", len(m))
	}
	testenv.Wait(t, "the rooms", 10*time.Second, func() bool { return lent() == 0 })
}
