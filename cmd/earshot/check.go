package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"github.com/earshot-mq/earshot/gateway"
	"github.com/earshot-mq/earshot/internal/config"
	"github.com/earshot-mq/earshot/publisher/setup"
)

func checkCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "check FILE", GroupID: "people",
		Short: "Say what is wrong with a configuration file, and run nothing",
		Long: `Read a file as the gateway would: the settings, and the upstreams, compositions and routes
with the files that they name. Print all that is wrong, each with its line; exit code 1 if
anything is. No name is resolved and nobody is asked.`,
		Example: "  earshot check earshot.yaml\n  earshot check --up earshot.yaml",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usage(errors.New("check: which file? earshot check FILE"))
			}
			return nil
		},
	}
	up := cmd.Flags().Bool("up", false, upHelp)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		f, err := os.Open(args[0])
		if err != nil {
			return usage(fmt.Errorf("check: %w", err))
		}
		f.Close()
		return check(cmd.OutOrStdout(), args[0], *up)
	}
	return cmd
}

const upHelp = "as earshot up has it, with a route to each of the built-in services"

// check prints what is wrong with a file, in the order of its lines.
func check(out io.Writer, file string, up bool) error {
	set, err := config.All()
	if err != nil {
		return err
	}
	role := "gateway"
	if up {
		role = "up"
	}
	v, err := set.Load(role, nil, []string{"EARSHOT_CONFIG=" + file})
	wrong := each(err)
	c, err := gatewayConfig(v, nil)
	if wrong = append(wrong, each(err)...); len(wrong) == 0 {
		wrong = append(wrong, each(checkTogether(v, up))...)
	}
	if len(wrong) == 0 {
		_, err := fmt.Fprintf(out, "%s: ok; %s, %s\n", filepath.Base(file), plural(len(c.Routes), "route"), plural(len(c.Upstreams), "upstream"))
		return err
	}
	slices.SortStableFunc(wrong, func(a, b error) int { return cmp.Compare(lineOf(a), lineOf(b)) })
	for _, e := range wrong {
		fmt.Fprintln(out, e)
	}
	return fmt.Errorf("check: %s in %s", plural(len(wrong), "error"), file)
}

// checkTogether looks at what a process puts together of a valid file.
func checkTogether(v *config.Values, up bool) error {
	builtins, err := placeholders(v, up)
	if err != nil {
		return err
	}
	c, err := gatewayConfig(v, builtins)
	if err != nil {
		return err
	}
	if len(c.Routes) == 0 && v.String("discover.docker.agent") == "" {
		return &config.Error{File: v.File(), Err: errors.New("there are no routes")}
	}
	_, err = gateway.NewTable(c)
	_, redacts := setup.Redactor(v)
	return errors.Join(err, redacts)
}

// placeholders stand for the built-in services of up.
func placeholders(v *config.Values, up bool) (map[string]http.Handler, error) {
	builtins := map[string]http.Handler{}
	if !up {
		return builtins, nil
	}
	for _, name := range v.Strings("services") {
		if builtin[name] == nil {
			return nil, config.Unknown("service", name, slices.Sorted(maps.Keys(builtin)))
		}
		builtins[name] = http.NotFoundHandler()
	}
	return builtins, nil
}

// each takes joined errors apart.
func each(err error) (all []error) {
	switch e := err.(type) { //nolint:errorlint // what wraps one has words of its own
	case nil:
	case *config.Error: // which has two causes
		all = []error{err}
	case interface{ Unwrap() []error }:
		for _, e := range e.Unwrap() {
			all = append(all, each(e)...)
		}
	default:
		all = []error{err}
	}
	return all
}

func lineOf(err error) int {
	var place *config.Error
	if errors.As(err, &place) {
		return place.Line
	}
	return 0
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
