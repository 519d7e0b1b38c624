package publisher

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/earshot-mq/earshot/internal/journal"
	"github.com/earshot-mq/earshot/publisher/record"
)

// Stream is one service's records of this process.
type Stream struct {
	p      *Publisher
	s      *journal.Stream
	source string
	done   func() // one less is expected
}

// Service is the service's name.
func (s *Stream) Service() string { return s.s.Service() }

// Mark is "stream/epoch": the value of Earshot-Record before a number is given.
func (s *Stream) Mark() string { return s.s.Run().String() }

// Publish records rs, in this order and with consecutive numbers, and returns when they
// are in the journal or, while it can't be written, held in memory. Their ID is set,
// and Source and Time when they are empty. From numbering on a cancelled ctx changes
// nothing; one that is done already is an error. ErrClosed after Run has ended.
//
// Several records at once wait before that, at most 50 ms, while a flood fills the record
// feed faster than its subscribers take it.
func (s *Stream) Publish(ctx context.Context, rs ...*record.Record) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("publisher: publish: %w", err)
	}
	if len(rs) > 1 {
		s.p.server.Pace(ctx)
	}
	d := s.s.Draft(len(rs))
	for _, r := range rs {
		s.complete(r)
		d.B = record.AppendTail(d.Line(), r)
	}
	first, err := d.Append()
	if err != nil {
		if errors.Is(err, journal.ErrClosed) {
			err = ErrClosed
		}
		return fmt.Errorf("publisher: %s: %w", s.Service(), err)
	}
	run := s.s.Run()
	for i, r := range rs {
		r.ID = record.ID{Run: run, Seq: first + uint64(i)}
	}
	return nil
}

func (s *Stream) complete(r *record.Record) {
	if r.Source == "" {
		r.Source = s.source
	}
	if r.Time.IsZero() {
		r.Time = time.Now()
	}
}

// Reserve makes sure that there is room for one record of the largest size, as the
// journal's policy wants it, and is called before a handler runs. release gives the
// room back, after Publish. ErrFull: there is none, and the request has to be refused.
func (s *Stream) Reserve(ctx context.Context) (release func(), err error) {
	p := s.p
	s.s.Expect(1)
	if p.o.Policy == DropOldest {
		return s.done, nil
	}
	deadline := time.Now()
	if p.o.Policy == Block {
		deadline = deadline.Add(blockFor)
	}
	for !p.reserve() {
		wait := min(time.Until(deadline), 20*time.Millisecond)
		if wait <= 0 {
			s.done()
			return nil, fmt.Errorf("publisher: %s: %w", s.Service(), ErrFull)
		}
		select {
		case <-ctx.Done():
			s.done()
			return nil, fmt.Errorf("publisher: %s: %w", s.Service(), errors.Join(ErrFull, ctx.Err()))
		case <-time.After(wait):
		}
	}
	return func() { p.reserved.Add(-reserveFor); s.done() }, nil
}

func (p *Publisher) reserve() bool {
	used := p.reserved.Add(reserveFor) + p.log.Bytes() + p.writer.Stats.Held.Load()
	if used <= p.o.MaxBytes {
		return true
	}
	p.reserved.Add(-reserveFor)
	return false
}
