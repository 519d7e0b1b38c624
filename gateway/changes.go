package gateway

import (
	"maps"
	"reflect"
	"slices"
	"strings"
)

// Changes is what one configuration has and another has not, in words for people: "route
// GET /x", "upstream shop".
type Changes struct {
	Added, Removed, Changed []string
}

// Changes compares a configuration with the one that comes after it.
func (c *Config) Changes(next *Config) (all Changes) {
	all.compare("route ", byPattern(c.Routes), byPattern(next.Routes))
	all.compare("upstream ", written(c.Upstreams), written(next.Upstreams))
	all.compare("composition ", anyOf(c.Compositions), anyOf(next.Compositions))
	if c.ClientIdle != next.ClientIdle {
		all.Changed = append(all.Changed, "client-idle")
	}
	return all
}

func (all *Changes) compare(kind string, before, after map[string]any) {
	for _, name := range slices.Sorted(maps.Keys(before)) {
		if now, ok := after[name]; !ok {
			all.Removed = append(all.Removed, kind+name)
		} else if !reflect.DeepEqual(before[name], now) {
			all.Changed = append(all.Changed, kind+name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(after)) {
		if _, ok := before[name]; !ok {
			all.Added = append(all.Added, kind+name)
		}
	}
}

// byPattern has routes by what no two of them share: methods, host and path.
func byPattern(routes []RouteConfig) map[string]any {
	out := map[string]any{}
	for _, c := range routes {
		r := Route{Host: strings.ToLower(c.Host), Path: c.Path, Methods: slices.Sorted(slices.Values(c.Methods))}
		out[r.String()] = c
	}
	return out
}

// written has upstreams as a file can say them.
func written(m map[string]UpstreamConfig) map[string]any {
	out := anyOf(m)
	for name, u := range m {
		u.Handler = nil // two of them can't be compared
		out[name] = u
	}
	return out
}

func anyOf[T any](m map[string]T) map[string]any {
	out := map[string]any{}
	for name, v := range m {
		out[name] = v
	}
	return out
}
