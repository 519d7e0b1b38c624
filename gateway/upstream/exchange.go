package upstream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/net/http/httpguts"
)

// Inform gets the interim answers (1xx but 101), before Do returns and never after. An
// error ends the exchange.
type Inform func(status int, h http.Header) error

// Do sends r, whose URL gets the upstream's origin, and returns the final answer. The
// body of the answer has to be closed; until then it may have Ready, and after a 101 it
// is a Tunnel. r must not be used again.
func (u *HTTP) Do(r *http.Request, inform Inform) (*http.Response, error) {
	r.URL.Scheme, r.URL.Host = u.origin.Scheme, u.origin.Host
	hideIdempotencyKey(r.Header)
	for try := 1; ; try++ {
		x := &exchange{u: u, inform: inform, last: try > maxStale}
		answer, err := x.do(r)
		if err == nil || !x.again(err) || r.Context().Err() != nil {
			return answer, err
		}
	}
}

// again tells whether the request may be sent once more: the connection was dead before
// anything was written, and no other could be tried.
func (x *exchange) again(err error) bool {
	var e *Error
	dialled := errors.As(err, &e) && (e.Stage == Dial || e.Stage == TLS)
	return x.stale.Load() && !x.took.Load() && !x.last && !dialled
}

// hideIdempotencyKey writes these fields in lower case, where net/http's transport does
// not look: it would send a POST that has one a second time.
func hideIdempotencyKey(h http.Header) {
	for _, name := range [...]string{"Idempotency-Key", "X-Idempotency-Key"} {
		if v, ok := h[name]; ok {
			delete(h, name)
			h[strings.ToLower(name)] = v
		}
	}
}

// exchange is one request on its way.
type exchange struct {
	u      *HTTP
	inform Inform
	last   bool   // a dead connection is not looked for any more
	asked  string // protocol to switch to

	expects bool // the upstream is to say that it wants the body

	ctx    context.Context
	cancel context.CancelCauseFunc
	watch  *watch
	conn   atomic.Pointer[conn]
	stale  atomic.Bool // the connection was dead before anything was written
	took   atomic.Bool // some of the request's body was read
}

func (x *exchange) do(r *http.Request) (*http.Response, error) {
	x.ctx, x.cancel = context.WithCancelCause(r.Context())
	x.watch = newWatch(x.u.name, x.cancel)
	x.asked = r.Header.Get("Upgrade")
	x.expects = httpguts.HeaderValuesContainsToken(r.Header["Expect"], "100-continue")
	out := r.WithContext(httptrace.WithClientTrace(x.ctx, x.trace()))
	if r.Body != nil && r.Body != http.NoBody {
		out.Body = &requestBody{r.Body, x}
	}
	answer, err := x.u.transport.RoundTrip(out)
	if err != nil {
		return nil, x.fail(err)
	}
	if err := x.check(answer); err != nil {
		return nil, errors.Join(x.fail(err), quiet(answer.Body.Close()))
	}
	x.watch.enter(Body, x.u.o.BodyIdle)
	x.watch.pause(Body)
	return x.wrap(answer), nil
}

// answered tells whether the header of the final answer is here.
func (x *exchange) answered() bool {
	c := x.conn.Load()
	return c != nil && c.answered()
}

func (x *exchange) trace() *httptrace.ClientTrace {
	o := &x.u.o
	return &httptrace.ClientTrace{
		GotConn: x.gotConn,
		WroteRequest: func(info httptrace.WroteRequestInfo) {
			if info.Err == nil {
				x.watch.follow(Send, Header, o.Header)
			}
		},
		Got1xxResponse: func(status int, h textproto.MIMEHeader) error {
			if x.inform == nil {
				return nil
			}
			return x.inform(status, http.Header(h))
		},
	}
}

// gotConn runs before the request is written. A connection that is dead is closed here;
// nothing of the request has been touched then, so that Do can begin again.
func (x *exchange) gotConn(info httptrace.GotConnInfo) {
	c, ok := info.Conn.(*conn)
	if !ok {
		return
	}
	x.conn.Store(c)
	dead := !c.begin(time.Now()) && !x.last
	if x.stale.Store(dead); dead {
		_ = c.Close() // it is closed already, at the other end
	}
	x.watch.enter(Send, x.u.o.BodyIdle)
}

// fail makes an *Error of what the transport says.
func (x *exchange) fail(err error) error {
	defer x.end()
	var e *Error
	if errors.As(context.Cause(x.ctx), &e) || errors.As(err, &e) {
		return e
	}
	if ctxErr := x.ctx.Err(); ctxErr != nil {
		return fmt.Errorf("upstream %q: %w", x.u.name, context.Cause(x.ctx))
	}
	return &Error{Upstream: x.u.name, Stage: x.watch.at(), Err: err}
}

// end releases what the exchange holds.
func (x *exchange) end() {
	x.watch.stop()
	x.cancel(nil)
}

// check refuses what the transport lets pass.
func (x *exchange) check(answer *http.Response) error {
	if answer.StatusCode < 200 && answer.StatusCode != http.StatusSwitchingProtocols || answer.StatusCode > 999 {
		return errStatus
	}
	if answer.StatusCode == http.StatusSwitchingProtocols &&
		(x.asked == "" || !strings.EqualFold(answer.Header.Get("Upgrade"), x.asked)) {
		return errSwitch
	}
	for name := range answer.Header {
		if !httpguts.ValidHeaderFieldName(name) {
			return errName
		}
	}
	return nil
}

func (x *exchange) wrap(answer *http.Response) *http.Response {
	c := x.conn.Load()
	if rw, ok := answer.Body.(io.ReadWriteCloser); ok && answer.StatusCode == http.StatusSwitchingProtocols {
		x.watch.stop()
		answer.Body = &Tunnel{rw, c, x}
		return answer
	}
	x.remember(c, answer.Header.Get("Keep-Alive"))
	idle := x.u.o.BodyIdle
	if IsEventStream(answer.Header) {
		idle = x.u.o.StreamIdle
	}
	answer.Body = &answerBody{answer.Body, x, idle}
	return answer
}

// remember notes when the upstream says that it will close the idle connection.
func (x *exchange) remember(c *conn, keepAlive string) {
	if c == nil || keepAlive == "" {
		return
	}
	for part := range strings.SplitSeq(keepAlive, ",") {
		name, value, _ := strings.Cut(part, "=")
		seconds, err := strconv.ParseUint(strings.TrimSpace(value), 10, 16)
		if err == nil && strings.EqualFold(strings.TrimSpace(name), "timeout") {
			keep := time.Duration(seconds)*time.Second - time.Second
			c.until.Store(time.Now().Add(max(keep, 0)).UnixNano())
		}
	}
}

// IsEventStream tells whether an answer is one that goes on without a foreseeable end.
func IsEventStream(h http.Header) bool {
	t, _, _ := strings.Cut(h.Get("Content-Type"), ";")
	return strings.EqualFold(strings.TrimSpace(t), "text/event-stream")
}
