package main

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"reflect"
	"slices"

	"github.com/earshot-mq/earshot/gateway"
	"github.com/earshot-mq/earshot/gateway/strict"
	"github.com/earshot-mq/earshot/internal/admin"
	"github.com/earshot-mq/earshot/internal/config"
	"github.com/earshot-mq/earshot/internal/process"
	"github.com/earshot-mq/earshot/publisher"
)

// Where the document is, and its page, if no file says it.
const (
	documentPath = "/openapi.json"
	docsPath     = "/docs"
)

// gateway adds the clients' door: the routes of the file, and one for each built-in
// service.
func (p *program) gateway(pub *publisher.Publisher, builtins map[string]http.Handler) (at string, err error) {
	c, err := gatewayConfig(p.s.Values, builtins)
	if err != nil {
		return "", usage(err)
	}
	table, err := gateway.NewTable(c)
	if err != nil {
		return "", usage(err)
	}
	rec, err := p.recorder(pub, "gateway", p.s.Prefixes("trusted"), !p.s.Bool("record.expose"), nil)
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
	if err := p.admin.Register(gw.Metrics()); err != nil {
		return "", errors.Join(err, l.Close())
	}
	p.admin.Check("upstreams", admin.Ready, func(context.Context) (string, error) { return gw.State(), nil })
	p.add("upstreams", gw.Run)
	r := &reload{s: p.s, builtins: builtins, swap: gw.Swap, config: c, hangup: process.NewHangup(), log: p.log.With("part", "gateway")}
	if err := errors.Join(p.discovery(gw, table, r), p.admin.Register(r.metrics())); err != nil {
		return "", errors.Join(err, l.Close())
	}
	p.admin.Check("file", admin.Ready, func(context.Context) (string, error) { return r.state(), nil })
	p.add("reload", r.run)
	p.add("gateway", func(ctx context.Context) error {
		defer gw.Close()
		return serve(ctx)
	})
	return at, nil
}

// discovery puts the services of containers beside those of the file, whatever file that
// is.
func (p *program) discovery(gw *gateway.Gateway, table *gateway.Table, r *reload) error {
	d := gateway.NewDiscovery(gw, table, p.log.With("part", "discovery"))
	if ok, err := p.found(d.Found); !ok {
		return err
	}
	r.swap = d.Swap
	p.admin.Check("labels", admin.Ready, func(context.Context) (string, error) { return d.State(), nil })
	return p.admin.Register(d.Metrics())
}

// gatewayConfig is what the file says of the gateway, and /NAME and what is below it for
// each built-in service. Without a file's routes, what is there is documented too.
func gatewayConfig(v *config.Values, builtins map[string]http.Handler) (c gateway.Config, err error) {
	if err := v.Sections(&c); err != nil {
		return c, err
	}
	c.Trusted = v.Prefixes("trusted")
	if c.Upstreams == nil {
		c.Upstreams = map[string]gateway.UpstreamConfig{}
	}
	if len(c.Routes) == 0 && len(builtins) > 0 {
		c.Routes = []gateway.RouteConfig{
			{Path: documentPath, OpenAPI: gateway.OpenAPIJSON},
			{Path: docsPath, OpenAPI: gateway.OpenAPIPage},
		}
	}
	for _, name := range slices.Sorted(maps.Keys(builtins)) {
		c.Upstreams[name] = gateway.UpstreamConfig{Handler: builtins[name]}
		route := gateway.RouteConfig{Path: "/" + name + "/*", Upstream: name}
		if !slices.ContainsFunc(c.Routes, func(r gateway.RouteConfig) bool { return reflect.DeepEqual(r, route) }) {
			c.Routes = append(c.Routes, route)
		}
	}
	return c, nil
}
