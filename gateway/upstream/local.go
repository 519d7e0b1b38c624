package upstream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/netip"
	"net/textproto"
	"net/url"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/http/httpguts"

	"github.com/earshot-mq/earshot/internal/queue"
)

// NewLocal makes an upstream of a handler in this process. It is asked without a
// connection, but as a server would ask it: in a goroutine of its own, with a request that
// has nothing of the client's context, from the address LocalAddr, and what it answers is
// what net/http would have sent. There is no connection to be taken over, so it can't switch
// protocols. Of the options those of dialling, balancing and health mean nothing.
func NewLocal(name string, h http.Handler, o Options) *HTTP {
	u := &HTTP{name: name, o: o.withDefaults(), news: make(chan struct{}, 1), local: &local{handler: h}}
	u.trouble.log = u.o.Logger.With("upstream", name)
	u.sources = []*source{{origin: &url.URL{Scheme: "http", Host: name}, told: []netip.AddrPort{{}}}}
	u.replicas.Store(new([]*replica))
	u.renew()
	return u
}

// LocalAddr is what the handler of NewLocal sees as the address of its client.
const LocalAddr = "127.0.0.1:0"

// local is a handler that is asked in this process.
type local struct {
	handler http.Handler
	running atomic.Int64
}

// leave is how long handlers have to return, at the end, whose client has gone.
const leave = time.Second

// run waits until ctx is done, and then for the handlers that still run. It fails if some
// stay.
func (l *local) run(ctx context.Context) error {
	<-ctx.Done()
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	for end := time.Now().Add(leave); l.running.Load() > 0; <-look.C {
		if time.Now().After(end) {
			return fmt.Errorf("%d requests have not ended", l.running.Load())
		}
	}
	return nil
}

// roundTrip asks the handler, and returns when the header of its answer is here.
func (l *local) roundTrip(r *http.Request, x *exchange) (*http.Response, error) {
	if err := asServed(r); err != nil {
		return nil, err
	}
	if r.Body == http.NoBody {
		x.watch.enter(Header, x.u.o.Header)
	} else {
		x.watch.enter(Send, x.u.o.BodyIdle)
		b := &localBody{ReadCloser: r.Body, x: x}
		b.left.Store(r.ContentLength)
		r.Body = b
	}
	w := newAnswer(r, x)
	l.running.Add(1)
	go l.serve(w, r)
	select {
	case <-w.left:
	case <-x.ctx.Done():
	}
	if x.ctx.Err() != nil { // perhaps it answers only because it was told
		w.drop()
		return nil, context.Cause(x.ctx)
	}
	x.watch.follow(Send, Header, x.u.o.Header) // it may have taken nothing of the request, but not for its time
	return w.response, w.failure
}

// asServed makes a request that a transport would send one that a server has read.
func asServed(r *http.Request) error {
	if r.Host == "" {
		r.Host = r.URL.Host
	}
	r.RequestURI, r.RemoteAddr = r.URL.RequestURI(), LocalAddr
	u, err := url.ParseRequestURI(r.RequestURI)
	if err != nil {
		return fmt.Errorf("upstream: %w", err)
	}
	r.URL = u
	if v := r.Header["User-Agent"]; len(v) == 1 && v[0] == "" { // so a transport is told to send none
		delete(r.Header, "User-Agent")
	}
	if r.Body == nil {
		r.Body = http.NoBody
	}
	switch {
	case r.ContentLength > 0 || r.ContentLength == 0 && (r.Method == http.MethodPost || r.Method == http.MethodPut || r.Method == http.MethodPatch):
		r.Header["Content-Length"] = []string{strconv.FormatInt(r.ContentLength, 10)}
	case r.ContentLength < 0:
		r.TransferEncoding = []string{"chunked"}
	}
	return nil
}

// localBody is a request's body as the handler reads it. With its end the time of the
// answer's header begins.
type localBody struct {
	io.ReadCloser
	x       *exchange
	left    atomic.Int64 // bytes that are to come; negative: not known
	over    atomic.Bool  // there is no more of it
	drained atomic.Bool  // the rest of it is thrown away
}

func (b *localBody) Read(p []byte) (int, error) {
	if b.drained.Load() {
		return 0, http.ErrBodyReadAfterClose
	}
	n, err := b.ReadCloser.Read(p)
	b.left.Add(-int64(n))
	if err == io.EOF { // one that somebody has wrapped is no end
		b.x.watch.follow(Send, Header, b.x.u.o.Header)
	}
	if err != nil {
		b.over.Store(true)
	}
	return n, err
}

// mostRest is the most that is read of a body that the handler has left; it is net/http's.
const mostRest = 256 << 10

// drain reads what is left of the body, as a server does before it lets an answer go: most
// clients send all of a request before they read, and use the connection again. One that
// waits to be asked for it is not asked for that.
func (b *localBody) drain() {
	if b.over.Load() || b.x.expects && !b.x.took.Load() || b.left.Load() >= mostRest {
		return
	}
	if _, err := io.CopyN(io.Discard, b, mostRest+1); errors.Is(err, io.EOF) {
		b.drained.Store(true)
	}
}

// serve runs the handler. What it says is the client's as long as the exchange lasts, and
// nothing of the client's context is its own.
func (l *local) serve(w *answer, q *http.Request) {
	defer l.running.Add(-1)
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	defer context.AfterFunc(w.x.ctx, func() {
		if !w.isWhole() {
			cancel(context.Cause(w.x.ctx))
		}
	})()
	returned := false
	defer func() {
		cause := recover()
		if cause != nil && cause != http.ErrAbortHandler { //nolint:errorlint // it is compared as net/http does
			w.x.u.trouble.log.Error("handler panicked", "panic", fmt.Sprint(cause), "stack", string(debug.Stack()))
		}
		w.end(!returned)
	}()
	q = q.WithContext(ctx)
	defer func() {
		if q.MultipartForm != nil {
			_ = q.MultipartForm.RemoveAll() // as net/http does it, who can't be told either
		}
	}()
	l.handler.ServeHTTP(w, q)
	returned = true
}

// errBroken is of an answer whose handler broke it off.
var errBroken = fmt.Errorf("the handler broke it off: %w", io.ErrUnexpectedEOF)

// errDropped is what a handler gets whose answer nobody reads any more.
var errDropped = errors.New("upstream: nobody reads the answer any more")

// answer is the http.ResponseWriter of a local handler, and the body that is read at the
// other end: at most localBuffer bytes are between the two.
type answer struct {
	x    *exchange
	head bool       // the method is HEAD
	rest *localBody // of the request; nil if there is none, or the handler wants to go on reading

	// Of the handler's goroutine, until left is closed.
	header   http.Header
	status   int
	declared int64 // announced length of the body, or -1
	written  int64
	typed    bool        // nothing is to be sniffed
	sent     http.Header // as it was when the handler wrote it

	left     chan struct{} // closed when what follows is set
	response *http.Response
	failure  error

	mu    sync.Mutex // guards what follows
	body  []byte     // written and not read; until left is closed all that was written
	read  int        // bytes of it that were read
	over  error      // no more will be written: io.EOF, or why
	taken int64      // of the body that is announced
	whole bool       // all of the answer was read, though the handler may still run
	gone  bool       // nobody reads any more
	room  chan struct{}
	bytes chan struct{}
}

const localBuffer = 64 << 10

func newAnswer(r *http.Request, x *exchange) *answer {
	rest, _ := r.Body.(*localBody)
	return &answer{
		x: x, head: r.Method == http.MethodHead, rest: rest, header: http.Header{}, declared: -1,
		left: make(chan struct{}), room: make(chan struct{}, 1), bytes: make(chan struct{}, 1),
	}
}

// Header is the header, until it is written; then it is that of trailers.
func (w *answer) Header() http.Header { return w.header }

// WriteHeader writes it, or an interim one. As with net/http what is no status panics.
func (w *answer) WriteHeader(status int) {
	switch {
	case status < 100 || status > 999:
		panic("upstream: invalid WriteHeader code " + strconv.Itoa(status))
	case w.status != 0:
		return
	case status < 200 && status != http.StatusSwitchingProtocols:
		w.interim(status)
		return
	}
	w.status, w.sent = status, w.header.Clone()
	w.declared = -1
	if n, err := strconv.ParseInt(w.sent.Get("Content-Length"), 10, 64); err == nil && n >= 0 {
		w.declared = n
	} else {
		delete(w.sent, "Content-Length")
	}
	_, w.typed = w.sent["Content-Type"]
	maps.DeleteFunc(w.sent, func(_ string, v []string) bool { return len(v) == 0 }) // they have no line
	w.typed = w.typed || w.sent.Get("Content-Encoding") != "" || w.sent.Get("Transfer-Encoding") != ""
}

// interim gives an interim answer. 100 is none of the handler's: it is sent when the body is
// read.
func (w *answer) interim(status int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if status == http.StatusContinue || w.x.inform == nil || w.gone {
		return
	}
	if err := w.x.inform(status, w.header.Clone()); err != nil {
		w.x.ours.Store(true)
		w.x.cancel(err)
	}
}

// Write waits while too much is unread.
func (w *answer) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	if len(p) == 0 {
		return 0, nil
	}
	if !w.bodyAllowed() {
		return 0, http.ErrBodyNotAllowed
	}
	if w.declared >= 0 && w.written+int64(len(p)) > w.declared {
		return 0, http.ErrContentLength
	}
	w.written += int64(len(p))
	for n := 0; ; {
		taken, err := w.put(p[n:])
		if n += taken; n == len(p) || err != nil {
			return n, err
		}
		w.leave(false)
		select {
		case <-w.room:
		case <-w.x.ctx.Done():
			return n, errDropped
		}
	}
}

// put takes as much as there is room for. Of what HEAD is answered only the beginning is
// looked at, for its type.
func (w *answer) put(p []byte) (n int, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.gone || w.over != nil { // or the handler has leaked it, and returned
		return 0, errDropped
	}
	if w.read == len(w.body) || w.read >= localBuffer { // a reader may never be quite through
		w.body, w.read = w.body[:copy(w.body, w.body[w.read:])], 0
	}
	n = min(len(p), localBuffer-(len(w.body)-w.read))
	w.body = append(w.body, p[:n]...)
	if n > 0 {
		queue.Signal(w.bytes)
	}
	if w.head {
		return len(p), nil
	}
	return n, nil
}

func (w *answer) bodyAllowed() bool {
	return w.status >= 200 && w.status != http.StatusNoContent && w.status != http.StatusNotModified
}

func (w *answer) hasBody() bool { return !w.head && w.bodyAllowed() }

// FlushError lets the header and what was written go.
func (w *answer) FlushError() error {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	w.leave(false)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.gone {
		return errDropped
	}
	return nil
}

// EnableFullDuplex lets the handler read on after it has begun to answer.
func (w *answer) EnableFullDuplex() error {
	w.rest = nil
	return nil
}

// Flush is FlushError for who can't be told.
func (w *answer) Flush() { _ = w.FlushError() }

// leave gives the header to whoever asked. whole: the handler has returned.
func (w *answer) leave(whole bool) {
	if w.response != nil || w.failure != nil {
		return
	}
	if w.rest != nil {
		w.rest.drain()
	}
	h := w.sent
	answer := &http.Response{
		StatusCode: w.status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: h, Body: w.reader(), ContentLength: w.declared,
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	first := w.body[:min(len(w.body), 512)] // what http.DetectContentType looks at
	if len(first) > 0 && !w.typed {
		h["Content-Type"] = []string{http.DetectContentType(first)}
	}
	if w.hasBody() && w.declared < 0 { // a length ends the body: there is nothing behind it
		w.announced(answer, whole)
	}
	coded := h.Get("Transfer-Encoding") != ""
	w.asRead(h)
	if whole && answer.Trailer == nil && w.bodyAllowed() && w.declared < 0 && !coded && (!w.head || w.written > 0) {
		h["Content-Length"] = []string{strconv.FormatInt(w.written, 10)}
		answer.ContentLength = w.written
	}
	if !w.bodyAllowed() {
		answer.ContentLength = 0
	}
	w.whole = !w.hasBody() || w.declared == 0
	w.response = answer
	close(w.left)
}

// newlines are made spaces of by a server.
var newlines = strings.NewReplacer("\n", " ", "\r", " ")

// asRead makes of the header that a handler has written what a transport reads of what a
// server sends.
func (w *answer) asRead(h http.Header) {
	delete(h, "Transfer-Encoding")
	if !w.bodyAllowed() {
		delete(h, "Content-Length")
	}
	if w.status == http.StatusNotModified {
		delete(h, "Content-Type")
	}
	for name, values := range h {
		if !httpguts.ValidHeaderFieldName(name) {
			delete(h, name)
			continue
		}
		for i, v := range values {
			values[i] = textproto.TrimString(newlines.Replace(v))
		}
		if key := http.CanonicalHeaderKey(name); key != name {
			delete(h, name)
			h[key] = append(h[key], values...)
		}
	}
}

// announced puts the trailers that are known by now into the answer, without values.
func (w *answer) announced(answer *http.Response, whole bool) {
	for _, line := range w.sent["Trailer"] {
		for name := range strings.SplitSeq(line, ",") {
			announce(answer, strings.TrimSpace(name))
		}
	}
	all := w.sent
	if whole {
		all = w.header // what was set since may be some
	}
	for name := range all {
		if after, ok := strings.CutPrefix(name, http.TrailerPrefix); ok {
			announce(answer, after)
			delete(w.sent, name)
		}
	}
}

func announce(answer *http.Response, name string) (key string) {
	if answer.Trailer == nil {
		answer.Trailer = http.Header{}
	}
	key = http.CanonicalHeaderKey(name)
	answer.Trailer[key] = nil
	return key
}

// end notes that the handler has returned, or broken the answer off.
func (w *answer) end(broken bool) {
	over := io.EOF
	switch {
	case broken && w.response == nil:
		w.failure = errBroken
		close(w.left)
		return
	case broken:
		over = errBroken
	case w.status == 0:
		w.WriteHeader(http.StatusOK)
	}
	if over == io.EOF && w.hasBody() && w.declared >= 0 && w.written != w.declared { //nolint:errorlint // it was set here
		over = fmt.Errorf("the handler wrote %d bytes of %d: %w", w.written, w.declared, io.ErrUnexpectedEOF)
	}
	if over == io.EOF && w.x.ctx.Err() != nil { //nolint:errorlint // it was set here
		over = context.Cause(w.x.ctx) // it may have returned only because it was told
	}
	w.leave(true)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.over = over
	queue.Signal(w.bytes)
}

// trailers sets those of the answer that the handler has set until its end, announced or
// not. It is called by who reads that end.
func (w *answer) trailers() {
	if w.response.ContentLength >= 0 {
		return
	}
	for name := range w.response.Trailer {
		w.response.Trailer[name] = w.header[name]
	}
	for name, v := range w.header {
		if after, ok := strings.CutPrefix(name, http.TrailerPrefix); ok {
			w.response.Trailer[announce(w.response, after)] = v
		}
	}
}

// isWhole tells whether the client has all of the answer: it is no longer one that has gone.
func (w *answer) isWhole() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.whole
}

// drop notes that nobody reads the answer any more.
func (w *answer) drop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.gone = true
	queue.Signal(w.room)
}

func (w *answer) reader() io.ReadCloser {
	if !w.hasBody() {
		return http.NoBody
	}
	return &answerReader{w}
}

// answerReader is the body of an answer.
type answerReader struct{ w *answer }

// Read returns io.EOF only at the end of the whole body.
func (r *answerReader) Read(p []byte) (int, error) {
	for {
		n, err := r.w.take(p)
		if n > 0 || err != nil || len(p) == 0 {
			return n, err
		}
		select {
		case <-r.w.bytes:
		case <-r.w.x.ctx.Done():
			return 0, context.Cause(r.w.x.ctx)
		}
	}
}

func (w *answer) take(p []byte) (n int, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	n = copy(p, w.body[w.read:])
	w.read += n
	if w.read == len(w.body) {
		err = w.over
	}
	if err == io.EOF { //nolint:errorlint // it was set here
		w.trailers()
	}
	if w.taken += int64(n); w.taken == w.declared { // its length is its end
		w.whole, err = true, io.EOF
	}
	if n > 0 {
		queue.Signal(w.room)
	}
	return n, err
}

// Close says that no more is read.
func (r *answerReader) Close() error {
	r.w.drop()
	return nil
}

// ready tells whether some of the body is here.
func (w *answer) ready() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.read < len(w.body)
}
