package e2e_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/earshot-mq/earshot/internal/drill"
	"github.com/earshot-mq/earshot/internal/journal"
	"github.com/earshot-mq/earshot/internal/testenv"
	"github.com/earshot-mq/earshot/publisher"
	"github.com/earshot-mq/earshot/publisher/record"
	"github.com/earshot-mq/earshot/subscriber"
	"github.com/earshot-mq/earshot/subscriber/store"
)

// python runs a Python 3 program with these modules until the test ends, and gives its
// standard output as it grows.
func python(t *testing.T, env []string, args []string, modules ...string) *output {
	t.Helper()
	cmd := exec.Command(testenv.Python(t, modules...), args...)
	cmd.Env = append(append(os.Environ(), "PYTHONUNBUFFERED=1"), env...)
	return start(t, cmd)
}

// freePort is a port that is free, for programs that must be told one. It lies below
// those that the kernel gives to clients, and is given once.
func freePort(t *testing.T) string {
	t.Helper()
	for range 1000 {
		port, err := drill.FreePort("127.0.0.1")
		if err != nil {
			t.Fatal(err)
		}
		if _, taken := givenPorts.LoadOrStore(port, true); !taken {
			return port
		}
	}
	t.Fatal("no free port")
	return ""
}

var givenPorts sync.Map

// at copies a file with its port replaced.
func at(t *testing.T, file, from, to string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil || !bytes.Contains(text, []byte(from)) {
		t.Fatalf("%s: no %q in it (%v)", file, from, err)
	}
	copied := filepath.Join(t.TempDir(), filepath.Base(file))
	if err := os.WriteFile(copied, bytes.ReplaceAll(text, []byte(from), []byte(to)), 0o600); err != nil {
		t.Fatal(err)
	}
	return copied
}

func downcased(word string) *record.Record {
	body := "lower case of " + word + " is " + strings.ToLower(word)
	return &record.Record{Subject: "/downcase/", HTTP: record.HTTP{
		Method: "GET", Path: "/downcase/", Query: "param=" + word,
		Status: 200, Bytes: int64(len(body)), MediaType: "text/plain", Body: []byte(body), BodyKind: record.BodyText,
	}}
}

// TestClassicClient runs the classic client as it is: one frame a response, exactly.
func TestClassicClient(t *testing.T) {
	p := newPublisher(t, zmqContext(t), publisher.Options{Text: "tcp://127.0.0.1:0", Record: "tcp://127.0.0.1:0", Replay: "tcp://127.0.0.1:0"})
	text, _, _ := p.Endpoints()
	run(t, p.Run)
	s := stream(t, p, "downcase")
	file := filepath.Join(t.TempDir(), "subscriber.log")
	python(t, []string{"PUB_ADDR=" + text}, []string{"../examples/classic/client.py", file}, "zmq")
	logged := func() string { b, _ := os.ReadFile(file); return string(b) }
	testenv.Wait(t, "the client has joined", 20*time.Second, func() bool {
		if err := s.Publish(context.Background(), downcased("PROBE")); err != nil {
			t.Fatal(err)
		}
		return strings.Contains(logged(), "PROBE")
	})
	odd := &record.Record{HTTP: record.HTTP{Status: 200, BodyKind: record.BodyText, Body: []byte("tab\there, ünïcode ☃ and \x1b[31m")}}
	for i := range 500 {
		if err := s.Publish(context.Background(), downcased(fmt.Sprintf("WORD%d", i))); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Publish(context.Background(), odd); err != nil {
		t.Fatal(err)
	}
	testenv.Wait(t, "the last frame", 10*time.Second, func() bool { return strings.Contains(logged(), "☃") })
	n := 0
	for line := range strings.Lines(logged()) {
		if strings.HasPrefix(line, "lower case of WORD") {
			want := fmt.Sprintf("lower case of WORD%d is word%d - ", n, n)
			if !strings.HasPrefix(line, want) {
				t.Fatalf("line %d: %q, want %q and the time", n, line, want)
			}
			n++
		}
	}
	if n != 500 || !strings.Contains(logged(), "tab\there, ünïcode ☃ and \x1b[31m - ") {
		t.Errorf("%d of 500 lines; the odd one: %v", n, strings.Contains(logged(), "\x1b"))
	}
}

func TestRecordFeedInFiveLinesOfPython(t *testing.T) {
	p := newPublisher(t, zmqContext(t), publisher.Options{})
	_, feed, _ := p.Endpoints()
	run(t, p.Run)
	s, other := stream(t, p, "downcase"), stream(t, p, "downcase2")
	out := python(t, nil, []string{at(t, "../examples/records/records.py", "tcp://127.0.0.1:4445", feed)}, "zmq")
	testenv.Wait(t, "the client has joined", 20*time.Second, func() bool {
		if err := s.Publish(context.Background(), downcased("PROBE")); err != nil {
			t.Fatal(err)
		}
		return strings.Contains(out.String(), "PROBE")
	})
	if err := other.Publish(context.Background(), downcased("OTHER")); err != nil {
		t.Fatal(err)
	}
	r := downcased("HELLO")
	if err := s.Publish(context.Background(), r); err != nil {
		t.Fatal(err)
	}
	want := r.ID.String() + " lower case of HELLO is hello\n"
	testenv.Wait(t, "the record", 10*time.Second, func() bool { return strings.Contains(out.String(), want) })
	if strings.Contains(out.String(), "OTHER") {
		t.Error("a subscription to downcase/ got downcase2")
	}
}

// frames lists the messages of plain sockets that a store holds.
func frames(t *testing.T, st *store.Store) (got []string) {
	t.Helper()
	r := st.Reader(1)
	defer r.Close()
	err := r.Read(func(e *journal.Entry, _ uint64) error {
		for line := range e.Records() {
			rec, err := record.Parse(line)
			if err != nil {
				return err
			}
			got = append(got, string(rec.Data))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// TestPlainLogsTheClassicServer logs the Flask server as it is, which binds, waits a
// second, sends and unbinds for each request.
func TestPlainLogsTheClassicServer(t *testing.T) {
	interpreter := testenv.Python(t, "flask", "zmq")
	zport, port := freePort(t), freePort(t)
	server := at(t, "../examples/classic/server.py", "port=5000", "port="+port)
	cmd := exec.Command(interpreter, server)
	cmd.Env = append(os.Environ(), "PUB_ADDR=tcp://127.0.0.1:"+zport)
	start(t, cmd)
	s, st := newSubscriber(t, zmqContext(t), filepath.Join(t.TempDir(), "store"), subscriber.Options{Plain: []string{"tcp://127.0.0.1:" + zport}})
	run(t, s.Run)
	testenv.Wait(t, "an answer of the server", 30*time.Second, func() bool {
		resp, err := http.Get("http://127.0.0.1:" + port + "/downcase/?param=HELLO")
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
	testenv.Wait(t, "its message", 10*time.Second, func() bool { return s.Stats.Plain.Load() > 0 })
	testenv.Wait(t, "its record", 10*time.Second, func() bool { return len(frames(t, st)) > 0 })
	if got := frames(t, st)[0]; !strings.Contains(got, `"frames":["lower case of HELLO is hello"]`) {
		t.Errorf("record %s", got)
	}
}

func TestPlainLogsPUBHandler(t *testing.T) {
	port := freePort(t)
	program := `
import logging, time, zmq
from zmq.log.handlers import PUBHandler
h = PUBHandler("tcp://127.0.0.1:` + port + `"); h.root_topic = "shop"
log = logging.getLogger(); log.setLevel(logging.INFO); log.addHandler(h)
while True:
    log.info("disk \n almost full"); time.sleep(0.05)
`
	python(t, nil, []string{"-c", program}, "zmq")
	s, st := newSubscriber(t, zmqContext(t), filepath.Join(t.TempDir(), "store"), subscriber.Options{Plain: []string{"tcp://127.0.0.1:" + port}})
	run(t, s.Run)
	testenv.Wait(t, "a record", 20*time.Second, func() bool { return len(frames(t, st)) > 0 })
	if got := frames(t, st)[0]; !strings.Contains(got, `"frames":["shop.INFO","disk \n almost full\n"]`) {
		t.Errorf("record %s", got)
	}
}
