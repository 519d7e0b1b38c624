// Package room lends byte slices that are used again. What passes through Earshot comes
// in pieces of some ten kilobytes, each held for a moment by several readers; made anew
// for each piece, they would cost more in clearing and collecting than in use.
//
// # Concurrency
//
// A Room has one holder for each Get and Keep, and any goroutine may hold it. Whoever
// holds a Room calls Free once; after the last Free nobody may look at its bytes. With
// the race detector on they are overwritten then, so that checksums tell who did. A Room
// that is forgotten is the garbage collector's.
package room

import (
	"math/bits"
	"sync"
	"sync/atomic"
)

// Room is a byte slice on loan. Its holder may append to B and replace it by what append
// returns.
type Room struct {
	B    []byte
	refs atomic.Int32
}

// What is smaller than the smallest class is not worth a pool, and what is larger than
// the largest is too rare.
const (
	leastBits = 10
	mostBits  = 21
)

var pools [mostBits - leastBits + 1]sync.Pool // by the power of two that their rooms have at least

// Get lends an empty room for n bytes.
func Get(n int) *Room {
	class := bits.Len(uint(max(n, 1) - 1))
	if class < leastBits || class > mostBits {
		return lend(&Room{B: make([]byte, 0, n)})
	}
	if r, _ := pools[class-leastBits].Get().(*Room); r != nil {
		r.B = r.B[:0]
		return lend(r)
	}
	return lend(&Room{B: make([]byte, 0, 1<<class)})
}

func lend(r *Room) *Room {
	r.refs.Store(1)
	return r
}

// Keep adds a holder. It does nothing for nil.
func (r *Room) Keep() {
	if r != nil {
		r.refs.Add(1)
	}
}

// Free gives the room up. It does nothing for nil.
func (r *Room) Free() {
	if r == nil {
		return
	}
	switch n := r.refs.Add(-1); {
	case n < 0:
		panic("room: freed twice")
	case n > 0:
		return
	}
	if poison {
		all := r.B[:cap(r.B)]
		for i := range all {
			all[i] = 0xdb
		}
	}
	if class := bits.Len(uint(cap(r.B))) - 1; class >= leastBits && class <= mostBits {
		pools[class-leastBits].Put(r)
	}
}
