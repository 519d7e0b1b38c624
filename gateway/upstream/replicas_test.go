package upstream

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/earshot-mq/earshot/gateway/discover/dnstest"
	"github.com/earshot-mq/earshot/internal/testenv"
)

// machine is a server that can die and come back at its address.
type machine struct {
	t     *testing.T
	addr  string
	asked atomic.Int64

	mu      sync.Mutex // guards what follows
	server  *http.Server
	done    chan struct{}
	handler http.HandlerFunc // default: its address
	begun   map[string]int   // requests by their X-Id
}

// newMachine starts one. An addr with port 0 gets a port.
func newMachine(t *testing.T, addr string) *machine {
	t.Helper()
	m := &machine{t: t, addr: addr, begun: map[string]int{}}
	m.start()
	t.Cleanup(m.kill)
	return m
}

func (m *machine) start() {
	m.t.Helper()
	var l net.Listener
	var err error
	testenv.Wait(m.t, "listens on "+m.addr, testenv.Patience, func() bool {
		l, err = net.Listen("tcp", m.addr)
		return err == nil
	})
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.server == nil {
		m.addr = l.Addr().String()
	}
	m.server, m.done = &http.Server{Handler: m, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, 0)}, make(chan struct{})
	go func(s *http.Server, done chan struct{}) {
		defer close(done)
		_ = s.Serve(l)
	}(m.server, m.done)
}

// kill closes everything at once, as the death of a process does.
func (m *machine) kill() {
	m.mu.Lock()
	s, done := m.server, m.done
	m.mu.Unlock()
	_ = s.Close()
	<-done
}

func (m *machine) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	m.asked.Add(1)
	m.mu.Lock()
	m.begun[r.Header.Get("X-Id")]++
	handler := m.handler
	m.mu.Unlock()
	if handler != nil {
		handler(w, r)
		return
	}
	_, _ = io.Copy(io.Discard, r.Body)
	_, _ = io.WriteString(w, m.addr)
}

// answer makes h the handler.
func (m *machine) answer(h http.HandlerFunc) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.handler = h
}

func (m *machine) began(id string) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.begun[id]
}

// machines are n of them with one port and addresses 127.0.0.1, 127.0.0.2, …
func machines(t *testing.T, n int) (all []*machine, port string) {
	t.Helper()
	all = []*machine{newMachine(t, "127.0.0.1:0")}
	_, port, _ = net.SplitHostPort(all[0].addr)
	for i := 2; i <= n; i++ {
		addr := fmt.Sprintf("127.0.0.%d:%s", i, port)
		l, err := net.Listen("tcp", addr)
		if err != nil {
			testenv.Missing(t, "a further address of loopback: "+err.Error())
		}
		_ = l.Close()
		all = append(all, newMachine(t, addr))
	}
	return all, port
}

// journal keeps what is logged.
type journal struct {
	mu sync.Mutex
	b  bytes.Buffer
	t  *testing.T
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	_, _ = j.t.Output().Write(p)
	return j.b.Write(p)
}

func (j *journal) count(what string) int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return strings.Count(j.b.String(), what)
}

// follow makes an upstream and lets it run.
func follow(t *testing.T, o Options, origins ...string) (*HTTP, *journal) {
	t.Helper()
	j := &journal{t: t}
	o.Logger = slog.New(slog.NewTextHandler(j, nil))
	u, err := NewHTTP("back", origins, o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var done sync.WaitGroup
	done.Go(func() { _ = u.Run(ctx) })
	t.Cleanup(func() {
		cancel()
		done.Wait()
		u.Close()
		testenv.Wait(t, "nothing in flight", testenv.Patience, func() bool { return u.inFlight() == 0 })
	})
	return u, j
}

func (u *HTTP) inFlight() (n int64) {
	for _, r := range u.State().Replicas {
		n += r.InFlight
	}
	return n
}

func urls(all []*machine) (origins []string) {
	for _, m := range all {
		origins = append(origins, "http://"+m.addr)
	}
	return origins
}

// try sends a request and reads the whole answer.
func try(t *testing.T, u *HTTP, method, id, body string) (text string, err error) {
	r := request(t, method, body)
	r.Header.Set("X-Id", id)
	a, err := u.Do(r, nil)
	if err != nil {
		return "", err
	}
	defer func() { _ = a.Body.Close() }()
	b, err := io.ReadAll(a.Body)
	return string(b), err
}

// TestKilledUnderLoad kills and restarts one of three replicas while it is asked: a GET
// never fails, a POST only when the dying one was at it, and none is done twice.
func TestKilledUnderLoad(t *testing.T) {
	all, port := machines(t, 3)
	for _, m := range all {
		m.answer(func(w http.ResponseWriter, r *http.Request) {
			if _, err := io.Copy(io.Discard, r.Body); err != nil {
				return
			}
			time.Sleep(time.Millisecond) // so that some are in flight when it dies
			_, _ = io.WriteString(w, m.addr)
		})
	}
	dns := dnstest.New(t)
	dns.Set("back", "127.0.0.1", "127.0.0.2", "127.0.0.3")
	u, j := follow(t, Options{Resolver: dns.Resolver()}, "http://back:"+port)
	stop := make(chan struct{})
	var clients sync.WaitGroup
	var answers, cut atomic.Int64
	for c := range 8 {
		clients.Go(func() {
			method, body := "GET", ""
			if c%2 == 0 {
				method, body = "POST", strings.Repeat("x", 100<<c)
			}
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				id := fmt.Sprintf("%d-%d", c, n)
				_, err := try(t, u, method, id, body)
				begun := all[0].began(id) + all[1].began(id) + all[2].began(id)
				var e *Error
				switch {
				case err == nil:
					answers.Add(1)
				case method == "POST" && errors.As(err, &e) && e.Replica == all[1].addr && e.Stage != Dial:
					cut.Add(1) // it was sent, and may have been read
				default:
					t.Errorf("%s %s: %v", method, id, err)
				}
				if method == "POST" && (begun > 1 || err == nil && begun == 0) {
					t.Errorf("POST %s was begun %d times: %v", id, begun, err)
				}
			}
		})
	}
	for range 5 {
		before := all[1].asked.Load()
		testenv.Wait(t, "the replica is asked", testenv.Patience, func() bool { return all[1].asked.Load() > before+20 })
		all[1].kill()
		testenv.Wait(t, "it is out", testenv.Patience, func() bool { return !u.State().Replicas[1].In })
		all[1].start()
	}
	testenv.Wait(t, "it is back", testenv.Patience, func() bool { return u.State().Replicas[1].In })
	close(stop)
	clients.Wait()
	out, back := j.count("replica is out"), j.count("replica is back")
	t.Logf("%d answers, %d cut off, %+v", answers.Load(), cut.Load(), u.State())
	if out != back || out < 1 || out > 5 || j.count("127.0.0.1:")+j.count("127.0.0.3:") > 4 {
		t.Errorf("the log says %d times out and %d times back", out, back)
	}
}

// TestBalance: both rules give each replica its share, and one that is busy less.
func TestBalance(t *testing.T) {
	for name, c := range map[string]struct {
		rule        Balance
		least, most int64 // of 300
	}{
		"p2c":         {TwoChoices, 60, 140},
		"round-robin": {RoundRobin, 100, 100},
	} {
		t.Run(name, func(t *testing.T) {
			all, port := machines(t, 3)
			dns := dnstest.New(t)
			dns.Set("back", "127.0.0.1", "127.0.0.2", "127.0.0.3")
			u, _ := follow(t, Options{Balance: c.rule, Resolver: dns.Resolver()}, "http://back:"+port)
			for range 300 {
				if _, err := try(t, u, "GET", "", ""); err != nil {
					t.Fatal(err)
				}
			}
			for _, m := range all {
				if n := m.asked.Load(); n < c.least || n > c.most {
					t.Errorf("%s was asked %d times of 300", m.addr, n)
				}
			}
		})
	}
	t.Run("busy", func(t *testing.T) {
		all, _ := machines(t, 3)
		release := make(chan struct{})
		all[0].answer(func(http.ResponseWriter, *http.Request) { <-release })
		u, _ := follow(t, Options{}, urls(all)...)
		var held sync.WaitGroup
		testenv.Wait(t, "request at the first", testenv.Patience, func() bool {
			if all[0].asked.Load() > 0 {
				return true
			}
			held.Go(func() { _, _ = try(t, u, "GET", "", "") })
			return false
		})
		before := all[0].asked.Load()
		for range 100 {
			if _, err := try(t, u, "GET", "", ""); err != nil {
				t.Fatal(err)
			}
		}
		if n := all[0].asked.Load(); n > before {
			t.Errorf("the busy one was asked %d times", n-before)
		}
		close(release)
		held.Wait()
	})
}

// TestNames: replicas come and go with the addresses of their name.
func TestNames(t *testing.T) {
	all, port := machines(t, 3)
	release, entered := make(chan struct{}), make(chan struct{}, 1)
	all[0].answer(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Id") == "slow" {
			entered <- struct{}{}
			<-release
		}
		_, _ = io.WriteString(w, all[0].addr)
	})
	dns := dnstest.New(t)
	u, j := follow(t, Options{Resolver: dns.Resolver(), Resolve: 300 * time.Millisecond}, "http://back:"+port)

	_, err := try(t, u, "GET", "", "")
	var e *Error
	if !errors.As(err, &e) || e.Stage != Dial || e.Reason() != "its name is not known" {
		t.Fatalf("without a name: %v", err)
	}
	known := func(want ...string) {
		t.Helper()
		testenv.Wait(t, fmt.Sprint(want), testenv.Patience, func() bool {
			var have []string
			for _, r := range u.State().Replicas {
				have = append(have, strings.TrimSuffix(r.Addr, ":"+port))
			}
			return fmt.Sprint(have) == fmt.Sprint(want)
		})
	}
	dns.Set("back", "127.0.0.1")
	known("127.0.0.1")
	slow := make(chan error)
	go func() {
		text, err := try(t, u, "POST", "slow", "body")
		if err == nil && text != all[0].addr {
			err = errors.New(text)
		}
		slow <- err
	}()
	<-entered
	dns.Set("back", "127.0.0.2", "127.0.0.3")
	known("127.0.0.2", "127.0.0.3")
	before := all[0].asked.Load()
	for range 50 {
		if _, err := try(t, u, "GET", "", ""); err != nil {
			t.Error(err)
		}
	}
	if all[0].asked.Load() != before || all[1].asked.Load() == 0 || all[2].asked.Load() == 0 {
		t.Errorf("asked: %d, %d, %d", all[0].asked.Load()-before, all[1].asked.Load(), all[2].asked.Load())
	}
	close(release)
	if err := <-slow; err != nil {
		t.Errorf("what was in flight on the one that left: %v", err)
	}
	dns.Fail(true, true)
	testenv.Wait(t, "the log says that the name has no answer", testenv.Patience, func() bool { return j.count("name has no answer") == 2 })
	if _, err := try(t, u, "GET", "", ""); err != nil {
		t.Errorf("with the last known addresses: %v", err)
	}
	dns.Fail(false, false)
	testenv.Wait(t, "and that it has one again", testenv.Patience, func() bool { return j.count("name has an answer again") == 2 })
}

// TestMoved: when the only replica has moved, the request that finds out goes after it.
func TestMoved(t *testing.T) {
	all, port := machines(t, 2)
	dns := dnstest.New(t)
	dns.Set("back", "127.0.0.1")
	u, _ := follow(t, Options{Resolver: dns.Resolver(), Resolve: time.Hour}, "http://back:"+port)
	if text, err := try(t, u, "POST", "", "body"); err != nil || text != all[0].addr {
		t.Fatal(text, err)
	}
	time.Sleep(300 * time.Millisecond) // or the name would count as just asked
	dns.Set("back", "127.0.0.2")
	all[0].kill()
	if text, err := try(t, u, "POST", "", "body"); err != nil || text != all[1].addr {
		t.Errorf("after the move: %q, %v", text, err)
	}
}

// TestWithoutRun resolves a name when it is needed.
func TestWithoutRun(t *testing.T) {
	all, port := machines(t, 1)
	dns := dnstest.New(t)
	dns.Set("back", "127.0.0.1")
	u, err := NewHTTP("back", []string{"http://back:" + port}, Options{Resolver: dns.Resolver()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(u.Close)
	for range 3 {
		if text, err := try(t, u, "GET", "", ""); err != nil || text != all[0].addr {
			t.Errorf("%q, %v", text, err)
		}
	}
}

// TestTimeoutsEject: replicas that take requests and don't answer are left out, but not
// all: it may be the requests.
func TestTimeoutsEject(t *testing.T) {
	all, _ := machines(t, 3)
	for _, m := range all[:2] {
		m.answer(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	}
	u, j := follow(t, Options{Header: 20 * time.Millisecond, Balance: RoundRobin}, urls(all)...)
	for range 30 {
		_, _ = try(t, u, "GET", "", "")
	}
	out := 0
	for _, r := range u.State().Replicas {
		if !r.In {
			out++
		}
	}
	if out != 1 || j.count("replica is out") != 1 || j.count("upstream fails") != 1 {
		t.Errorf("%d of 3 are out, want 1", out)
	}
}

// TestDeadlinesEject: it counts as well when the time of the whole exchange is up, or
// the caller's, but not that a client goes away.
func TestDeadlinesEject(t *testing.T) {
	for name, c := range map[string]struct {
		limited func(context.Context) (context.Context, context.CancelFunc)
		out     bool
	}{
		"the caller's": {func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(ctx, 30*time.Millisecond)
		}, true},
		"the whole": {func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeoutCause(ctx, 30*time.Millisecond, &Error{Stage: Total, Limit: 30 * time.Millisecond, Err: context.DeadlineExceeded})
		}, true},
		"gone away": {func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(ctx)
			time.AfterFunc(30*time.Millisecond, cancel)
			return ctx, cancel
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			all, _ := machines(t, 2)
			all[0].answer(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
			u, _ := follow(t, Options{Balance: RoundRobin}, urls(all)...)
			for range 12 {
				r := request(t, "GET", "")
				ctx, cancel := c.limited(r.Context())
				if a, err := u.Do(r.WithContext(ctx), nil); err == nil {
					_ = a.Body.Close()
				}
				cancel()
			}
			if in := u.State().Replicas[0].In; in == c.out {
				t.Errorf("in: %v, want %v", in, !c.out)
			}
		})
	}
}

// TestDown: what is down is said once, not once a request, and it is asked all the same.
func TestDown(t *testing.T) {
	all, _ := machines(t, 2)
	u, j := follow(t, Options{}, urls(all)...)
	for _, m := range all {
		m.kill()
	}
	for range 100 {
		_, err := try(t, u, "POST", "", "body")
		var e *Error
		if !errors.As(err, &e) || e.Stage != Dial || e.Replica == "" {
			t.Fatalf("%v", err)
		}
	}
	if s := u.State(); s.Failures != 100 || s.Retries != 100 {
		t.Errorf("%+v", s)
	}
	all[1].start()
	for range 10 {
		if text, err := try(t, u, "POST", "", "body"); err != nil || text != all[1].addr {
			t.Errorf("one is back: %q, %v", text, err)
		}
	}
	if out, fails := j.count("replica is out"), j.count("upstream fails"); out != 2 || fails != 1 || j.count("replica is back") != 1 {
		t.Errorf("the log says %d times out, %d times that all fails", out, fails)
	}
}

// TestCheck: a replica whose check says no gets no request, unless all say so.
func TestCheck(t *testing.T) {
	all, _ := machines(t, 2)
	var no [2]atomic.Bool
	for i, m := range all {
		m.answer(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/readyz" && no[i].Load() {
				w.WriteHeader(http.StatusServiceUnavailable)
			}
			_, _ = io.WriteString(w, m.addr)
		})
	}
	u, j := follow(t, Options{Health: Health{Path: "/readyz", Every: 20 * time.Millisecond}}, urls(all)...)
	in := func(a, b bool) {
		t.Helper()
		testenv.Wait(t, fmt.Sprintf("in: %v, %v", a, b), testenv.Patience, func() bool {
			s := u.State().Replicas
			return s[0].In == a && s[1].In == b
		})
	}
	in(true, true)
	no[0].Store(true)
	in(false, true)
	for range 20 {
		if text, err := try(t, u, "GET", "", ""); err != nil || text != all[1].addr {
			t.Errorf("the other is asked: %q, %v", text, err)
		}
	}
	no[1].Store(true)
	in(false, false)
	if _, err := try(t, u, "GET", "", ""); err != nil {
		t.Errorf("no one is in: %v", err)
	}
	no[0].Store(false)
	in(true, false)
	all[0].kill()
	in(false, false)
	all[0].start()
	no[1].Store(false)
	in(true, true)
	if out, back := j.count("replica is out"), j.count("replica is back"); out != 3 || back != 3 {
		t.Errorf("the log says %d times out, %d times back, want 3 each", out, back)
	}
}

// TestSentElsewhere: what a dying replica may have done is not asked of another one, unless
// it can do nothing twice, and then of one only.
func TestSentElsewhere(t *testing.T) {
	die := func(before string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			c, _, err := w.(http.Hijacker).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			_, _ = io.WriteString(c, before)
			_ = c.Close()
		}
	}
	for name, c := range map[string]struct {
		method, said string
		dying, begun int // of three replicas
		fails        bool
	}{
		"GET":                       {"GET", "", 1, 2, false},
		"GET, and all die":          {"GET", "", 3, 2, true},
		"GET, and an answer begins": {"GET", "HTTP/1.1 2", 3, 1, true},
		"POST without a body":       {"POST", "", 3, 1, true},
		"DELETE":                    {"DELETE", "", 3, 1, true},
	} {
		t.Run(name, func(t *testing.T) {
			all, _ := machines(t, 3)
			for _, m := range all[:c.dying] {
				m.answer(die(c.said))
			}
			u, _ := follow(t, Options{Balance: RoundRobin}, urls(all)...)
			_, err := try(t, u, c.method, "x", "")
			begun := all[0].began("x") + all[1].began("x") + all[2].began("x")
			if begun != c.begun || (err != nil) != c.fails {
				t.Errorf("it was begun %d times, want %d: %v", begun, c.begun, err)
			}
		})
	}
}

// TestSilentOnce: one check without an answer takes no replica out.
func TestSilentOnce(t *testing.T) {
	all, _ := machines(t, 2)
	var checks atomic.Int64
	all[0].answer(func(w http.ResponseWriter, r *http.Request) {
		if checks.Add(1)%2 == 0 {
			<-r.Context().Done()
		}
		_, _ = io.WriteString(w, all[0].addr)
	})
	u, j := follow(t, Options{Health: Health{Path: "/readyz", Every: 5 * time.Millisecond, Timeout: 20 * time.Millisecond}}, urls(all)...)
	testenv.Wait(t, "several checks", testenv.Patience, func() bool { return checks.Load() > 8 })
	if n := j.count("replica is out"); n != 0 || !u.State().Replicas[0].In {
		t.Errorf("it was out %d times: %+v", n, u.State())
	}
}

// TestAbsence: each try that fails doubles the time until the next, up to a bound; an answer
// to what was asked before says nothing new.
func TestAbsence(t *testing.T) {
	all, _ := machines(t, 2)
	u, _ := follow(t, Options{}, urls(all)...)
	r := (*u.replicas.Load())[0]
	before := time.Now()
	r.lost(&Error{Stage: Dial, Err: io.EOF})
	if r.answered(before); !r.health.out.Load() {
		t.Error("an answer to what was asked before made it come back")
	}
	for want := 2 * firstAbsence; want < 4*longAbsence; want *= 2 {
		now := r.health.tryAt.Add(time.Nanosecond)
		if !r.health.usable(now) {
			t.Fatalf("no try after %v", r.health.absence)
		}
		if r.health.take(now); r.health.absence != min(want, longAbsence) || r.health.usable(now) {
			t.Errorf("absent for %v, want %v", r.health.absence, min(want, longAbsence))
		}
	}
	if r.answered(time.Now()); r.health.out.Load() {
		t.Error("an answer does not make it come back")
	}
}

// TestBrokenAnswers: who has answered is not out because its answers break off, though it
// be many at once.
func TestBrokenAnswers(t *testing.T) {
	all, _ := machines(t, 2)
	const half = 2 * mostFails
	var begun atomic.Int64
	all[0].answer(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		_, _ = io.WriteString(w, "half")
		w.(http.Flusher).Flush()
		begun.Add(1)
		testenv.Wait(t, "half of all answers", testenv.Patience, func() bool { return begun.Load() == half })
		panic(http.ErrAbortHandler)
	})
	u, _ := follow(t, Options{Balance: RoundRobin}, urls(all)...)
	var clients sync.WaitGroup
	var broken atomic.Int64
	for range 2 * half {
		clients.Go(func() {
			if _, err := try(t, u, "GET", "", ""); err != nil {
				broken.Add(1)
			}
		})
	}
	clients.Wait()
	if s := u.State().Replicas[0]; !s.In || broken.Load() != half {
		t.Errorf("after %d broken answers, want %d: %+v", broken.Load(), half, s)
	}
}

// TestNotCheckedYet: a replica that has a check is out until it has passed it, whatever
// else it answers.
func TestNotCheckedYet(t *testing.T) {
	all, _ := machines(t, 1)
	u, err := NewHTTP("back", urls(all), Options{Health: Health{Path: "/readyz"}})
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	r := (*u.replicas.Load())[0]
	r.lost(&Error{Stage: Header, Err: io.EOF})
	if r.answered(time.Now()); !r.health.out.Load() {
		t.Error("it is in before its first check")
	}
	if r.checked(nil); r.health.out.Load() {
		t.Error("it is out after its check")
	}
}

// TestOriginOfEach: a request without a Host is sent that of the replica it goes to.
func TestOriginOfEach(t *testing.T) {
	all, _ := machines(t, 2)
	for _, m := range all {
		m.answer(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Host+" "+m.addr) })
	}
	u, _ := follow(t, Options{Balance: RoundRobin}, urls(all)...)
	for range 4 {
		text, err := try(t, u, "GET", "", "")
		if host, addr, _ := strings.Cut(text, " "); err != nil || host != addr {
			t.Errorf("%q, %v", text, err)
		}
	}
}
