package main

import (
	"bytes"
	"context"

	"github.com/nsqio/go-nsq"

	"github.com/earshot-mq/earshot/bench/talk"
)

const (
	multi    = 100 // messages of one MPUB
	inFlight = 16  // MPUBs not answered yet
)

// nsqPub publishes; nsq_to_file adds the line feeds again.
func nsqPub(_ context.Context, c *talk.Control, t *task) error {
	p, err := nsq.NewProducer(t.Addr, nsq.NewConfig())
	if err != nil {
		return err
	}
	defer p.Stop()
	p.SetLoggerLevel(nsq.LogLevelError)
	if err := p.Ping(); err != nil {
		return err
	}
	answers := make(chan *nsq.ProducerTransaction, inFlight)
	waiting, batch := 0, make([][]byte, 0, multi)
	settle := func(most int) error {
		for ; waiting > most; waiting-- {
			if a := <-answers; a.Error != nil {
				return a.Error
			}
		}
		return nil
	}
	send := func() error {
		if len(batch) == 0 {
			return nil
		}
		if err := settle(inFlight - 1); err != nil {
			return err
		}
		waiting++
		err := p.MultiPublishAsync(topic, batch, answers)
		batch = make([][]byte, 0, multi)
		return err
	}
	return publish(c, t, func(line []byte) error {
		if batch = append(batch, bytes.TrimSuffix(line, []byte("\n"))); len(batch) < multi {
			return nil
		}
		return send()
	}, func() error {
		if err := send(); err != nil {
			return err
		}
		return settle(0)
	})
}
