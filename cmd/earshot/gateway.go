package main

import (
	"context"
	"maps"
	"slices"

	"github.com/earshot-mq/earshot/gateway"
	"github.com/earshot-mq/earshot/gateway/strict"
	"github.com/earshot-mq/earshot/internal/process"
	"github.com/earshot-mq/earshot/publisher"
)

// gateway adds the clients' door: the routes of the file, and one for each built-in
// service, whose addresses are given.
func (p *program) gateway(pub *publisher.Publisher, builtins map[string]string) (at string, err error) {
	table, err := p.table(builtins)
	if err != nil {
		return "", usage(err)
	}
	rec, err := p.recorder(pub, "gateway", !p.s.Bool("record.expose"), nil)
	if err != nil {
		return "", err
	}
	gw, err := gateway.New(gateway.Options{Table: table, Expose: p.s.Bool("record.expose"), Logger: p.log.With("part", "gateway")})
	if err != nil {
		return "", err
	}
	l, err := process.Listen(p.s.Listen("http.listen", "port"), "--port")
	if err != nil {
		return "", err
	}
	at = l.Addr().String()
	serve := process.Serve(strict.NewListener(l, strict.Options{}), rec.Wrap(gw), p.serveOptions(rec))
	p.add("gateway", func(ctx context.Context) error {
		defer gw.Close()
		return serve(ctx)
	})
	return at, nil
}

// table is the routes of the file, and /NAME and what is below it for each built-in
// service.
func (p *program) table(builtins map[string]string) (*gateway.Table, error) {
	var c gateway.Config
	if err := p.s.Sections(&c); err != nil {
		return nil, err
	}
	c.Trusted = p.s.Prefixes("trusted")
	if c.Upstreams == nil {
		c.Upstreams = map[string]gateway.UpstreamConfig{}
	}
	for _, name := range slices.Sorted(maps.Keys(builtins)) {
		c.Upstreams[name] = gateway.UpstreamConfig{URL: builtins[name]}
		c.Routes = append(c.Routes, gateway.RouteConfig{Path: "/" + name + "/*", Upstream: name})
	}
	return gateway.NewTable(c)
}
