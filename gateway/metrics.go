package gateway

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/earshot-mq/earshot/gateway/upstream"
	"github.com/earshot-mq/earshot/internal/metric"
)

// Metrics is what an operator has to know of the upstreams, and of pages without a part. Those of a replica end when
// its address does.
func (g *Gateway) Metrics() []metric.Metric {
	upstreams := func(name, help string, value func(upstream.State) float64) metric.Metric {
		return metric.Metric{Name: name, Help: help, Labels: []string{"upstream"}, Each: func(yield func(float64, ...string)) {
			for of, b := range g.now.Load().backends {
				yield(value(b.State()), of)
			}
		}}
	}
	replicas := func(name, help string, now bool, value func(upstream.Replica) float64) metric.Metric {
		labels := []string{"upstream", "replica"}
		return metric.Metric{Name: name, Help: help, Now: now, Labels: labels, Each: func(yield func(float64, ...string)) {
			for of, b := range g.now.Load().backends {
				for _, r := range b.State().Replicas {
					yield(value(r), of, r.Addr)
				}
			}
		}}
	}
	return []metric.Metric{
		upstreams("earshot_upstream_failures_total", "Requests that got no whole answer of the upstream.",
			func(s upstream.State) float64 { return float64(s.Failures) }),
		upstreams("earshot_upstream_retries_total", "Tries at a further replica.",
			func(s upstream.State) float64 { return float64(s.Retries) }),
		replicas("earshot_upstream_replica_in", "1 while the replica gets requests, 0 while it is left out.", true,
			func(r upstream.Replica) float64 { return map[bool]float64{true: 1}[r.In] }),
		replicas("earshot_upstream_replica_requests_in_flight", "Requests that the replica has not answered to the end.", true,
			func(r upstream.Replica) float64 { return float64(r.InFlight) }),
		replicas("earshot_upstream_replica_ejections_total", "Times that the replica was left out for its failures.", false,
			func(r upstream.Replica) float64 { return float64(r.Ejections) }),
		{
			Name: "earshot_page_parts_missing_total", Help: "Parts without which a page left, or could not be made.",
			Labels: []string{"composition", "part", "reason"}, Each: g.missingParts,
		},
	}
}

func (g *Gateway) missingParts(yield func(float64, ...string)) {
	g.missing.Range(func(key, n any) bool {
		k := key.(missingPart)
		yield(float64(n.(*atomic.Uint64).Load()), k.composition, k.part, string(k.reason))
		return true
	})
}

// State is "ok", or "degraded: …" with the upstreams that have no replica, or none that
// gets requests.
func (g *Gateway) State() string {
	var down []string
	backends := g.now.Load().backends
	for _, name := range slices.Sorted(maps.Keys(backends)) {
		in := func(r upstream.Replica) bool { return r.In }
		if !slices.ContainsFunc(backends[name].State().Replicas, in) {
			down = append(down, name)
		}
	}
	if len(down) == 0 {
		return "ok"
	}
	return fmt.Sprintf("degraded: no replica of %s", strings.Join(down, ", "))
}
