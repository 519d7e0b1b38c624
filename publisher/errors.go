package publisher

import "errors"

// Errors that a caller can branch on.
var (
	// ErrFull says that the journal is past its bound and may drop nothing. The client
	// is answered 503 with Retry-After, before its handler runs.
	ErrFull = errors.New("journal is past its bound")

	// ErrClosed says that the publisher has stopped: it takes no new work.
	ErrClosed = errors.New("publisher has stopped")
)
