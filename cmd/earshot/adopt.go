package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/earshot-mq/earshot/internal/admin"
	"github.com/earshot-mq/earshot/internal/config"
	"github.com/earshot-mq/earshot/internal/journal"
	"github.com/earshot-mq/earshot/internal/process"
	"github.com/earshot-mq/earshot/internal/zmq"
	"github.com/earshot-mq/earshot/publisher"
)

func adoptCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "adopt DIR", GroupID: "people",
		Short: "Serve the journal of a service that is gone until every store has it, then remove it",
		Long: `Serve one journal whose process is gone, DIR = data/journals/ROLE/INSTANCE, to the subscribers
that follow this feed, until all of them have it: those that have a cursor there, and those
that connect now. Without either it waits for a first one. Then the directory is removed,
and the command ends with exit code 0.

Nothing is ever written into the directory. Ctrl-C ends it, with exit code 0 too, and
leaves all as it was. For stores that will not come back there is earshot cursors --forget.`,
		Example: "  earshot adopt data/journals/downcase/q7k3v9x2m1t8w\n  earshot adopt --keep --feed-record tcp://0.0.0.0:4445 --feed-replay tcp://0.0.0.0:4446 /mnt/old/q7k3v9x2m1t8w",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usage(errors.New("adopt: which journal? earshot adopt data/journals/ROLE/INSTANCE"))
			}
			return nil
		},
	}
	keep := cmd.Flags().Bool("keep", false, "leave the directory when every store has all of it")
	return withSettings(cmd, "adopt", func(ctx context.Context, s *settings) error {
		return adopt(ctx, s, cmd.OutOrStdout(), filepath.Clean(cmd.Flags().Arg(0)), *keep)
	})
}

// adoptFeeds are the feeds of an adopted journal; its texts were sent when they were new.
var adoptFeeds = []string{"feed.record", "feed.replay"}

func adopt(ctx context.Context, s *settings, out io.Writer, dir string, keep bool) error {
	for _, name := range adoptFeeds {
		if s.String(name) == "" {
			return usage(s.Errorf(name, "subscribers need both the record feed and replay of what is adopted"))
		}
	}
	p, err := newClient(s)
	if err != nil {
		return err
	}
	a, err := publisher.Adopt(p.zmq, dir, publisher.AdoptOptions{
		Record: s.String("feed.record"), Replay: s.String("feed.replay"), Peers: s.Int("feed.peers"),
		Keep: keep, Logger: p.log.With("part", "adopt"),
	})
	if err != nil {
		return errors.Join(refused(s, dir, err), p.end())
	}
	if err = p.admin.Register(a.Metrics()); err == nil {
		p.admin.Check("adopted", admin.Ready, func(context.Context) (string, error) { return a.State(), nil })
		p.cursors(a)
		_, err = p.console()
	}
	if err != nil {
		return errors.Join(err, a.Close(), p.end())
	}
	// When the journal is drained the rest has nothing to do any more.
	ctx, done := context.WithCancel(ctx)
	defer done()
	p.add("adopt", func(ctx context.Context) error {
		defer done()
		return a.Run(ctx)
	})
	if err := p.run(ctx, func() { adopts(out, dir, a) }); err != nil {
		return err
	}
	end := "every store has all of it; it is removed"
	switch {
	case !a.Drained():
		end = fmt.Sprintf("not every store has all of it, %d records wait; nothing is changed", a.Missing())
	case keep:
		end = "every store has all of it; it is kept"
	}
	_, err = fmt.Fprintf(out, "%s: %s\n", dir, end)
	return err
}

// adopts says what is served, and where.
func adopts(out io.Writer, dir string, a *publisher.Adopter) {
	var what []string
	records := a.Records()
	for _, service := range slices.Sorted(maps.Keys(records)) {
		what = append(what, fmt.Sprintf("%d of %s", records[service], service))
	}
	if what == nil {
		what = []string{"none"}
	}
	feed, replay := a.Endpoints()
	fmt.Fprintf(out, `%s is served until every store has it. Ctrl-C ends that and changes nothing.
  records  %s (%s)
  feed     %s, replay on %s
`, dir, strings.Join(what, ", "), config.Size(a.Bytes()).Approx(), feed, replay[strings.LastIndexByte(replay, ':')+1:])
}

// refused says why a directory is not adopted, and which one might be meant.
func refused(s *settings, dir string, err error) error {
	switch {
	case errors.Is(err, zmq.ErrInUse):
		return busyFeed(s, err, adoptFeeds...)
	case errors.Is(err, journal.ErrLocked):
		if owner := process.LockOwner(filepath.Join(dir, "lock")); owner != "" {
			return fmt.Errorf("adopt: %s is the journal of %s, which lives and serves it", dir, owner)
		}
		return fmt.Errorf("adopt: %s is the journal of a process that lives and serves it", dir)
	case errors.Is(err, journal.ErrNone):
		if below := journal.Below(dir); len(below) > 0 {
			return fmt.Errorf("%w; these below it are journals: %s", err, strings.Join(below, ", "))
		}
	}
	return err
}
