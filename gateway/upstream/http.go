package upstream

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/earshot-mq/earshot/gateway/discover"
)

// Balance is how a replica is chosen.
type Balance string

// TwoChoices takes two at random and of these the one with fewer requests in flight.
// RoundRobin takes one after the other.
const (
	TwoChoices Balance = "p2c" // default
	RoundRobin Balance = "round-robin"
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
	maxStale     = 8           // kept connections that one request may find dead
	maxTries     = 4           // replicas that one request may be tried at
	quickDial    = time.Second // of a connection, by default, while another replica is in
	maxRepeats   = 1           // times that one is sent again which may have arrived
)

// Options tunes an HTTP. Every zero field means its default. It is comparable: two equal
// ones make the same upstream.
type Options struct {
	Dial       time.Duration // for name and connection; default 3 s, a connection 1 s while another replica is in
	TLS        time.Duration // for the handshake; default 5 s
	Header     time.Duration // from the end of the request to the answer's header; default 30 s
	BodyIdle   time.Duration // between two pieces of a body, either way; default 1 min
	StreamIdle time.Duration // the same for text/event-stream; default 15 min
	MaxIdle    int           // connections that are kept; default 128
	Keep       time.Duration // how long one is kept; default 55 s, or a second less than the upstream says
	RootCAs    string        // certificates in PEM that are trusted instead of the system's
	Balance    Balance       // default TwoChoices
	Resolve    time.Duration // between two lookups of a host name; default 3 s, spread from 2 s to 5 s
	Health     Health        // default: what requests meet is all that is known

	Resolver *net.Resolver // default net.DefaultResolver
	Logger   *slog.Logger  // default: discard
}

// HTTP is an upstream that speaks HTTP/1.1, in plain text or over TLS. It has one
// replica or several: an address each.
type HTTP struct {
	name    string
	o       Options
	sources []*source
	told    *source       // of SetReplicas; nil if there are origins
	local   *local        // of NewLocal; then there is one replica without an address
	news    chan struct{} // the replicas have changed; holds one

	question *url.URL // of the check; nil without one
	hurried  bool     // Dial is the default

	turn     atomic.Uint64 // of RoundRobin
	failures atomic.Uint64
	retries  atomic.Uint64
	trouble  trouble

	mu       sync.Mutex                 // one change of the replicas at a time
	replicas atomic.Pointer[[]*replica] // that get requests
}

// source is one origin of the configuration, an address or a name of any number, or what
// SetReplicas says.
type source struct {
	origin *url.URL
	addr   netip.Addr // if the host is one
	port   uint16
	told   []netip.AddrPort // by SetReplicas; guarded by HTTP.mu
	name   *discover.Name   // otherwise
	failed bool             // the last lookup; guarded by HTTP.mu
	tls    *tls.Config      // nil in plain text
}

// NewHTTP makes an upstream of its origins, http://host:port or https://host:port each.
// A host name stands for all its addresses. Without an origin it has the replicas that
// SetReplicas says, which speak plain text. Nothing is asked or dialled yet.
func NewHTTP(name string, origins []string, o Options) (*HTTP, error) {
	u := &HTTP{name: name, o: o.withDefaults(), hurried: o.Dial == 0, news: make(chan struct{}, 1)}
	u.trouble.log = u.o.Logger.With("upstream", name)
	if path := o.Health.Path; path != "" {
		var err error
		if u.question, err = url.ParseRequestURI(path); err != nil || path[0] != '/' {
			return nil, fmt.Errorf("upstream: %q: health: want a path such as /readyz, got %q", name, path)
		}
	}
	for _, origin := range origins {
		s, err := u.source(origin)
		if err != nil {
			return nil, fmt.Errorf("upstream: %q: %w", name, err)
		}
		u.sources = append(u.sources, s)
	}
	if len(origins) == 0 {
		u.told = &source{origin: &url.URL{Scheme: "http", Host: name}}
		u.sources = append(u.sources, u.told)
	}
	u.replicas.Store(new([]*replica))
	u.renew()
	return u, nil
}

func (u *HTTP) source(origin string) (s *source, err error) {
	s = &source{}
	if s.origin, err = ParseOrigin(origin); err != nil {
		return nil, err
	}
	s.port, _ = port(s.origin) // it is one of an origin
	if addr, err := netip.ParseAddr(s.origin.Hostname()); err == nil {
		s.addr = addr.Unmap()
	} else {
		s.name = discover.NewName(s.origin.Hostname(), discover.Options{Resolver: u.o.Resolver, Every: u.o.Resolve})
	}
	if s.origin.Scheme == "https" {
		s.tls, err = u.tlsConfig(s.origin.Hostname())
		return s, err
	}
	return s, nil
}

func port(origin *url.URL) (uint16, error) {
	text := origin.Port()
	if text == "" {
		text = map[string]string{"http": "80", "https": "443"}[origin.Scheme]
	}
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil || n == 0 {
		return 0, fmt.Errorf("want a port from 1 to 65535, got %q", text)
	}
	return uint16(n), nil
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
	if _, err := port(u); err != nil {
		return nil, err
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
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	o.Health = o.Health.withDefaults()
	return o
}

func (u *HTTP) tlsConfig(server string) (*tls.Config, error) {
	c := &tls.Config{ServerName: server, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}}
	if u.o.RootCAs != "" {
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM([]byte(u.o.RootCAs)) {
			return nil, errors.New("no certificate among the trusted ones")
		}
	}
	return c, nil
}
