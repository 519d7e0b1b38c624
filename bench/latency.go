package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

func latency() *table {
	return &table{
		name:  "latency",
		title: "How soon the line is in the log, at a steady pace",
		note: "Times in us. A line is there when it can be read in the file. Below zero: it was there before the client had read the\n" +
			"answer. C: from zmq_send to zmq_msg_recv, no log. Lost: what had not come ten seconds after the end.",
		columns: []column{
			{key: "answer50", title: "answer to line p50"},
			{key: "answer99", title: "p99"},
			{key: "sent50", title: "sending to line p50"},
			{key: "sent99", title: "p99"},
			{key: "rate", title: "records/s"},
			{key: "lost", title: "lost", sum: true},
		},
		rows: []row{pacedPairRow{}, pacedPublishRow{}, pacedUpRow{}},
	}
}

func (o options) pacedRecords() int { return max(int(float64(o.pace)*o.paced.Seconds()), 1) }

// pacedPairRow is one way through libzmq in C.
type pacedPairRow struct{}

func (pacedPairRow) name() string  { return "c-paced" }
func (pacedPairRow) title() string { return "libzmq in C, one way" }
func (pacedPairRow) needs() string { return needPair }

func (pacedPairRow) run(ctx context.Context, b *bench) (sample, error) {
	n := b.o.pacedRecords()
	pub, err := start(ctx, "C publisher", b.pair, "paced-pub", b.lines, fmt.Sprint(n), fmt.Sprint(b.o.pace))
	if err != nil {
		return nil, err
	}
	defer pub.kill()
	bound, err := pub.hear("bound")
	if err != nil {
		return nil, err
	}
	sub, err := start(ctx, "C subscriber", b.pair, "paced-sub", bound["feed"], fmt.Sprint(n))
	if err != nil {
		return nil, err
	}
	defer sub.kill()
	if err := allReady(pub, sub); err != nil {
		return nil, err
	}
	for _, c := range []*child{sub, pub} {
		if err := c.say("go"); err != nil {
			return nil, err
		}
	}
	began := time.Now()
	got, err := sub.hear("done")
	if err != nil {
		return nil, err
	}
	took := time.Since(began) - time.Duration(got.Float("quiet"))*time.Microsecond
	if _, err := pub.hear("done"); err != nil {
		return nil, err
	}
	for _, c := range []*child{sub, pub} {
		if _, err := c.end(); err != nil {
			return nil, err
		}
	}
	return sample{
		"sent50": got.Float("p50"), "sent99": got.Float("p99"), "rate": float64(n) / took.Seconds(),
		"lost": float64(n) - got.Float("records"),
	}, nil
}

// pacedPublishRow is Publish in one process and the log file of another.
type pacedPublishRow struct{}

func (pacedPublishRow) name() string  { return "publish-paced" }
func (pacedPublishRow) title() string { return "Publish -> store -> log file" }

func (pacedPublishRow) run(ctx context.Context, b *bench) (sample, error) {
	ask, err := b.spawn(ctx, task{
		Role: "ask-paced", Dir: b.path("journals"), Log: b.path("subscriber.log"),
		Records: b.o.pacedRecords(), Pace: b.o.pace, Callers: pacedCallers,
	})
	if err != nil {
		return nil, err
	}
	defer ask.kill()
	bound, err := ask.hear("bound")
	if err != nil {
		return nil, err
	}
	log, err := b.spawn(ctx, task{Role: "log", Dir: b.path("store"), Log: b.path("subscriber.log"), Feed: bound["feed"]})
	if err != nil {
		return nil, err
	}
	defer log.kill()
	if err := allReady(log); err != nil {
		return nil, err
	}
	if _, err := log.tell("go", "done"); err != nil {
		return nil, err
	}
	if err := ask.say("follow"); err != nil {
		return nil, err
	}
	s, err := paced(ask, b.o.pacedRecords())
	if err != nil {
		return nil, err
	}
	_, err = log.end()
	return s, err
}

// paced runs a child that asks at a pace and reads the log.
func paced(ask *child, n int) (sample, error) {
	if err := allReady(ask); err != nil {
		return nil, err
	}
	got, err := ask.tell("go", "done")
	if err != nil {
		return nil, err
	}
	s := sample{"lost": float64(n) - got.Float("lines")}
	for _, key := range []string{"answer50", "answer99", "sent50", "sent99", "rate"} {
		s[key] = got.Float(key)
	}
	_, err = ask.end()
	return s, err
}

// pacedUpRow is the whole of Earshot in one process: gateway, service, log file.
type pacedUpRow struct{}

func (pacedUpRow) name() string  { return "up-paced" }
func (pacedUpRow) title() string { return "earshot up: client -> gateway -> service -> log file" }
func (pacedUpRow) needs() string { return needEarshot }

func (pacedUpRow) run(ctx context.Context, b *bench) (s sample, err error) {
	data := b.path("data")
	var ports [5]string
	for i := range ports {
		if ports[i], err = freePort(); err != nil {
			return nil, err
		}
	}
	up := exec.CommandContext(ctx, b.earshot, "up", "--data", data, "--log-level", "error", "--services", "downcase",
		"--http-listen", ports[0], "--feed-text", "tcp://"+ports[1], "--feed-record", "tcp://"+ports[2],
		"--feed-replay", "tcp://"+ports[3], "--admin-listen", ports[4])
	up.Stderr = os.Stderr
	if err := up.Start(); err != nil {
		return nil, err
	}
	defer func() {
		if e := up.Process.Signal(syscall.SIGTERM); e != nil {
			err = errors.Join(err, e)
		}
		err = errors.Join(err, up.Wait())
	}()
	if err := waitReady(ctx, "http://"+ports[4]+"/readyz"); err != nil {
		return nil, err
	}
	_, port, err := net.SplitHostPort(ports[0])
	if err != nil {
		return nil, err
	}
	ask, err := start(ctx, "client", b.pair, "ask", port, filepath.Join(data, "logs", "subscriber.log"),
		fmt.Sprint(b.o.pacedRecords()), fmt.Sprint(b.o.pace), fmt.Sprint(pacedCallers))
	if err != nil {
		return nil, err
	}
	defer ask.kill()
	return paced(ask, b.o.pacedRecords())
}

// freePort is an address on which nothing listens at the moment.
func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

func waitReady(ctx context.Context, url string) error {
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
		if err != nil {
			return err
		}
		if resp, err := http.DefaultClient.Do(req); err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
		}
	}
	return fmt.Errorf("earshot up is not ready: %s", url)
}
