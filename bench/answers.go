package main

import (
	"context"
	"fmt"
	"time"
)

func answers() *table {
	t := &table{
		name:  "answers",
		title: "What recording adds to one HTTP answer, keep-alive, load from a process of its own",
		note: "CPU of the server process in us an answer; what recording adds is the difference to the bare handler inside one round.\n" +
			"Lost: answers without a record in the journal or, with a subscriber, at the subscriber.",
		columns: []column{
			{key: "cpu", title: "CPU server", prec: 1},
			{key: "adds", minus: "cpu", title: "recording adds", prec: 1},
			{key: "rate", title: "answers/s"},
			{key: "ratex", of: "rate", title: "x bare", prec: 2},
			{key: "lost", title: "lost", sum: true},
		},
	}
	for _, connections := range []int{1, 64} {
		for _, k := range []string{"bare", "recorded", "followed"} {
			t.rows = append(t.rows, answerRow{k, connections})
		}
	}
	return t
}

// answerRow is an HTTP server with downcase's answer: bare, through the recorder with
// its journal, or that with a subscriber that counts.
type answerRow struct {
	kind        string
	connections int
}

func (r answerRow) name() string            { return fmt.Sprintf("%s-%d", r.kind, r.connections) }
func (r answerRow) reference(string) string { return answerRow{"bare", r.connections}.name() }

func (r answerRow) title() string {
	text := map[string]string{
		"bare":     "net/http",
		"recorded": "recorded in the journal",
		"followed": "recorded, and a subscriber counts",
	}[r.kind]
	if r.connections == 1 {
		return text + ", 1 connection"
	}
	return fmt.Sprintf("%s, %d connections", text, r.connections)
}

func (r answerRow) run(ctx context.Context, b *bench) (sample, error) {
	server, err := b.spawn(ctx, task{Role: "serve", Recorded: r.kind != "bare", Dir: b.path("journals")})
	if err != nil {
		return nil, err
	}
	defer server.kill()
	bound, err := server.hear("bound")
	if err != nil {
		return nil, err
	}
	load, err := b.spawn(ctx, task{Role: "load", Addr: bound["addr"], Callers: r.connections, Records: b.o.answers})
	if err != nil {
		return nil, err
	}
	defer load.kill()
	var counter *child
	if r.kind == "followed" {
		if counter, err = b.spawn(ctx, task{Role: "count", Feed: bound["feed"], Records: b.o.answers + warmUp*r.connections}); err != nil {
			return nil, err
		}
		defer counter.kill()
		if err := allReady(counter); err != nil {
			return nil, err
		}
	}
	if err := allReady(server, load); err != nil {
		return nil, err
	}
	return r.measure(server, load, counter, b.o.answers)
}

func (r answerRow) measure(server, load, counter *child, n int) (sample, error) {
	if counter != nil {
		if err := counter.say("go"); err != nil {
			return nil, err
		}
	}
	if err := server.say("go"); err != nil {
		return nil, err
	}
	began := time.Now()
	answered, err := load.tell("go", "done")
	if err != nil {
		return nil, err
	}
	took := time.Since(began)
	if _, err := server.hear("done"); err != nil {
		return nil, err
	}
	used, err := server.end()
	if err != nil {
		return nil, err
	}
	if _, err := load.end(); err != nil {
		return nil, err
	}
	s := sample{"cpu": used.Float("cpu") / float64(n), "rate": float64(n) / took.Seconds()}
	if r.kind != "bare" {
		s["lost"] = answered.Float("answers") - used.Float("recorded")
	}
	if counter == nil {
		return s, nil
	}
	counted, err := counter.hear("done")
	if err != nil {
		return nil, err
	}
	s["lost"] = answered.Float("answers") - counted.Float("records")
	_, err = counter.end()
	return s, err
}
