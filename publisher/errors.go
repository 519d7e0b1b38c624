package publisher

import "errors"

// The errors that callers branch on.
var (
	ErrClosed = errors.New("publisher has stopped")
	ErrFull   = errors.New("journal is past its bound")
)
