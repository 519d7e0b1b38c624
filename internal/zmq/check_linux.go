package zmq

import (
	"math/rand/v2"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// alarm sends SIGURG to the thread that made it. Go preempts with that signal, so one
// more does no harm, and a program ignores it unless it asks for it. The clock's interrupt
// strikes within a system call even where there is one CPU; a second thread that calls
// tgkill without pause hit nothing in 100 ms when it shared the CPU.
type alarm struct {
	id   int32
	next time.Time // when the last signal is out
}

// Measured: setting the timer costs 10 µs on a virtual machine, and with signals 20 to
// 60 µs apart one in ten strikes where it counts.
const (
	alarmMin    = 20 * time.Microsecond
	alarmSpread = 40 * time.Microsecond // random, to keep out of step with the calls
)

// sigevent is the kernel's, with room for more than its 64 bytes. Source: sigevent(3type).
type sigevent struct {
	_              uintptr
	signal, notify int32
	thread         int32
	_              [64]byte
}

const sigevThreadID = 4 // SIGEV_THREAD_ID in linux/signal.h

func newAlarm() (*alarm, error) {
	a := new(alarm)
	e := sigevent{signal: int32(unix.SIGURG), notify: sigevThreadID, thread: int32(unix.Gettid())}
	_, _, errno := unix.Syscall(unix.SYS_TIMER_CREATE, unix.CLOCK_MONOTONIC,
		uintptr(unsafe.Pointer(&e)), uintptr(unsafe.Pointer(&a.id)))
	if errno != 0 {
		return nil, errno
	}
	return a, nil
}

// interrupt has the next signal sent soon, unless one is still to come. A timer that
// repeats by itself is no choice: where signals take longer than its interval, which 9 µs
// showed, the thread does nothing else any more.
func (a *alarm) interrupt() {
	if time.Now().Before(a.next) {
		return
	}
	d := alarmMin + rand.N(alarmSpread)
	t := unix.ItimerSpec{Value: unix.NsecToTimespec(int64(d))}
	// It cannot fail: the timer is there and the time is valid.
	_, _, _ = unix.Syscall6(unix.SYS_TIMER_SETTIME, uintptr(a.id), 0, uintptr(unsafe.Pointer(&t)), 0, 0, 0)
	a.next = time.Now().Add(d)
}

func (a *alarm) close() {
	_, _, _ = unix.Syscall(unix.SYS_TIMER_DELETE, uintptr(a.id), 0, 0)
}
