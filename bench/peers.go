package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// peersGroup names the tables that take longer, and need other servers: they run only
// when -only asks for them.
const peersGroup = "peers"

var peerColumns = []column{
	{key: "cpu", title: "CPU all", prec: 2},
	{key: "cpux", of: "cpu", title: "x Earshot", prec: 2},
	{key: "percpu", title: "records/CPU s"},
	{key: "pub", title: "publisher", prec: 2},
	{key: "server", title: "server", prec: 2},
	{key: "sub", title: "consumer", prec: 2},
	{key: "rate", title: "records/s"},
	{key: "ratex", of: "rate", title: "x Earshot", prec: 2},
	{key: "lost", title: "lost", sum: true},
	{key: "declared", title: "declared", sum: true},
	{key: "twice", title: "twice", sum: true},
}

// kept is what brings records into a file.
func kept() *table {
	return &table{
		name: "stored", group: peersGroup,
		title: "Publish, carry, append to a file that is synced at the end: the same lines through each, all on loopback",
		note: "CPU in us a record, of all processes; ratios to Earshot's chain inside one round. Earshot also makes each record, and keeps it at\n" +
			"the publisher, where kill -9 takes nothing and a power cut 100 ms. The peers are given lines that were made before: JetStream keeps them in\n" +
			"its file store (R1, no fsync but each 2 minutes), Redis in memory and an AOF (fsync each second), NSQ and rsyslog in memory, but for the row\n" +
			"that has its queue on disk and syncs each write. Lost and twice are counted in the file.",
		columns: peerColumns,
		rows: []row{
			flow{id: "stored-bulk", text: "Earshot, the whole chain, 512 records a call", role: "store", callers: 8, batch: 512},
			flow{id: "stored-chain", text: "Earshot, the whole chain, 128 records a call", role: "store", callers: 16},
			pairRow{in: "stored-", logs: true},
			peerRow{id: "rsyslog", text: "rsyslog, imtcp -> omfile, its defaults", pub: "tcp-pub", sub: "watch", start: rsyslog(rsyslogDefault)},
			peerRow{id: "rsyslog-fast", text: "rsyslog, imptcp -> omfile, large batches and buffers", pub: "tcp-pub", sub: "watch", start: rsyslog(rsyslogFast)},
			peerRow{id: "rsyslog-disk", text: "rsyslog, imptcp -> queue on disk -> omfile, synced", pub: "tcp-pub", sub: "watch", start: rsyslog(rsyslogDisk)},
			peerRow{id: "redis", text: "Redis stream, XADD in pipelines of 128, XREAD", pub: "redis-pub", sub: "redis-sub", start: redisServer},
			peerRow{id: "jetstream", text: "NATS JetStream, async publishes, durable consumer", pub: "jetstream-pub", sub: "jetstream-sub", start: natsServer},
			peerRow{id: "nsq", text: "NSQ, MPUB of 100 -> nsq_to_file", pub: "nsq-pub", sub: "watch", start: nsqServers},
		},
	}
}

// carried is what carries records and keeps none.
func carried() *table {
	return &table{
		name: "unstored", group: peersGroup,
		title:   "Publish, carry, count",
		note:    "Earshot has a journal at the publisher here too. The others store nothing.",
		columns: peerColumns,
		rows: []row{
			flow{id: "unstored-bulk", text: "Earshot, publisher with its journal -> counter, 512 records a call", role: "count", callers: 8, batch: 512},
			flow{id: "unstored-batches", text: "Earshot, publisher with its journal -> counter, 128 records a call", role: "count", callers: 16},
			pairRow{in: "unstored-"},
			peerRow{id: "nats", text: "NATS core", pub: "nats-pub", sub: "nats-sub", start: natsServer, counts: true},
		},
	}
}

// peerRow is another carrier: a publisher, servers and a consumer.
type peerRow struct {
	id, text string
	pub, sub string // roles of the program in peers/; watch waits for a file that a server writes
	start    func(ctx context.Context, b *bench, addr string) ([]*server, error)
	counts   bool // the consumer counts, and writes no file
}

func (r peerRow) name() string { return r.id }
func (r peerRow) title() string {
	return r.text
}
func (peerRow) needs() string { return needPeers }

// mostPeers is as many as the numbers in the lines tell apart.
const mostPeers = 900_000

func (r peerRow) run(ctx context.Context, b *bench) (s sample, err error) {
	if b.o.records > mostPeers {
		return nil, fmt.Errorf("at most %d records", mostPeers)
	}
	if err := os.Mkdir(b.folder(), 0o750); err != nil {
		return nil, err
	}
	addr, err := freePort()
	if err != nil {
		return nil, err
	}
	servers, err := r.start(ctx, b, addr)
	defer func() { err = errors.Join(err, stopAll(servers)) }()
	if err != nil {
		return nil, err
	}
	sub, err := b.peer(ctx, r.sub, addr)
	if err != nil {
		return nil, err
	}
	defer sub.kill()
	if _, err := sub.hear("ready"); err != nil { // there is somebody to send to
		return nil, err
	}
	pub, err := b.peer(ctx, r.pub, addr)
	if err != nil {
		return nil, err
	}
	defer pub.kill()
	if _, err := pub.hear("ready"); err != nil {
		return nil, err
	}
	before := cpuOf(servers)
	if s, _, err = race(pub, sub, b.o.records); err != nil {
		return nil, err
	}
	s["server"] = float64((cpuOf(servers) - before).Microseconds()) / float64(b.o.records)
	s.addCPU(s["server"])
	if !r.counts {
		s["lost"], s["twice"], err = b.checkFile(b.path(outFile))
	}
	return s, err
}

// outFile is what a consumer writes, in the run's folder.
const outFile = "out.log"

// peer starts the peers' program in a role.
func (b *bench) peer(ctx context.Context, role, addr string) (*child, error) {
	text, err := json.Marshal(map[string]any{"Role": role, "Records": b.o.records, "Lines": b.lines, "Addr": addr, "Out": b.path(outFile)})
	if err != nil {
		return nil, err
	}
	return start(ctx, role, b.peers, string(text))
}

// checkFile counts the numbers that are not in a file of lines, and those that are there
// more than once.
func (b *bench) checkFile(path string) (lost, twice float64, err error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, 0, err
	}
	defer f.Close()
	seen := make([]int, b.o.records)
	for lines := bufio.NewScanner(f); lines.Scan(); {
		_, id, _ := bytes.Cut(lines.Bytes(), []byte(`"id":"`))
		id, _, _ = bytes.Cut(id, []byte(`"`))
		n, err := strconv.Atoi(string(id[bytes.LastIndexByte(id, '/')+1:]))
		if err != nil || n < firstNumber || n >= firstNumber+len(seen) || !json.Valid(lines.Bytes()) {
			return 0, 0, fmt.Errorf("%s: not a line that was sent: %q", filepath.Base(path), lines.Text())
		}
		seen[n-firstNumber]++
	}
	for _, n := range seen {
		if n == 0 {
			lost++
		} else {
			twice += float64(n - 1)
		}
	}
	return lost, twice, nil
}

// cpuOf is what servers have used so far.
func cpuOf(servers []*server) (sum time.Duration) {
	for _, s := range servers {
		sum += cpuOfProcess(s.cmd.Process.Pid)
	}
	return sum
}
