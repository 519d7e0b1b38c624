package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/earshot-mq/earshot/internal/config"
	"github.com/earshot-mq/earshot/internal/drill"
	"github.com/earshot-mq/earshot/internal/process"
)

func drillCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "drill", GroupID: "people", Args: noArgs,
		Short: "Break a small Earshot of its own in every way it knows, and count what is missing",
		Long: `Start a small Earshot in a temporary folder: two services, a gateway and two subscribers, in
processes of their own on free ports of loopback. Clients ask without pause while one fault
after the other is done to it. At the end what the clients got is compared with the stores
and the log files, record by record.

Nobody needs to be root, nothing has to be installed, and nothing outside of that folder is
touched. What this machine does not allow is SKIPPED, with the reason. The folder is removed
unless the drill fails.

Exit codes: 0 nothing is missing, 1 the drill could not go on, 2 wrong usage, 4 the promise
was broken.

The faults:
` + faultHelp(),
		Example: "  earshot drill\n  earshot drill --for 10m\n  earshot drill --seed 7 --faults kill-service,net-reset",
	}
	cmd.AddCommand(holdCommand())
	return withSettings(cmd, "drill", func(ctx context.Context, s *settings) error {
		ctx, _, stop := process.Signals(ctx)
		defer stop()
		for _, f := range s.Strings("drill.faults") {
			if !slices.Contains(drill.Names(), f) {
				return usage(config.Unknown("fault", f, drill.Names()))
			}
		}
		self, err := os.Executable()
		if err != nil {
			return fmt.Errorf("drill: %w", err)
		}
		dir, err := os.MkdirTemp("", "earshot-drill")
		if err != nil {
			return fmt.Errorf("drill: %w", err)
		}
		seed := uint64(s.Int("drill.seed"))
		if seed == 0 {
			seed = uint64(1 + rand.Uint32())
		}
		out := cmd.OutOrStdout()
		fmt.Fprintf(out, "seed %d, %v, in %s\n", seed, s.Duration("drill.for"), dir)
		totals, err := drill.Run(ctx, drill.Options{
			Program: []string{self}, Hold: []string{self, "drill", holdName},
			Dir: dir, For: s.Duration("drill.for"), Seed: seed, Only: s.Strings("drill.faults"), Keep: s.Bool("drill.keep"), Out: out,
		})
		err = errors.Join(err, totals.Print(out))
		switch {
		case err != nil || s.Bool("drill.keep"):
			fmt.Fprintf(out, "kept: %s\n", dir)
		default:
			err = os.RemoveAll(dir)
		}
		fmt.Fprintf(out, "drill: seed %d, %s\n", seed, &totals)
		if errors.Is(err, drill.ErrLoss) {
			return &exitError{process.ExitLoss, err}
		}
		return err
	})
}

// faultHelp lists the faults.
func faultHelp() string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, f := range drill.Faults() {
		fmt.Fprintf(w, "  %s\t%s\n", f.Name, f.What)
	}
	_ = w.Flush() // a Builder takes everything
	return strings.TrimSuffix(b.String(), "\n")
}

const holdName = "hold-disk"

// holdCommand is the process that holds a disk of the drill; nobody types it.
func holdCommand() *cobra.Command {
	return &cobra.Command{
		Use: holdName + " DIR MIB", Hidden: true,
		Args: func(cmd *cobra.Command, args []string) error { return usage(cobra.ExactArgs(2)(cmd, args)) },
		RunE: func(cmd *cobra.Command, args []string) error {
			mib, err := strconv.Atoi(args[1])
			if err != nil {
				return usage(err)
			}
			return drill.HoldDisk(cmd.InOrStdin(), cmd.OutOrStdout(), args[0], mib)
		},
	}
}
