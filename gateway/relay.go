package gateway

import (
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/http/httpguts"

	"github.com/earshot-mq/earshot/gateway/upstream"
	"github.com/earshot-mq/earshot/publisher"
)

// relay passes an answer on.
func (c *call) relay(answer *http.Response) {
	defer func() { _ = answer.Body.Close() }() // what can fail has been read, or is thrown away
	own := c.w.Header()
	c.copyHeader(own, answer)
	if asksWebSocket(c.r) {
		own["Connection"] = []string{"close"} // the strict listener judges nothing after it
	}
	announced := trailerNames(answer.Trailer)
	if len(announced) > 0 {
		own["Trailer"] = []string{strings.Join(announced, ", ")}
	}
	if c.body.unread() && c.r.ProtoMajor == 1 {
		// Otherwise net/http would read the rest of the request before it lets the answer
		// go. A writer that can't be told has no such habit. And it would read that rest while
		// it waits for the next request already, which must not come therefore.
		_ = c.control.EnableFullDuplex()
		own["Connection"] = []string{"close"}
	}
	c.w.WriteHeader(answer.StatusCode)
	c.stream(answer)
	c.trailers(answer.Trailer, announced)
}

// copyHeader says in own what the client gets, and to the recorder who records it.
func (c *call) copyHeader(own http.Header, answer *http.Response) {
	for name, values := range endToEnd(answer.Header, nil) {
		own[name] = values
	}
	if _, typed := own["Content-Type"]; !typed {
		own["Content-Type"] = nil // net/http would guess one
	}
	mark, marked := answer.Header[publisher.MarkHeader]
	if marked && c.target.marked {
		c.exchange.PassOn()
		if c.g.expose {
			own[publisher.MarkHeader] = mark
		}
		if len(own["X-Request-Id"]) > 0 {
			return // the one that the record has
		}
	} else {
		c.exchange.SetBodyLimit(c.route.body)
	}
	own["X-Request-Id"] = []string{c.id}
}

// stream copies the body. An answer whose length is not known may be one that goes on
// bit by bit, so each bit leaves as it comes, and the header too when nothing of the body
// is there yet.
func (c *call) stream(answer *http.Response) {
	if c.r.Method == http.MethodHead || answer.ContentLength == 0 {
		return
	}
	events := upstream.IsEventStream(answer.Header)
	live := answer.ContentLength < 0 || events
	early, ok := answer.Body.(interface{ Ready() bool })
	if live && (!ok || !early.Ready() || events) {
		c.flush()
	}
	buffer := buffers.Get().(*[bufferSize]byte)
	defer buffers.Put(buffer)
	for {
		n, err := answer.Body.Read(buffer[:])
		if n > 0 {
			c.write(buffer[:n])
			if live && err == nil {
				c.flush()
			}
		}
		if err == io.EOF {
			return
		}
		if err != nil {
			c.cut(err)
		}
	}
}

const bufferSize = 32 << 10

var buffers = sync.Pool{New: func() any { return new([bufferSize]byte) }}

func (c *call) write(p []byte) {
	c.patience()
	if _, err := c.w.Write(p); err != nil {
		c.gone(err)
	}
}

func (c *call) flush() {
	c.patience()
	if err := c.control.Flush(); err != nil && !errors.Is(err, http.ErrNotSupported) {
		c.gone(err)
	}
}

// patience is how long the client may take over the next write. net/http takes the
// deadline away when the handler has returned and the answer is through.
func (c *call) patience() {
	_ = c.control.SetWriteDeadline(time.Now().Add(c.now.table.clientIdle)) // a writer without deadlines has its own limits
}

// cut breaks the answer off for the client as the upstream has for us.
func (c *call) cut(err error) {
	var e *upstream.Error
	if c.r.Context().Err() != nil || !errors.As(err, &e) {
		c.gone(err)
	}
	c.report("upstream broke its answer off", e)
	panic(http.ErrAbortHandler)
}

func (c *call) gone(err error) {
	c.exchange.SetError("the client went away")
	c.g.log.Debug("client went away", "request", c.id, "route", c.route.Pattern(), "error", err)
	panic(http.ErrAbortHandler)
}

// trailers passes on the fields after the body. Some may come that were not announced;
// the client can only be told of them where the body has an end of its own, which Flush
// makes sure of.
func (c *call) trailers(fields http.Header, announced []string) {
	c.patience()
	if len(fields) == 0 {
		return
	}
	own := c.w.Header()
	var late []string
	for _, name := range trailerNames(fields) {
		if !slices.Contains(announced, name) {
			late = append(late, name)
			continue
		}
		own[name] = fields[name]
	}
	if len(late) == 0 {
		return
	}
	c.flush()
	for _, name := range late {
		own[http.TrailerPrefix+name] = fields[name]
	}
}

// trailerNames are the fields that may stand behind a body: none that says how the
// message is read.
func trailerNames(fields http.Header) (names []string) {
	for name := range fields {
		if httpguts.ValidTrailerHeader(name) && !connectionFields[name] && !ownFields[name] {
			names = append(names, name)
		}
	}
	return names
}
