package deploy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/api/types/volume"
	"github.com/docker/docker/client"
)

// The errors that callers branch on.
var (
	ErrNoEngine  = errors.New("no Docker Engine answers")
	ErrNotFound  = errors.New("not found")
	ErrUnhealthy = errors.New("unhealthy")
	ErrExit      = errors.New("failed")
)

// Engine is a connection to a Docker Engine.
type Engine struct{ c *client.Client }

// Open connects to the Engine that DOCKER_HOST, DOCKER_CERT_PATH and DOCKER_API_VERSION
// name, by default the socket /var/run/docker.sock, and agrees with it on a version of
// the API. ErrNoEngine if nothing answers there, or nothing that this user may talk to.
func Open(ctx context.Context) (*Engine, error) {
	c, err := client.NewClientWithOpts(client.FromEnv, client.WithAPIVersionNegotiation())
	if err != nil {
		return nil, fmt.Errorf("deploy: docker client: %w", err)
	}
	e := &Engine{c}
	if err := e.Ping(ctx); err != nil {
		return nil, errors.Join(err, e.Close())
	}
	return e, nil
}

// Ping asks the Engine whether it is there.
func (e *Engine) Ping(ctx context.Context) error {
	_, err := e.c.Ping(ctx)
	return failed("ping", e.c.DaemonHost(), err)
}

// Version is the Engine's, and that of the API by which it is spoken to.
func (e *Engine) Version(ctx context.Context) (engine, api string, err error) {
	v, err := e.c.ServerVersion(ctx)
	return v.Version, e.c.ClientVersion(), failed("version", e.c.DaemonHost(), err)
}

// Close gives up the connections.
func (e *Engine) Close() error { return failed("close", e.c.DaemonHost(), e.c.Close()) }

// Volumes names the volumes that have all labels.
func (e *Engine) Volumes(ctx context.Context, labels map[string]string) (names []string, err error) {
	list, err := e.c.VolumeList(ctx, volume.ListOptions{Filters: labelled(labels)})
	if err != nil {
		return nil, failed("list", "volumes", err)
	}
	for _, v := range list.Volumes {
		names = append(names, v.Name)
	}
	slices.Sort(names)
	return names, nil
}

// Network is what the Engine has of a network.
type Network struct {
	Name     string
	Internal bool // nothing outside can be reached from it
}

// Networks tells of the networks that have all labels, in the order of their names.
func (e *Engine) Networks(ctx context.Context, labels map[string]string) ([]Network, error) {
	list, err := e.c.NetworkList(ctx, network.ListOptions{Filters: labelled(labels)})
	if err != nil {
		return nil, failed("list", "networks", err)
	}
	all := make([]Network, 0, len(list))
	for _, n := range list {
		all = append(all, Network{n.Name, n.Internal})
	}
	slices.SortFunc(all, func(a, b Network) int { return strings.Compare(a.Name, b.Name) })
	return all, nil
}

// labelled filters by labels; one without a value only has to be there.
func labelled(labels map[string]string) filters.Args {
	f := filters.NewArgs()
	for k, v := range labels {
		if v != "" {
			k += "=" + v
		}
		f.Add("label", k)
	}
	return f
}

// failed is the error of doing what to a thing with a name; nil stays nil.
func failed(what, name string, err error) error {
	switch {
	case err == nil:
		return nil
	case client.IsErrConnectionFailed(err):
		err = fmt.Errorf("%w: %w", ErrNoEngine, err)
	case errdefs.IsNotFound(err):
		err = fmt.Errorf("%w: %w", ErrNotFound, err)
	}
	return fmt.Errorf("deploy: %s %q: %w", what, name, err)
}
