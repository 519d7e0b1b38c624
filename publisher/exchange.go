package publisher

import (
	"context"
	"sync"
)

// Exchange is what a handler may say about the exchange that it answers; the recorder
// puts it into the record. FromContext finds it. All methods may be called on a nil
// Exchange, where they do nothing, and from any goroutine; after the record is made
// they change nothing.
type Exchange struct {
	id string

	mu       sync.Mutex
	handling handling
	limit    int // bytes of the body; 0 is the recorder's own limit
	route    string
	upstream string
	cause    string
}

// handling says what the recorder does with an answer.
type handling uint8

const (
	recorded handling = iota // the rule
	skipped                  // no record of it is wanted
	passedOn                 // another recorder has recorded it
)

// FromContext is the exchange of the request with this context, or nil where no
// recorder stands above the handler.
func FromContext(ctx context.Context) *Exchange {
	x, _ := ctx.Value(exchangeKey{}).(*Exchange)
	return x
}

type exchangeKey struct{}

// exchangeContext is the request's context with the exchange in it. It is part of the
// response and not a context.WithValue, to spare an allocation.
type exchangeContext struct {
	context.Context
	exchange *Exchange
}

func (c *exchangeContext) Value(key any) any {
	if _, ok := key.(exchangeKey); ok {
		return c.exchange
	}
	return c.Context.Value(key)
}

// RequestID is the id that the record, the handler's request and the answer carry.
func (x *Exchange) RequestID() string {
	if x == nil {
		return ""
	}
	return x.id
}

// SetRoute sets the record's subject: the pattern that matched, never the path. Without
// it the pattern of an http.ServeMux is taken; if there is none either, the subject is
// empty.
func (x *Exchange) SetRoute(pattern string) {
	if x != nil {
		x.mu.Lock()
		x.route = pattern
		x.mu.Unlock()
	}
}

// SetUpstream sets who was asked for the answer.
func (x *Exchange) SetUpstream(name string) {
	if x != nil {
		x.mu.Lock()
		x.upstream = name
		x.mu.Unlock()
	}
}

// SetError sets why there is no answer of the upstream.
func (x *Exchange) SetError(text string) {
	if x != nil {
		x.mu.Lock()
		x.cause = text
		x.mu.Unlock()
	}
}

// SetBodyLimit lets the record have at most n bytes of the body, if that is less than
// the recorder's own limit; none if n is not above zero.
func (x *Exchange) SetBodyLimit(n int) {
	if x != nil {
		x.mu.Lock()
		if x.limit = n; n <= 0 {
			x.limit = -1
		}
		x.mu.Unlock()
	}
}

// Skip makes no record of the exchange. Call it before anything is written: the answer
// then leaves unbuffered and without a mark. Health and metrics, which must answer also
// when the journal is full, belong to RecorderOptions.Skip.
func (x *Exchange) Skip() { x.handle(skipped) }

// PassOn says that the answer is one that another recorder has recorded. Call it before
// anything is written: the answer then passes untouched and unbuffered, its mark kept
// unless the recorder conceals marks, and has no second record here.
func (x *Exchange) PassOn() { x.handle(passedOn) }

func (x *Exchange) handle(h handling) {
	if x != nil {
		x.mu.Lock()
		x.handling = h
		x.mu.Unlock()
	}
}

// handled is what was said last.
func (x *Exchange) handled() handling {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.handling
}

// bodyLimit is the smaller of the route's limit and most.
func (x *Exchange) bodyLimit(most int) int {
	x.mu.Lock()
	defer x.mu.Unlock()
	switch {
	case x.limit < 0:
		return 0
	case x.limit == 0:
		return most
	}
	return min(x.limit, most)
}
