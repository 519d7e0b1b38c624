// Command publishers is many of them for the tests of scale, each with a journal and sockets of its
// own, in one process:
//
//	publishers STREAMS DIR=ENDPOINT...
//
// It prints the record feeds' endpoints as a line of JSON. Then it takes a line "RECORDS
// CALLERS": each publisher's callers publish so many records in turn to its streams, a
// record a call, as fast as they can; when all are in the journals it prints how many each
// run has, as a line of JSON. It ends in good order at the end of its input.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/earshot-mq/earshot/internal/process"
	"github.com/earshot-mq/earshot/internal/zmq"
	"github.com/earshot-mq/earshot/publisher"
	"github.com/earshot-mq/earshot/publisher/record"
)

func main() {
	process.Tune() // as the program does
	if err := serveAll(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "publishers:", err)
		os.Exit(1)
	}
}

// member is one publisher.
type member struct {
	p       *publisher.Publisher
	streams []*publisher.Stream
	calls   atomic.Uint64
}

func serveAll(args []string) error {
	streams, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	z, err := zmq.NewContext()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var all []*member
	var feeds []string
	var running sync.WaitGroup
	errs := make(chan error, len(args))
	for i, arg := range args[1:] {
		m, err := newMember(z, arg, i, streams)
		if err != nil {
			return err
		}
		_, feed, _ := m.p.Endpoints()
		feeds = append(feeds, feed)
		all = append(all, m)
		running.Go(func() { errs <- m.p.Run(ctx) })
	}
	err = serve(all, feeds)
	cancel()
	running.Wait()
	close(errs)
	for e := range errs {
		err = errors.Join(err, e)
	}
	return errors.Join(err, z.Close())
}

func newMember(z *zmq.Context, arg string, i, streams int) (*member, error) {
	dir, endpoint, _ := strings.Cut(arg, "=")
	p, err := publisher.New(z, publisher.Options{Dir: dir, Record: endpoint, Replay: "tcp://127.0.0.1:0", Wait: time.Hour})
	if err != nil {
		return nil, err
	}
	m := &member{p: p}
	for s := range streams {
		stream, err := p.Stream(fmt.Sprintf("service-%d-%d", i, s))
		if err != nil {
			return nil, errors.Join(err, p.Close())
		}
		m.streams = append(m.streams, stream)
	}
	return m, nil
}

// serve does what it is told.
func serve(all []*member, feeds []string) error {
	out := json.NewEncoder(os.Stdout)
	if err := out.Encode(feeds); err != nil {
		return err
	}
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		var records, callers int
		if _, err := fmt.Sscan(in.Text(), &records, &callers); err != nil {
			return err
		}
		var wg sync.WaitGroup
		errs := make([]error, len(all)*callers)
		for i := range errs {
			wg.Go(func() { errs[i] = all[i/callers].publish(records / callers) })
		}
		wg.Wait()
		if err := errors.Join(errs...); err != nil {
			return err
		}
		if err := out.Encode(acknowledged(all)); err != nil {
			return err
		}
	}
	return in.Err()
}

// publish publishes n records, each to the next stream.
func (m *member) publish(n int) error {
	for range n {
		s := m.streams[m.calls.Add(1)%uint64(len(m.streams))]
		if err := s.Publish(context.Background(), downcase()); err != nil {
			return err
		}
	}
	return nil
}

// acknowledged is how many records each run of this process has.
func acknowledged(all []*member) map[string]uint64 {
	runs := map[string]uint64{}
	for _, m := range all {
		offers, _ := m.p.Offers()
		for _, o := range offers {
			if !o.Ended {
				runs[o.Run.String()] = o.Last
			}
		}
	}
	return runs
}

func downcase() *record.Record {
	return &record.Record{Subject: "/downcase/", HTTP: record.HTTP{
		Method: "GET", Path: "/downcase/", Query: "param=HELLO",
		Status: 200, Duration: 412 * time.Microsecond, Client: "192.0.2.7", Bytes: 28, MediaType: "text/plain",
		Body: []byte("lower case of HELLO is hello"), BodyKind: record.BodyText,
	}}
}
