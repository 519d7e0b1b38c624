package publisher

import (
	"context"
	"fmt"
	"net/http"
	"time"
)

// A stream is an answer without a foreseeable end: text/event-stream, an upgrade, a
// hijacked connection. It has a line when it ends, and before that one if it is open for
// long.

// openWait is how long the line of a stream that is still open waits for room; nothing
// depends on it.
const openWait = 100 * time.Millisecond

// cutGrace is how long a stream over HTTP/1 that is cut may take to say its end.
const cutGrace = time.Second

func (p *response) beginStream() {
	if p.timer != nil {
		return // a 101 that is hijacked now
	}
	p.timer = time.AfterFunc(p.rec.openAfter, p.stillOpen)
	p.rec.mu.Lock()
	p.rec.open[p] = struct{}{}
	p.rec.mu.Unlock()
	if p.rec.cutting.Load() {
		p.interrupt()
	}
}

// endStream is called with line held.
func (p *response) endStream() {
	if p.timer == nil {
		return
	}
	p.timer.Stop() // if it fires just now, it finds that the exchange is done
	rec := p.rec
	rec.mu.Lock()
	defer rec.mu.Unlock()
	delete(rec.open, p)
	if rec.empty != nil && len(rec.open) == 0 {
		close(rec.empty)
		rec.empty = nil
	}
}

// stillOpen publishes the line of a stream that goes on.
func (p *response) stillOpen() {
	p.line.Lock()
	defer p.line.Unlock()
	if p.done {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), openWait)
	defer cancel()
	release, err := p.rec.sink.Reserve(ctx)
	if err != nil {
		p.rec.log.Warn("no line for a stream that is still open", "request", p.exchange.id, "error", err)
		return
	}
	if release != nil {
		defer release()
	}
	r := p.record
	p.complete(&r, time.Now())
	r.HTTP.Open = true
	p.rec.redactor.Redact(&r)
	_ = p.rec.sink.Publish(context.Background(), &r) // the sink logs it; another line comes
}

// Cut ends the streams that are open and those that begin after it, and returns when
// each has its line: a server that stops waits for no stream by itself. An error says
// how many are left when ctx is done. Answers that are no streams go on.
func (rec *Recorder) Cut(ctx context.Context) error {
	rec.cutting.Store(true)
	rec.mu.Lock()
	if rec.empty == nil {
		rec.empty = make(chan struct{})
	}
	empty := rec.empty
	for p := range rec.open {
		go p.interrupt() // ends with the bounded wait for its line
	}
	if len(rec.open) == 0 {
		close(rec.empty)
		rec.empty = nil
	}
	rec.mu.Unlock()
	select {
	case <-empty:
		return nil
	case <-ctx.Done():
		rec.mu.Lock()
		defer rec.mu.Unlock()
		if len(rec.open) == 0 {
			return nil
		}
		return fmt.Errorf("publisher: %d streams not cut: %w", len(rec.open), ctx.Err())
	}
}

// interrupt makes an open stream end. line keeps the handler from returning meanwhile:
// after that the connection is another request's.
func (p *response) interrupt() {
	p.line.Lock()
	if p.done {
		p.line.Unlock()
		return
	}
	if c := p.conn; c != nil {
		p.line.Unlock()
		c.broken.Store(true)
		_ = c.Close() // there is nobody to tell
		return
	}
	defer p.line.Unlock()
	// A read that fails ends the request's context. Over HTTP/2 a failed write does, and
	// resets the stream. Errors mean that the client is gone.
	past := time.Unix(1, 0)
	control := http.NewResponseController(p.under)
	if p.proto < 2<<8 {
		_ = control.SetWriteDeadline(time.Now().Add(cutGrace))
	} else {
		_ = control.SetWriteDeadline(past)
	}
	_ = control.SetReadDeadline(past)
}
