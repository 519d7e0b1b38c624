// Package upstream asks one upstream for its answer: it chooses one of the replicas and
// sends the request there. It knows addresses, connections, stages and their time limits;
// what a header field means and what a client is told is the gateway's affair.
//
// # Replicas
//
// Each address behind the origins of an upstream is a replica. Of two taken at random
// the one with fewer requests in flight is asked, or by configuration one after the
// other. A failed connection, or three other failures in a row, ejects a replica for a
// second, then twice as long each time up to half a minute; then one request tries it.
// Without a failed connection at most half of the replicas are ejected. A replica whose
// check says no gets no requests either. While none is in, all get requests. An address
// that leaves its name gets no further request; those in flight there end.
//
// NewLocal makes an upstream of a handler in this process instead. It has one replica, which
// is asked without a connection.
//
// # Delivery
//
// A request is sent to another replica, up to four in all, when nothing of it was sent:
// the connection could not be made, or a kept one was dead. One that may have arrived is
// sent again once, if its method is one that may be repeated (GET, HEAD, OPTIONS, without
// a body), its connection died, and no byte of an answer has come. A POST that may have
// arrived is never sent again.
//
// # Concurrency
//
// An HTTP may be used from many goroutines. It keeps idle connections, which net/http
// watches with two goroutines each until they are closed. Run has one goroutine for each
// name and one for the checks.
//
// # Errors
//
// Do and the body of its answer return an *Error, which says at which stage it ended and
// whether its time was up, or the error of the request's context when that is done. The
// log has a line when a replica goes out and when it is back, and when the upstream
// begins to fail, once for each reason, with the count at the end.
package upstream
