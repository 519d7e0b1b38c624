package upstream

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Defaults of Options.
const (
	DefaultDial       = 3 * time.Second
	DefaultTLS        = 5 * time.Second
	DefaultHeader     = 30 * time.Second
	DefaultBodyIdle   = time.Minute
	DefaultStreamIdle = 15 * time.Minute
	DefaultMaxIdle    = 128
	DefaultKeep       = 55 * time.Second
)

// Limits that nobody has asked to change.
const (
	maxHeader    = 64 << 10 // bytes of an answer's header
	continueWait = time.Second
	maxStale     = 8 // kept connections that one request may find dead
)

// Options tunes an HTTP. Every zero field means its default. It is comparable: two equal
// ones make the same upstream.
type Options struct {
	Dial       time.Duration // for name and connection; default 3 s
	TLS        time.Duration // for the handshake; default 5 s
	Header     time.Duration // from the end of the request to the answer's header; default 30 s
	BodyIdle   time.Duration // between two pieces of a body, either way; default 1 min
	StreamIdle time.Duration // the same for text/event-stream; default 15 min
	MaxIdle    int           // connections that are kept; default 128
	Keep       time.Duration // how long one is kept; default 55 s, or a second less than the upstream says
	RootCAs    string        // certificates in PEM that are trusted instead of the system's
}

// HTTP is an upstream that speaks HTTP/1.1, in plain text or over TLS.
type HTTP struct {
	name      string
	origin    *url.URL
	o         Options
	transport *http.Transport
	tls       *tls.Config // nil in plain text
}

// NewHTTP makes an upstream of an origin, http://host:port or https://host:port. Nothing
// is dialled yet.
func NewHTTP(name, origin string, o Options) (*HTTP, error) {
	u, err := ParseOrigin(origin)
	if err != nil {
		return nil, fmt.Errorf("upstream: %q: %w", name, err)
	}
	h := &HTTP{name: name, origin: u, o: o.withDefaults()}
	if u.Scheme == "https" {
		if h.tls, err = h.tlsConfig(); err != nil {
			return nil, fmt.Errorf("upstream: %q: %w", name, err)
		}
	}
	h.transport = &http.Transport{
		DialContext:            h.dial,
		DialTLSContext:         h.dialTLS,
		DisableCompression:     true, // a body passes as it is
		MaxIdleConnsPerHost:    h.o.MaxIdle,
		IdleConnTimeout:        h.o.Keep,
		ExpectContinueTimeout:  continueWait,
		MaxResponseHeaderBytes: maxHeader,
		Protocols:              new(http.Protocols),
	}
	h.transport.Protocols.SetHTTP1(true)
	return h, nil
}

// ParseOrigin reads scheme, host and port of an upstream; it may have nothing else.
func ParseOrigin(s string) (*url.URL, error) {
	const want = "want http://host:port or https://host:port, "
	if strings.Contains(s, "@") {
		return nil, errors.New(want + "without a user") // and the text, which may have a password
	}
	u, err := url.Parse(s)
	wrong := fmt.Errorf(want+"got %q", s)
	switch {
	case err != nil:
		return nil, wrong
	case u.Scheme != "http" && u.Scheme != "https", u.Hostname() == "", u.Path != "" && u.Path != "/",
		u.RawQuery != "", u.ForceQuery, u.Fragment != "", u.Opaque != "":
		return nil, wrong
	}
	u.Path = ""
	return u, nil
}

func (o Options) withDefaults() Options {
	for _, d := range []struct {
		field  *time.Duration
		normal time.Duration
	}{
		{&o.Dial, DefaultDial},
		{&o.TLS, DefaultTLS},
		{&o.Header, DefaultHeader},
		{&o.BodyIdle, DefaultBodyIdle},
		{&o.StreamIdle, DefaultStreamIdle},
		{&o.Keep, DefaultKeep},
	} {
		if *d.field == 0 {
			*d.field = d.normal
		}
	}
	if o.MaxIdle == 0 {
		o.MaxIdle = DefaultMaxIdle
	}
	return o
}

func (u *HTTP) tlsConfig() (*tls.Config, error) {
	c := &tls.Config{ServerName: u.origin.Hostname(), MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}}
	if u.o.RootCAs != "" {
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM([]byte(u.o.RootCAs)) {
			return nil, errors.New("no certificate among the trusted ones")
		}
	}
	return c, nil
}

// Origin is the host and port that are asked.
func (u *HTTP) Origin() string { return u.origin.Host }

// Close closes the connections that are idle. Exchanges go on, and their connections are
// not kept.
func (u *HTTP) Close() { u.transport.CloseIdleConnections() }

func (u *HTTP) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	c, err := u.connect(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	return newConn(c, true), nil
}

func (u *HTTP) connect(ctx context.Context, network, addr string) (net.Conn, error) {
	d := net.Dialer{Timeout: u.o.Dial}
	c, err := d.DialContext(ctx, network, addr)
	if err != nil {
		return nil, u.failed(Dial, u.o.Dial, err)
	}
	return c, nil
}

func (u *HTTP) dialTLS(ctx context.Context, network, addr string) (net.Conn, error) {
	c, err := u.connect(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, u.o.TLS)
	defer cancel()
	t := tls.Client(c, u.tls)
	if err := t.HandshakeContext(ctx); err != nil {
		return nil, errors.Join(u.failed(TLS, u.o.TLS, err), quiet(c.Close()))
	}
	return newConn(t, false), nil
}

// quiet leaves out that a connection was closed before.
func quiet(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// failed makes an Error of what a dialler says.
func (u *HTTP) failed(stage Stage, limit time.Duration, err error) *Error {
	e := &Error{Upstream: u.name, Stage: stage, Err: err}
	var n net.Error
	if errors.Is(err, context.DeadlineExceeded) || errors.As(err, &n) && n.Timeout() {
		e.Limit = limit
	}
	return e
}
