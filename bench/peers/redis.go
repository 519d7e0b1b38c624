package main

import (
	"context"
	"errors"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/earshot-mq/earshot/bench/talk"
)

const pipelined = 128 // XADDs of one pipeline

// redisPub appends to a stream, two pipelines on their way at a time.
func redisPub(ctx context.Context, c *talk.Control, t *task) error {
	client := redis.NewClient(&redis.Options{Addr: t.Addr})
	defer func() { _ = client.Close() }() // what was asked is answered
	if err := client.Ping(ctx).Err(); err != nil {
		return err
	}
	pipe := client.Pipeline()
	pipes, failed := make(chan redis.Pipeliner), make(chan error, 1)
	go func() { // sends one pipeline while the next is filled
		var err error
		for p := range pipes {
			if err == nil {
				_, err = p.Exec(ctx)
			}
		}
		failed <- err
	}()
	send := func() {
		pipes <- pipe
		pipe = client.Pipeline()
	}
	return publish(c, t, func(line []byte) error {
		pipe.Do(ctx, "XADD", topic, "*", "r", line)
		if pipe.Len() == pipelined {
			send()
		}
		return nil
	}, func() error {
		send()
		close(pipes)
		return <-failed
	})
}

// redisSub reads the stream into a file.
func redisSub(ctx context.Context, c *talk.Control, t *task) error {
	client := redis.NewClient(&redis.Options{Addr: t.Addr, ReadTimeout: 2 * quietAfter})
	defer func() { _ = client.Close() }() // what was asked is answered
	if err := client.Ping(ctx).Err(); err != nil {
		return err
	}
	s, err := newSink(t.Out)
	if err != nil {
		return err
	}
	defer s.file.Close()
	if err := c.Ready(nil); err != nil {
		return err
	}
	last, quiet := "0", time.Duration(0)
	for s.got < t.Records {
		got, err := client.XRead(ctx, &redis.XReadArgs{Streams: []string{topic, last}, Count: 1000, Block: quietAfter}).Result()
		if errors.Is(err, redis.Nil) {
			quiet = quietAfter
			break
		}
		if err != nil {
			return err
		}
		for _, m := range got[0].Messages {
			if err := s.take([]byte(m.Values["r"].(string))); err != nil {
				return err
			}
			last = m.ID
		}
	}
	if err := s.sync(); err != nil {
		return err
	}
	return done(c, s.got, quiet)
}
