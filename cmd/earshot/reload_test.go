package main

import (
	"log/slog"
	"strings"
	"testing"

	"github.com/earshot-mq/earshot/gateway"
	"github.com/earshot-mq/earshot/internal/config"
)

// TestReloadKeepsWhomToTrust: the recorder has them from the start too, and both have to
// believe the same.
func TestReloadKeepsWhomToTrust(t *testing.T) {
	set, err := config.All()
	if err != nil {
		t.Fatal(err)
	}
	v, err := set.Load("gateway", nil, []string{"EARSHOT_CONFIG=" + write(t, "trusted: [10.0.0.0/8]\n"+good)})
	if err != nil {
		t.Fatal(err)
	}
	req, err := requestOf([]string{"/shop/7"}, []string{"X-Forwarded-For: 198.51.100.1"}, "10.1.2.3")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		before gateway.Config
		want   bool
	}{
		"nobody at the start": {gateway.Config{}, false}, "the same at the start": {gateway.Config{Trusted: v.Prefixes("trusted")}, true},
	} {
		var table *gateway.Table
		r := &reload{
			s: &settings{Values: v}, config: c.before, log: slog.New(slog.DiscardHandler),
			swap: func(t *gateway.Table) error { table = t; return nil },
		}
		if err := r.apply(v); err != nil {
			t.Fatal(err)
		}
		said := strings.Join(table.Plan(req).Request.Header["X-Forwarded-For"], ", ")
		if strings.Contains(said, "198.51.100.1") != c.want {
			t.Errorf("%s: the upstream is told of %q", name, said)
		}
	}
}
