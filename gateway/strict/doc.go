// Package strict refuses HTTP/1 messages that two readers could read in two ways.
//
// net/http is lenient where the rules allow it: it joins folded header lines, takes a
// bare line feed for a line's end, prefers Transfer-Encoding when there is a
// Content-Length too. Each of these alone is harmless; with another program behind or in
// front that decides otherwise, a request hides in another one (RFC 9112, 11.2). A
// gateway stands between two programs, so it refuses what is ambiguous instead of
// choosing.
//
// NewListener does this for the requests of a server's connections: net/http then
// answers 400 by itself and closes. NewResponse reads along the heads of answers for a
// client.
//
// # Errors
//
// Every error wraps ErrMalformed. It never holds text of the message.
package strict
