package publisher

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"testing"

	"github.com/earshot-mq/earshot/publisher/record"
)

// nopSink costs nothing, so that a benchmark has the recorder alone.
type nopSink struct{}

func nothing() {}

func (nopSink) Mark() string                            { return "" }
func (nopSink) Reserve(context.Context) (func(), error) { return nothing, nil }
func (nopSink) Publish(_ context.Context, rs ...*record.Record) error {
	rs[0].ID = record.ID{Run: testRun, Seq: 1001}
	return nil
}

// nopWriter is a http.ResponseWriter that forgets.
type nopWriter struct{ header http.Header }

func (w *nopWriter) Header() http.Header         { return w.header }
func (w *nopWriter) WriteHeader(int)             {}
func (w *nopWriter) Write(b []byte) (int, error) { return len(b), nil }
func (w *nopWriter) Flush()                      {}

var small = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	FromContext(r.Context()).SetRoute("/downcase/")
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = io.WriteString(w, "lower case of HELLO is hello")
})

// BenchmarkRecorder is what recording adds to a small answer, without Publish: the
// difference of recorded and bare.
func BenchmarkRecorder(b *testing.B) {
	for name, h := range map[string]http.Handler{"bare": small, "recorded": recorder(b, nopSink{}, RecorderOptions{}).Wrap(small)} {
		b.Run(name, func(b *testing.B) {
			r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader([]byte("GET /downcase/?param=HELLO HTTP/1.1\r\nHost: localhost\r\n\r\n"))))
			if err != nil {
				b.Fatal(err)
			}
			r.RemoteAddr = "192.0.2.7:40000"
			w := &nopWriter{http.Header{}}
			b.ReportAllocs()
			for b.Loop() {
				clear(w.header)
				h.ServeHTTP(w, r)
			}
		})
	}
}

// BenchmarkRecorderServer is the same through a real server and a connection of TCP.
func BenchmarkRecorderServer(b *testing.B) {
	for name, h := range map[string]http.Handler{"bare": small, "recorded": recorder(b, nopSink{}, RecorderOptions{}).Wrap(small)} {
		b.Run(name, func(b *testing.B) {
			srv := serve(b, "HTTP/1.1", h)
			c, err := net.Dial("tcp", srv.Listener.Addr().String())
			if err != nil {
				b.Fatal(err)
			}
			defer c.Close()
			request, buf := []byte("GET /downcase/?param=HELLO HTTP/1.1\r\nHost: localhost\r\n\r\n"), make([]byte, 4096)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := c.Write(request); err != nil {
					b.Fatal(err)
				}
				if _, err := c.Read(buf); err != nil { // one segment
					b.Fatal(err)
				}
			}
		})
	}
}
