// Command earshot is every role of Earshot in one binary: all in one process (up), the
// gateway, a service, the subscriber; and the commands that people type.
package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/earshot-mq/earshot/internal/config"
	"github.com/earshot-mq/earshot/internal/journal"
	"github.com/earshot-mq/earshot/internal/process"
)

// version is set when a release is built.
var version = "dev"

func main() { os.Exit(run(os.Args[1:])) }

// exitError is an error with an exit code of its own.
type exitError struct {
	code int
	error
}

func (e *exitError) Unwrap() error { return e.error }

// usage marks an error of how the command was called.
func usage(err error) error {
	if err == nil {
		return nil
	}
	return &exitError{process.ExitUsage, err}
}

func run(args []string) int {
	process.Tune()
	root := rootCommand()
	root.SetArgs(args)
	err := root.Execute()
	if err == nil {
		return process.ExitOK
	}
	fmt.Fprintln(os.Stderr, "earshot:", err)
	var exit *exitError
	if errors.As(err, &exit) {
		return exit.code
	}
	if errors.Is(err, journal.ErrNoSpace) {
		return process.ExitLoss
	}
	return process.ExitFailed
}

func noSuchCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	var names []string
	for _, c := range cmd.Commands() {
		names = append(names, c.Name())
	}
	return usage(config.Unknown("command", args[0], names))
}

const long = `Earshot records every answer of your HTTP services, publishes it over ZeroMQ and
writes it to a log: if a client got the answer, the log has the line.

Exit codes: 0 all is well, 1 failed, 2 wrong usage, 3 unhealthy, 4 records were lost.`

func rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:           "earshot",
		Short:         "Every answer in the log, over ZeroMQ, with no broker",
		Long:          long,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          noSuchCommand,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usage(fmt.Errorf("%w; see %s --help", err, cmd.CommandPath()))
	})
	root.AddGroup(&cobra.Group{ID: "roles", Title: "Roles:"}, &cobra.Group{ID: "people", Title: "Commands for people:"})
	root.AddCommand(upCommand(), gatewayCommand(), serviceCommand(), subscriberCommand(), agentCommand())
	root.AddCommand(tailCommand(), checkCommand(), explainCommand(), redactCommand(), cursorsCommand(), adoptCommand(), doctorCommand(), drillCommand(), healthcheckCommand(), versionCommand())
	return root
}
