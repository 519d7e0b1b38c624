//go:build !linux

package zmq

import "errors"

// alarm does not exist here: only Linux has timers that signal one thread.
type alarm struct{}

func newAlarm() (*alarm, error) { return nil, errors.ErrUnsupported }
func (*alarm) interrupt()       {}
func (*alarm) close()           {}
