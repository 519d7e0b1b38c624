package upstream

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"time"
)

// Stage is how far an exchange with an upstream has come.
type Stage string

// The stages, in their order. Each has a time limit.
const (
	Dial   Stage = "dial"            // name and connection
	TLS    Stage = "tls"             // handshake
	Send   Stage = "send"            // the request, for as long as the upstream takes nothing of it
	Header Stage = "response-header" // from the end of the request to the answer's header
	Body   Stage = "body"            // between two pieces of the answer's body
	Total  Stage = "total"           // the whole exchange; its time is the caller's
)

// Error is why there is no answer of an upstream, or not the whole of it.
type Error struct {
	Upstream string
	Replica  string // the address that was asked; not for clients; "" if none was
	Stage    Stage
	Limit    time.Duration // the limit that passed; 0 when it was not time
	Err      error         // the cause; may name addresses
}

// Error names upstream, stage and cause.
func (e *Error) Error() string {
	if e.Limit > 0 {
		return fmt.Sprintf("upstream %q: %s: not within %v", e.Upstream, e.Stage, e.Limit)
	}
	return fmt.Sprintf("upstream %q: %s: %v", e.Upstream, e.Stage, e.Err)
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Timeout tells whether a time limit was the reason.
func (e *Error) Timeout() bool { return e.Limit > 0 }

// What an upstream did wrong.
var (
	errStatus  = errors.New("the status is none of HTTP")
	errName    = errors.New("a header field has a name that is none of HTTP")
	errValue   = errors.New("a header field has a value that is none of HTTP")
	errSwitch  = errors.New("it switches to a protocol that was not asked for")
	errExpired = errors.New("time limit passed")
)

// Reason says in words for a client what happened: no address, no path, no text from
// elsewhere.
func (e *Error) Reason() string {
	if e.Limit > 0 {
		return map[Stage]string{
			Dial:   "no connection",
			TLS:    "no TLS handshake",
			Send:   "it took nothing of the request",
			Header: "no answer",
			Body:   "nothing more of its answer",
			Total:  "no whole answer",
		}[e.Stage] + " within " + e.Limit.String()
	}
	if e.Stage == TLS {
		return tlsReason(e.Err)
	}
	var dns *net.DNSError
	switch {
	case errors.As(e.Err, &dns):
		return "its name is not known"
	case errors.Is(e.Err, syscall.ECONNREFUSED):
		return "connection refused"
	case errors.Is(e.Err, syscall.EHOSTUNREACH), errors.Is(e.Err, syscall.ENETUNREACH):
		return "no route to it"
	case e.Stage == Dial:
		return "no connection"
	case e.Stage == Send, errors.Is(e.Err, io.EOF), errors.Is(e.Err, io.ErrUnexpectedEOF), errors.Is(e.Err, net.ErrClosed),
		errors.Is(e.Err, syscall.ECONNRESET), errors.Is(e.Err, syscall.EPIPE),
		strings.Contains(e.Err.Error(), "server closed idle connection"): // net/http exports no name for it
		return "it closed the connection before its answer was whole"
	}
	return "its answer is not valid HTTP"
}

func tlsReason(err error) string {
	var (
		verification *tls.CertificateVerificationError
		unknown      x509.UnknownAuthorityError
		host         x509.HostnameError
		record       tls.RecordHeaderError
	)
	switch {
	case errors.As(err, &unknown):
		return "its certificate is not signed by a known authority"
	case errors.As(err, &host):
		return "its certificate is for another name"
	case errors.As(err, &verification):
		return "its certificate is not valid"
	case errors.As(err, &record):
		return "it does not speak TLS"
	}
	return "no TLS handshake"
}
