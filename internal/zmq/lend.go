package zmq

/*
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <zmq.h>

enum { EARSHOT_LOANS = 1024 };

// Loans that libzmq has given back, a stack: any thread pushes, and all are taken at once.
static _Atomic uint32_t earshot_top; // 0: none; otherwise the loan plus one
static uint32_t earshot_below[EARSHOT_LOANS];

static void earshot_back(void *data, void *hint) {
	uint32_t loan = (uint32_t)(uintptr_t)hint, top = atomic_load(&earshot_top);
	(void)data;
	do
		earshot_below[loan] = top;
	while (!atomic_compare_exchange_weak(&earshot_top, &top, loan + 1));
}

// earshot_take writes what was given back to loans, and returns how many.
static int earshot_take(uint32_t *loans) {
	int n = 0;
	for (uint32_t top = atomic_exchange(&earshot_top, 0); top; top = earshot_below[top - 1])
		loans[n++] = top - 1;
	return n;
}

// earshot_lend sends two frames, the second from where it is. *lent tells whether libzmq has
// had the loan, and gives it back.
static int earshot_lend(void *sock, const void *a, size_t na, void *b, size_t nb, uint32_t loan, int *lent) {
	zmq_msg_t m;
	int rc, err;
	*lent = 0;
	do
		rc = zmq_send(sock, a, na, ZMQ_DONTWAIT | ZMQ_SNDMORE);
	while (rc < 0 && zmq_errno() == EINTR);
	if (rc < 0 || zmq_msg_init_data(&m, b, nb, earshot_back, (void *)(uintptr_t)loan) < 0)
		return zmq_errno();
	*lent = 1;
	do
		rc = zmq_msg_send(&m, sock, ZMQ_DONTWAIT);
	while (rc < 0 && zmq_errno() == EINTR);
	if (rc >= 0)
		return 0;
	err = zmq_errno();
	zmq_msg_close(&m);
	return err;
}
*/
import "C"

import (
	"runtime"
	"sync"
	"unsafe"

	zmq4 "github.com/pebbe/zmq4"

	"github.com/earshot-mq/earshot/internal/room"
)

// worthLending is how many bytes a frame has to have to be sent from where it is. Below, a
// copy costs less.
const worthLending = 8 << 10

// lending is what libzmq has been lent, in the whole process: rooms whose bytes it sends
// from where they are, for all peers, and gives back on a thread of its own. They stay
// where they are as long, and are freed by the next SendRoom of any socket.
var lending = struct {
	sync.Mutex
	free  []uint32
	loans [C.EARSHOT_LOANS]loan
	back  [C.EARSHOT_LOANS]C.uint32_t
}{free: all(C.EARSHOT_LOANS)}

type loan struct {
	room *room.Room
	pin  runtime.Pinner
}

func all(n uint32) (is []uint32) {
	for i := range n {
		is = append(is, i)
	}
	return is
}

// reclaim frees what libzmq has given back.
func reclaim() {
	lending.Lock()
	defer lending.Unlock()
	reclaimLocked()
}

func reclaimLocked() {
	if len(lending.free) == len(lending.loans) {
		return
	}
	n := C.earshot_take(&lending.back[0])
	for _, i := range lending.back[:n] {
		takeBackLocked(uint32(i))
	}
}

func takeBackLocked(i uint32) {
	l := &lending.loans[i]
	l.pin.Unpin()
	l.room.Free()
	l.room = nil
	lending.free = append(lending.free, i)
}

// lend makes a loan of bytes that are in r; ok is false when there are too many loans.
func lend(r *room.Room, bytes []byte) (i uint32, ok bool) {
	lending.Lock()
	defer lending.Unlock()
	reclaimLocked()
	n := len(lending.free)
	if n == 0 {
		return 0, false
	}
	i, lending.free = lending.free[n-1], lending.free[:n-1]
	r.Keep()
	lending.loans[i].room = r
	lending.loans[i].pin.Pin(unsafe.SliceData(bytes))
	return i, true
}

// SendRoom is Send of two frames, the second of which is in r. A large one is not copied:
// libzmq sends it from there, and r has one holder more until it has. Nobody may change
// those bytes as long.
func (s *Socket) SendRoom(a, b []byte, r *room.Room) error {
	if r == nil || len(b) < worthLending {
		reclaim()
		return s.Send(a, b)
	}
	i, ok := lend(r, b)
	if !ok {
		return s.Send(a, b)
	}
	var lent C.int
	errno := C.earshot_lend(s.t.soc, unsafe.Pointer(unsafe.SliceData(a)), C.size_t(len(a)), unsafe.Pointer(unsafe.SliceData(b)), C.size_t(len(b)), C.uint32_t(i), &lent)
	if lent == 0 {
		lending.Lock()
		takeBackLocked(i)
		lending.Unlock()
	}
	if errno != 0 {
		return s.wrap("send", zmq4.Errno(errno))
	}
	return nil
}
