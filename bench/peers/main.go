// Command peers is the clients of the peers that `make bench BENCH='-only peers'` measures
// beside Earshot: each sends or takes the same lines, as its own client library and its
// documentation want it for throughput. It is a module of its own, so that none of these
// libraries is the product's.
//
// Each record has a number in its line; what was written is checked by it afterwards.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/earshot-mq/earshot/bench/talk"
)

// task is what a child is to do.
type task struct {
	Role    string
	Records int    // to send, or to wait for
	Lines   string // file of lines to send
	Addr    string // of the server
	Out     string // file for what was taken, or that the server writes
}

// quietAfter is how long nothing has to come until the rest is lost.
const quietAfter = 10 * time.Second

const topic = "records"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "peers:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	if len(os.Args) != 2 {
		return fmt.Errorf("want one argument, the task as JSON; got %d", len(os.Args)-1)
	}
	var t task
	if err := json.Unmarshal([]byte(os.Args[1]), &t); err != nil {
		return fmt.Errorf("task %q: %w", os.Args[1], err)
	}
	role := map[string]func(context.Context, *talk.Control, *task) error{
		"tcp-pub": tcpPub, "watch": watch,
		"nats-pub": natsPub, "nats-sub": natsSub, "jetstream-pub": jetstreamPub, "jetstream-sub": jetstreamSub,
		"redis-pub": redisPub, "redis-sub": redisSub, "nsq-pub": nsqPub,
	}[t.Role]
	if role == nil {
		return fmt.Errorf("role %q: there is no such role", t.Role)
	}
	if err := role(ctx, talk.New(os.Stdin, os.Stdout, ""), &t); err != nil {
		return fmt.Errorf("%s: %w", t.Role, err)
	}
	return nil
}
