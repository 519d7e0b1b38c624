package gateway

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"time"

	"github.com/earshot-mq/earshot/gateway/compose"
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
	// Compositions are pages made of the answers of many upstreams, by their names.
	Compositions map[string]compose.Config `yaml:"compositions"`
}

// UpstreamConfig is one upstream.
type UpstreamConfig struct {
	// URL is http://host:port or https://host:port. A host name stands for all its
	// addresses, each a replica; they are asked for again and again.
	URL string `yaml:"url"`
	// URLs are several of them, instead of URL.
	URLs []string `yaml:"urls"`
	// Handler answers in this process, instead of URL; it can't switch protocols. It sees
	// requests come from upstream.LocalAddr.
	Handler http.Handler `yaml:"-"`
	// Static is a folder whose files are the answers, instead of URL; a relative one is
	// below the working directory. Of all that follows only Body is for it.
	Static string `yaml:"static"`
	// Balance says which replica is asked.
	Balance Balance       `yaml:"balance"`
	Resolve time.Duration `yaml:"resolve"` // between two lookups of a host name; default 5 s
	// Health is the question whether a replica is ready. Default: none is asked, and what
	// requests meet is all that is known.
	Health *HealthConfig `yaml:"health"`
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
	// OpenAPI is the path of its document, or none. Default /openapi.json.
	OpenAPI string `yaml:"openapi"`
}

// HealthConfig is the question whether a replica is ready.
type HealthConfig struct {
	Path    string        `yaml:"path"`    // /readyz; a status below 400 is a yes
	Every   time.Duration `yaml:"every"`   // between two questions; default 5 s
	Timeout time.Duration `yaml:"timeout"` // of an answer; default 2 s
}

// TimeoutsConfig has a limit for each stage of an exchange. Zero is the default; there
// is no way to wait for ever.
type TimeoutsConfig struct {
	Dial       time.Duration `yaml:"dial"`            // name and connection; default 3 s, a connection 1 s while another replica is in
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

// DefaultOpenAPI is the default of UpstreamConfig.OpenAPI, and NoOpenAPI says that there is
// no document.
const (
	DefaultOpenAPI = "/openapi.json"
	NoOpenAPI      = "none"
)

// RouteConfig leads requests to an upstream, to a view of a composition, or to the document of all of them.
type RouteConfig struct {
	Host     string   `yaml:"host"`    // exact, or *.example.com; default any
	Path     string   `yaml:"path"`    // /x, /x/{id}, /x/*
	Methods  []string `yaml:"methods"` // default all but CONNECT and TRACE
	Upstream string   `yaml:"upstream"`
	Compose  string   `yaml:"compose"` // a composition, instead of an upstream; GET and HEAD
	View     string   `yaml:"view"`    // of the composition; default its only one
	OpenAPI  OpenAPI  `yaml:"openapi"` // the document of what is behind the gateway, instead of an upstream; GET and HEAD
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

// OpenAPI says in which form a route has the document.
type OpenAPI string

// OpenAPIJSON is the document, OpenAPIPage a page of it for people.
const (
	OpenAPIJSON OpenAPI = "json"
	OpenAPIPage OpenAPI = "page"
)

// UnmarshalText implements encoding.TextUnmarshaler.
func (o *OpenAPI) UnmarshalText(b []byte) error {
	return oneOf((*string)(o), string(b), string(OpenAPIJSON), string(OpenAPIPage))
}

// Balance says which replica is asked.
type Balance string

// BalanceTwoChoices takes two at random and of these the one with fewer requests in
// flight; BalanceRoundRobin one after the other.
const (
	BalanceTwoChoices Balance = "p2c" // default
	BalanceRoundRobin Balance = "round-robin"
)

// UnmarshalText implements encoding.TextUnmarshaler.
func (b *Balance) UnmarshalText(text []byte) error {
	return oneOf((*string)(b), string(text), string(BalanceTwoChoices), string(BalanceRoundRobin))
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
	switch {
	case c.Handler != nil:
		errs = append(errs, c.checkNone("a handler in this process", true))
	case c.Static != "":
		return errors.Join(c.checkNone(`"static"`, false), config.At("body", checkBody(c.Body)))
	case c.URL == "" && len(c.URLs) == 0:
		errs = append(errs, errors.New(`has no "url", no "urls" and no "static"`))
	case c.URL != "" && len(c.URLs) > 0:
		fail("urls", errors.New(`there is "url" too; one of them is enough`))
	}
	for i, origin := range c.origins() {
		at := "url"
		if len(c.URLs) > 0 {
			at = fmt.Sprintf("urls[%d]", i)
		}
		if _, err := upstream.ParseOrigin(origin); err != nil {
			fail(at, err)
		} else if slices.Contains(c.URLs[:max(0, min(i, len(c.URLs)))], origin) {
			fail(at, fmt.Errorf("%s is there twice", origin))
		}
	}
	// Values that were not decoded are judged too.
	if c.Records != "" {
		fail("records", new(Records).UnmarshalText([]byte(c.Records)))
	}
	if c.Host != "" {
		fail("host", new(Host).UnmarshalText([]byte(c.Host)))
	}
	if c.Balance != "" {
		fail("balance", new(Balance).UnmarshalText([]byte(c.Balance)))
	}
	fail("resolve", notNegative(c.Resolve))
	fail("health", c.Health.check())
	fail("body", checkBody(c.Body))
	fail("keep", notNegative(c.Keep))
	if c.OpenAPI != "" && c.OpenAPI != NoOpenAPI {
		fail("openapi", checkPath(c.OpenAPI, DefaultOpenAPI))
	}
	if c.MaxIdle < 0 {
		fail("max-idle", errors.New("is negative"))
	}
	return errors.Join(errs...)
}

// checkNone refuses the keys that say nothing of an upstream of this kind: those of what is
// asked over a network, and unless it is a service those of services.
func (c *UpstreamConfig) checkNone(kind string, service bool) error {
	var errs []error
	for _, f := range []struct {
		key       string
		set       bool
		ofService bool
	}{
		{"url", c.URL != "", false},
		{"urls", len(c.URLs) > 0, false},
		{"balance", c.Balance != "", false},
		{"resolve", c.Resolve != 0, false},
		{"health", c.Health != nil, false},
		{"records", c.Records != "", true},
		{"host", c.Host != "", true},
		{"timeouts", c.Timeouts != TimeoutsConfig{}, true},
		{"max-idle", c.MaxIdle != 0, false},
		{"keep", c.Keep != 0, false},
		{"ca", c.CA != "", false},
		{"openapi", c.OpenAPI != "", true},
		{"static", c.Static != "" && c.Handler != nil, false},
	} {
		if f.set && !(service && f.ofService) {
			errs = append(errs, config.At(f.key, fmt.Errorf("is not for %s", kind)))
		}
	}
	return errors.Join(errs...)
}

// origins are the URLs, however they were written.
func (c *UpstreamConfig) origins() []string {
	if c.URL != "" {
		return []string{c.URL}
	}
	return c.URLs
}

func (c *HealthConfig) check() error {
	if c == nil {
		return nil
	}
	return errors.Join(config.At("path", checkPath(c.Path, "/readyz")), config.At("every", notNegative(c.Every)), config.At("timeout", notNegative(c.Timeout)))
}

func checkPath(path, such string) error {
	if u, err := url.ParseRequestURI(path); err != nil || path[0] != '/' || u.Host != "" {
		return fmt.Errorf("want a path such as %s, got %q", such, path)
	}
	return nil
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
