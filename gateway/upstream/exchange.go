package upstream

import (
	"cmp"
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

// Do sends r to a replica, whose origin its URL gets, and returns the final answer. A
// request without a Host is sent the origin's. The body of the answer has to be closed;
// until then it may have Ready, and after a 101 it is a Tunnel. r must not be used again.
func (u *HTTP) Do(r *http.Request, inform Inform) (*http.Response, error) {
	if u.local == nil {
		hideIdempotencyKey(r.Header)
	}
	var tried [maxTries]*replica
	var failure error
	repeats, ours := 0, false
	for n := range maxTries {
		to, err := u.choose(r.Context(), tried[:n])
		if to == nil {
			failure = cmp.Or(failure, err)
			break
		}
		if tried[n] = to; n > 0 {
			u.retries.Add(1)
		}
		x, answer, err := to.do(r, inform)
		if err == nil {
			u.trouble.over()
			return answer, nil
		}
		failure, ours = err, x.ours.Load()
		if x.touched() {
			repeats++
		}
		if r.Context().Err() != nil || !x.elsewhere(r, err) || repeats > maxRepeats {
			break
		}
		u.again()
	}
	var e *Error
	if !ours && errors.As(failure, &e) {
		u.count(e)
	}
	return nil, failure
}

// do sends r to this replica. A kept connection that turns out to be dead before
// anything was written is left for another one.
func (r *replica) do(q *http.Request, inform Inform) (*exchange, *http.Response, error) {
	for try := 1; ; try++ {
		x := &exchange{u: r.u, to: r, inform: inform, last: try > maxStale}
		answer, err := x.do(q)
		if err == nil || !x.again(err) || q.Context().Err() != nil {
			return x, answer, err
		}
	}
}

// again tells whether the request may be sent once more: the connection was dead before
// anything was written, and no other could be tried.
func (x *exchange) again(err error) bool {
	return x.stale.Load() && !x.took.Load() && !x.last && !unreachable(err)
}

// elsewhere tells whether the request may be sent to another replica: nothing of it was
// sent, or it may be repeated (RFC 9110 9.2.2), the connection died, and no byte of an
// answer has come.
func (x *exchange) elsewhere(r *http.Request, err error) bool {
	x.left.Store(true) // before took is looked at: the transport may be about to read
	if x.ours.Load() || x.took.Load() || x.u.local != nil {
		return false
	}
	if unreachable(err) || !x.touched() {
		return true
	}
	var e *Error
	died := errors.As(err, &e) && (e.Stage == Send || e.Stage == Header) && !e.Timeout()
	return died && !x.conn.Load().heard.Load() && repeatable(r)
}

// touched tells whether something of the request may have been sent.
func (x *exchange) touched() bool {
	c := x.conn.Load()
	return c != nil && c.touched.Load()
}

func unreachable(err error) bool {
	var e *Error
	return errors.As(err, &e) && (e.Stage == Dial || e.Stage == TLS)
}

// repeatable tells whether a request can do nothing twice. PUT and DELETE can't either
// by their definition, and many do.
func repeatable(r *http.Request) bool {
	return (r.Body == nil || r.Body == http.NoBody) &&
		(r.Method == http.MethodGet || r.Method == http.MethodHead || r.Method == http.MethodOptions)
}

// count notes an exchange that failed for good.
func (u *HTTP) count(e *Error) {
	u.failures.Add(1)
	u.trouble.note(e)
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
	to     *replica
	began  time.Time
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
	ours   atomic.Bool // it failed on this side: the client's body, or an interim answer
	left   atomic.Bool // the request was sent elsewhere
	ended  atomic.Bool
}

func (x *exchange) do(r *http.Request) (*http.Response, error) {
	x.began = time.Now()
	x.to.inFlight.Add(1)
	x.ctx, x.cancel = context.WithCancelCause(r.Context())
	x.watch = newWatch(x.u.name, x.cancel)
	x.asked = r.Header.Get("Upgrade")
	x.expects = httpguts.HeaderValuesContainsToken(r.Header["Expect"], "100-continue")
	answer, err := x.roundTrip(r)
	if err != nil {
		return nil, x.fail(err)
	}
	if err := x.check(answer); err != nil {
		return nil, errors.Join(x.fail(err), quiet(answer.Body.Close()))
	}
	x.to.answered(x.began)
	x.watch.enter(Body, x.u.o.BodyIdle)
	x.watch.pause(Body)
	return x.wrap(answer), nil
}

func (x *exchange) roundTrip(r *http.Request) (*http.Response, error) {
	ctx := x.ctx
	if x.u.local == nil {
		ctx = httptrace.WithClientTrace(ctx, x.trace())
	}
	out := r.WithContext(ctx)
	target := *r.URL // the transport of an earlier try may still be reading it
	target.Scheme, target.Host = x.to.source.origin.Scheme, x.to.source.origin.Host
	out.URL = &target
	if r.Body != nil && r.Body != http.NoBody {
		out.Body = &requestBody{r.Body, x}
	}
	if x.u.local != nil {
		return x.u.local.roundTrip(out, x)
	}
	return x.to.transport.RoundTrip(out)
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
			err := x.inform(status, http.Header(h))
			x.ours.Store(err != nil)
			return err
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

// fail makes an *Error of what the transport says, and tells the replica where it is to
// blame.
func (x *exchange) fail(err error) error {
	defer x.end()
	stage := x.watch.at()
	var e *Error
	switch {
	case errors.As(context.Cause(x.ctx), &e):
	case x.ctx.Err() != nil:
		if stage == Header && errors.Is(x.ctx.Err(), context.DeadlineExceeded) {
			x.to.lost(&Error{Upstream: x.u.name, Stage: stage, Err: context.DeadlineExceeded})
		}
		return fmt.Errorf("upstream %q: %w", x.u.name, context.Cause(x.ctx))
	case !errors.As(err, &e):
		e = &Error{Stage: stage, Err: err}
	}
	e = &Error{Upstream: x.u.name, Replica: x.to.String(), Stage: e.Stage, Limit: e.Limit, Err: e.Err}
	if x.blames(e, stage) {
		x.to.lost(e)
	}
	return e
}

// blames tells whether the replica is at fault: it can't be reached, or has not answered
// what it got. What came of a dead connection is nobody's, and an answer has come already
// of whom its body fails.
func (x *exchange) blames(e *Error, stage Stage) bool {
	switch {
	case x.ours.Load():
		return false
	case unreachable(e):
		return true
	case x.stale.Load() || e.Stage == Body:
		return false
	}
	return e.Stage != Total || stage == Header
}

// end releases what the exchange holds.
func (x *exchange) end() {
	x.watch.stop()
	x.cancel(nil)
	if !x.ended.Swap(true) {
		x.to.inFlight.Add(-1)
	}
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
	for name, values := range answer.Header {
		if !httpguts.ValidHeaderFieldName(name) {
			return errName
		}
		for _, v := range values {
			if x.u.local != nil && !httpguts.ValidHeaderFieldValue(v) { // on a connection the scanner has looked
				return errValue
			}
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
