package main

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"sync"

	"github.com/earshot-mq/earshot/gateway"
	"github.com/earshot-mq/earshot/internal/config"
	"github.com/earshot-mq/earshot/internal/metric"
	"github.com/earshot-mq/earshot/internal/process"
)

// reload reads the gateway's file again at each SIGHUP and makes the table of it the one
// of all requests that begin then. What is wrong with the file leaves all as it was.
type reload struct {
	s        *settings // as the process has them, but for the gateway's own parts of the file
	builtins map[string]http.Handler
	swap     func(*gateway.Table) error
	hangup   *process.Hangup
	log      *slog.Logger

	mu       sync.Mutex // guards what follows
	config   gateway.Config
	refused  error    // what is wrong with the file that was read last
	restart  []string // settings that differ and need it
	reads    uint64
	refusals uint64
}

// run reads until ctx is done.
func (r *reload) run(ctx context.Context) error { return r.hangup.Run(ctx, r.read) }

func (r *reload) read() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.reads++
	values, err := r.s.again()
	if err == nil {
		err = r.apply(values)
	}
	for _, e := range each(err) {
		r.log.Error("the file is refused; what it said before stays", "error", e)
	}
	if r.refused = err; err != nil {
		r.refusals++
	}
}

// apply makes what a file says the Gateway's table.
func (r *reload) apply(v *config.Values) error {
	if v.File() == "" {
		r.log.Info("there is no file to be read again")
		return nil
	}
	if r.builtins == nil {
		if err := routed(v); err != nil {
			return err
		}
	}
	c, err := gatewayConfig(v, r.builtins)
	if err != nil {
		return err
	}
	c.Trusted = r.config.Trusted // the recorder has them too
	table, err := gateway.NewTable(c)
	if err == nil {
		err = r.swap(table)
	}
	if err != nil {
		return err
	}
	all := r.config.Changes(&c)
	r.config = c
	r.log.Info("the file was read again", "file", v.File(), "routes", len(c.Routes), "added", all.Added, "removed", all.Removed, "changed", all.Changed)
	r.restart = v.Differing(r.s.Values)
	for _, name := range r.restart {
		r.log.Warn("this setting changes only with a restart", "setting", name, "at", v.Source(name))
	}
	return nil
}

// state is "ok", or "degraded: …" with what is wrong with the file.
func (r *reload) state() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.refused != nil:
		var lines []string
		for _, e := range each(r.refused) {
			lines = append(lines, strings.ReplaceAll(e.Error(), "\n", "; "))
		}
		return "degraded: the file is refused, what it said before is used: " + strings.Join(lines, "; ")
	case len(r.restart) > 0:
		return "ok; a restart is needed for " + strings.Join(r.restart, ", ")
	}
	return "ok"
}

func (r *reload) metrics() []metric.Metric {
	return []metric.Metric{
		{
			Name: "earshot_config_reloads_total", Help: "Times that the file was read again, whatever came of it.",
			Value: metric.Locked(&r.mu, func() float64 { return float64(r.reads) }),
		},
		{
			Name: "earshot_config_reload_failures_total", Help: "Times that the file was read again and refused.",
			Value: metric.Locked(&r.mu, func() float64 { return float64(r.refusals) }),
		},
		{
			Name: "earshot_config_last_reload_successful", Help: "0 while the file was read again and refused, and what it said before is used.",
			Now: true, Value: metric.Locked(&r.mu, func() float64 { return metric.Bool(r.refused == nil) }),
		},
	}
}

// routed says that a gateway has nowhere to lead requests to.
func routed(v *config.Values) error {
	if !v.Has("routes") && v.String("discover.docker.agent") == "" {
		return errors.New("gateway: a file with upstreams and routes is needed: --config earshot.yaml; or --discover-docker-agent")
	}
	return nil
}
