package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/earshot-mq/earshot/internal/config"
	"github.com/earshot-mq/earshot/publisher"
	"github.com/earshot-mq/earshot/services"
	"github.com/earshot-mq/earshot/services/downcase"
	"github.com/earshot-mq/earshot/services/shop/all"
	"github.com/earshot-mq/earshot/services/wordcount"
)

// builtin is the services that this binary has.
var builtin = builtins()

func builtins() map[string]func() *services.Service {
	out := all.Services()
	out[downcase.Name] = downcase.New
	out[wordcount.Name] = wordcount.New
	return out
}

func upCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "up", GroupID: "roles", Args: noArgs,
		Short: "Run everything in one process: gateway, services, feeds, subscriber",
		Long: `Run everything in one process, bound to loopback: the gateway, the services behind it, the
feeds and replay, and a subscriber that writes a log file. It ends cleanly on Ctrl-C or
SIGTERM, the answer in flight included; a second one does not wait for clients. SIGHUP makes
it read the gateway's part of the file again.`,
		Example: "  earshot up\n  earshot up --port 5050 --subscriber-format message\n  earshot up --config earshot.yaml",
	}
	return withSettings(cmd, "up", func(ctx context.Context, s *settings) error {
		return up(ctx, s, cmd.OutOrStdout())
	})
}

// up wires all roles. What is first here is the last to stop: the clients' door closes
// first, then the services, then the journal is ended and served until the subscriber
// has all of it.
func up(ctx context.Context, s *settings, out io.Writer) (err error) {
	p, err := newProgram(s)
	if err != nil {
		return err
	}
	started := false
	defer func() {
		if !started {
			err = errors.Join(err, p.end())
		}
	}()
	pub, err := p.publisher("up")
	if err != nil {
		return err
	}
	text, record, replay := pub.Endpoints()
	publishing := p.parts
	p.parts = nil
	sub, err := p.subscriber(reachable(record), s.Strings("subscriber.connect"), false)
	if err != nil {
		return errors.Join(err, pub.Close())
	}
	pub.Beside(sub.Hand)
	p.parts = append(p.parts, publishing...)
	builtins, err := p.services(pub)
	if err != nil {
		return errors.Join(err, pub.Close())
	}
	at, err := p.gateway(pub, builtins)
	if err != nil {
		return errors.Join(err, pub.Close())
	}
	adminAt, err := p.console()
	if err != nil {
		return errors.Join(err, pub.Close())
	}
	started = true
	try := "openapi.json"
	if builtins["downcase"] != nil {
		try = "downcase/?param=HELLO"
	}
	return p.run(ctx, func() {
		fmt.Fprintf(out, `earshot is up. Ctrl-C ends it.
  gateway  http://%s
  feeds    %s (text)  %s (records)  replay on %s
  admin    http://%s
  log      %s
try: curl 'http://%s/%s'
`, at, text, record, replay[strings.LastIndexByte(replay, ':')+1:], adminAt, p.logPath(), at, try)
	})
}

// reachable is where this machine reaches an endpoint that is bound to every address:
// not every machine has a way to [::].
func reachable(endpoint string) string {
	for _, every := range []string{"tcp://[::]:", "tcp://0.0.0.0:"} {
		if port, ok := strings.CutPrefix(endpoint, every); ok {
			return "tcp://127.0.0.1:" + port
		}
	}
	return endpoint
}

// services are the built-in services, which the gateway asks in this process.
func (p *program) services(pub *publisher.Publisher) (builtins map[string]http.Handler, err error) {
	builtins = map[string]http.Handler{}
	for _, name := range p.s.Strings("services") {
		if builtin[name] == nil {
			return nil, usage(config.Unknown("service", name, slices.Sorted(maps.Keys(builtin))))
		}
		h, rec, err := p.service(pub, builtin[name](), loopback)
		if err != nil {
			return nil, err
		}
		builtins[name] = &recorded{rec.Wrap(h)}
	}
	return builtins, nil
}

// recorded is a service's handler that a table can compare with that of the table before.
type recorded struct{ http.Handler }

// loopback is where the gateway of up asks from (upstream.LocalAddr): a service behind it
// believes what it says of the client and the request's id.
var loopback = []netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), 32)}

// service makes the handler of a service, and the recorder of its answers.
func (p *program) service(pub *publisher.Publisher, svc *services.Service, trusted []netip.Prefix) (http.Handler, *publisher.Recorder, error) {
	h, err := svc.Handler(services.HandlerOptions{
		Logger:  p.log.With("part", "service", "service", svc.Name()),
		Version: version,
		Data:    filepath.Join(p.s.String("data"), "services", svc.Name()),
	})
	if err != nil {
		return nil, nil, err
	}
	rec, err := p.recorder(pub, svc.Name(), trusted, false, services.Unrecorded)
	return h, rec, err
}

func serviceCommand() *cobra.Command {
	names := slices.Sorted(maps.Keys(builtin))
	cmd := &cobra.Command{
		Use: "service NAME", GroupID: "roles", ValidArgs: names,
		Short:   "Run one of the built-in services: " + strings.Join(names, ", "),
		Long:    "Run one of the built-in services in a process of its own, with its journal and its feeds.",
		Example: "  earshot service downcase\n  earshot service downcase --http-listen 127.0.0.1:8081",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usage(fmt.Errorf("service: which one? NAME is one of %s", strings.Join(names, ", ")))
			}
			if builtin[args[0]] == nil {
				return usage(config.Unknown("service", args[0], names))
			}
			return nil
		},
	}
	return withSettings(cmd, "service", func(ctx context.Context, s *settings) error {
		name := cmd.Flags().Arg(0)
		return p1(ctx, s, name, func(p *program, pub *publisher.Publisher) (string, error) {
			h, rec, err := p.service(pub, builtin[name](), s.Prefixes("trusted"))
			if err != nil {
				return "", err
			}
			return p.serve(name, s.Listen("http.listen", "port"), "--http-listen", rec, h)
		})
	})
}

func gatewayCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "gateway", GroupID: "roles", Args: noArgs,
		Short:   "Run the gateway alone, before services of other processes",
		Long:    "Run the gateway with the routes and upstreams of a file. It records what no service recorded.\nSIGHUP makes it read the file again.",
		Example: "  earshot gateway --config earshot.yaml",
	}
	return withSettings(cmd, "gateway", func(ctx context.Context, s *settings) error {
		if err := routed(s.Values); err != nil {
			return usage(err)
		}
		return p1(ctx, s, "gateway", func(p *program, pub *publisher.Publisher) (string, error) {
			return p.gateway(pub, nil)
		})
	})
}

// p1 runs a program with a publisher and one server in front of it.
func p1(ctx context.Context, s *settings, role string, front func(*program, *publisher.Publisher) (string, error)) error {
	p, err := newProgram(s)
	if err != nil {
		return err
	}
	pub, err := p.publisher(role)
	if err != nil {
		return errors.Join(err, p.end())
	}
	at, err := front(p, pub)
	if err == nil {
		_, err = p.console()
	}
	if err != nil {
		return errors.Join(err, pub.Close(), p.end())
	}
	return p.run(ctx, func() { s.log.Info("up", "role", role, "at", "http://"+at) })
}

func subscriberCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "subscriber", GroupID: "roles", Args: noArgs,
		Short: "Follow publishers, store what they publish and write the log file",
		Long: `Follow any number of publishers, mend what their feeds dropped, store what they publish
once and in order, and write a log file with one line for each record. With --plain it logs
the PUB sockets of other programs, at most once.`,
		Example: "  earshot subscriber --connect tcp://127.0.0.1:4445\n  earshot subscriber --connect none --plain tcp://127.0.0.1:4444 --format message",
	}
	return withSettings(cmd, "subscriber", func(ctx context.Context, s *settings) error {
		p, err := newProgram(s)
		if err != nil {
			return err
		}
		connect := s.Strings("subscriber.connect")
		if _, err = p.subscriber("", connect, true); err == nil {
			_, err = p.console()
		}
		if err != nil {
			return errors.Join(err, p.end())
		}
		return p.run(ctx, func() {
			s.log.Info("up", "role", "subscriber", "connect", connect, "plain", s.Strings("subscriber.plain"), "log", p.logPath())
		})
	})
}
