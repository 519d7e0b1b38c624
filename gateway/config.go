package gateway

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/earshot-mq/earshot/gateway/upstream"
	"github.com/earshot-mq/earshot/internal/config"
	"github.com/earshot-mq/earshot/publisher/record"
)

// Config is what the gateway's file says.
type Config struct {
	// Trusted are the peers whose forwarding headers and request ids are believed: the
	// load balancer in front, and nobody else. Default none.
	Trusted []netip.Prefix `yaml:"trusted"`
	// ClientIdle is how long a client may send nothing of its request's body, or take
	// nothing of its answer. Default 1 min.
	ClientIdle time.Duration `yaml:"client-idle"`
	// Upstreams are the services by their names.
	Upstreams map[string]UpstreamConfig `yaml:"upstreams"`
	Routes    []RouteConfig             `yaml:"routes"`
}

// UpstreamConfig is one upstream.
type UpstreamConfig struct {
	URL string `yaml:"url"` // http://host:port or https://host:port
	// Records says who records this upstream's answers.
	Records Records `yaml:"records"`
	// Body is how much of an answer's body the gateway's own record has. Default none:
	// the body of somebody else's answer is somebody else's.
	Body config.Size `yaml:"body"`
	// Host says which Host the upstream is sent.
	Host     Host           `yaml:"host"`
	Timeouts TimeoutsConfig `yaml:"timeouts"`
	MaxIdle  int            `yaml:"max-idle"` // connections that are kept; default 128
	// Keep is how long an idle connection is kept. Default 55 s, or a second less than
	// the upstream itself says.
	Keep time.Duration `yaml:"keep"`
	CA   string        `yaml:"ca"` // file of certificates (PEM) that are trusted instead of the system's
}

// TimeoutsConfig has a limit for each stage of an exchange. Zero is the default; there
// is no way to wait for ever.
type TimeoutsConfig struct {
	Dial       time.Duration `yaml:"dial"`            // name and connection; default 3 s
	TLS        time.Duration `yaml:"tls"`             // handshake; default 5 s
	Header     time.Duration `yaml:"response-header"` // from the end of the request to the answer's header; default 30 s
	BodyIdle   time.Duration `yaml:"body-idle"`       // between two pieces of a body, either way; default 1 min
	StreamIdle time.Duration `yaml:"stream-idle"`     // the same for event streams and WebSockets; default 15 min
	Total      time.Duration `yaml:"total"`           // the whole exchange, but of event streams and WebSockets; default 1 h
}

// DefaultTotal is the default of TimeoutsConfig.Total, and DefaultClientIdle that of
// Config.ClientIdle. The other defaults are upstream's.
const (
	DefaultTotal      = time.Hour
	DefaultClientIdle = time.Minute
)

// RouteConfig leads requests to an upstream.
type RouteConfig struct {
	Host     string   `yaml:"host"`    // exact, or *.example.com; default any
	Path     string   `yaml:"path"`    // /x, /x/{id}, /x/*
	Methods  []string `yaml:"methods"` // default all but CONNECT and TRACE
	Upstream string   `yaml:"upstream"`
	// StripPrefix is the beginning of Path that the upstream does not see; it is told in
	// X-Forwarded-Prefix.
	StripPrefix string        `yaml:"strip-prefix"`
	Timeout     time.Duration `yaml:"timeout"` // instead of the upstream's total
	Body        *config.Size  `yaml:"body"`    // instead of the upstream's
}

// Records says who records an upstream's answers.
type Records string

// RecordsService trusts the mark on an answer; what has none is recorded by the gateway.
// RecordsGateway ignores marks: for upstreams that are foreign.
const (
	RecordsService Records = "service" // default
	RecordsGateway Records = "gateway"
)

// UnmarshalText implements encoding.TextUnmarshaler.
func (r *Records) UnmarshalText(b []byte) error {
	return oneOf((*string)(r), string(b), string(RecordsService), string(RecordsGateway))
}

// Host says which Host an upstream is sent.
type Host string

// HostClient is what the client has sent, HostUpstream that of the upstream's URL.
const (
	HostClient   Host = "client" // default
	HostUpstream Host = "upstream"
)

// UnmarshalText implements encoding.TextUnmarshaler.
func (h *Host) UnmarshalText(b []byte) error {
	return oneOf((*string)(h), string(b), string(HostClient), string(HostUpstream))
}

func oneOf(into *string, s string, known ...string) error {
	if !slices.Contains(known, s) {
		return config.Unknown("value", s, known)
	}
	*into = s
	return nil
}

// Validate says what is wrong beyond the shape of each value. config.Decode calls it.
func (c *Config) Validate() error {
	_, err := newTable(c)
	return err
}

// Validate says what is wrong with an upstream by itself.
func (c *UpstreamConfig) Validate() error {
	var errs []error
	fail := func(at string, err error) { errs = append(errs, config.At(at, err)) }
	if c.URL == "" {
		errs = append(errs, errors.New(`has no "url"`))
	} else if _, err := upstream.ParseOrigin(c.URL); err != nil {
		fail("url", err)
	}
	// Values that were not decoded are judged too.
	if c.Records != "" {
		fail("records", new(Records).UnmarshalText([]byte(c.Records)))
	}
	if c.Host != "" {
		fail("host", new(Host).UnmarshalText([]byte(c.Host)))
	}
	fail("body", checkBody(c.Body))
	fail("keep", notNegative(c.Keep))
	if c.MaxIdle < 0 {
		fail("max-idle", errors.New("is negative"))
	}
	return errors.Join(errs...)
}

// Validate says what is wrong with the limits.
func (c *TimeoutsConfig) Validate() error {
	return errors.Join(
		config.At("dial", notNegative(c.Dial)), config.At("tls", notNegative(c.TLS)),
		config.At("response-header", notNegative(c.Header)), config.At("body-idle", notNegative(c.BodyIdle)),
		config.At("stream-idle", notNegative(c.StreamIdle)), config.At("total", notNegative(c.Total)),
	)
}

func notNegative(d time.Duration) error {
	if d < 0 {
		return fmt.Errorf("want a duration above zero, got %v", d)
	}
	return nil
}

func checkBody(n config.Size) error {
	if n > record.MaxBody {
		return fmt.Errorf("a record has at most %v of a body, got %v", config.Size(record.MaxBody), n)
	}
	return nil
}
