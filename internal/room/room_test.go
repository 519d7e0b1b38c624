package room

import (
	"bytes"
	"sync"
	"testing"
)

func TestGetHasTheRoomThatWasAskedFor(t *testing.T) {
	for _, n := range []int{0, 1, 1023, 1024, 1025, 50_000, 1 << 21, 1<<21 + 1} {
		r := Get(n)
		if len(r.B) != 0 || cap(r.B) < n {
			t.Errorf("Get(%d) has %d bytes and room for %d", n, len(r.B), cap(r.B))
		}
		r.Free()
	}
}

// A room is lent again only when its last holder has freed it.
func TestHolders(t *testing.T) {
	const holders, rounds = 8, 2000
	for i := range rounds {
		r := Get(4096)
		want := byte(i)
		r.B = append(r.B, bytes.Repeat([]byte{want}, 64)...)
		var wg sync.WaitGroup
		for range holders {
			r.Keep()
			wg.Go(func() {
				defer r.Free()
				if n := bytes.Count(r.B, []byte{want}); n != 64 {
					t.Errorf("a held room lost %d of its bytes", 64-n)
				}
				other := Get(4096)
				other.B = append(other.B, make([]byte, 4096)...)
				other.Free()
			})
		}
		r.Free()
		wg.Wait()
	}
}

func TestFreedTwice(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("a second Free did not panic")
		}
	}()
	r := &Room{}
	r.refs.Store(1)
	r.Free()
	r.Free()
}
