package services

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/earshot-mq/earshot/internal/config"
	"github.com/earshot-mq/earshot/internal/journal"
	"github.com/earshot-mq/earshot/internal/process"
	"github.com/earshot-mq/earshot/publisher"
)

// Main runs s as a program of its own until SIGINT or SIGTERM and returns its exit code:
// 0, 1 if it failed, 2 if it was told something that can't be. A second signal stops it
// without waiting for clients.
//
// It is told by EARSHOT_* variables and by the file that EARSHOT_CONFIG names, with the
// settings of "earshot service": EARSHOT_HTTP_LISTEN, EARSHOT_FEED_RECORD and so on.
// Flags are left to the program. As there, its feeds are on ports 4444 to 4446 of
// loopback, "none" is no feed, and its journal and its own files are below the folder data.
func Main(s *Service) int { return run(context.Background(), s, os.Environ(), os.Stderr) }

// run is Main without the process.
func run(ctx context.Context, s *Service, environ []string, stderr io.Writer) int {
	o, err := load(s.name, environ, stderr)
	if err != nil {
		fmt.Fprintf(stderr, "%s: %v\n", s.name, err)
		return process.ExitUsage
	}
	ctx, hurry, stop := process.Signals(ctx)
	defer stop()
	o.Hurry = hurry
	srv, err := NewServer(s, o)
	if err == nil {
		err = srv.Run(ctx)
	}
	if err != nil {
		fmt.Fprintf(stderr, "%s: %v\n", s.name, err)
		return process.ExitFailed
	}
	return process.ExitOK
}

// load reads the settings of a service. The gateway's parts of the file, which one file
// for all roles has, are passed over.
func load(name string, environ []string, stderr io.Writer) (o Options, err error) {
	set, err := config.New(config.Settings(), "upstreams", "routes", "compositions", "client-idle")
	if err != nil {
		return o, err
	}
	v, err := set.Load("service", nil, environ)
	if err != nil {
		return o, err
	}
	if o.Logger, err = process.Logger(stderr, v.String("log.level"), v.String("log.format")); err != nil {
		return o, err
	}
	o.Listen = v.Listen("http.listen", "port")
	o.Admin, o.AdminToken, o.AdminPrivate = v.String("admin.listen"), v.String("admin.token"), v.Bool("admin.private")
	o.Handler.Data = filepath.Join(v.String("data"), "services", name)
	o.Publisher = publisherOptions(name, v)
	o.Recorder, err = recorderOptions(v)
	return o, errors.Join(err, v.Err())
}

func publisherOptions(name string, v *config.Values) publisher.Options {
	return publisher.Options{
		Dir:       filepath.Join(v.String("data"), "journals", name),
		Text:      v.String("feed.text"),
		Record:    v.String("feed.record"),
		Replay:    v.String("feed.replay"),
		Peers:     v.Int("feed.peers"),
		Sync:      map[string]journal.SyncPolicy{"always": journal.SyncAlways, "never": journal.SyncNever}[v.String("journal.sync")],
		SyncEvery: v.Duration("journal.sync-interval"),
		Wait:      v.Duration("record.wait"),
		MaxBytes:  v.Size("journal.max-bytes"),
		MaxAge:    v.Duration("journal.max-age"),
		Policy:    map[string]publisher.Policy{"refuse": publisher.Refuse, "block": publisher.Block}[v.String("journal.policy")],
		Required:  v.Strings("journal.required"),
	}
}

func recorderOptions(v *config.Values) (publisher.RecorderOptions, error) {
	redactor, err := publisher.NewRedactor(publisher.RedactorOptions{
		QueryKeys: v.Strings("redact.query"),
		JSONPaths: v.Strings("redact.json"),
		Patterns:  v.Strings("redact.pattern"),
	})
	return publisher.RecorderOptions{
		Redactor: redactor,
		Trusted:  v.Prefixes("trusted"),
		Client:   publisher.ClientForm(v.String("record.client")),
		HMACKey:  []byte(v.String("record.hmac-key")),
		MaxBody:  int(v.Size("record.body")),
	}, err
}
