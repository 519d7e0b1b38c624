package deploy

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/pkg/stdcopy"
	"github.com/docker/go-connections/nat"
)

// Spec says what to run. Only the image is required.
type Spec struct {
	Image   string
	Name    string            // default: the Engine invents one
	Command []string          // arguments; default: the image's
	Env     map[string]string // beside the image's
	Labels  map[string]string
	Publish []string // as of docker run -p: "127.0.0.1:5000:5000", or "127.0.0.1::5000" for any free port
	Volumes []string // as of docker run -v: "data:/data"
}

// Container is what the Engine said of a container when it was asked.
type Container struct {
	ID     string
	Name   string
	Image  string // the name it was started with
	State  string // created, running, paused, restarting, removing, exited or dead
	Health string // starting, healthy, unhealthy, or none; List leaves it empty
	Exit   int    // code of the last end
	Labels map[string]string
	Ports  map[string][]string // published: "5000/tcp" → "127.0.0.1:32768"
	// Addresses are those in its networks, by their names; empty while it does not run.
	Addresses map[string]string
}

// Published is the first address on the host at which a port, such as 5000/tcp, can be
// reached.
func (c Container) Published(port string) (addr string, ok bool) {
	if len(c.Ports[port]) == 0 {
		return "", false
	}
	return c.Ports[port][0], true
}

// Create makes a container, which does not run yet, and returns its id.
func (e *Engine) Create(ctx context.Context, s Spec) (id string, err error) {
	exposed, bindings, err := nat.ParsePortSpecs(s.Publish)
	if err != nil {
		return "", fmt.Errorf("deploy: publish %q: %w", s.Publish, err)
	}
	env := make([]string, 0, len(s.Env))
	for _, k := range slices.Sorted(maps.Keys(s.Env)) {
		env = append(env, k+"="+s.Env[k])
	}
	made, err := e.c.ContainerCreate(ctx,
		&container.Config{Image: s.Image, Cmd: s.Command, Env: env, Labels: s.Labels, ExposedPorts: exposed},
		&container.HostConfig{PortBindings: bindings, Binds: s.Volumes}, nil, nil, s.Name)
	return made.ID, failed("create a container of", s.Image, err)
}

// Run makes a container and starts it. Where it can't be started none is left.
func (e *Engine) Run(ctx context.Context, s Spec) (id string, err error) {
	if id, err = e.Create(ctx, s); err != nil {
		return "", err
	}
	if err = e.Start(ctx, id); err != nil {
		return "", errors.Join(err, e.Remove(context.WithoutCancel(ctx), id))
	}
	return id, nil
}

// Start starts a container that does not run.
func (e *Engine) Start(ctx context.Context, id string) error {
	return failed("start", id, e.c.ContainerStart(ctx, id, container.StartOptions{}))
}

// Stop asks a container to end, waits for grace, in whole seconds, and then kills it.
func (e *Engine) Stop(ctx context.Context, id string, grace time.Duration) error {
	seconds := int(grace / time.Second)
	return failed("stop", id, e.c.ContainerStop(ctx, id, container.StopOptions{Timeout: &seconds}))
}

// Kill sends a signal, such as SIGKILL.
func (e *Engine) Kill(ctx context.Context, id, signal string) error {
	return failed("kill", id, e.c.ContainerKill(ctx, id, signal))
}

// Remove kills a container if it runs and removes it with its nameless volumes. One
// that is not there is no error.
func (e *Engine) Remove(ctx context.Context, id string) error {
	err := failed("remove", id, e.c.ContainerRemove(ctx, id, container.RemoveOptions{Force: true, RemoveVolumes: true}))
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}

// Inspect tells what the Engine knows of a container.
func (e *Engine) Inspect(ctx context.Context, id string) (Container, error) {
	in, err := e.c.ContainerInspect(ctx, id)
	if err != nil {
		return Container{}, failed("inspect", id, err)
	}
	c := Container{
		ID: in.ID, Name: strings.TrimPrefix(in.Name, "/"), Image: in.Config.Image, Labels: in.Config.Labels,
		State: in.State.Status, Exit: in.State.ExitCode, Health: container.NoHealthcheck,
		Ports: map[string][]string{}, Addresses: addresses(in.NetworkSettings.Networks),
	}
	if in.State.Health != nil {
		c.Health = in.State.Health.Status
	}
	for port, bindings := range in.NetworkSettings.Ports {
		for _, b := range bindings {
			c.Ports[string(port)] = append(c.Ports[string(port)], join(b.HostIP, b.HostPort))
		}
	}
	return c, nil
}

// Memory is how many bytes a container uses, as `docker stats` counts them: without the
// file pages that nobody has used for some time.
func (e *Engine) Memory(ctx context.Context, id string) (uint64, error) {
	at, err := e.c.ContainerStatsOneShot(ctx, id)
	if err != nil {
		return 0, failed("stats of", id, err)
	}
	defer at.Body.Close()
	var now container.StatsResponse
	if err := json.NewDecoder(at.Body).Decode(&now); err != nil {
		return 0, failed("stats of", id, err)
	}
	idle := max(now.MemoryStats.Stats["total_inactive_file"], now.MemoryStats.Stats["inactive_file"]) // of cgroup v1 and v2
	return now.MemoryStats.Usage - idle, nil
}

// List tells of the containers that have all labels, whether they run or not, in the
// order of their names. A label without a value only has to be there.
func (e *Engine) List(ctx context.Context, labels map[string]string) ([]Container, error) {
	found, err := e.c.ContainerList(ctx, container.ListOptions{All: true, Filters: labelled(labels)})
	if err != nil {
		return nil, failed("list", "containers", err)
	}
	all := make([]Container, 0, len(found))
	for _, f := range found {
		c := Container{ID: f.ID, Image: f.Image, State: f.State, Labels: f.Labels, Ports: map[string][]string{}}
		if f.NetworkSettings != nil {
			c.Addresses = addresses(f.NetworkSettings.Networks)
		}
		if len(f.Names) > 0 {
			c.Name = strings.TrimPrefix(f.Names[0], "/")
		}
		for _, p := range f.Ports {
			if p.PublicPort != 0 {
				port := fmt.Sprintf("%d/%s", p.PrivatePort, p.Type)
				c.Ports[port] = append(c.Ports[port], join(p.IP, fmt.Sprint(p.PublicPort)))
			}
		}
		all = append(all, c)
	}
	slices.SortFunc(all, func(a, b Container) int { return strings.Compare(a.Name, b.Name) })
	return all, nil
}

// addresses is the IPv4 address in each network, or where there is none the IPv6 one.
func addresses(networks map[string]*network.EndpointSettings) map[string]string {
	all := map[string]string{}
	for name, n := range networks {
		if all[name] = n.IPAddress; n.IPAddress == "" {
			all[name] = n.GlobalIPv6Address
		}
	}
	return all
}

// WaitHealthy waits until the health check of a container says yes. ErrUnhealthy if it
// says no, if the container has none, or has ended; a ctx without an end may wait for
// ever.
func (e *Engine) WaitHealthy(ctx context.Context, id string) error {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		c, err := e.Inspect(ctx, id)
		switch {
		case err != nil:
			return err
		case c.Health == container.Healthy:
			return nil
		case c.Health != container.Starting || c.State != "running" && c.State != "restarting":
			return fmt.Errorf("deploy: wait for %q: %s, health %s, exit code %d: %w", c.Name, c.State, c.Health, c.Exit, ErrUnhealthy)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("deploy: wait for %q: health %s: %w", c.Name, c.Health, ctx.Err())
		case <-tick.C:
		}
	}
}

// Logs copies what a container has printed until now.
func (e *Engine) Logs(ctx context.Context, id string, stdout, stderr io.Writer) error {
	r, err := e.c.ContainerLogs(ctx, id, container.LogsOptions{ShowStdout: true, ShowStderr: true})
	if err != nil {
		return failed("logs of", id, err)
	}
	defer r.Close()
	_, err = stdcopy.StdCopy(stdout, stderr, r)
	return failed("logs of", id, err)
}

// Exec runs a command in a running container and returns what it prints on standard
// output. ErrExit, with what it prints on standard error, if its exit code is not 0.
func (e *Engine) Exec(ctx context.Context, id string, command ...string) (stdout []byte, err error) {
	made, err := e.c.ContainerExecCreate(ctx, id, container.ExecOptions{Cmd: command, AttachStdout: true, AttachStderr: true})
	if err != nil {
		return nil, failed("exec in", id, err)
	}
	at, err := e.c.ContainerExecAttach(ctx, made.ID, container.ExecAttachOptions{})
	if err != nil {
		return nil, failed("exec in", id, err)
	}
	defer at.Close()
	// A hijacked connection does not know of ctx.
	defer context.AfterFunc(ctx, at.Close)()
	var out, problems bytes.Buffer
	if _, err := stdcopy.StdCopy(&out, &problems, at.Reader); err != nil {
		return out.Bytes(), failed("exec in", id, errors.Join(ctx.Err(), err))
	}
	state, err := e.c.ContainerExecInspect(ctx, made.ID)
	if err == nil && state.ExitCode != 0 {
		err = fmt.Errorf("%s: %w with exit code %d: %s", command[0], ErrExit, state.ExitCode, bytes.TrimSpace(problems.Bytes()))
	}
	return out.Bytes(), failed("exec in", id, err)
}

// Copy copies a file or a folder out of a container, running or not, into the folder
// dir, under its own name.
func (e *Engine) Copy(ctx context.Context, id, path, dir string) error {
	r, _, err := e.c.CopyFromContainer(ctx, id, path)
	if err != nil {
		return failed("copy from", id, err)
	}
	defer r.Close()
	return failed("copy from", id, Unpack(r, dir))
}

// join is an address on the host; an old Engine leaves the host empty for every one.
func join(host, port string) string {
	if host == "" {
		host = "0.0.0.0"
	}
	return net.JoinHostPort(host, port)
}
