// Package upstream asks one upstream for its answer. It knows connections, stages and
// their time limits; what a header field means and what a client is told is the
// gateway's affair.
//
// # Delivery
//
// A request is sent at most once, with one exception: when the upstream has closed a
// kept connection and no byte of the request was written, or the method is one that may
// be repeated (GET, HEAD, OPTIONS) and no byte of an answer has come. A POST is never
// sent again.
//
// # Concurrency
//
// An HTTP may be used from many goroutines. It keeps idle connections, which net/http
// watches with two goroutines each until they are closed.
//
// # Errors
//
// Do and the body of its answer return an *Error, which says at which stage it ended and
// whether its time was up, or the error of the request's context when that is done.
package upstream
