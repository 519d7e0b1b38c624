// Package e2e_test tests the whole: real sockets, real processes, real clients.
package e2e_test

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/earshot-mq/earshot/internal/journal"
	"github.com/earshot-mq/earshot/internal/testenv"
	"github.com/earshot-mq/earshot/internal/zmq"
	"github.com/earshot-mq/earshot/publisher"
	"github.com/earshot-mq/earshot/publisher/record"
	"github.com/earshot-mq/earshot/subscriber"
	"github.com/earshot-mq/earshot/subscriber/store"
)

// running is something with Run, started by a test.
type running struct {
	cancel context.CancelFunc
	done   chan error
	once   sync.Once
	err    error
}

func run(t *testing.T, f func(context.Context) error) *running {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{cancel: cancel, done: make(chan error, 1)}
	go func() { r.done <- f(ctx) }()
	t.Cleanup(func() {
		if err := r.stop(); err != nil {
			t.Error(err)
		}
	})
	return r
}

func (r *running) stop() error {
	r.once.Do(func() {
		r.cancel()
		select {
		case r.err = <-r.done:
		case <-time.After(20 * time.Second):
			r.err = fmt.Errorf("still running 20 s after it was told to stop")
		}
	})
	return r.err
}

func logger(t *testing.T) *slog.Logger {
	return slog.New(slog.NewTextHandler(t.Output(), nil)).With("test", t.Name())
}

func zmqContext(t *testing.T) *zmq.Context {
	t.Helper()
	c, err := zmq.NewContext()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

func newPublisher(t *testing.T, c *zmq.Context, o publisher.Options) *publisher.Publisher {
	t.Helper()
	if o.Dir == "" {
		o.Dir = filepath.Join(t.TempDir(), "journals")
	}
	o.Logger = logger(t)
	if o.Record == "" {
		o.Record, o.Replay = "tcp://127.0.0.1:0", "tcp://127.0.0.1:0"
	}
	p, err := publisher.New(c, o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func newSubscriber(t *testing.T, c *zmq.Context, dir string, o subscriber.Options) (*subscriber.Subscriber, *store.Store) {
	t.Helper()
	st, err := store.Open(dir, store.Options{Logger: logger(t)})
	if err != nil {
		t.Fatal(err)
	}
	o.Logger = logger(t)
	s, err := subscriber.New(c, st, o)
	if err != nil {
		t.Fatal(err)
	}
	return s, st
}

// stored lists what a store has of each run, in order of arrival.
func stored(t *testing.T, st *store.Store) (got map[record.Run][]uint64, gaps uint64) {
	t.Helper()
	got = map[record.Run][]uint64{}
	r := st.Reader(1)
	defer r.Close()
	err := r.Read(func(e *journal.Entry, _ uint64) error {
		if e.Kind == journal.KindGap {
			gaps += e.Last - e.First + 1
			return nil
		}
		n := e.First
		for line := range e.Records() {
			l, err := record.Scan(line)
			if err != nil {
				return err
			}
			id := l.ID()
			if id != (record.ID{Run: e.Run, Seq: n}) {
				return fmt.Errorf("line %s in the place of %s/%d", id, e.Run, n)
			}
			got[e.Run] = append(got[e.Run], n)
			n++
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return got, gaps
}

// inOrder fails unless every number from 1 to want is there once, in order.
func inOrder(t *testing.T, run record.Run, got []uint64, want int) {
	t.Helper()
	for i, n := range got {
		if n != uint64(i+1) {
			t.Fatalf("%s: number %d in place %d", run, n, i+1)
		}
	}
	if len(got) != want {
		t.Errorf("%s: %d records, want %d", run, len(got), want)
	}
}

// publish sends n records of a stream from several goroutines.
func publish(t *testing.T, s *publisher.Stream, workers, each int) {
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for range each {
				r := record.Record{Subject: "/downcase/", HTTP: record.HTTP{
					Method: "GET", Path: "/downcase/", Query: "param=HELLO",
					Status: 200, Duration: 412 * time.Microsecond, Client: "192.0.2.7", Bytes: 28, MediaType: "text/plain",
					Body: []byte("lower case of HELLO is hello"), BodyKind: record.BodyText,
				}}
				if err := s.Publish(context.Background(), &r); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

func stream(t *testing.T, p *publisher.Publisher, service string) *publisher.Stream {
	t.Helper()
	s, err := p.Stream(service)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestRecordPath(t *testing.T) {
	for name, late := range map[string]bool{"subscriber first": false, "subscriber late": true} {
		t.Run(name, func(t *testing.T) {
			c := zmqContext(t)
			p := newPublisher(t, c, publisher.Options{})
			_, feed, _ := p.Endpoints()
			pub := run(t, p.Run)
			s, st := newSubscriber(t, c, filepath.Join(t.TempDir(), "store"), subscriber.Options{Connect: []string{feed}})
			a, b := stream(t, p, "downcase"), stream(t, p, "gateway")
			if late {
				publish(t, a, 8, 500)
				publish(t, b, 8, 500)
			}
			sub := run(t, s.Run)
			var wg sync.WaitGroup
			wg.Go(func() { publish(t, a, 8, 500) })
			wg.Go(func() { publish(t, b, 8, 500) })
			wg.Wait()
			want := 4000
			if late {
				want = 8000
			}
			testenv.Wait(t, "all records", 20*time.Second, func() bool { return s.Stats.Records.Load() >= uint64(2*want) })
			if err := pub.stop(); err != nil {
				t.Error(err)
			}
			if err := sub.stop(); err != nil {
				t.Error(err)
			}
			got, gaps := stored(t, st)
			if len(got) != 2 || gaps != 0 {
				t.Errorf("%d runs, %d lost", len(got), gaps)
			}
			for run, numbers := range got {
				inOrder(t, run, numbers, want)
			}
			t.Logf("duplicates %d, early %d, repairs %d, commits %d", s.Stats.Duplicates.Load(), s.Stats.Early.Load(), s.Stats.Repairs.Load(), s.Stats.Commits.Load())
			if err := st.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}
