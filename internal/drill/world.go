package drill

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// WorldOptions tunes a World. Every zero field but Program and Dir means its default.
type WorldOptions struct {
	Program []string // the earshot that is broken
	Hold    []string // command that calls HoldDisk with two further arguments; default: no disks
	Dir     string   // where everything is
	Clients int      // that ask all the time, a hundred times a second each at most; default 4
	Journal string   // bound of the second service's journal; default 16MiB
}

// World is a small Earshot: two services, a gateway before them, and two subscribers that
// follow the three, each through a Net of its own. The second service's journal and the
// second subscriber's folder are on a Disk each, where there can be one.
type World struct {
	Services    []*Proc
	Gateway     *Proc
	Subscribers []*Subscriber
	Answers     Answers

	o        WorldOptions
	http     string   // base URL of the gateway
	feeds    []string // ports of the publishers' record feeds
	nets     [subscribers]*Net
	disks    [2]*Disk // of the service, of the subscriber
	noDisk   string   // why there are none
	noNet    string   // why the subscribers' network can't be broken
	guards   []net.Listener
	taken    []string // ports
	fresh    int      // subscribers that came later
	stop     chan struct{}
	load     sync.WaitGroup
	requests atomic.Int64
	bursts   atomic.Int64
}

// subscribers is how many follow the three.
const subscribers = 2

// The disks, of the service and of the subscriber, in MiB: for all that a world stores and
// what is allocated ahead. That is written before a process notices that its disk is full, so
// the service's journal has a small bound, a sixteenth of which is a segment.
var diskMiB = [2]int{48, 128}

const diskJournal = "16MiB"

// NewWorld makes a world, starts it and lets the clients ask.
func NewWorld(o WorldOptions) (w *World, err error) {
	if o.Clients == 0 {
		o.Clients = 4
	}
	if o.Journal == "" {
		o.Journal = diskJournal
	}
	w = &World{o: o, stop: make(chan struct{}), nets: [subscribers]*Net{NewNet(), NewNet()}}
	defer func() {
		if err != nil {
			err = errors.Join(err, w.Close())
		}
	}()
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("drill: %w", err)
	}
	w.mount()
	if l, err := net.Listen("tcp", far(0)+":0"); err != nil {
		w.noNet = err.Error()
	} else {
		_ = l.Close()
	}
	var upstreams, routes strings.Builder
	for i, name := range []string{"downcase", "wordcount"} {
		args := []string{"service", name, "--trusted", "127.0.0.1/32"}
		if i == 1 {
			args = append(args, "--journal-max-bytes", o.Journal)
		}
		p, at, err := w.publisher(name, w.data(name, i, 0), args...)
		if err != nil {
			return nil, err
		}
		w.Services = append(w.Services, p)
		fmt.Fprintf(&upstreams, "  %s:\n    url: http://%s\n", name, at)
		fmt.Fprintf(&routes, "  - path: /%s/*\n    upstream: %s\n", name, name)
	}
	file := filepath.Join(o.Dir, "gateway.yaml")
	if err := os.WriteFile(file, []byte("upstreams:\n"+upstreams.String()+"routes:\n"+routes.String()), 0o600); err != nil {
		return nil, fmt.Errorf("drill: %w", err)
	}
	var at string
	if w.Gateway, at, err = w.publisher("gateway", w.data("gateway", 0, 0), "gateway", "--config", file, "--record-expose", "--trusted", "127.0.0.1/32"); err != nil {
		return nil, err
	}
	w.http = "http://" + at
	for i := range w.nets {
		name := fmt.Sprintf("subscriber%d", i+1)
		host := far(i)
		if w.noNet != "" {
			host = near
		}
		s, err := w.subscriber(name, w.data(name, i, 1), host, w.feeds)
		if err != nil {
			return nil, err
		}
		s.Net = w.nets[i]
		w.Subscribers = append(w.Subscribers, s)
	}
	if err := start(w.All()...); err != nil {
		return nil, err
	}
	for c := range o.Clients {
		w.load.Go(func() { w.ask(fmt.Sprintf("c%d", c), "", w.stop, 10*time.Millisecond) })
	}
	return w, nil
}

// mount makes the disks.
func (w *World) mount() {
	if w.o.Hold == nil {
		w.noDisk = "not asked for"
		return
	}
	for i := range w.disks {
		d, err := NewDisk(w.o.Hold, filepath.Join(w.o.Dir, fmt.Sprintf("disk%d", i+1)), diskMiB[i])
		if err != nil {
			w.noDisk = strings.TrimPrefix(err.Error(), "drill: ")
			return
		}
		w.disks[i] = d
	}
}

// data is the folder of process i of its role: the second one's is on the disk.
func (w *World) data(name string, i, disk int) string {
	if i == 1 && w.disks[disk] != nil {
		return filepath.Join(w.disks[disk].Path, "data")
	}
	return filepath.Join(w.o.Dir, name)
}

const near = "127.0.0.1"

// far is the address under which subscriber i finds the publishers: their own ports, on
// another address of loopback, so that the port of replay that a feed tells of is right.
func far(i int) string { return fmt.Sprintf("127.0.0.%d", i+2) }

// guard is an address on which a world listens at each of its ports, so that no other world
// takes one while its process is down.
const guard = "127.0.0.99"

// ports asks for so many free ones.
func (w *World) ports(n int) (all []string, err error) {
	hosts := []string{near}
	if w.noNet == "" {
		hosts = append(hosts, far(0), far(1))
	}
	for len(all) < n {
		p, err := FreePort(hosts...)
		if err != nil {
			return nil, err
		}
		l, err := net.Listen("tcp", net.JoinHostPort(guard, p))
		if err == nil {
			w.guards = append(w.guards, l)
		} else if w.noNet == "" || slices.Contains(w.taken, p) {
			continue
		}
		w.taken = append(w.taken, p)
		all = append(all, p)
	}
	return all, nil
}

func (w *World) proc(name, port string, args ...string) *Proc {
	admin := net.JoinHostPort(near, port)
	return &Proc{
		Name: name, Admin: admin, out: filepath.Join(w.o.Dir, name+".out"),
		args: slices.Concat(w.o.Program, args, []string{"--admin-listen", admin, "--log-format", "text"}),
	}
}

// publisher makes a process with a publisher, and its addresses in both networks. at is
// where it answers.
func (w *World) publisher(name, data string, args ...string) (p *Proc, at string, err error) {
	ports, err := w.ports(4)
	if err != nil {
		return nil, "", err
	}
	at = net.JoinHostPort(near, ports[0])
	p = w.proc(name, ports[1], append(args, "--data", data, "--http-listen", at, "--feed-text", "none",
		"--feed-record", "tcp://"+net.JoinHostPort(near, ports[2]), "--feed-replay", "tcp://"+net.JoinHostPort(near, ports[3]))...)
	w.feeds = append(w.feeds, ports[2])
	if w.noNet != "" {
		return p, at, nil
	}
	for i, n := range w.nets {
		for _, port := range ports[2:] {
			if _, err := n.Pass(net.JoinHostPort(far(i), port), net.JoinHostPort(near, port)); err != nil {
				return nil, "", err
			}
		}
	}
	return p, at, nil
}

// subscriber makes one that finds the publishers of some feeds under a host.
func (w *World) subscriber(name, data, host string, ports []string) (*Subscriber, error) {
	admin, err := w.ports(1)
	if err != nil {
		return nil, err
	}
	var feeds []string
	for _, port := range ports {
		feeds = append(feeds, "tcp://"+net.JoinHostPort(host, port))
	}
	p := w.proc(name, admin[0], "subscriber", "--data", data, "--connect", strings.Join(feeds, ","), "--name", name,
		"--format", "json", "--store-max-bytes", "4GiB")
	if data == filepath.Join(w.o.Dir, name) { // on a full disk, files that were left are removed
		p.args = append(p.args, "--subscriber-rotate-bytes", "1MiB", "--subscriber-keep", "100000")
	}
	return &Subscriber{Proc: p, Data: data, log: NewLog(filepath.Join(data, "logs"))}, nil
}

// Publishers is the services and the gateway.
func (w *World) Publishers() []*Proc {
	return append(w.Services[:len(w.Services):len(w.Services)], w.Gateway)
}

// All is all processes; the subscribers come first, as they do when they are started.
func (w *World) All() (all []*Proc) {
	for _, s := range w.Subscribers {
		all = append(all, s.Proc)
	}
	return append(all, w.Publishers()...)
}

// Stop ends the load, waits until both subscribers have everything, and ends all processes
// by SIGTERM, the publishers first. Judge may follow.
func (w *World) Stop() error {
	w.quiet()
	return errors.Join(w.Settle(), w.end())
}

// end ends all processes by SIGTERM, the publishers first.
func (w *World) end() (errs error) {
	if w.Gateway != nil {
		for _, p := range append([]*Proc{w.Gateway}, w.Services...) {
			errs = errors.Join(errs, p.Stop())
		}
	}
	for _, s := range w.Subscribers {
		errs = errors.Join(errs, s.Stop())
	}
	return errs
}

// quiet ends the load.
func (w *World) quiet() {
	select {
	case <-w.stop:
	default:
		close(w.stop)
	}
	w.load.Wait()
}

// Judge asks the oracle about each subscriber.
func (w *World) Judge() (all []Verdict, err error) {
	answers := w.Answers.Whole()
	for _, s := range w.Subscribers {
		v, err := s.judge(w, answers, Expect{Named: true})
		if err != nil {
			return nil, fmt.Errorf("%w (%s)", err, s.Name)
		}
		all = append(all, v)
	}
	return all, nil
}

func (s *Subscriber) judge(w *World, answers []Answer, e Expect) (Verdict, error) {
	return Judge(answers, &w.Answers, filepath.Join(s.Data, "store"), filepath.Join(s.Data, "logs"), e)
}

// Keep copies what is on the disks to the world's folder, for people to look at.
func (w *World) Keep() (errs error) {
	for i, d := range w.disks {
		if d != nil {
			errs = errors.Join(errs, os.CopyFS(filepath.Join(w.o.Dir, fmt.Sprintf("was-on-disk%d", i+1)), os.DirFS(d.Path)))
		}
	}
	return errs
}

// Close ends whatever still runs, at once. The folder stays.
func (w *World) Close() (errs error) {
	w.quiet()
	for _, s := range w.Subscribers {
		s.Kill()
	}
	for _, p := range w.Services {
		p.Kill()
	}
	if w.Gateway != nil {
		w.Gateway.Kill()
	}
	for _, n := range w.nets {
		n.Close()
	}
	for _, l := range w.guards {
		errs = errors.Join(errs, l.Close())
	}
	for _, d := range w.disks {
		if d != nil {
			errs = errors.Join(errs, d.Close())
		}
	}
	return errs
}
