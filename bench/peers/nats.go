package main

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/earshot-mq/earshot/bench/talk"
)

func natsPub(_ context.Context, c *talk.Control, t *task) error {
	nc, err := nats.Connect("nats://" + t.Addr)
	if err != nil {
		return err
	}
	defer nc.Close()
	return publish(c, t, func(line []byte) error { return nc.Publish(topic, line) }, nc.Flush)
}

// natsSub counts.
func natsSub(_ context.Context, c *talk.Control, t *task) error {
	nc, err := nats.Connect("nats://" + t.Addr)
	if err != nil {
		return err
	}
	defer nc.Close()
	sub, err := nc.SubscribeSync(topic)
	if err != nil {
		return err
	}
	if err := errors.Join(sub.SetPendingLimits(-1, -1), nc.Flush()); err != nil {
		return err
	}
	if err := c.Ready(nil); err != nil {
		return err
	}
	got, quiet := 0, time.Duration(0)
	for ; got < t.Records; got++ {
		if _, err := sub.NextMsg(quietAfter); errors.Is(err, nats.ErrTimeout) {
			quiet = quietAfter
			break
		} else if err != nil {
			return err
		}
	}
	return done(c, got, quiet)
}

const (
	stream   = "records"
	unacked  = 4096 // published and not acknowledged
	ackEvery = 512  // taken, for one acknowledgement
)

func jetstreamPub(ctx context.Context, c *talk.Control, t *task) error {
	nc, err := nats.Connect("nats://" + t.Addr)
	if err != nil {
		return err
	}
	defer nc.Close()
	failed := make(chan error, 1)
	js, err := jetstream.New(nc, jetstream.WithPublishAsyncMaxPending(unacked),
		jetstream.WithPublishAsyncErrHandler(func(_ jetstream.JetStream, _ *nats.Msg, err error) {
			select {
			case failed <- err:
			default:
			}
		}))
	if err != nil {
		return err
	}
	return publish(c, t, func(line []byte) error {
		_, err := js.PublishAsync(topic, line, jetstream.WithStallWait(quietAfter))
		return err
	}, func() error {
		select {
		case <-js.PublishAsyncComplete():
		case <-ctx.Done():
			return ctx.Err()
		}
		select {
		case err := <-failed:
			return err
		default:
			return nil
		}
	})
}

// jetstreamSub makes the stream, and takes it with a durable consumer that acknowledges
// what is written, many at a time.
func jetstreamSub(ctx context.Context, c *talk.Control, t *task) error {
	nc, err := nats.Connect("nats://" + t.Addr)
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	if _, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: stream, Subjects: []string{topic}, Storage: jetstream.FileStorage, Replicas: 1}); err != nil {
		return err
	}
	consumer, err := js.CreateConsumer(ctx, stream, jetstream.ConsumerConfig{Durable: "file", AckPolicy: jetstream.AckAllPolicy, MaxAckPending: -1})
	if err != nil {
		return err
	}
	s, err := newSink(t.Out)
	if err != nil {
		return err
	}
	defer s.file.Close()
	messages, err := consumer.Messages(jetstream.PullMaxMessages(unacked))
	if err != nil {
		return err
	}
	defer messages.Stop()
	if err := c.Ready(nil); err != nil {
		return err
	}
	quiet := time.Duration(0)
	for s.got < t.Records {
		m, err := messages.Next(jetstream.NextMaxWait(quietAfter))
		if errors.Is(err, nats.ErrTimeout) {
			quiet = quietAfter
			break
		}
		if err != nil {
			return err
		}
		if err := s.take(m.Data()); err != nil {
			return err
		}
		if s.got%ackEvery == 0 || s.got == t.Records {
			if err := errors.Join(s.w.Flush(), m.Ack()); err != nil {
				return err
			}
		}
	}
	if err := s.sync(); err != nil {
		return err
	}
	return done(c, s.got, quiet)
}
