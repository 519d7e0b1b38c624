// Command bench measures Earshot beside libzmq in C, which sends and receives the same
// bytes, one record a message. `make bench` runs it; BENCH takes its flags:
//
//	make bench BENCH='-rounds 3 -only chain'
//
// # How it measures
//
// Every row runs in processes of its own, in alternating rounds, so that whatever else
// the machine does falls on all of them. What is printed are medians with the least and
// the most, and for ratios the median of the ratios inside one round. Read the CPU per
// record first: it is what a loaded or virtual machine changes least. A bare rate says
// little, for publisher and subscriber share the cores.
//
// CPU is what getrusage(2) says of a process between "go" and "stop", libzmq's thread,
// the garbage collector, fsyncs and repairs included, start and end of the process not.
//
// # Peers
//
// `-only peers` measures what others would use, with the real servers, and what a larger
// Earshot costs; it takes a quarter of an hour. redis-server and rsyslogd are the
// system's packages; nats-server, nsqd and nsq_to_file are built once, from their Go
// modules, into the user's cache folder. One that is not there is said to be SKIPPED.
//
// # Loss
//
// Each row counts what did not arrive, and prints it. Declared is what of it is known as a
// gap: a write that the disk held for longer than a second, while a flood went on that the
// memory could not take. What has not come ten seconds after the last is lost, too. Nothing
// is asserted: figures are for people to judge, tests are elsewhere.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// options is what the flags say.
type options struct {
	rounds  int
	records int           // of one run of a throughput row
	answers int           // of one run of an HTTP row
	pace    int           // records a second of a latency row
	paced   time.Duration // length of one run of a latency row
	only    string
	profile string
	dir     string
	size    int // GB of the journals and stores that are fetched, opened or copied
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var err error
	if len(os.Args) == 3 && os.Args[1] == roleFlag {
		err = runRole(ctx, os.Args[2], os.Stdin, os.Stdout)
	} else {
		err = runFlags(ctx, os.Args[1:], os.Stdout)
	}
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func runFlags(ctx context.Context, args []string, w io.Writer) error {
	var o options
	fs := flag.NewFlagSet("bench", flag.ContinueOnError)
	fs.IntVar(&o.rounds, "rounds", 7, "alternating `rounds`")
	fs.IntVar(&o.records, "records", 900_000, "`records` of one run of a throughput row")
	fs.IntVar(&o.answers, "answers", 30_000, "`answers` of one run of an HTTP row")
	fs.IntVar(&o.pace, "pace", 5000, "records `a second` of a latency row")
	fs.DurationVar(&o.paced, "paced", 2*time.Second, "how long one run of a latency row takes")
	fs.StringVar(&o.only, "only", "", "rows or tables to run, separated by commas; the first row of a table always runs (`names`: "+names()+")")
	fs.StringVar(&o.profile, "profile", "", "`folder` for CPU profiles of our own processes; of each row the last round's")
	fs.StringVar(&o.dir, "dir", "", "`folder` on the disk that journals and stores are measured on; default is the system's for temporary files")
	fs.IntVar(&o.size, "size", 1, "`GB` of the journals and stores that are fetched, copied and opened; three times that is taken on disk")
	if err := fs.Parse(args); err != nil {
		return err
	}
	if fs.NArg() > 0 || o.rounds < 1 || o.records < 1 || o.answers < 1 || o.pace < 1 || o.size < 1 || o.paced <= 0 {
		return errors.New("every number has to be above zero, and there are no arguments but flags; see -help")
	}
	return run(ctx, o, w)
}

// run makes the folder, measures and prints.
func run(ctx context.Context, o options, w io.Writer) (err error) {
	tables, err := chosen(o.only)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp(o.dir, "earshot-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if o.profile != "" {
		if o.profile, err = filepath.Abs(o.profile); err != nil {
			return err
		}
		if err := os.MkdirAll(o.profile, 0o750); err != nil {
			return err
		}
	}
	b, err := newBench(ctx, o, dir, tables)
	if err != nil {
		return err
	}
	fmt.Fprintln(w, b.facts())
	for _, t := range tables {
		if err := b.measure(ctx, t); err != nil {
			return err
		}
		fmt.Fprintf(w, "\n%s", t)
	}
	fmt.Fprintf(w, "\n%s\n", b.load())
	return nil
}

// tables is everything that can be measured.
func tables() []*table {
	return []*table{throughput(), answers(), latency(), kept(), carried(), late(), crashed(), growing()}
}

func names() string {
	var all []string
	for _, t := range tables() {
		if all = append(all, t.name); t.group != "" && !slices.Contains(all, t.group) {
			all = append(all, t.group)
		}
		for _, r := range t.rows {
			all = append(all, r.name())
		}
	}
	return strings.Join(all, ", ")
}

// chosen is the tables with the rows that only names, and the reference of each.
func chosen(only string) ([]*table, error) {
	all := tables()
	if only == "" {
		return slices.DeleteFunc(all, func(t *table) bool { return t.group != "" }), nil
	}
	wanted := map[string]bool{}
	for _, name := range strings.Split(only, ",") {
		wanted[strings.TrimSpace(name)] = false
	}
	var some []*table
	for _, t := range all {
		if t.choose(wanted) {
			some = append(some, t)
		}
	}
	for name, found := range wanted {
		if !found {
			return nil, fmt.Errorf("-only %q: there is no such row; there are %s", name, names())
		}
	}
	return some, nil
}
