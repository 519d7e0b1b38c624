package config

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

const (
	prefix     = "EARSHOT_"
	testPrefix = "EARSHOT_TEST_"
	fileSuffix = "_FILE"
)

// environment returns our variables that have a value, and an error for each that
// nobody knows. An empty variable counts as none: that is how Compose passes on what
// was not set.
func (set *Set) environment(environ []string) (vars map[string]string, errs []error) {
	known := map[string]bool{}
	for _, s := range set.settings {
		known[s.Variable()] = true
		if s.Secret {
			known[s.Variable()+fileSuffix] = true
		}
	}
	vars = map[string]string{}
	for _, e := range environ {
		name, value, _ := strings.Cut(e, "=")
		switch {
		case !strings.HasPrefix(name, prefix), strings.HasPrefix(name, testPrefix), injected(name, value):
		case !known[name]:
			errs = append(errs, &Error{File: name, Err: unknownVariable(name, known)})
		case value != "":
			vars[name] = value
		}
	}
	slices.SortFunc(errs, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return vars, errs
}

func unknownVariable(name string, known map[string]bool) error {
	var bare []string
	for k := range known {
		bare = append(bare, strings.TrimPrefix(k, prefix))
	}
	slices.Sort(bare)
	if near := Nearest(strings.TrimPrefix(name, prefix), bare); near != "" {
		return fmt.Errorf("unknown variable; did you mean %s?", prefix+near)
	}
	return fmt.Errorf("unknown variable; see earshot up --help and docs/configuration.md")
}

var injectedName = regexp.MustCompile(`_SERVICE_HOST$|_SERVICE_PORT(_|$)|_PORT_[0-9]+_(TCP|UDP|SCTP)(_|$)`)

// injected tells whether Kubernetes has put a variable there for a Service whose name
// begins with earshot: EARSHOT_SERVICE_HOST, EARSHOT_PORT=tcp://10.0.0.1:5000, and so
// on. EARSHOT_PORT with a bare number is ours.
func injected(name, value string) bool {
	if injectedName.MatchString(name) {
		return true
	}
	scheme, _, ok := strings.Cut(value, "://")
	return ok && strings.HasSuffix(name, "_PORT") && (scheme == "tcp" || scheme == "udp" || scheme == "sctp")
}
