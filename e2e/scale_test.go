package e2e_test

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/earshot-mq/earshot/internal/journal"
	"github.com/earshot-mq/earshot/internal/testenv"
	"github.com/earshot-mq/earshot/publisher/record"
)

// What a process may take, at its worst moment, in MiB.
const (
	publisherMiB  = 64
	perSubscriber = 4
	subscriberMiB = 512
)

// crowdMiB is what a process of fifty publishers may take: half as much again as was measured,
// 106 MiB in the long form and 54 in the short one, of which 32 are what a small heap may grow
// by. One of them alone may take publisherMiB.
var crowdMiB = either(160.0, 80)

// What a process may have open: itself, and for each publisher that it follows.
const (
	ownFiles  = 36
	filesEach = 8
)

// fewFiles is how many file descriptors may differ between two quiet moments: connections
// of who asks for metrics, a segment that is allocated ahead.
const fewFiles = 4

// The tests of scale measure processes that are as delivered: the race detector, which takes
// several times the memory, is in none of them.
var lean = sync.OnceValues(func() (dir string, err error) {
	dir = filepath.Join(filepath.Dir(binary), "lean") + "/"
	out, err := exec.Command("go", "build", "-tags", "nomsgpack", "-o", dir, "../cmd/earshot", "./publishers").CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%w: %s", err, out)
	}
	return dir, err
})

func program(t *testing.T, name string) string {
	t.Helper()
	dir, err := lean()
	if err != nil {
		t.Fatal(err)
	}
	return dir + name
}

// leanSubscriber is a subscriber of some feeds, without the race detector.
func leanSubscriber(t *testing.T, feeds []string, more ...string) *instance {
	t.Helper()
	i := newInstance(t, []string{"subscriber"}, append(more, "--subscriber-connect", strings.Join(feeds, ","), "--subscriber-format", "json")...)
	i.file = program(t, "earshot")
	return i
}

// publishers is a process of some of them. See the command of this name.
type publishers struct {
	*output
	t     *testing.T
	args  []string
	feeds []string
	in    io.WriteCloser
	heard int               // lines
	acked map[string]uint64 // how many records each run has that every call has returned for
}

// newPublishers chooses folders and ports. Nothing runs yet.
func newPublishers(t *testing.T, n, streams int) *publishers {
	t.Helper()
	p := &publishers{t: t, args: []string{strconv.Itoa(streams)}, acked: map[string]uint64{}}
	dir := t.TempDir()
	for i := range n {
		feed := "tcp://127.0.0.1:" + freePort(t)
		p.feeds = append(p.feeds, feed)
		p.args = append(p.args, filepath.Join(dir, strconv.Itoa(i))+"="+feed)
	}
	return p
}

func (p *publishers) start() {
	p.t.Helper()
	cmd := exec.Command(program(p.t, "publishers"), p.args...)
	var err error
	if p.in, err = cmd.StdinPipe(); err != nil {
		p.t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	p.heard = 0
	p.output = start(p.t, cmd)
	p.hear(nil)
}

// hear waits for the next line that the process says.
func (p *publishers) hear(into any) {
	p.t.Helper()
	var lines []string
	testenv.Wait(p.t, "word of the publishers", time.Minute, func() bool {
		lines = strings.Split(p.String(), "\n")
		return len(lines) > p.heard+1
	})
	line := lines[p.heard]
	if p.heard++; into == nil {
		return
	}
	if err := json.Unmarshal([]byte(line), into); err != nil {
		p.t.Fatalf("the publishers say %.200q: %v", line, err)
	}
}

// publish has each publisher publish n records. wait returns when all are in the journals.
func (p *publishers) publish(n, callers int) (wait func()) {
	p.t.Helper()
	if _, err := fmt.Fprintln(p.in, n, callers); err != nil {
		p.t.Fatal(err)
	}
	return func() {
		p.t.Helper()
		p.hear(&p.acked) // takes over what is new, and keeps what earlier openings had
	}
}

// stop ends it in good order.
func (p *publishers) stop() {
	p.t.Helper()
	if err := p.in.Close(); err != nil {
		p.t.Error(err)
	}
	if err := p.wait(); err != nil {
		p.t.Error(err)
	}
}

// memory is the most that the process ever had resident, in MiB.
func (o *output) memory(t *testing.T) float64 {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", o.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	_, peak, _ := strings.Cut(string(text), "\nVmHWM:")
	var kib float64
	if _, err := fmt.Sscan(peak, &kib); err != nil {
		t.Fatal(err)
	}
	return kib / 1024
}

// within fails unless the process never had more than most MiB resident.
func (o *output) within(t *testing.T, what string, most float64) {
	t.Helper()
	got := o.memory(t)
	t.Logf("%s: %.0f MiB at most, %d files; the budget is %.0f MiB", what, got, o.files(t), most)
	if got > most {
		t.Errorf("%s had %.0f MiB, its budget is %.0f", what, got, most)
	}
}

// files is how many file descriptors the process has.
func (o *output) files(t *testing.T) int {
	t.Helper()
	all, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", o.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	return len(all)
}

// filesBack waits until the process has as many file descriptors as before, about.
func (o *output) filesBack(t *testing.T, what string, before int) {
	t.Helper()
	testenv.Wait(t, fmt.Sprintf("%s with its %d files again, but for %d", what, before, fewFiles), 30*time.Second, func() bool { return o.files(t) <= before+fewFiles })
}

// bytesRead is how many bytes the process has read from files.
func (o *output) bytesRead(t *testing.T) (n float64) {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/io", o.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Sscanf(string(text), "rchar: %f", &n); err != nil {
		t.Fatal(err)
	}
	return n
}

// hears waits until a subscriber hears so many publishers.
func (i *instance) hears(n int) {
	i.t.Helper()
	testenv.Wait(i.t, fmt.Sprintf("%d publishers heard", n), time.Minute, func() bool { return i.metric("earshot_publishers_heard") == float64(n) })
}

// storesAll waits until the store of a subscriber that was never started again has all records.
func (i *instance) storesAll(acked map[string]uint64) {
	i.t.Helper()
	want := uint64(0)
	for _, n := range acked {
		want += n
	}
	got := uint64(0)
	defer func() {
		if got < want {
			i.t.Logf("%d of %d records are stored; %v repairs, %v stranded", got, want, i.metric("earshot_store_repairs_total"), i.metric("earshot_store_stranded_records"))
		}
	}()
	testenv.Wait(i.t, fmt.Sprintf("%d records stored", want), time.Minute, func() bool {
		got = uint64(i.metric("earshot_store_records_total"))
		return got >= want
	})
}

// exactly judges by PROTOCOL.md 9 what a subscriber that was stopped has: each number of
// each run once in the store and once in the log, in order, and no gap.
func (i *instance) exactly(acked map[string]uint64) {
	t := i.t
	t.Helper()
	log, err := journal.Open(filepath.Join(i.data, "store"), journal.Options{Arrivals: true, ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	next := map[record.Run]uint64{}
	r := log.Reader(1)
	err = r.Read(func(e *journal.Entry, _ uint64) error {
		for line := range e.Records() {
			l, err := record.Scan(line)
			if id := l.ID(); err != nil || id.Run != e.Run || id.Seq != next[e.Run]+1 {
				return fmt.Errorf("%s behind %s/%d: %w", id, e.Run, next[e.Run], err)
			}
			next[e.Run]++
		}
		if e.Kind == journal.KindGap {
			return fmt.Errorf("%d to %d of %s are declared lost", e.First, e.Last, e.Run)
		}
		return nil
	})
	if err != nil {
		t.Errorf("the store: %v", err)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	i.same("the store", next, acked)
	i.same("the log", i.lines(), acked)
}

func (i *instance) same(what string, next map[record.Run]uint64, acked map[string]uint64) {
	i.t.Helper()
	wrong := 0
	for run, n := range next {
		if acked[run.String()] != n {
			wrong++
		}
	}
	if len(next) != len(acked) || wrong > 0 {
		i.t.Errorf("%s has %d runs, want %d; %d of them have not what was acknowledged", what, len(next), len(acked), wrong)
	}
}

// lines counts the lines of each run in the log, which have to be in order.
func (i *instance) lines() map[record.Run]uint64 {
	t := i.t
	t.Helper()
	files, err := filepath.Glob(filepath.Join(i.data, "logs", "*.log"))
	if err != nil {
		t.Fatal(err)
	}
	next := map[record.Run]uint64{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			l, err := record.Scan([]byte(line))
			id := l.ID()
			if err != nil || id.Seq != next[id.Run]+1 {
				t.Fatalf("the log: %s behind %d: %v", id, next[id.Run], err)
			}
			next[id.Run]++
		}
	}
	return next
}

// TestScalePublishers has one subscriber of 200 publishers, under a flood of all of them, and
// over their deaths.
func TestScalePublishers(t *testing.T) {
	const processes, each = 4, 50
	var all []*publishers
	var feeds []string
	for range processes {
		p := newPublishers(t, each, 1)
		all = append(all, p)
		feeds = append(feeds, p.feeds...)
	}
	sub := leanSubscriber(t, feeds)
	sub.start()
	testenv.Wait(t, "all looked for", testenv.Patience, func() bool { return strings.Count(sub.String(), "publisher silent") == len(feeds) })
	alone := sub.files(t)
	acked := map[string]uint64{}
	followed := 0
	for round := range either(10, 2) {
		for _, p := range all {
			p.start()
		}
		sub.hears(processes * each)
		var waits []func()
		for _, p := range all {
			waits = append(waits, p.publish(either(10_000, 400), 4))
		}
		for i, wait := range waits {
			wait()
			for run, n := range all[i].acked {
				acked[run] = n
			}
		}
		sub.storesAll(acked)
		if round == 0 {
			followed = sub.files(t)
		}
		sub.filesBack(t, "the subscriber", followed)
		for i, p := range all {
			p.within(t, fmt.Sprintf("round %d, %d publishers", round, each), crowdMiB)
			if i%2 == 0 {
				p.stop()
			} else {
				_ = p.signal(syscall.SIGKILL)
			}
		}
	}
	sub.filesBack(t, "the subscriber of nobody", alone)
	sub.within(t, fmt.Sprintf("the subscriber of %d publishers, which had %d files, and %d alone", processes*each, followed, alone), subscriberMiB)
	sub.stop()
	sub.exactly(acked)
}

// TestScaleSubscribers has 20 subscribers of one publisher, under a flood, and over their
// deaths.
func TestScaleSubscribers(t *testing.T) {
	const n = 20
	p := newPublishers(t, 1, 1)
	p.start()
	alone := p.files(t)
	var subs []*instance
	for range n {
		sub := leanSubscriber(t, p.feeds)
		sub.start()
		subs = append(subs, sub)
	}
	for _, sub := range subs {
		sub.hears(1)
	}
	followed := p.files(t)
	for range either(10, 1) {
		wait := p.publish(either(500_000, 10_000), 8)
		for i, sub := range subs {
			if i%4 == 0 {
				_ = sub.signal(syscall.SIGKILL)
				sub.start()
			}
		}
		wait()
		for _, sub := range subs {
			sub.caught(p.acked)
		}
		p.filesBack(t, "the publisher", followed)
	}
	p.within(t, fmt.Sprintf("the publisher of %d subscribers, which had %d files, and %d alone", n, followed, alone), publisherMiB+n*perSubscriber)
	for _, sub := range subs {
		sub.stop()
	}
	p.filesBack(t, "the publisher of nobody", alone)
	p.stop()
	for _, sub := range subs {
		sub.exactly(p.acked)
	}
}

// caught waits until a subscriber has all, also one that was started again.
func (i *instance) caught(acked map[string]uint64) {
	i.t.Helper()
	testenv.Wait(i.t, "all records stored", 2*time.Minute, func() bool {
		log, err := journal.Open(filepath.Join(i.data, "store"), journal.Options{Arrivals: true, ReadOnly: true})
		if err != nil {
			i.t.Fatal(err)
		}
		have := 0
		for _, c := range log.Runs() {
			if c.Next-1 >= acked[c.Run().String()] {
				have++
			}
		}
		return have == len(acked)
	})
}

// TestScaleStreams has a store come late for 1,000 streams of one publisher that take turns.
// The publisher reads about as much as it sends.
func TestScaleStreams(t *testing.T) {
	const streams = 1000
	p := newPublishers(t, 1, streams)
	p.start()
	p.publish(either(2_000_000, 20_000), 64)()
	alone := p.files(t)
	published := time.Now()
	sub := leanSubscriber(t, p.feeds)
	before := p.bytesRead(t)
	sub.start()
	sub.storesAll(p.acked)
	read := p.bytesRead(t) - before
	got := sub.metric("earshot_store_bytes_total")
	t.Logf("%.0f MB stored in %v; for each byte the publisher has read %.2f", got/1e6, time.Since(published).Round(time.Millisecond), read/got)
	if read > 3*got {
		t.Errorf("the publisher has read %.1f bytes for each that is stored, want at most 3", read/got)
	}
	p.publish(either(200_000, 10_000), 64)() // live
	sub.storesAll(p.acked)
	p.within(t, "the publisher of 1,000 streams", publisherMiB+perSubscriber)
	sub.within(t, "the subscriber of 1,000 streams", subscriberMiB)
	p.filesBack(t, "the publisher of 1,000 streams", ownFiles) // streams have none of their own
	sub.filesBack(t, "the subscriber of 1,000 streams", ownFiles+filesEach)
	sub.stop()
	p.filesBack(t, "the publisher of nobody", alone)
	p.stop()
	sub.exactly(p.acked)
}

// TestScaleTree has two hubs in a row between publishers and a subscriber. Each is killed and
// started again under load.
func TestScaleTree(t *testing.T) {
	const n = 10
	p := newPublishers(t, n, 2)
	p.start()
	hub := func(feeds ...string) (i *instance, feed string) {
		feed = "tcp://127.0.0.1:" + freePort(t)
		i = leanSubscriber(t, feeds, "--feed-record", feed, "--feed-replay", "tcp://127.0.0.1:"+freePort(t))
		i.start()
		return i, feed
	}
	near, nearFeed := hub(p.feeds...)
	far, farFeed := hub(nearFeed)
	leaf := leanSubscriber(t, []string{farFeed})
	leaf.start()
	leaf.hears(1)
	near.hears(n)
	for range either(10, 1) {
		for _, victim := range []*instance{near, far} {
			wait := p.publish(either(20_000, 1_000), 4)
			_ = victim.signal(syscall.SIGKILL)
			victim.start()
			wait()
		}
	}
	leaf.storesAll(p.acked)
	for what, c := range map[string]struct {
		*instance
		follows int
	}{"near hub": {near, n}, "far hub": {far, 1}, "leaf": {leaf, 1}} {
		c.within(t, what, subscriberMiB)
		c.filesBack(t, what, ownFiles+c.follows*filesEach)
	}
	p.stop()
	for _, i := range []*instance{leaf, far, near} {
		i.stop()
		i.exactly(p.acked)
	}
}
