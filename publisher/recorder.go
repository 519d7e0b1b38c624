package publisher

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/earshot-mq/earshot/internal/problem"
	"github.com/earshot-mq/earshot/publisher/record"
)

// sink is what a Recorder needs of a Stream.
type sink interface {
	// Mark is "stream/epoch".
	Mark() string
	// Reserve makes sure of room for one record, or waits for it a bounded time.
	// release gives the room back after Publish.
	Reserve(ctx context.Context) (release func(), err error)
	// Publish numbers the records, sets their ID and returns when they are safe or the
	// bounded wait for that is over. It keeps nothing of rs and logs its own failures.
	Publish(ctx context.Context, rs ...*record.Record) error
}

// RecorderOptions tunes a Recorder. Every zero field means its default.
type RecorderOptions struct {
	Redactor  *Redactor                // default: NewRedactor's own
	Trusted   []netip.Prefix           // peers whose forwarding headers and request ids are believed; default none
	Client    ClientForm               // how a record has the client's address; default ClientFull
	HMACKey   []byte                   // for ClientHMAC, at least 16 bytes
	MaxBody   int                      // bytes of a body in a record; default and most record.MaxBody
	Conceal   bool                     // marks are left off the answers: the outermost gateway's, unless it is to expose them
	Skip      func(*http.Request) bool // requests that are never recorded and need no room: health, metrics
	OpenAfter time.Duration            // a stream that is open so long has a line that says so; default 10 s
	Observe   func(Observation)        // gets each answer, for metrics; default none
	Logger    *slog.Logger             // default: discard
}

// Observation is one answer, recorded here or passed on. Clients can't make more of them
// differ than there are routes and statuses, but for Took.
type Observation struct {
	Route  string        // the pattern, as the record's subject has it; "" if none matched
	Status int           // 0 if nothing has left
	Took   time.Duration // until all of the answer had left; for a stream, until its handler returned
	Stream bool          // an event stream, or a connection that was taken over: it lasts as long as it wants
}

// Recorder makes a record of every answer of a handler. The end of an answer waits for
// its record: whoever got the whole answer finds its line in the log.
//
// A body of at most 64 KiB that is not flushed leaves whole, after its record. Flush
// ends the buffering, and so does a longer body: then only the end waits, which is the
// last byte where the length was announced, otherwise the mark that ends the body.
// Event streams, upgrades and hijacked connections are not delayed at all.
//
// Beyond that a recorded answer is the one that net/http would have sent by itself,
// with two header fields more, Earshot-Record and X-Request-Id. What a wrapper cannot
// keep is one thing: http.MaxBytesReader no longer closes the connection of a request
// that was too large.
type Recorder struct {
	sink      sink
	redactor  *Redactor
	clients   clients
	maxBody   int
	conceal   bool
	skip      func(*http.Request) bool
	openAfter time.Duration
	observe   func(Observation)
	log       *slog.Logger

	mu      sync.Mutex // guards the streams that are open
	open    map[*response]struct{}
	cutting atomic.Bool   // no stream goes on
	empty   chan struct{} // closed by the last stream that ends, while cutting
}

// NewRecorder makes a Recorder that publishes to s, a Stream.
func NewRecorder(s sink, o RecorderOptions) (*Recorder, error) {
	clients, err := newClients(o.Trusted, o.Client, o.HMACKey)
	if err != nil {
		return nil, err
	}
	if o.MaxBody < 0 || o.MaxBody > record.MaxBody {
		return nil, fmt.Errorf("publisher: body limit %d: not between 0 and %d bytes", o.MaxBody, record.MaxBody)
	}
	if o.MaxBody == 0 {
		o.MaxBody = record.MaxBody
	}
	if o.Redactor == nil {
		if o.Redactor, err = NewRedactor(RedactorOptions{}); err != nil {
			return nil, err
		}
	}
	if o.OpenAfter == 0 {
		o.OpenAfter = 10 * time.Second
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Recorder{
		sink: s, redactor: o.Redactor, clients: clients, maxBody: o.MaxBody, conceal: o.Conceal,
		skip: o.Skip, openAfter: o.OpenAfter, observe: o.Observe, log: o.Logger, open: map[*response]struct{}{},
	}, nil
}

// Wrap is next with its answers recorded. It has to be the plain handler of the server,
// above any router: what a router answers by itself is an answer too. Compression, if
// any, stands above it.
func (rec *Recorder) Wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { rec.serve(next, w, r) })
}

func (rec *Recorder) serve(next http.Handler, w http.ResponseWriter, r *http.Request) {
	delete(r.Header, MarkHeader) // a client has no say in what is recorded
	if rec.skip != nil && rec.skip(r) {
		next.ServeHTTP(w, r)
		return
	}
	p := &response{rec: rec, under: w, start: time.Now(), declared: -1}
	p.take(r)
	release, err := rec.sink.Reserve(r.Context())
	if err != nil {
		rec.refuse(p, err)
		return
	}
	p.release = release
	p.begin(r)
	if rec.observe != nil {
		defer p.observe()
	}
	defer func() { r.MultipartForm = p.request.MultipartForm }() // whose files net/http removes
	defer p.end()
	next.ServeHTTP(p.writer(), p.request)
	p.returned = true
}

// take reads of the request what the record needs, and cleans it for the handler.
func (p *response) take(r *http.Request) {
	client, trusted := p.rec.clients.of(r)
	p.exchange.id = requestID(r.Header, trusted, p.start)
	p.values[0] = p.exchange.id
	r.Header[headerRequestID] = p.values[0:1:1]

	x := &p.record
	x.Traceparent = takeTraceparent(r.Header)
	x.HTTP.Method, x.HTTP.Path, x.HTTP.Query = r.Method, r.URL.EscapedPath(), r.URL.RawQuery
	x.HTTP.Client, x.HTTP.Request = client, p.exchange.id
	p.head = r.Method == http.MethodHead
	p.proto = r.ProtoMajor<<8 | r.ProtoMinor
}

// refuse answers a request for whose record there is no room. Nothing has been done for
// it yet, so the client may ask again.
func (rec *Recorder) refuse(p *response, err error) {
	rec.log.Warn("request refused", "request", p.exchange.id, "error", err)
	h := p.under.Header()
	h.Set("Retry-After", "1")
	if errors.Is(err, ErrClosed) {
		h.Set("Connection", "close")
	}
	h.Set(headerRequestID, p.exchange.id)
	problem.Write(p.under, problem.Document{
		Status: http.StatusServiceUnavailable, Instance: p.exchange.id,
		Detail: "The answer could not be recorded, so nothing was done. Try again.",
	})
	if rec.observe != nil {
		rec.observe(Observation{Status: http.StatusServiceUnavailable, Took: time.Since(p.start)})
	}
}
