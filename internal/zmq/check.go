package zmq

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"syscall"
	"time"

	zmq4 "github.com/pebbe/zmq4"
)

// Check fails if the libzmq that is linked lacks the fix for Go's signals (libzmq pull
// request #4488, commit 04720b6b). Without it a call that a signal strikes just after it
// has taken the wake-up of a message says EINTR. The message stays in the queue, ZMQ_FD
// is quiet, and whoever waits for ZMQ_FD gets the message with the next one. Go's
// scheduler sends such signals. Versions do not tell: Debian mends its 4.3.4 in 4.3.4-5.
//
// Recv and RecvFrame are not hit, since the binding calls again after EINTR and libzmq
// then looks into the queue first. Measured on a library without the fix: none of 60,000
// messages stuck, but 20 of 12,000 once the binding was told not to call again. So all
// hangs on one default of the binding, and that is not enough for a promise.
//
// There are no false alarms, at any load: Check looks for a state that the fix rules out.
// It takes 30 to 50 ms and gives up after 100, later on a busy machine. Where it cannot
// tell, for want of time or of a timer or because ctx is done, it returns nil. Call it
// before NewContext, since a process has one Context at a time.
func Check(ctx context.Context) error {
	// The interruptions are aimed at the thread that receives.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	a, err := newAlarm()
	if err != nil {
		return nil // no way to interrupt, so no verdict
	}
	defer a.close()
	l, err := newLoop()
	if err != nil {
		return fmt.Errorf("zmq: check: %w", err)
	}
	lacks, err := lacksFix(ctx, l, a.interrupt, time.Now().Add(checkTime))
	if err := errors.Join(err, l.close()); err != nil {
		return fmt.Errorf("zmq: check: %w", err)
	}
	if lacks {
		return fmt.Errorf("zmq: libzmq %s here lacks the fix for Go's signals (messages stay unreceived): "+
			"install 4.3.5, or Debian's 4.3.4-5 or later", Version())
	}
	return nil
}

const (
	// A busy machine may take all of checkTime away, so there are some rounds at least.
	// One takes 5 µs, and a library without the fix is found in 1.5 ms on average.
	checkTime   = 100 * time.Millisecond
	checkRounds = 2000

	// So many calls that had nothing to receive were interrupted. One that had something
	// is as likely to be, and without the fix that shows at once: the chance to miss it
	// is 2^-20.
	enough = 20
)

// wire is what lacksFix needs of a pair of sockets.
type wire interface {
	Send() error
	Recv() error            // never waits and never calls again after EINTR
	Pending() (bool, error) // whether ZMQ_FD says that there is something
}

// lacksFix says whether a Recv took a wake-up and yet said EINTR: ZMQ_FD was ready before
// it and quiet after it. With the fix a Recv that has taken a wake-up goes on to the
// message. It all happens in one thread, so the answer does not depend on time; end is
// when it stops looking.
func lacksFix(ctx context.Context, w wire, interrupt func(), end time.Time) (bool, error) {
	hits := 0
	for round := 0; hits < enough && (round < checkRounds || time.Now().Before(end)); round++ {
		if ctx.Err() != nil {
			return false, nil
		}
		// Only when the queue was found empty does the next message come with a wake-up.
		interrupt()
		switch err := w.Recv(); {
		case err == nil:
			continue
		case interrupted(err):
			hits++
		case !again(err):
			return false, err
		}
		if err := w.Send(); err != nil {
			return false, err
		}
		if woken, err := w.Pending(); err != nil {
			return false, err
		} else if !woken {
			continue
		}
		interrupt()
		switch err := w.Recv(); {
		case err == nil, again(err):
		case interrupted(err):
			if woken, err := w.Pending(); err != nil || !woken {
				return err == nil, err
			}
		default:
			return false, err
		}
	}
	return false, nil
}

func interrupted(err error) bool { return errors.Is(err, zmq4.Errno(syscall.EINTR)) }
func again(err error) bool       { return errors.Is(err, zmq4.Errno(syscall.EAGAIN)) }
