package gateway

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/earshot-mq/earshot/gateway/upstream"
	"github.com/earshot-mq/earshot/publisher"
)

const emptySegment = "the path has an empty segment where another path begins"

// maxFields is how many header fields a request may have.
const maxFields = 100

// call is one request on its way through the gateway.
type call struct {
	g        *Gateway
	now      *snapshot
	w        http.ResponseWriter
	r        *http.Request
	control  *http.ResponseController
	exchange *publisher.Exchange // nil without a recorder
	id       string
	peer     netip.Addr
	trusted  bool
	route    *Route
	target   target
	body     *requestBody // nil when there is none

	mu        sync.Mutex // guards what follows, and the answer until final
	continued bool       // 100 was sent
	final     bool       // the final answer is here, or none will come
}

// ServeHTTP answers. It panics with http.ErrAbortHandler, as net/http wants it, where an
// answer can't be brought to its end.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := &call{
		g: g, now: g.now.Load(), w: w, r: r, control: http.NewResponseController(w),
		exchange: publisher.FromContext(r.Context()), peer: peerOf(r),
	}
	c.trusted = contains(c.now.table.trusted, c.peer)
	c.identify()
	if !c.admit() {
		return
	}
	m := c.now.table.Match(r.Method, r.Host, r.URL.Path)
	if m.Route == nil {
		c.unrouted(m)
		return
	}
	c.route, c.target = m.Route, c.now.table.upstreams[m.Route.Upstream]
	c.exchange.SetRoute(m.Route.Pattern())
	switch {
	case c.route.view != nil:
		c.compose()
		return
	case c.route.OpenAPI != "":
		c.document()
		return
	}
	c.exchange.SetUpstream(m.Route.Upstream)
	path, ok := cutSegments(r.URL.EscapedPath(), c.route.strip)
	switch {
	case !ok:
		c.refuse(http.StatusBadRequest, emptySegment, "", nil)
	case c.target.folder != nil:
		c.file(path)
	default:
		c.forward(path)
	}
}

// identify takes the recorder's request id, or without a recorder that of a trusted
// peer, or a new one.
func (c *call) identify() {
	c.id = c.exchange.RequestID()
	if v := c.r.Header["X-Request-Id"]; c.id == "" && c.trusted && len(v) == 1 && isRequestID(v[0]) {
		c.id = v[0]
	}
	if c.id == "" {
		c.id = rand.Text()
	}
}

func isRequestID(s string) bool {
	return len(s) <= 64 && isParameter(strings.ReplaceAll(s, ".", "-"))
}

// admit refuses what is never passed on.
func (c *call) admit() bool {
	status, why := objection(c.r)
	if status == 0 {
		return true
	}
	if c.r.Method == http.MethodConnect {
		c.w.Header()["Connection"] = []string{"close"}
	}
	c.refuse(status, why, "", nil)
	return false
}

// objection says why a request is never passed on; 0 if it may be.
func objection(r *http.Request) (status int, why string) {
	fields := 0
	for _, v := range r.Header {
		fields += len(v)
	}
	why = ambiguous(r)
	switch {
	case r.Method == http.MethodConnect:
		return http.StatusNotImplemented, "CONNECT is not supported"
	case why != "":
		return http.StatusBadRequest, why
	case fields > maxFields:
		return http.StatusRequestHeaderFieldsTooLarge, "the request has more than 100 header fields"
	case passes(r.Header) >= maxPasses:
		return http.StatusLoopDetected, "the request has come by here too often"
	}
	return 0, ""
}

// forward asks the upstream for a path and passes on what it answers.
func (c *call) forward(path string) {
	ctx, cancel := context.WithCancelCause(c.r.Context())
	defer cancel(nil)
	total := time.AfterFunc(c.route.total, func() {
		cancel(&upstream.Error{
			Upstream: c.route.Upstream, Stage: upstream.Total, Limit: c.route.total, Err: context.DeadlineExceeded,
		})
	})
	defer total.Stop()
	defer c.over()

	b := c.now.backends[c.route.Upstream]
	answer, err := b.Do(c.request(ctx, path), c.inform)
	c.finalize()
	if err != nil {
		c.fail(err)
		return
	}
	if answer.StatusCode == http.StatusSwitchingProtocols {
		total.Stop()
		c.tunnel(answer)
		return
	}
	if upstream.IsEventStream(answer.Header) {
		total.Stop()
	}
	c.relay(answer)
}

// header is what every upstream gets.
func (c *call) header() http.Header {
	h := upstreamHeader(c.r.Header, c.trusted)
	addForwarded(h, c.r, c.peer)
	addVia(h, c.r)
	h["X-Request-Id"] = []string{c.id}
	return h
}

// request is what the upstream is asked.
func (c *call) request(ctx context.Context, rawPath string) *http.Request {
	h := c.header()
	if c.route.strip > 0 {
		h["X-Forwarded-Prefix"] = []string{strings.TrimSuffix(strings.TrimSuffix(c.r.URL.EscapedPath(), rawPath), "/")}
	}
	if isWebSocket(c.r) {
		h["Connection"], h["Upgrade"] = []string{"Upgrade"}, []string{"websocket"}
	}
	out := &http.Request{
		Method: c.r.Method, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: h, Host: c.r.Host, ContentLength: c.r.ContentLength,
		URL: &url.URL{RawPath: rawPath, RawQuery: c.r.URL.RawQuery, ForceQuery: c.r.URL.ForceQuery},
	}
	// The path was taken from a URL, so it can be read as one.
	out.URL.Path, _ = url.PathUnescape(rawPath)
	if c.target.rewrite {
		out.Host = "" // its own
	}
	if c.r.ContentLength != 0 && c.r.Body != nil {
		c.body = newRequestBody(c)
		out.Body = c.body
	}
	if c.body == nil || !c.body.expects {
		delete(h, "Expect")
	}
	return out.WithContext(ctx)
}

// fail answers for an exchange without an answer: whose fault it was decides.
func (c *call) fail(err error) {
	if cause := c.body.failure(); cause != nil && !isGone(cause) {
		c.exchange.SetError("the request's body is broken")
		c.broken(cause)
		return
	}
	var e *upstream.Error
	if c.r.Context().Err() != nil || c.body.failure() != nil || !errors.As(err, &e) {
		c.exchange.SetError("the client went away")
		c.g.log.Debug("client went away", "request", c.id, "route", c.route.Pattern(), "error", err)
		panic(http.ErrAbortHandler)
	}
	c.failed(e)
}

// finalize ends the time of interim answers.
func (c *call) finalize() {
	c.mu.Lock()
	c.final = true
	c.mu.Unlock()
}

// over ends the use of the request: net/http takes its body back.
func (c *call) over() {
	c.finalize()
	c.body.release()
}
