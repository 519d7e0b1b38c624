package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/earshot-mq/earshot/internal/config"
	"github.com/earshot-mq/earshot/internal/process"
)

// settings is what a command was told, by flags, variables and file.
type settings struct {
	*config.Values
	command string
	log     *slog.Logger
	again   func() (*config.Values, error) // reads all of them once more
}

// withSettings gives a command the flags of its settings and runs f with their values.
// The command's error handling is that of every command: what is set wrong is wrong
// usage.
func withSettings(cmd *cobra.Command, name string, f func(context.Context, *settings) error) *cobra.Command {
	set, err := config.All()
	if err == nil {
		err = set.Flags(name, cmd.Flags())
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err != nil {
			return err
		}
		load := func() (*config.Values, error) { return set.Load(name, cmd.Flags(), os.Environ()) }
		values, err := load()
		if err != nil {
			return usage(err)
		}
		s := &settings{Values: values, command: name, log: slog.New(slog.DiscardHandler), again: load}
		if cmd.Flags().Lookup("log-level") != nil {
			if s.log, err = process.Logger(cmd.ErrOrStderr(), s.String("log.level"), s.String("log.format")); err != nil {
				return usage(err)
			}
		}
		return errors.Join(f(cmd.Context(), s), values.Err())
	}
	cmd.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usage(config.FlagError(cmd.Flags(), err))
	})
	return cmd
}

func dashed(name string) string { return strings.ReplaceAll(name, ".", "-") }
