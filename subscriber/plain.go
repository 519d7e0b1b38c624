package subscriber

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/earshot-mq/earshot/internal/journal"
	"github.com/earshot-mq/earshot/internal/zmq"
	"github.com/earshot-mq/earshot/publisher/record"
)

// plain logs a foreign PUB socket: whatever it sends, one frame or many. It numbers
// what it hears itself, and can't know what it missed. What it heard and the store did not
// get is a gap.
type plain struct {
	ctx      *zmq.Context
	endpoint string
	service  string
	stream   string
	inbox    inbox
	dropped  atomic.Uint64 // found the inbox full; they have no number yet

	// The writer's.
	id   record.Run // given with the first message
	next uint64     // number of the next message
	want uint64     // number that the store lacks
}

func newPlain(ctx *zmq.Context, endpoint, storeID string, b inbox) (*plain, error) {
	host, ok := strings.CutPrefix(endpoint, "tcp://")
	if !ok || !strings.Contains(host, ":") {
		return nil, fmt.Errorf("subscriber: endpoint %q is not of the form tcp://HOST:PORT", endpoint)
	}
	service := "plain-" + strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '.' {
			return r
		}
		return '-'
	}, strings.ToLower(host))
	return &plain{ctx: ctx, endpoint: endpoint, service: service, stream: journal.StreamID(storeID, service), inbox: b, next: 1, want: 1}, nil
}

// plainHWM is how many messages wait in libzmq: with a foreign publisher there is no
// second chance, so the queue is long.
const plainHWM = 100_000

func (p *plain) run(ctx context.Context) (err error) {
	sub, err := p.ctx.Sub(zmq.Options{RecvHWM: plainHWM, MaxMessage: journal.MaxMessage})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, sub.Close()) }()
	if err := errors.Join(sub.Watch(), sub.Subscribe(""), sub.Connect(p.endpoint)); err != nil {
		return err
	}
	for {
		sub.Rearm()
		select {
		case <-ctx.Done():
			return nil
		case <-sub.Ready():
		}
		for {
			frames, err := sub.Recv()
			if errors.Is(err, zmq.ErrAgain) {
				break
			}
			if err != nil {
				return err
			}
			size := 0
			for _, f := range frames {
				size += len(f)
			}
			p.put(frames, size)
		}
	}
}

func (p *plain) put(frames [][]byte, size int) {
	ev := event{plain: p, frames: frames}
	ev.Kind, ev.Bytes = eventPlain, size
	if !p.inbox.Put(ev, size, false) {
		p.dropped.Add(1)
	}
}

// entries makes a record of a message, behind a gap if any before it are not stored. It is
// the writer's to call.
func (p *plain) entries(log interface{ Epoch() record.Epoch }, frames [][]byte, now time.Time) (all []journal.Entry) {
	if p.id.Epoch == 0 {
		p.id = record.Run{Stream: p.stream, Epoch: log.Epoch()}
	}
	if p.next += p.dropped.Swap(0); p.next > p.want {
		all = append(all, journal.NewGap(p.id, p.service, p.want, p.next-1, "heard and not stored: the store was full, or behind"))
	}
	r := record.Record{
		ID: record.ID{Run: p.id, Seq: p.next}, Source: "/" + p.service, Type: record.TypePlain, Time: now,
		Data: record.AppendPlain(nil, p.endpoint, frames...),
	}
	line := record.Append(nil, &r)
	raw := journal.AppendBatch(nil, p.id, p.next, 1, line)
	p.next++
	p.want = p.next
	return append(all, journal.Entry{
		Kind: journal.KindBatch, Run: p.id, First: r.ID.Seq, Last: r.ID.Seq, Service: p.service,
		Lines: raw[len(raw)-len(line):], Raw: raw,
	})
}

// rewind goes back to what the store has, after an append that failed.
func (p *plain) rewind(store cursors) {
	if c, ok := store.Cursor(p.id); ok {
		p.want = c.Next
	} else {
		p.want = 1
	}
}
