package zmq

/*
#cgo pkg-config: libzmq
#include <errno.h>
#include <string.h>
#include <zmq.h>

enum { EARSHOT_PARTS = 8 };

typedef struct {
	zmq_msg_t part[EARSHOT_PARTS];
	size_t size[EARSHOT_PARTS];
	int n;    // parts received
	int more; // there are further ones
	int held; // the parts have not been copied yet
} earshot_message;

static void earshot_copy(earshot_message *m, char *into) {
	for (int i = 0; i < m->n; i++) {
		memcpy(into, zmq_msg_data(&m->part[i]), m->size[i]);
		into += m->size[i];
		zmq_msg_close(&m->part[i]);
	}
	m->held = 0;
}

// earshot_recv receives the parts of a message, which arrive together. What fits into
// cap bytes is copied at once.
static int earshot_recv(void *sock, earshot_message *m, char *into, size_t cap) {
	size_t sum = 0;
	m->n = 0;
	do {
		zmq_msg_t *part = &m->part[m->n];
		zmq_msg_init(part);
		int rc;
		do
			rc = zmq_msg_recv(part, sock, m->n ? 0 : ZMQ_DONTWAIT);
		while (rc < 0 && zmq_errno() == EINTR);
		if (rc < 0) {
			int err = zmq_errno();
			for (int i = 0; i <= m->n; i++)
				zmq_msg_close(&m->part[i]);
			m->held = m->n = 0;
			return err;
		}
		sum += m->size[m->n++] = zmq_msg_size(part);
		m->more = zmq_msg_more(part);
	} while (m->more && m->n < EARSHOT_PARTS);
	m->held = 1;
	if (sum <= cap)
		earshot_copy(m, into);
	return 0;
}

static int earshot_send(void *sock, const void *a, size_t na, const void *b, size_t nb) {
	int rc;
	do
		rc = zmq_send(sock, a, na, ZMQ_DONTWAIT | ZMQ_SNDMORE);
	while (rc < 0 && zmq_errno() == EINTR);
	if (rc < 0)
		return zmq_errno();
	do
		rc = zmq_send(sock, b, nb, ZMQ_DONTWAIT);
	while (rc < 0 && zmq_errno() == EINTR);
	return rc < 0 ? zmq_errno() : 0;
}
*/
import "C"

import (
	"errors"
	"reflect"
	"slices"
	"unsafe"

	zmq4 "github.com/pebbe/zmq4"

	"github.com/earshot-mq/earshot/internal/room"
)

// pebbe/zmq4 crosses from Go to C six times for each frame, and makes a cleared slice of
// it. On the record path, where a message may be one record, that was a third of what
// receiving costs. So whole messages pass here with one crossing, two when they are
// large, into rooms that are used again. All else is pebbe/zmq4's.

// scratchSize is what a message may have to be received with one crossing.
const scratchSize = 4 << 10

// transfer is what a socket needs to receive whole messages.
type transfer struct {
	soc     unsafe.Pointer // libzmq's socket, which zmq4.Socket owns
	message C.earshot_message
	scratch [scratchSize]byte
	frames  [][]byte
}

// newTransfer takes the handle out of s. pebbe/zmq4 has no accessor; a test makes sure
// that a new version of it still has the field.
func newTransfer(s *zmq4.Socket) (*transfer, error) {
	f := reflect.ValueOf(s).Elem().FieldByName("soc")
	if f.Kind() != reflect.UnsafePointer || f.IsNil() {
		return nil, errors.New("zmq: this version of pebbe/zmq4 keeps its socket elsewhere")
	}
	return &transfer{soc: f.UnsafePointer()}, nil
}

// recv gives the frames of the next message, in bytes that alloc made for them.
func (t *transfer) recv(s *zmq4.Socket, alloc func(n int) []byte) ([][]byte, error) {
	m := &t.message
	if errno := C.earshot_recv(t.soc, m, (*C.char)(unsafe.Pointer(&t.scratch)), scratchSize); errno != 0 {
		return nil, zmq4.Errno(errno)
	}
	sum := 0
	for i := range int(m.n) {
		sum += int(m.size[i])
	}
	all := alloc(sum)[:sum]
	if m.held == 0 {
		copy(all, t.scratch[:])
	} else {
		C.earshot_copy(m, (*C.char)(unsafe.Pointer(&all[0])))
	}
	t.frames = t.frames[:0]
	for i := range int(m.n) {
		n := int(m.size[i])
		t.frames = append(t.frames, all[:n:n])
		all = all[n:]
	}
	for more := m.more != 0; more; { // of a foreign publisher
		frame, err := s.RecvBytes(0)
		if err != nil {
			return nil, err
		}
		t.frames = append(t.frames, frame)
		if more, err = s.GetRcvmore(); err != nil {
			return nil, err
		}
	}
	return t.frames, nil
}

// send2 sends a message of two frames.
func (t *transfer) send2(a, b []byte) error {
	if errno := C.earshot_send(t.soc, unsafe.Pointer(unsafe.SliceData(a)), C.size_t(len(a)), unsafe.Pointer(unsafe.SliceData(b)), C.size_t(len(b))); errno != 0 {
		return zmq4.Errno(errno)
	}
	return nil
}

// Recv gives the next message, or ErrAgain.
func (s *Socket) Recv() ([][]byte, error) {
	frames, err := s.t.recv(s.s, func(n int) []byte { return make([]byte, n) })
	return slices.Clone(frames), s.wrap("receive", err)
}

// RecvRoom is Recv with the frames in a room, which the caller frees. The slice of them
// is good until the next call.
func (s *Socket) RecvRoom() (frames [][]byte, r *room.Room, err error) {
	frames, err = s.t.recv(s.s, func(n int) []byte {
		r = room.Get(n)
		r.B = r.B[:n]
		return r.B
	})
	return frames, r, s.wrap("receive", err)
}
