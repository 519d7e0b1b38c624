package gateway

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"time"

	"github.com/earshot-mq/earshot/gateway/compose"
	"github.com/earshot-mq/earshot/internal/config"
	"github.com/earshot-mq/earshot/internal/containers"
	"github.com/earshot-mq/earshot/internal/docker"
)

// member is a container whose labels can be used.
type member struct {
	docker.Member
	upstream UpstreamConfig
}

// group is the containers that have one service's name. The oldest says its routes.
type group struct {
	name    string
	members []member // those that run first, then the oldest
}

// serves tells whether a container may get requests: it runs, and its check, if it has
// one, does not say no.
func serves(c containers.Container) bool {
	return c.State == containers.Running && c.Health != containers.Unhealthy
}

// gather makes services of containers, in the order of their names.
func gather(all []docker.Member) (found []group, problems []docker.Problem) {
	byName := map[string]*group{}
	for _, c := range all {
		l := c.Labels
		m := member{Member: c, upstream: UpstreamConfig{URL: "http://" + l.Service, Balance: Balance(l.Balance), Records: Records(l.Records)}}
		if l.Health != "" {
			m.upstream.Health = &HealthConfig{Path: l.Health}
		}
		if err := m.check(); err != nil {
			problems = append(problems, docker.Problem{Container: c.Name, Err: err})
			continue
		}
		s := byName[l.Service]
		if s == nil {
			s = &group{name: l.Service}
			byName[s.name] = s
		}
		s.members = append(s.members, m)
	}
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		s := byName[name]
		rank := func(m member) int { return map[bool]int{false: 1}[serves(m.Container)] }
		slices.SortStableFunc(s.members, func(a, b member) int {
			return cmp.Or(cmp.Compare(rank(a), rank(b)), a.Created.Compare(b.Created), cmp.Compare(a.ID, b.ID))
		})
		problems = append(problems, s.differences()...)
		found = append(found, *s)
	}
	return found, problems
}

// check says what is wrong with the values of the labels.
func (m *member) check() error {
	l := m.Labels
	if !isParameter(l.Service) {
		return fmt.Errorf("earshot.service: %q is not made of letters, digits, - and _", l.Service)
	}
	var errs []error
	for label, err := range map[string]error{
		"earshot.health":  m.upstream.Health.check(),
		"earshot.balance": optional(l.Balance, new(Balance).UnmarshalText),
		"earshot.records": optional(l.Records, new(Records).UnmarshalText),
	} {
		errs = append(errs, config.At(label, err))
	}
	slices.SortFunc(errs, func(a, b error) int { return cmp.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
	routes := (&Table{exact: map[string]*node{}, wildcard: map[string]*node{}, anyHost: &node{}})
	for _, r := range l.Routes {
		route, err := m.route(r)
		if err == nil {
			if other := routes.add(route); other != nil {
				err = fmt.Errorf("%q takes the same requests as %s", route, other.Name)
			}
		}
		errs = append(errs, config.At(r.Label, err))
	}
	return errors.Join(errs...)
}

// optional judges a value that may be left out.
func optional(s string, unmarshal func([]byte) error) error {
	if s == "" {
		return nil
	}
	return unmarshal([]byte(s))
}

// route is a route as tables have it.
func (m *member) route(r docker.Route) (*Route, error) {
	name := m.Labels.Service
	c := &RouteConfig{
		Host: r.Host, Path: r.Path, Methods: r.Methods, Upstream: name,
		StripPrefix: r.StripPrefix, Timeout: r.Timeout, Body: r.Body,
	}
	made := &Route{Name: name + " " + r.Label, Path: r.Path, Upstream: name}
	err := made.set(c, map[string]*compose.Composition{}, &Config{Upstreams: map[string]UpstreamConfig{name: m.upstream}})
	return made, err
}

// differences names the containers whose labels are not those that count.
func (s *group) differences() (problems []docker.Problem) {
	first := s.members[0]
	for _, m := range s.members[1:] {
		a, b := first.Labels, m.Labels
		a.Port, a.Feed, b.Port, b.Feed = 0, 0, 0, 0 // each may have its own
		if !reflect.DeepEqual(a, b) && serves(m.Container) {
			problems = append(problems, docker.Problem{Container: m.Name, Err: fmt.Errorf("is a replica of %s, but has other labels than %s, which is older and counts", s.name, first.Name)})
		}
	}
	return problems
}

// replicas are those that get requests: the ones that run and whose check says yes, or,
// while there is none, those whose check has not said anything yet.
func (s *group) replicas() []netip.AddrPort {
	ready, starting := []netip.AddrPort{}, []netip.AddrPort{}
	for _, m := range s.members {
		switch {
		case !serves(m.Container):
		case m.Health == containers.Starting:
			starting = append(starting, netip.AddrPortFrom(m.Addr, m.Labels.Port))
		default:
			ready = append(ready, netip.AddrPortFrom(m.Addr, m.Labels.Port))
		}
	}
	if len(ready) == 0 {
		ready = starting
	}
	slices.SortFunc(ready, netip.AddrPort.Compare)
	return slices.Compact(ready)
}

// With is the table with the services of containers beside what it has, as it is when they
// come all at once.
func (t *Table) With(all []docker.Member) (*Table, []docker.Problem) {
	found, problems := gather(all)
	next, conflicts := t.with(newMemory().keep(found, time.Now()))
	return next, append(problems, conflicts...)
}

// Found tells what the replicas of an upstream are and how one is chosen, if it is one of
// those that labels say.
func (t *Table) Found(name string) (replicas []netip.AddrPort, u UpstreamConfig, ok bool) {
	of, ok := t.upstreams[name]
	if !ok || !of.found {
		return nil, u, false
	}
	u.Balance = Balance(of.options.Balance)
	if of.options.Health.Path != "" {
		u.Health = &HealthConfig{Path: of.options.Health.Path}
	}
	return of.replicas, u, true
}

// with is the table with services beside what it has. What is taken already, by the
// file or by a service before, is left out and named.
func (t *Table) with(found []group) (*Table, []docker.Problem) {
	next := *t
	next.upstreams = maps.Clone(t.upstreams)
	next.exact, next.wildcard, next.anyHost = map[string]*node{}, map[string]*node{}, &node{}
	next.routes = slices.Clone(t.routes)
	for _, r := range t.routes {
		next.add(r) // none has the place: it is so in t
	}
	var problems []docker.Problem
	for _, s := range found {
		first := &s.members[0]
		if _, taken := t.upstreams[s.name]; taken {
			for _, m := range s.members {
				problems = append(problems, docker.Problem{Container: m.Name, Err: fmt.Errorf("earshot.service: the file has an upstream %q, which counts", s.name)})
			}
			continue
		}
		if err := next.addUpstream(s.name, first.upstream); err != nil {
			problems = append(problems, docker.Problem{Container: first.Name, Err: err}) // what check finds is not here
			continue
		}
		u := next.upstreams[s.name]
		u.origins, u.found, u.replicas = nil, true, s.replicas()
		next.upstreams[s.name] = u
		for _, l := range first.Labels.Routes {
			if err := next.addFound(first, l); err != nil {
				problems = append(problems, docker.Problem{Container: first.Name, Err: config.At(l.Label, err)})
			}
		}
	}
	return &next, problems
}

func (t *Table) addFound(m *member, l docker.Route) error {
	r, err := m.route(l)
	if err != nil {
		return err
	}
	r.index = len(t.routes)
	other := t.add(r)
	switch {
	case other == nil:
		t.routes = append(t.routes, r)
		return nil
	case t.upstreams[other.Upstream].found:
		return fmt.Errorf("%q takes the same requests as %s, %q, which was there before", r, other.Name, other)
	}
	return fmt.Errorf("%q takes the same requests as %s of the file, %q, which counts", r, other.Name, other)
}

// absence is how long the routes of a service stay whose last container has gone: one
// that is made anew is away for seconds, and what is not ready now is not what was never
// there.
const absence = time.Minute

// memory is what is known of services beyond one list.
type memory struct {
	order  map[string]int       // in which they came: who had a route first keeps it
	next   int                  // in order
	before map[string]group     // with a container, last time
	left   map[string]time.Time // when the last container had gone
}

func newMemory() *memory {
	return &memory{order: map[string]int{}, before: map[string]group{}, left: map[string]time.Time{}}
}

// keep adds the services that have gone a moment ago, without replicas, and sorts all in
// the order in which they came; of those that came together, the oldest first.
func (m *memory) keep(found []group, now time.Time) []group {
	slices.SortStableFunc(found, func(a, b group) int { return a.members[0].Created.Compare(b.members[0].Created) })
	for _, s := range found {
		if _, ok := m.order[s.name]; !ok {
			m.order[s.name] = m.next
			m.next++
		}
		m.before[s.name] = s
		delete(m.left, s.name)
	}
	for name, s := range m.before {
		if slices.ContainsFunc(found, func(f group) bool { return f.name == name }) {
			continue
		}
		since, ok := m.left[name]
		if !ok {
			since = now
			m.left[name] = now
		}
		if now.Sub(since) >= absence {
			delete(m.before, name)
			delete(m.left, name)
			delete(m.order, name)
			continue
		}
		s.members = slices.Clone(s.members[:1])
		s.members[0].State = containers.Stopping
		found = append(found, s)
	}
	slices.SortFunc(found, func(a, b group) int { return cmp.Compare(m.order[a.name], m.order[b.name]) })
	return found
}
