package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/earshot-mq/earshot/gateway"
	"github.com/earshot-mq/earshot/gateway/upstream"
	"github.com/earshot-mq/earshot/internal/docker"
)

func explainCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "explain [METHOD] URL", GroupID: "people",
		Short: "Say where the gateway would send a request, and why",
		Long: `Say which route of a file takes a request, why the others do not, and what the upstream
would be sent; nothing is sent. Names are resolved from here, and a Docker agent is asked from
here, which may be elsewhere than the gateway. Exit code 1 if the request would be refused.`,
		Example: "  earshot explain --config earshot.yaml https://shop.example/products/7\n" +
			"  earshot explain --config earshot.yaml POST /orders -H 'Host: shop.example' -H 'X-Forwarded-For: 192.0.2.7'",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) < 1 || len(args) > 2 {
				return usage(errors.New("explain: which request? earshot explain [METHOD] URL"))
			}
			return nil
		},
	}
	up := cmd.Flags().Bool("up", false, upHelp)
	from := cmd.Flags().String("from", "192.0.2.1", "address that the request comes from; trusted says whether it is believed")
	headers := cmd.Flags().StringArrayP("header", "H", nil, "header field of the request, 'Name: value'; can be repeated")
	return withSettings(cmd, "explain", func(ctx context.Context, s *settings) error {
		r, err := requestOf(cmd.Flags().Args(), *headers, *from)
		if err != nil {
			return usage(fmt.Errorf("explain: %w", err))
		}
		builtins, err := placeholders(s.Values, *up)
		if err != nil {
			return usage(err)
		}
		c, err := gatewayConfig(s.Values, builtins)
		agent := s.String("discover.docker.agent")
		if err == nil && len(c.Routes) == 0 && agent == "" {
			err = errors.New("explain: there are no routes: --config earshot.yaml, or --up for the built-in services")
		}
		if err != nil {
			return usage(err)
		}
		table, err := gateway.NewTable(c)
		if err != nil {
			return usage(err)
		}
		e := &explainer{out: cmd.OutOrStdout(), config: c, builtins: builtins, table: table}
		if agent != "" {
			e.containers(ctx, agent, s.String("discover.docker.network"))
		}
		return e.explain(ctx, e.table.Plan(r), r)
	})
}

// requestOf is a request as the gateway's server reads it.
func requestOf(args, headers []string, from string) (*http.Request, error) {
	method, target := http.MethodGet, args[len(args)-1]
	if len(args) == 2 {
		method = strings.ToUpper(args[0])
	}
	peer, err := netip.ParseAddr(from)
	if err != nil {
		return nil, fmt.Errorf("--from: want an address, got %q", from)
	}
	u, err := url.Parse(target)
	if err != nil || u.Host == "" && !strings.HasPrefix(target, "/") {
		return nil, fmt.Errorf("want a URL such as https://shop.example/x, or a path, got %q", target)
	}
	host := cmp.Or(u.Host, "localhost")
	var fields strings.Builder
	for _, h := range headers {
		name, value, ok := strings.Cut(h, ":")
		switch {
		case !ok || strings.ContainsAny(h, "\r\n"):
			return nil, fmt.Errorf("--header: want 'Name: value', got %q", h)
		case strings.EqualFold(name, "Host"):
			host = strings.TrimSpace(value)
		default:
			fields.WriteString(h + "\r\n")
		}
	}
	_, rest, _ := strings.Cut(target, u.Host)
	if u.Host == "" {
		rest = target
	}
	rest, _, _ = strings.Cut(rest, "#") // a browser keeps it to itself
	if !strings.HasPrefix(rest, "/") {
		rest = "/" + rest
	}
	text := method + " " + rest + " HTTP/1.1\r\nHost: " + host + "\r\n" + fields.String() + "\r\n"
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(text)))
	if err != nil {
		return nil, fmt.Errorf("this is no request: %w", err)
	}
	r.RemoteAddr = net.JoinHostPort(peer.String(), "1")
	return r, nil
}

// explainer prints a Plan.
type explainer struct {
	out      io.Writer
	config   gateway.Config
	builtins map[string]http.Handler
	table    *gateway.Table
}

// containers puts what labels say beside the file, and names what is refused of it.
func (e *explainer) containers(ctx context.Context, agent, network string) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	all, refused, err := docker.Ask(ctx, agent, network)
	if err != nil {
		fmt.Fprintf(e.out, "containers are not known here: %v\n\n", err)
		return
	}
	table, more := e.table.With(all)
	e.table = table
	for _, p := range append(refused, more...) {
		fmt.Fprintln(e.out, "labels are refused:", p)
	}
}

func (e *explainer) explain(ctx context.Context, p gateway.Plan, r *http.Request) error {
	fmt.Fprintf(e.out, "%s %s%s\n\n", r.Method, r.Host, r.URL.RequestURI())
	if err := e.routes(p); err != nil {
		return err
	}
	if p.Status != 0 {
		fmt.Fprintf(e.out, "answer: %d, %s\n", p.Status, p.Refusal)
		if len(p.Allow) > 0 {
			fmt.Fprintf(e.out, "allowed: %s\n", strings.Join(p.Allow, ", "))
		}
		return fmt.Errorf("explain: the request would be refused: %d", p.Status)
	}
	e.target(ctx, p)
	return nil
}

// routes lists the one that takes the request, then those that match too, then those
// that don't.
func (e *explainer) routes(p gateway.Plan) error {
	if len(p.Verdicts) == 0 {
		return nil
	}
	rank := func(v gateway.Verdict) int {
		switch {
		case v.Taken:
			return 0
		case strings.HasPrefix(v.Reason, "matches"):
			return 1
		}
		return 2
	}
	slices.SortStableFunc(p.Verdicts, func(a, b gateway.Verdict) int { return cmp.Compare(rank(a), rank(b)) })
	w := tabwriter.NewWriter(e.out, 0, 0, 2, ' ', 0)
	for _, v := range p.Verdicts {
		sign := " "
		if v.Taken {
			sign = ">"
		}
		fmt.Fprintf(w, "%s %s\t%s\t%s\n", sign, v.Route.Name, v.Route, v.Reason)
	}
	fmt.Fprintln(w)
	return w.Flush()
}

// target says who makes the answer, of what.
func (e *explainer) target(ctx context.Context, p gateway.Plan) {
	name := p.Route.Upstream
	u := e.config.Upstreams[name]
	switch {
	case p.Route.Compose != "":
		fmt.Fprintf(e.out, "composition %s: a page of %s\n", p.Route.Compose, plural(len(e.config.Compositions[p.Route.Compose].Parts), "part"))
		return
	case p.Route.OpenAPI != "":
		what := map[gateway.OpenAPI]string{gateway.OpenAPIJSON: "document", gateway.OpenAPIPage: "page"}[p.Route.OpenAPI]
		fmt.Fprintf(e.out, "openapi: the %s of what is behind the gateway\n", what)
		return
	case u.Static != "":
		fmt.Fprintf(e.out, "upstream %s: the file %s below %s\n", name, p.Request.URL.Path, u.Static)
		return
	case e.builtins[name] != nil:
		fmt.Fprintf(e.out, "upstream %s: a built-in service, in the same process\n", name)
	default:
		if at, found, ok := e.table.Found(name); ok {
			fmt.Fprintf(e.out, "upstream %s: found by labels\n", name)
			var addrs []string
			for _, a := range at {
				addrs = append(addrs, a.String())
			}
			e.choice(addrs, found)
		} else {
			e.replicas(ctx, name, u)
		}
	}
	fmt.Fprintf(e.out, "limit: %v for the whole exchange\n\nit is sent:\n", p.Route.Timeout())
	e.request(p.Request)
}

// replicas says of which addresses one is chosen, and how.
func (e *explainer) replicas(ctx context.Context, name string, u gateway.UpstreamConfig) {
	origins := u.URLs
	if u.URL != "" {
		origins = []string{u.URL}
	}
	fmt.Fprintf(e.out, "upstream %s: %s\n", name, strings.Join(origins, ", "))
	h, err := upstream.NewHTTP(name, origins, upstream.Options{})
	if err != nil {
		fmt.Fprintf(e.out, "replicas: %v\n", err)
		return
	}
	defer h.Close()
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if err := h.Resolve(ctx); err != nil {
		fmt.Fprintf(e.out, "replicas: not all are known here: %v\n", err)
	}
	var addrs []string
	for _, r := range h.State().Replicas {
		addrs = append(addrs, r.Addr)
	}
	if len(addrs) > 0 {
		e.choice(addrs, u)
	}
}

// choice says how one of some replicas is chosen.
func (e *explainer) choice(addrs []string, u gateway.UpstreamConfig) {
	how := "of two taken at random the one with fewer requests in flight"
	switch {
	case len(addrs) == 0:
		fmt.Fprintln(e.out, "replicas: none")
		return
	case len(addrs) == 1:
		how = "the only one"
	case u.Balance == gateway.BalanceRoundRobin:
		how = "one after the other"
	}
	if u.Health != nil {
		how += "; only those that are ready by " + u.Health.Path
	}
	fmt.Fprintf(e.out, "replicas: %s; %s\n", strings.Join(addrs, ", "), how)
}

func (e *explainer) request(r *http.Request) {
	host := cmp.Or(r.Host, "(the upstream's own)")
	fmt.Fprintf(e.out, "  %s %s\n  Host: %s\n", r.Method, r.URL.RequestURI(), host)
	for _, name := range slices.Sorted(maps.Keys(r.Header)) {
		for _, v := range r.Header[name] {
			switch {
			case name == "X-Request-Id":
				v = "(a new one)"
			case name == "User-Agent" && v == "":
				continue // which is how net/http is told to send none
			}
			fmt.Fprintf(e.out, "  %s: %s\n", name, v)
		}
	}
}
