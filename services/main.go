package services

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/earshot-mq/earshot/internal/config"
	"github.com/earshot-mq/earshot/internal/process"
	"github.com/earshot-mq/earshot/publisher/setup"
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

// load reads the settings of a service. The gateway's parts of the file are passed over.
func load(name string, environ []string, stderr io.Writer) (o Options, err error) {
	set, err := config.All()
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
	o.Publisher = setup.Publisher(v, name)
	o.Recorder, err = setup.Recorder(v)
	return o, errors.Join(err, v.Err())
}
