package publisher

import (
	"maps"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/earshot-mq/earshot/publisher/record"
)

// Sizes, in bytes.
const (
	bufferSize   = 64 << 10 // a body that fits leaves whole
	bufferSize10 = 1 << 20  // the same to an HTTP/1.0 client, whose end of a body is no mark otherwise
	sniffSize    = 512      // what http.DetectContentType looks at
	overlap      = 1 << 10  // kept beyond the limit of a body, so that redaction sees whole what the limit cuts
)

// phase is how far an answer is.
type phase uint8

const (
	buffering phase = iota // nothing has left
	streaming              // the header has left
	hijacked               // the handler has the connection
	over                   // the handler has returned
)

// response is one exchange: the exchange as its handler sees it, the answer on its way
// and the record of it. It is not pooled, since a handler may leak it into goroutines
// that live on; its buffers are, and are taken away when the handler returns.
//
// All but what stands under a mutex belongs to the goroutine of the handler.
type response struct {
	rec      *Recorder
	under    http.ResponseWriter
	request  *http.Request // as the handler got it
	exchange Exchange
	context  exchangeContext
	record   record.Record
	records  [1]*record.Record
	release  func()
	start    time.Time
	values   [3]string   // of header fields: the id in the request, the id and the mark in the answer
	before   http.Header // fields that were set above the recorder

	head     bool   // the method is HEAD
	proto    int    // major<<8 | minor
	status   int    // 0: not said yet
	declared int64  // announced length of the body, or -1
	media    string // media type without parameters
	sniffed  string // Content-Type, if the handler left that to the server
	typed    bool   // nothing is to be sniffed
	encoded  bool   // the body has a content coding
	bodyless bool   // the header is the whole answer: a HEAD's, a 204, a 304, length 0
	stream   bool   // has its line when it ends, and is never delayed

	phase    phase
	plain    bool // no record is made here; all passes through
	returned bool // the handler has returned, and not by panic
	broken   bool // the client did not take what was written
	lost     bool // the record could not be published: the answer must not say so
	written  int64
	buffers  *buffers // nil before anything is written, and when nothing is to be kept
	capture  int      // most bytes to keep for the record once the answer streams
	holding  bool     // the last byte is held back
	held     byte
	sent     atomic.Int64 // bytes given to net/http; the timer of a stream reads it too

	line  sync.Mutex // held while a line is published, so that a stream's two come in order
	done  bool       // the last line is published
	timer *time.Timer
	conn  *hijackedConn
}

// buffers are what an answer borrows: its body, and its header as it was when the
// handler wrote it.
type buffers struct {
	body   []byte
	header []field
}

type field struct {
	key    string
	values []string
}

var bufferPool = sync.Pool{New: func() any { return &buffers{body: make([]byte, 0, 4<<10)} }}

func (p *response) borrow() *buffers {
	if p.buffers == nil {
		p.buffers = bufferPool.Get().(*buffers)
	}
	return p.buffers
}

// giveBack returns the buffers, unless an HTTP/1.0 client has made them too large.
func (p *response) giveBack() {
	b := p.buffers
	if p.buffers = nil; b == nil || cap(b.body) > 2*bufferSize {
		return
	}
	clear(b.header) // a pool must not keep headers alive
	b.body, b.header = b.body[:0], b.header[:0]
	bufferPool.Put(b)
}

// begin makes the request that the handler gets.
func (p *response) begin(r *http.Request) {
	p.context = exchangeContext{r.Context(), &p.exchange}
	p.request = r.WithContext(&p.context)
	p.records[0] = &p.record
	if h := p.under.Header(); len(h) > 0 {
		p.before = maps.Clone(h)
	}
}

// room is how much of a body is buffered.
func (p *response) room() int {
	if p.http10() {
		return bufferSize10
	}
	return bufferSize
}

func (p *response) http10() bool { return p.proto < 1<<8|1 }

// put is Write, for a text or bytes.
func put[T string | []byte](p *response, b T) (int, error) {
	if p.status == 0 && p.phase == buffering {
		p.writeHeader(http.StatusOK)
	}
	if p.plain && p.phase == streaming {
		return p.under.Write([]byte(b))
	}
	if err := p.admit(len(b)); err != nil || len(b) == 0 {
		return 0, err
	}
	taken := 0
	if p.phase == buffering {
		body := &p.borrow().body
		taken = min(len(b), p.room()-len(*body))
		*body = append(*body, b[:taken]...)
		if p.bodyless || taken == len(b) && !p.tooLong() {
			return len(b), nil
		}
		if err := p.leave(); err != nil {
			return taken, err
		}
	}
	if p.bodyless || taken == len(b) {
		return len(b), nil
	}
	n, err := p.forward([]byte(b[taken:]))
	return taken + n, err
}

// admit judges the next n bytes of the body as net/http does.
func (p *response) admit(n int) error {
	switch {
	case p.phase == hijacked:
		return http.ErrHijacked
	case p.phase == over:
		return errReturned
	case n == 0:
		return nil
	case !bodyAllowed(p.status):
		return http.ErrBodyNotAllowed
	}
	p.written += int64(n)
	if p.declared >= 0 && p.written > p.declared {
		return http.ErrContentLength
	}
	return nil
}

// tooLong tells whether the announced length says already that the body won't fit the
// buffer, and enough of it is here to tell its type.
func (p *response) tooLong() bool {
	return p.declared > int64(p.room()) && (p.typed || len(p.buffers.body) >= sniffSize)
}

// forward gives b, the next bytes of a body that streams, to the client; of an announced
// length it holds back the last byte.
func (p *response) forward(b []byte) (int, error) {
	pass := b
	if free := p.declared - p.sent.Load() - 1; p.declared >= 0 && int64(len(b)) > free {
		pass = b[:free]
		p.holding, p.held = true, b[free]
	}
	n, err := p.pass(pass)
	if err == nil {
		n = len(b)
	}
	return n, err
}

// pass gives bytes to net/http, and keeps for the record what it wants of them.
func (p *response) pass(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	if p.stream && p.rec.cutting.Load() {
		p.broken = true
		return 0, ErrClosed
	}
	n, err := p.under.Write(b)
	p.sent.Add(int64(n))
	if err != nil {
		p.broken = true
	}
	p.keep(b[:n])
	return n, err
}

// keep keeps for the record what it wants of the next bytes.
func (p *response) keep(b []byte) {
	if p.capture > 0 {
		body := &p.borrow().body
		*body = append(*body, b[:min(len(b), max(p.capture-len(*body), 0))]...)
	}
}

// leave lets the header go before the record is made, and with it what is buffered.
func (p *response) leave() error {
	if p.phase != buffering {
		return nil
	}
	p.sendHeader(false)
	b := p.buffers
	if b == nil {
		return nil
	}
	if p.capture == 0 {
		defer p.giveBack()
	}
	if p.bodyless || len(b.body) == 0 {
		return nil
	}
	if p.plain {
		_, err := p.under.Write(b.body)
		return err
	}
	// The buffer holds the beginning already; forward must not add it once more.
	capture := p.capture
	p.capture = 0
	_, err := p.forward(b.body)
	p.capture, b.body = capture, b.body[:min(int(p.sent.Load()), capture)]
	return err
}

// flush is Flush: what was written leaves, but for the end.
func (p *response) flush() error {
	if p.status == 0 && p.phase == buffering {
		p.writeHeader(http.StatusOK)
	}
	switch {
	case p.phase == hijacked:
		return http.ErrHijacked
	case p.phase == over:
		return errReturned
	case p.phase == buffering && p.exchange.handled() == recorded:
		if p.bodyless {
			// The header is the whole answer, so this is its end.
			p.publish(false)
		} else if p.http10() && p.declared < 0 {
			p.sniff() // the header counts as sent: what comes later tells no type
			p.typed = true
			return nil
		}
	}
	if err := p.leave(); err != nil {
		return err
	}
	return http.NewResponseController(p.under).Flush()
}
