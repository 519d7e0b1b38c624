package docker

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/earshot-mq/earshot/internal/containers"
)

// Member is a container that is one of a service.
type Member struct {
	containers.Container
	Labels Labels     // what its labels say
	Addr   netip.Addr // where it is reached; of one that is being started again none
}

// Read makes members of the containers of a list, for who reaches them in a network.
// Those of which a label can't be understood, or that are not in the network, are left
// out and named.
func Read(all []containers.Container, network string) (members []Member, problems []Problem) {
	for _, c := range all {
		l, enabled, err := Parse(c.Labels)
		m := Member{Container: c, Labels: l}
		if err == nil && enabled && c.State != containers.Restarting {
			m.Addr, err = Address(c, network)
		}
		switch {
		case err != nil:
			problems = append(problems, Problem{c.Name, err})
		case enabled:
			members = append(members, m)
		}
	}
	return members, problems
}

// Address is where a container is reached in a network. "" is its only network; another
// name is that of the network, or as Compose puts the project's before it.
func Address(c containers.Container, network string) (netip.Addr, error) {
	var names []string
	for name := range c.Addresses {
		if network == "" || strings.HasSuffix(name, "_"+network) {
			names = append(names, name)
		}
	}
	if _, ok := c.Addresses[network]; ok {
		names = []string{network}
	}
	slices.Sort(names)
	all := strings.Join(slices.Sorted(maps.Keys(c.Addresses)), ", ")
	switch {
	case len(c.Addresses) == 0:
		return netip.Addr{}, errors.New("is in no network")
	case len(names) == 0:
		return netip.Addr{}, fmt.Errorf("is not in the network %q; it is in %s", network, all)
	case len(names) > 1:
		return netip.Addr{}, fmt.Errorf("is in several networks (%s); discover.docker.network says which", strings.Join(names, ", "))
	}
	addr, err := netip.ParseAddr(c.Addresses[names[0]])
	if err != nil {
		return netip.Addr{}, fmt.Errorf("has no address that can be read in the network %s", names[0])
	}
	return addr.Unmap(), nil
}
