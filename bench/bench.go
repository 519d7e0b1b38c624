package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

//go:embed pair.c
var pairSource []byte

// sampleLines is how many lines the C program sends over and over.
const sampleLines = 10_000

// row is one thing that is measured; run does it once.
type row interface {
	name() string
	title() string
	run(ctx context.Context, b *bench) (sample, error)
}

// bench is what the rows need of the machine.
type bench struct {
	o       options
	dir     string
	self    string // this program
	pair    string // the C program
	earshot string // the whole of Earshot
	peers   string // the peers' clients
	lines   string // file with the records that the C program sends
	bytes   float64
	before  machineLoad
	row     string // being run
	serial  int

	grown, grownStore int // records of the large journal and store, once they are there
}

func newBench(ctx context.Context, o options, dir string, tables []*table) (*bench, error) {
	b := &bench{o: o, dir: dir, pair: filepath.Join(dir, "pair"), earshot: filepath.Join(dir, "earshot"), peers: filepath.Join(dir, "peers"), lines: filepath.Join(dir, "lines")}
	var err error
	if b.self, err = os.Executable(); err != nil {
		return nil, err
	}
	total, err := writeLines(b.lines, sampleLines)
	if err != nil {
		return nil, err
	}
	b.bytes = float64(total) / sampleLines
	needs := map[string]bool{}
	for _, t := range tables {
		for _, r := range t.rows {
			if n, ok := r.(interface{ needs() string }); ok {
				needs[n.needs()] = true
			}
		}
	}
	if needs[needPair] {
		err = b.buildPair(ctx)
	}
	if needs[needEarshot] && err == nil {
		err = command(ctx, "go", "build", "-tags", "nomsgpack", "-o", b.earshot, "github.com/earshot-mq/earshot/cmd/earshot")
	}
	if needs[needPeers] && err == nil {
		err = b.buildPeers(ctx)
	}
	b.before = readLoad()
	return b, err
}

// What rows need built.
const (
	needPair    = "pair"
	needEarshot = "earshot"
	needPeers   = "peers"
)

// buildPeers builds the peers' clients, a module of its own; what its go.mod lacks since
// ours has moved on is added to a copy.
func (b *bench) buildPeers(ctx context.Context) error {
	root, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		return fmt.Errorf("go list -m: %w", err)
	}
	dir := filepath.Join(strings.TrimSpace(string(root)), "bench", "peers")
	for _, name := range []string{"go.mod", "go.sum"} {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(b.dir, name), text, 0o600); err != nil {
			return err
		}
	}
	return command(ctx, "go", "build", "-C", dir, "-modfile", filepath.Join(b.dir, "go.mod"), "-mod=mod", "-buildvcs=false", "-o", b.peers, ".")
}

func (b *bench) buildPair(ctx context.Context) error {
	source := b.pair + ".c"
	if err := os.WriteFile(source, pairSource, 0o600); err != nil {
		return err
	}
	flags, err := exec.CommandContext(ctx, "pkg-config", "--cflags", "--libs", "libzmq").Output()
	if err != nil {
		return fmt.Errorf("pkg-config libzmq: %w", err)
	}
	args := append([]string{"-O2", "-Wall", "-o", b.pair, source}, strings.Fields(string(flags))...)
	return command(ctx, "cc", args...)
}

func command(ctx context.Context, name string, args ...string) error {
	if out, err := exec.CommandContext(ctx, name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, out)
	}
	return nil
}

// measure runs the rows of a table in alternating rounds.
func (b *bench) measure(ctx context.Context, t *table) error {
	defer progress("")
	for _, r := range t.rows {
		if p, ok := r.(interface {
			prepare(context.Context, *bench) error
		}); ok {
			progress(t.name + ": preparing " + r.title())
			if err := p.prepare(ctx, b); err != nil {
				return fmt.Errorf("%s: %w", r.name(), err)
			}
		}
	}
	for round := range b.o.rounds {
		for _, r := range slices.Clone(t.rows) {
			progress(fmt.Sprintf("%s: round %d of %d: %s", t.name, round+1, b.o.rounds, r.title()))
			s, err := b.once(ctx, r)
			if absent := (*missing)(nil); errors.As(err, &absent) {
				t.skipped = append(t.skipped, r.name()+" "+absent.Error())
				t.rows = slices.DeleteFunc(t.rows, func(x row) bool { return x.name() == r.name() })
				continue
			}
			if err != nil {
				return fmt.Errorf("%s: %w", r.name(), err)
			}
			t.add(r, s)
		}
	}
	return nil
}

// progress shows on a terminal what is being done.
func progress(text string) {
	if info, err := os.Stderr.Stat(); err == nil && info.Mode()&os.ModeCharDevice != 0 {
		fmt.Fprint(os.Stderr, "\r\x1b[K"+text)
	}
}

// once runs a row once. What it leaves on the disk is removed.
func (b *bench) once(ctx context.Context, r row) (s sample, err error) {
	ctx, cancel := context.WithTimeout(ctx, limit+time.Duration(b.o.size)*limit)
	defer cancel()
	b.row = r.name()
	b.serial++
	defer func() { err = errors.Join(err, os.RemoveAll(b.folder())) }()
	return r.run(ctx, b)
}

// folder is the present run's.
func (b *bench) folder() string { return filepath.Join(b.dir, fmt.Sprint("run-", b.serial)) }

// path is a place in the present run's folder.
func (b *bench) path(name string) string { return filepath.Join(b.folder(), name) }

// race lets one process send n records and another take them. What it gives is per
// record; the time is from the first word to the sender until the taker has all.
func race(pub, sub *child, n int) (sample, facts, error) {
	return raceAll([]*child{pub}, []*child{sub}, n)
}

// raceAll lets processes send n records in all, and each of others take all of them. The
// facts are those of the last taker.
func raceAll(pubs, subs []*child, n int) (s sample, used facts, err error) {
	for _, c := range subs {
		if err := c.say("go"); err != nil {
			return nil, nil, err
		}
	}
	began := time.Now()
	for _, c := range pubs {
		if err := c.say("go"); err != nil {
			return nil, nil, err
		}
	}
	s = sample{}
	var taken, sent float64
	for _, c := range subs {
		got, err := c.hear("done")
		if err != nil {
			return nil, nil, err
		}
		took := time.Since(began) - time.Duration(got.Float("quiet"))*time.Microsecond
		taken += got.Float("records")
		s["rate"] = got.Float("records") / took.Seconds()
	}
	for _, c := range pubs {
		got, err := c.hear("done")
		if err != nil {
			return nil, nil, err
		}
		sent = max(sent, got.Float("took"))
	}
	s["pubmem"], s["submem"] = memory(pubs[0]), memory(subs[0])
	kept := 0.0
	for _, c := range subs {
		if used, err = c.end(); err != nil {
			return nil, nil, err
		}
		s["sub"] += used.Float("cpu") / float64(n)
		s["declared"] += used.Float("declared")
		s["repairs"] += used.Float("repairs")
		kept += used.Float("stored")
	}
	for _, c := range pubs {
		f, err := c.end()
		if err != nil {
			return nil, nil, err
		}
		s["pub"] += f.Float("cpu") / float64(n)
	}
	if used["stored"] != "" {
		taken = kept
	}
	s["lost"] = float64(n*len(subs)) - taken
	s.addCPU(s["pub"] + s["sub"])
	if sent > 0 {
		s["sent"] = float64(n) / sent * 1e6
	}
	if used["live"] != "" {
		s["fetched"] = 100 * (1 - used.Float("live")/float64(n))
	}
	return s, used, nil
}

// addCPU adds what more each record took, in us.
func (s sample) addCPU(us float64) {
	s["cpu"] += us
	s["percpu"] = 1e6 / s["cpu"]
}
