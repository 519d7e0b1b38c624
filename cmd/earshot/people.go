package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/earshot-mq/earshot/internal/admin"
	"github.com/earshot-mq/earshot/internal/journal"
	"github.com/earshot-mq/earshot/internal/process"
	"github.com/earshot-mq/earshot/internal/zmq"
	"github.com/earshot-mq/earshot/publisher"
	"github.com/earshot-mq/earshot/publisher/record"
	"github.com/earshot-mq/earshot/publisher/setup"
)

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", GroupID: "people", Args: noArgs,
		Short:   "Print the versions of earshot, Go and libzmq",
		Example: "  earshot version",
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "earshot %s, %s %s/%s, libzmq %s\n", version, runtime.Version(), runtime.GOOS, runtime.GOARCH, zmq.Version())
			return err
		},
	}
}

func noArgs(cmd *cobra.Command, args []string) error { return usage(cobra.NoArgs(cmd, args)) }

func adminClient(s *settings) *admin.Client {
	return &admin.Client{Addr: s.String("admin.listen"), Token: s.String("admin.token")}
}

func healthcheckCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "healthcheck", GroupID: "people", Args: noArgs,
		Short:   "Ask a running process whether it is ready; exit code 3 if it is not",
		Example: "  earshot healthcheck\n  earshot healthcheck --admin-listen 127.0.0.1:5002",
	}
	return withSettings(cmd, "healthcheck", func(ctx context.Context, s *settings) error {
		defer process.Brief()
		ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		resp, err := adminClient(s).Do(ctx, http.MethodGet, "/readyz")
		if err != nil {
			return &exitError{process.ExitUnhealthy, err}
		}
		defer resp.Body.Close()
		_, err = io.Copy(cmd.OutOrStdout(), resp.Body)
		return err
	})
}

func cursorsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "cursors", GroupID: "people", Args: noArgs,
		Short: "List how far each store has a publisher's records, and forget one",
		Long: `List the cursors that a publisher keeps: which store has committed up to which number.
A cursor guides what the publisher keeps; a store that is gone for good should be forgotten.`,
		Example: "  earshot cursors\n  earshot cursors --forget old-subscriber",
	}
	forget := cmd.Flags().String("forget", "", "forget the cursor of the store with this name or id")
	asJSON := cmd.Flags().Bool("json", false, "print JSON")
	return withSettings(cmd, "cursors", func(ctx context.Context, s *settings) error {
		if *forget != "" {
			resp, err := adminClient(s).Do(ctx, http.MethodDelete, "/v1/cursors/"+url.PathEscape(*forget))
			if err != nil {
				return err
			}
			return resp.Body.Close()
		}
		resp, err := adminClient(s).Do(ctx, http.MethodGet, "/v1/cursors")
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if *asJSON {
			_, err = io.Copy(cmd.OutOrStdout(), resp.Body)
			return err
		}
		var all []journal.Store
		if err := json.NewDecoder(resp.Body).Decode(&all); err != nil {
			return fmt.Errorf("cursors: %w", err)
		}
		return printCursors(cmd.OutOrStdout(), all)
	})
}

func printCursors(out io.Writer, all []journal.Store) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "STORE\tNAME\tLAST COMMIT\tSTREAM\tEPOCH\tNEXT")
	for _, st := range all {
		for _, r := range st.Runs {
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%d\n", st.ID, st.Name, st.Seen.UTC().Format(time.RFC3339), r.Stream, r.Epoch, r.Next)
		}
	}
	return w.Flush()
}

func tailCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "tail", GroupID: "people", Args: noArgs,
		Short: "Show what a running subscriber stores, as it arrives",
		Long: `Show the records of a running subscriber, the last ones and then what arrives, each once.
On a terminal they are coloured lines; elsewhere, or with --json, one JSON object a line.
What is not well with the subscriber, or by their own word with its publishers, is said on
the standard error output when it begins and when it is over.`,
		Example: "  earshot tail\n  earshot tail --lines 100 --format message\n  earshot tail --json | jq .data.status",
	}
	lines := cmd.Flags().Int("lines", 10, "how many earlier records to show first")
	from := cmd.Flags().Uint64("from", 0, "show from this arrival number on; 1 is the oldest that is there")
	asJSON := cmd.Flags().Bool("json", false, "print the records as they are stored")
	format := cmd.Flags().String("format", "", "text, message, json, logfmt or template=…; default text on a terminal, json elsewhere")
	return withSettings(cmd, "tail", func(ctx context.Context, s *settings) error {
		p, err := newPrinter(cmd.OutOrStdout(), *format, *asJSON, s.String("subscriber.tz"))
		if err != nil {
			return usage(err)
		}
		if *lines < 0 {
			return usage(fmt.Errorf("tail: --lines: want 0 or more, got %d", *lines))
		}
		path := "/v1/tail?lines=" + strconv.Itoa(*lines)
		if *from > 0 {
			path = "/v1/tail?from=" + strconv.FormatUint(*from, 10)
		}
		ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
		defer stop()
		resp, err := adminClient(s).Do(ctx, http.MethodGet, path)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		ctx, done := context.WithCancel(ctx)
		var told sync.WaitGroup
		told.Go(func() { notices(ctx, adminClient(s), cmd.ErrOrStderr()) })
		defer told.Wait()
		defer done()
		err = events(resp.Body, p.print)
		switch {
		case ctx.Err() != nil:
			return nil
		case err == nil || errors.Is(err, io.ErrUnexpectedEOF):
			return errors.New("tail: the subscriber has ended")
		}
		return err
	})
}

// events calls f with the data of each server-sent event.
func events(r io.Reader, f func(data []byte) error) error {
	scan := bufio.NewScanner(r)
	scan.Buffer(make([]byte, 64<<10), record.MaxLine+64)
	for scan.Scan() {
		if data, ok := strings.CutPrefix(scan.Text(), "data: "); ok {
			if err := f([]byte(data + "\n")); err != nil {
				return err
			}
		}
	}
	if err := scan.Err(); err != nil && !errors.Is(err, context.Canceled) {
		return fmt.Errorf("tail: %w", err)
	}
	return nil
}

func redactCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "redact [FILE]", GroupID: "people", Args: cobra.MaximumNArgs(1),
		Short: "Show what redaction takes out of records",
		Long: `Read records, one JSON object a line, from FILE or standard input, and print them as the
configured redaction leaves them. With --explain print what changed, and by which rule.`,
		Example: "  earshot redact --explain < sample.jsonl\n  earshot redact --redact-query pin sample.jsonl",
	}
	explain := cmd.Flags().Bool("explain", false, "print each change, before and after, with the rule that made it")
	return withSettings(cmd, "redact", func(_ context.Context, s *settings) error {
		rd, err := setup.Redactor(s.Values)
		if err != nil {
			return usage(err)
		}
		in := cmd.InOrStdin()
		if args := cmd.Flags().Args(); len(args) == 1 {
			f, err := os.Open(args[0])
			if err != nil {
				return err
			}
			defer f.Close()
			in = f
		}
		return redactLines(cmd.OutOrStdout(), in, rd, *explain)
	})
}

func redactLines(out io.Writer, in io.Reader, rd *publisher.Redactor, explain bool) error {
	scan := bufio.NewScanner(in)
	scan.Buffer(make([]byte, 64<<10), record.MaxLine+1)
	w := bufio.NewWriter(out)
	var err error
	n := 1
	for ; err == nil && scan.Scan(); n++ {
		var r record.Record
		switch r, err = record.Parse(scan.Bytes()); {
		case err != nil:
			err = fmt.Errorf("redact: line %d: %w", n, err)
		case explain:
			for _, c := range rd.Explain(&r) {
				fmt.Fprintf(w, "line %d: %s\n", n, c)
			}
		default:
			rd.Redact(&r)
			_, err = w.Write(record.Append(nil, &r))
		}
	}
	if tooLong := scan.Err(); tooLong != nil {
		err = fmt.Errorf("redact: line %d: %w; a record has at most %d bytes", n, tooLong, record.MaxLine)
	}
	return errors.Join(err, w.Flush()) // what came before stays
}
