package gateway

import (
	"errors"
	"net/http"
	"strconv"
	"strings"

	"github.com/earshot-mq/earshot/gateway/upstream"
	"github.com/earshot-mq/earshot/internal/problem"
)

// refuse answers with a problem document. debug is for operators only.
func (c *call) refuse(status int, detail, debug string, more map[string]any) {
	if debug != "" && c.g.debug {
		if more == nil {
			more = map[string]any{}
		}
		more["debug"] = debug
	}
	h := c.w.Header()
	if c.exchange == nil { // otherwise the recorder sets it
		h["X-Request-Id"] = []string{c.id}
	}
	if asksWebSocket(c.r) {
		h["Connection"] = []string{"close"} // what the client has sent behind it is not HTTP
	}
	problem.Write(c.w, problem.Document{Status: status, Detail: detail, Instance: c.id, More: more})
}

// unrouted answers a request that no route takes.
func (c *call) unrouted(m Match) {
	if len(m.Allow) == 0 {
		c.refuse(http.StatusNotFound, "no route leads there", c.nearest(), nil)
		return
	}
	allow := strings.Join(m.Allow, ", ")
	c.w.Header()["Allow"] = []string{allow}
	c.refuse(http.StatusMethodNotAllowed, c.r.Method+" is not allowed here; allowed: "+allow, "", nil)
}

// nearest says of the route that is the likeliest to be meant why it does not match.
func (c *call) nearest() string {
	if !c.g.debug {
		return ""
	}
	most, text := -1, "there are no routes"
	for _, v := range c.now.table.Explain(c.r.Method, c.r.Host, c.r.URL.Path) {
		if n := commonPrefix(v.Route.Path, c.r.URL.Path); n > most {
			most, text = n, v.Route.String()+": "+v.Reason
		}
	}
	return text
}

func commonPrefix(a, b string) (n int) {
	for n < min(len(a), len(b)) && a[n] == b[n] {
		n++
	}
	return n
}

// failed answers for an upstream without an answer.
func (c *call) failed(e *upstream.Error) {
	c.report("upstream failed", e)
	status, verb := http.StatusBadGateway, "failed"
	if e.Timeout() {
		status, verb = http.StatusGatewayTimeout, "was too slow"
	}
	detail := "upstream " + strconv.Quote(e.Upstream) + " " + verb + ": " + e.Reason()
	c.refuse(status, detail, e.Error(), map[string]any{"upstream": e.Upstream, "stage": string(e.Stage)})
}

// report tells record and log why there is no answer, or not the whole of it. That the
// upstream fails, package upstream tells the log once, however many requests meet it.
func (c *call) report(what string, e *upstream.Error) {
	c.exchange.SetError(string(e.Stage) + ": " + e.Reason())
	c.g.log.Debug(what, "request", c.id, "route", c.route.Pattern(), "upstream", e.Upstream,
		"stage", string(e.Stage), "error", e)
}

// broken answers a client that has not sent its whole request in a form that can be
// read.
func (c *call) broken(cause error) {
	c.w.Header()["Connection"] = []string{"close"}
	var timeout interface{ Timeout() bool }
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(cause, &tooLarge):
		c.refuse(http.StatusRequestEntityTooLarge, "the body has more than "+strconv.FormatInt(tooLarge.Limit, 10)+" bytes", "", nil)
	case errors.As(cause, &timeout) && timeout.Timeout():
		c.refuse(http.StatusRequestTimeout, "nothing of the body within "+c.now.table.clientIdle.String(), "", nil)
	default:
		c.refuse(http.StatusBadRequest, "the body is not valid HTTP", cause.Error(), nil)
	}
}
