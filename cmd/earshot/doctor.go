package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/earshot-mq/earshot/deploy"
	"github.com/earshot-mq/earshot/internal/admin"
	"github.com/earshot-mq/earshot/internal/config"
	"github.com/earshot-mq/earshot/internal/doctor"
	"github.com/earshot-mq/earshot/internal/process"
	"github.com/earshot-mq/earshot/internal/zmq"
)

func doctorCommand() *cobra.Command {
	roles := []string{"up", "gateway", "service", "subscriber"}
	cmd := &cobra.Command{
		Use: "doctor [ROLE]", GroupID: "people", ValidArgs: roles,
		Short: "Look at the machine and the configuration: what fails, and what mends it",
		Long: `Look at what a role needs, up if none is named: libzmq, the ports, the data folder, the disk,
the journals and how long they last at today's rate, the clock, the limits, the network, and
whether a Docker Engine answers. A line each: ok, note (worth knowing), or fails, with what
mends it. The exit code is 0 when nothing fails, and 1 when something does.

Nothing is changed, and nobody needs to be root. A port is bound for a moment; the data
folder is only looked at.

With --json, one document: v (1), status (the worst of all), version, role, and checks, each
with check, status, found, fix and facts. The names of checks and facts stay; found and fix
are for people.`,
		Example: "  earshot doctor\n  earshot doctor gateway --config earshot.yaml\n  earshot doctor --json | jq '.checks[] | select(.status == \"fails\")'",
		Args: func(_ *cobra.Command, args []string) error {
			switch {
			case len(args) > 1:
				return usage(errors.New("doctor: one role at a time"))
			case len(args) == 1 && !slices.Contains(roles, args[0]):
				return usage(config.Unknown("role", args[0], roles))
			}
			return nil
		},
	}
	asJSON := cmd.Flags().Bool("json", false, "print JSON")
	return withSettings(cmd, "doctor", func(ctx context.Context, s *settings) error {
		role := "up"
		if cmd.Flags().NArg() == 1 {
			role = cmd.Flags().Arg(0)
		}
		set, err := config.All()
		if err != nil {
			return err
		}
		if s.Values, err = set.Load(role, cmd.Flags(), os.Environ()); err != nil {
			return usage(err)
		}
		report := doctor.NewReport(version, role, examine(ctx, s, role))
		out := cmd.OutOrStdout()
		if *asJSON {
			err = report.JSON(out)
		} else {
			err = report.Text(out, process.Terminal(out) && !process.NoColor())
		}
		if n := report.Count(doctor.Fails); n > 0 {
			err = errors.Join(err, fmt.Errorf("doctor: %s", plural(n, "failure")))
		}
		return errors.Join(err, s.Err())
	})
}

// examine makes all findings for a role.
func examine(ctx context.Context, s *settings, role string) []doctor.Finding {
	running, metrics := runs(ctx, s)
	now := time.Now()
	data, err := filepath.Abs(s.String("data"))
	if err != nil {
		data = s.String("data")
	}
	all := append(zmqLibrary(ctx), configured(s, role))
	all = append(all, ports(s, role, running)...)
	all = append(all, doctor.Folder(data), doctor.Disk(data))
	journals, newest := doctor.Journals(data, s.Size("journal.max-bytes"), metrics, now)
	store, newer := doctor.Store(data, s.Size("store.max-bytes"), now)
	if newer.After(newest) {
		newest = newer
	}
	return append(all, journals, store, doctor.Clock(now, newest), doctor.Synchronised(), doctor.Files(),
		doctor.Gateways(), doctor.Servers(), dockerEngine(ctx))
}

// zmqLibrary looks at libzmq.
func zmqLibrary(ctx context.Context) []doctor.Finding {
	lib := doctor.Finding{
		Check: "libzmq", Status: doctor.OK, Found: zmq.Version() + "; it has the fix for Go's signals, as far as it can be seen",
		Facts: map[string]any{"version": zmq.Version()},
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if err := zmq.Check(ctx); err != nil {
		lib.Status = doctor.Fails
		lib.Found, lib.Fix, _ = strings.Cut(strings.TrimPrefix(err.Error(), "zmq: "), ": ")
	}
	curve := doctor.Finding{
		Check: "curve", Status: doctor.OK, Found: "libzmq can encrypt; Earshot does not ask it to yet",
		Facts: map[string]any{"available": zmq.HasCurve()},
	}
	if !zmq.HasCurve() {
		curve.Status, curve.Found = doctor.Note, "libzmq can't encrypt; Earshot does not ask it to yet"
		curve.Fix = "install a libzmq that was built with libsodium, as Debian's is"
	}
	return []doctor.Finding{lib, curve}
}

// configured looks at the file, which only the gateway has to have.
func configured(s *settings, role string) doctor.Finding {
	f := doctor.Finding{Check: "config", Status: doctor.OK, Found: "no file is named; flags, EARSHOT_* variables and defaults", Facts: map[string]any{"file": s.String("config")}}
	if s.File() != "" {
		f.Found = s.File() + " has no error"
	}
	if role == "gateway" && !s.Has("routes") {
		f.Status, f.Found, f.Fix = doctor.Fails, "the gateway has no file with upstreams and routes", "name one with --config or EARSHOT_CONFIG"
	}
	if !s.Has("routes") {
		return f
	}
	up := role == "up"
	if wrong := each(checkTogether(s.Values, up)); len(wrong) > 0 {
		f.Status, f.Found, f.Fix = doctor.Fails, wrong[0].Error(), "earshot check "
		if len(wrong) > 1 {
			f.Found += fmt.Sprintf("; and %s more", plural(len(wrong)-1, "error"))
		}
		if up {
			f.Fix += "--up "
		}
		f.Fix += s.String("config")
	}
	return f
}

// ports looks at the addresses that a role listens on.
func ports(s *settings, role, running string) (all []doctor.Finding) {
	names := append([]string{"http.listen"}, append(feeds, "admin.listen")...)
	if role == "subscriber" {
		names = names[1:]
	}
	of := map[string]string{}
	for _, name := range names {
		addr := s.String(name)
		if name == "http.listen" {
			addr = s.Listen(name, "port")
		}
		f := doctor.Port(name, "--"+dashed(name), addr, running)
		key := strings.TrimPrefix(addr, "tcp://")
		if other := of[key]; other != "" && !strings.HasSuffix(key, ":0") {
			f.Status, f.Fix = doctor.Fails, "choose another with --"+dashed(name)
			f.Found = fmt.Sprintf("%s is wanted by %s too", addr, other)
		}
		if key != "" {
			of[key] = name
		}
		all = append(all, f)
	}
	return all
}

// runs asks whether an Earshot answers at the admin address, and what it has written.
func runs(ctx context.Context, s *settings) (addr string, metrics *doctor.Running) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	c := adminClient(s)
	resp, err := c.Do(ctx, http.MethodGet, "/livez")
	if err != nil {
		return "", nil
	}
	defer resp.Body.Close()
	var h admin.Health
	if json.NewDecoder(resp.Body).Decode(&h) != nil || h.Status == "" {
		return "", nil
	}
	return c.Addr, written(ctx, c)
}

// written reads what a process tells of its journal; nil if it has none, or says nothing
// without a token.
func written(ctx context.Context, c *admin.Client) *doctor.Running {
	resp, err := c.Do(ctx, http.MethodGet, "/metrics")
	if err != nil {
		return nil
	}
	defer resp.Body.Close()
	v := map[string]float64{}
	for scan := bufio.NewScanner(resp.Body); scan.Scan(); {
		if name, text, ok := strings.Cut(scan.Text(), " "); ok {
			if x, err := strconv.ParseFloat(text, 64); err == nil {
				v[name] = x
			}
		}
	}
	if v["earshot_journal_bound_bytes"] == 0 {
		return nil
	}
	r := &doctor.Running{Bytes: int64(v["earshot_journal_bytes"]), Bound: int64(v["earshot_journal_bound_bytes"])}
	if start := v["process_start_time_seconds"]; start > 0 {
		r.Written = int64(v["earshot_journal_written_bytes_total"])
		r.Up = time.Since(time.UnixMilli(int64(start * 1000)))
	}
	return r
}

// dockerEngine looks for a Docker Engine, which only containers need.
func dockerEngine(ctx context.Context) doctor.Finding {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	f := doctor.Finding{Check: "docker", Status: doctor.Note, Facts: map[string]any{"reachable": false}}
	e, err := deploy.Open(ctx)
	if err != nil {
		f.Found = fmt.Sprintf("%v; only containers need one", err)
		return f
	}
	defer func() { _ = e.Close() }() // only asked
	engine, api, err := e.Version(ctx)
	if err != nil {
		f.Found = err.Error()
		return f
	}
	f.Status, f.Found = doctor.OK, fmt.Sprintf("Engine %s, spoken to by API %s", engine, api)
	f.Facts = map[string]any{"reachable": true, "version": engine, "api": api}
	return f
}
