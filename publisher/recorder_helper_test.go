package publisher

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/earshot-mq/earshot/internal/testenv"
	"github.com/earshot-mq/earshot/publisher/record"
)

const patience = 5 * time.Second

// fakeSink numbers records and keeps copies. With a gate, Publish waits for it.
type fakeSink struct {
	gate    chan struct{} // nil: open
	entered chan struct{} // a token for each Publish that has begun, if not nil
	fail    error         // what Publish returns
	full    error         // what Reserve returns

	mu       sync.Mutex
	records  []record.Record
	reserved atomic.Int64
	taken    atomic.Int64
}

var testRun = record.Run{Stream: "q7k3v9x2m1t8w", Epoch: 0x19a8f3c2e4b00d17}

func (s *fakeSink) Mark() string { return testRun.String() }

func (s *fakeSink) Reserve(context.Context) (func(), error) {
	if s.full != nil {
		return nil, fmt.Errorf("publisher: test: %w", s.full)
	}
	s.reserved.Add(1)
	s.taken.Add(1)
	return func() { s.reserved.Add(-1) }, nil
}

func (s *fakeSink) Publish(ctx context.Context, rs ...*record.Record) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if s.entered != nil {
		s.entered <- struct{}{}
	}
	if s.gate != nil {
		<-s.gate
	}
	if s.fail != nil {
		return s.fail
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range rs {
		r.ID = record.ID{Run: testRun, Seq: uint64(len(s.records) + 1)}
		kept := *r
		kept.HTTP.Body = bytes.Clone(r.HTTP.Body)
		s.records = append(s.records, kept)
	}
	return nil
}

// all is what was published so far.
func (s *fakeSink) all() []record.Record {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.records)
}

// wait waits until n records are there.
func (s *fakeSink) wait(t testing.TB, n int) []record.Record {
	t.Helper()
	testenv.Wait(t, fmt.Sprintf("%d records", n), patience, func() bool { return len(s.all()) >= n })
	return s.all()
}

// only waits for the one record there is to be.
func (s *fakeSink) only(t testing.TB) record.Record {
	t.Helper()
	rs := s.wait(t, 1)
	if len(rs) != 1 {
		t.Fatalf("%d records, want 1: %+v", len(rs), rs)
	}
	return rs[0]
}

func receive[T any](t testing.TB, c <-chan T, what string) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(patience):
		t.Fatalf("waited %v in vain for %s", patience, what)
	}
	return v
}

func recorder(t testing.TB, s sink, o RecorderOptions) *Recorder {
	t.Helper()
	rec, err := NewRecorder(s, o)
	if err != nil {
		t.Fatal(err)
	}
	return rec
}

// protocols are what each behaviour is tested with.
var protocols = []string{"HTTP/1.1", "HTTP/2.0"}

// serve starts a real server, for HTTP/2 with TLS.
func serve(t testing.TB, protocol string, h http.Handler) *httptest.Server {
	t.Helper()
	srv := httptest.NewUnstartedServer(h)
	if protocol == "HTTP/2.0" {
		srv.EnableHTTP2 = true
		srv.StartTLS()
	} else {
		srv.Start()
	}
	srv.Client().CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	srv.Client().Transport.(*http.Transport).DisableCompression = true
	t.Cleanup(srv.Close)
	return srv
}

// recorded starts a real server whose answers are recorded in s.
func serveRecorded(t testing.TB, protocol string, s *fakeSink, o RecorderOptions, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	return serve(t, protocol, recorder(t, s, o).Wrap(h))
}

// arrival is an answer as it comes in.
type arrival struct {
	header chan *http.Response
	bytes  atomic.Int64
	done   chan struct{} // closed at the end of the answer, or its break
	body   []byte
	err    error
}

// ask begins a request and watches its answer.
func ask(t testing.TB, srv *httptest.Server, method, path string) *arrival {
	t.Helper()
	req, err := http.NewRequest(method, srv.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	return askFor(srv, req)
}

func askFor(srv *httptest.Server, req *http.Request) *arrival {
	a := &arrival{header: make(chan *http.Response, 1), done: make(chan struct{})}
	go func() {
		defer close(a.done)
		resp, err := srv.Client().Do(req)
		if err != nil {
			a.err = err
			return
		}
		defer resp.Body.Close()
		a.header <- resp
		var buf [4096]byte
		for {
			n, err := resp.Body.Read(buf[:])
			a.body = append(a.body, buf[:n]...)
			a.bytes.Add(int64(n))
			if err == io.EOF {
				return
			}
			if a.err = err; err != nil {
				return
			}
		}
	}()
	return a
}

// stays fails if the answer ends within a moment.
func (a *arrival) stays(t testing.TB) {
	t.Helper()
	select {
	case <-a.done:
		t.Fatalf("the answer ended before its record was published: %d bytes, %v", len(a.body), a.err)
	case <-time.After(30 * time.Millisecond):
	}
}

// dial opens a plain connection and writes a request to it.
func dial(t testing.TB, srv *httptest.Server, request string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(c, request); err != nil {
		t.Fatal(err)
	}
	return c
}

var quiet = log.New(io.Discard, "", 0)
