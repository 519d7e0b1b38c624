package services_test

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/earshot-mq/earshot/internal/testenv"
	"github.com/earshot-mq/earshot/internal/zmq"
	"github.com/earshot-mq/earshot/publisher"
	"github.com/earshot-mq/earshot/services"
)

// grace is what a stop gives to answers in flight, and the end of the wait for a cut.
const grace = 5 * time.Second

// patience is how long a test waits for what is a matter of milliseconds.
const patience = 10 * time.Second

func options(t *testing.T) services.Options {
	return services.Options{
		Listen:    "127.0.0.1:0",
		Publisher: publisher.Options{Dir: filepath.Join(t.TempDir(), "journals")},
		Logger:    slog.New(slog.DiscardHandler),
	}
}

// start runs a service. stop ends it as a signal does and returns what Run returned.
func start(t *testing.T, s *services.Service, o services.Options) (srv *services.Server, stop func() error) {
	t.Helper()
	srv, err := services.NewServer(s, o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- srv.Run(ctx) }()
	return srv, func() error {
		cancel()
		select {
		case err := <-ran:
			return err
		case <-time.After(patience):
			return errors.New("it did not return")
		}
	}
}

func get(t *testing.T, srv *services.Server, path string) string {
	t.Helper()
	r, err := http.Get("http://" + srv.Addr().String() + path)
	if err != nil {
		t.Error(err)
		return ""
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Error(err)
	}
	return string(b)
}

// journaled counts how often text stands in the files below dir.
func journaled(t *testing.T, dir, text string) (n int) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		n += strings.Count(string(b), text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// door asks the operators' door.
func door(t *testing.T, target string) string {
	t.Helper()
	r, err := http.Get("http://" + target)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil || r.StatusCode != http.StatusOK {
		t.Errorf("GET %s = %d, %v", target, r.StatusCode, err)
	}
	return string(b)
}

// TestServerPublishes asks until the text feed has an answer, which it has once the
// subscription has arrived, and then sees that each answer is there once.
func TestServerPublishes(t *testing.T) {
	o := options(t)
	o.Publisher.Text = "tcp://127.0.0.1:0"
	srv, stop := start(t, services.New("test", routes), o)
	frames, closeFeed := subscribe(t, srv)
	defer closeFeed()
	deadline := time.Now().Add(patience)
	for probed := false; !probed; {
		get(t, srv, "/hello/probe")
		select {
		case <-frames:
			probed = true
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			t.Fatal("nothing arrives")
		}
	}
	get(t, srv, "/livez")
	get(t, srv, "/hello/once")
	get(t, srv, "/hello/end")
	seen := 0
	for frame := ""; frame != "hello, end"; {
		select {
		case frame = <-frames:
		case <-time.After(patience):
			t.Fatal("the last answer did not arrive")
		}
		if frame == "hello, once" {
			seen++
		} else if frame != "hello, probe" && frame != "hello, end" {
			t.Errorf("frame %q", frame)
		}
	}
	if seen != 1 {
		t.Errorf("the answer arrived %d times, want once", seen)
	}
	if err := stop(); err != nil {
		t.Errorf("Run() = %v", err)
	}
	if n := journaled(t, o.Publisher.Dir, "hello, once"); n != 1 {
		t.Errorf("the journal has the answer %d times, want once", n)
	}
}

// subscribe connects to the text feed. What arrives comes on frames.
func subscribe(t *testing.T, srv *services.Server) (frames <-chan string, stop func()) {
	t.Helper()
	c, err := zmq.NewContext()
	if err != nil {
		t.Fatal(err)
	}
	text, _, _ := srv.Publisher().Endpoints()
	out, quit, done := make(chan string, 1000), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		sub, err := c.Sub(zmq.Options{})
		if err != nil {
			t.Error(err)
			return
		}
		defer sub.Close()
		if err := errors.Join(sub.Subscribe(""), sub.Connect(text)); err != nil {
			t.Error(err)
			return
		}
		for {
			m, err := sub.Recv()
			if err == nil {
				out <- string(m[0])
				continue
			}
			select {
			case <-quit:
				return
			case <-time.After(time.Millisecond):
			}
		}
	}()
	return out, func() {
		close(quit)
		<-done
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestServerStops sees that the answer in flight at the stop arrives whole and is in
// the journal, and that an open stream does not hold up the stop.
func TestServerStops(t *testing.T) {
	inFlight, streaming := make(chan struct{}), make(chan struct{})
	release := make(chan struct{})
	s := services.New("test", func(r *services.Router) {
		r.GET("/slow", func(c *gin.Context) {
			close(inFlight)
			<-release
			c.String(http.StatusOK, "late but whole")
		})
		r.GET("/stream", func(c *gin.Context) {
			c.Header("Content-Type", "text/event-stream")
			c.Writer.Flush()
			close(streaming)
			<-c.Request.Context().Done()
		})
	})
	o := options(t)
	srv, stop := start(t, s, o)
	slow, stream := make(chan string, 1), make(chan struct{})
	go func() { slow <- get(t, srv, "/slow") }()
	go func() {
		defer close(stream)
		r, err := http.Get("http://" + srv.Addr().String() + "/stream")
		if err != nil {
			t.Error(err)
			return
		}
		defer r.Body.Close()
		_, _ = io.Copy(io.Discard, r.Body) // it is cut
	}()
	<-inFlight
	<-streaming
	stopped := make(chan error, 1)
	begin := time.Now()
	go func() { stopped <- stop() }()
	select {
	case <-stream: // cut already, while the other answer is still awaited
	case <-time.After(grace):
		t.Error("the stream goes on")
	}
	close(release)
	if got := <-slow; got != "late but whole" {
		t.Errorf("the answer in flight is %q", got)
	}
	if err := <-stopped; err != nil {
		t.Errorf("Run() = %v", err)
	}
	if took := time.Since(begin); took > grace {
		t.Errorf("the stop took %v", took)
	}
	for _, text := range []string{"late but whole", `"path":"/stream"`} {
		if n := journaled(t, o.Publisher.Dir, text); n != 1 {
			t.Errorf("the journal has %s %d times, want once", text, n)
		}
	}
}

func TestServerFromHandler(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /hello/{name}", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "hello, "+r.PathValue("name"))
	})
	o := options(t)
	o.Recorder.Skip = func(r *http.Request) bool { return r.URL.Path == "/hello/nobody" }
	srv, stop := start(t, services.FromHandler("plain", mux), o)
	for _, name := range []string{"you", "nobody"} {
		if got := get(t, srv, "/hello/"+name); got != "hello, "+name {
			t.Errorf("GET /hello/%s = %q", name, got)
		}
	}
	if got := get(t, srv, "/livez"); got != "ok\n" {
		t.Errorf("GET /livez = %q", got)
	}
	if err := stop(); err != nil {
		t.Errorf("Run() = %v", err)
	}
	if n := journaled(t, o.Publisher.Dir, `"subject":"/hello/{name}"`); n != 1 {
		t.Errorf("the journal has the pattern %d times, want once", n)
	}
	for _, never := range []string{"livez", "nobody"} {
		if n := journaled(t, o.Publisher.Dir, never); n != 0 {
			t.Errorf("the journal has %s %d times, want never", never, n)
		}
	}
}

// TestServerAdmin asks the operators' door how the service is after one answer of each
// kind: of a route, of a route that refuses, and of net/http itself.
func TestServerAdmin(t *testing.T) {
	o := options(t)
	l, err := net.Listen("tcp", "127.0.0.1:0") // a port that is free, most likely
	if err != nil {
		t.Fatal(err)
	}
	o.Admin = l.Addr().String()
	_ = l.Close()
	srv, stop := start(t, services.New("test", routes), o)
	get(t, srv, "/hello/you")
	get(t, srv, "/nothing")
	get(t, srv, "/hello/"+strings.Repeat("u", 32<<10))
	ready := door(t, o.Admin+"/readyz")
	if want := `"journal":{"state":"ok"}`; !strings.Contains(ready, want) {
		t.Errorf("GET /readyz = %s, want %s in it", ready, want)
	}
	for _, want := range []string{
		`earshot_service_answers_total{status="200"} 1`,
		`earshot_service_answers_total{status="404"} 1`,
		`earshot_service_unrecorded_answers_total{status="431"} 1`,
		`earshot_answer_seconds_count{class="2xx",route="/hello/:name",service="test"} 1`,
		`earshot_answer_seconds_count{class="4xx",route="",service="test"} 1`,
		`earshot_records_total 2`,
		`earshot_journal_degraded 0`,
	} {
		// net/http tells of its own answers when the connection ends.
		testenv.Wait(t, want+" among the metrics", patience, func() bool { return strings.Contains(door(t, o.Admin+"/metrics"), want+"\n") })
	}
	if err := stop(); err != nil {
		t.Errorf("Run() = %v", err)
	}
}

// TestNewServerRefuses sees that what can't work is said at once and that nothing is
// kept of it.
func TestNewServerRefuses(t *testing.T) {
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	for name, c := range map[string]struct {
		name string
		set  func(*services.Options)
		want string
	}{
		"name":         {"a b", func(*services.Options) {}, `services: name "a b"`},
		"busy port":    {"test", func(o *services.Options) { o.Listen = busy.Addr().String() }, "choose another with EARSHOT_HTTP_LISTEN"},
		"busy admin":   {"test", func(o *services.Options) { o.Admin = busy.Addr().String() }, "is taken"},
		"busy feed":    {"test", func(o *services.Options) { o.Publisher.Text = "tcp://" + busy.Addr().String() }, "choose another with EARSHOT_FEED_TEXT"},
		"public admin": {"test", func(o *services.Options) { o.Admin = "0.0.0.0:0" }, "not an address of loopback"},
		"client form":  {"test", func(o *services.Options) { o.Recorder.Client = "half" }, `client "half"`},
	} {
		t.Run(name, func(t *testing.T) {
			o := options(t)
			c.set(&o)
			_, err := services.NewServer(services.New(c.name, routes), o)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("NewServer() = %v, want %q", err, c.want)
			}
			srv, err := services.NewServer(services.New("test", routes), options(t))
			if err != nil {
				t.Fatal(err)
			}
			if err := srv.Close(); err != nil {
				t.Errorf("Close() = %v", err)
			}
		})
	}
}
