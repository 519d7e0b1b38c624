package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
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
	lines   string // file with the records that the C program sends
	bytes   float64
	before  machineLoad
	row     string // being run
	serial  int
}

func newBench(ctx context.Context, o options, dir string, tables []*table) (*bench, error) {
	b := &bench{o: o, dir: dir, pair: filepath.Join(dir, "pair"), earshot: filepath.Join(dir, "earshot"), lines: filepath.Join(dir, "lines")}
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
	b.before = readLoad()
	return b, err
}

// What rows need built.
const (
	needPair    = "pair"
	needEarshot = "earshot"
)

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
	for round := range b.o.rounds {
		for _, r := range t.rows {
			progress(fmt.Sprintf("%s: round %d of %d: %s", t.name, round+1, b.o.rounds, r.title()))
			s, err := b.once(ctx, r)
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
	ctx, cancel := context.WithTimeout(ctx, limit)
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
	if err := sub.say("go"); err != nil {
		return nil, nil, err
	}
	began := time.Now()
	if err := pub.say("go"); err != nil {
		return nil, nil, err
	}
	got, err := sub.hear("done")
	if err != nil {
		return nil, nil, err
	}
	took := time.Since(began) - time.Duration(got.float("quiet"))*time.Microsecond
	sent, err := pub.hear("done")
	if err != nil {
		return nil, nil, err
	}
	subUsed, err := sub.end()
	if err != nil {
		return nil, nil, err
	}
	pubUsed, err := pub.end()
	if err != nil {
		return nil, nil, err
	}
	taken := got.float("records")
	s := sample{
		"rate": taken / took.Seconds(),
		"pub":  pubUsed.float("cpu") / float64(n),
		"sub":  subUsed.float("cpu") / float64(n),
		"lost": float64(n) - taken,
	}
	s["cpu"] = s["pub"] + s["sub"]
	if sent["took"] != "" {
		s["sent"] = float64(n) / sent.float("took") * 1e6
	}
	if subUsed["live"] != "" {
		s["fetched"] = 100 * (1 - subUsed.float("live")/float64(n))
	}
	return s, subUsed, nil
}
