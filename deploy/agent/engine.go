package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/earshot-mq/earshot/internal/containers"
)

// answerTime is how long an answer of the Engine may take; of the events, its header.
const answerTime = 10 * time.Second

// errNotFound is of a container that is not there any more.
var errNotFound = errors.New("not found")

// engine asks a Docker Engine. Its paths have no version, so that every Engine answers
// as it does by itself: what is read has been the same in all of them since API 1.24.
type engine struct{ http *http.Client }

func newEngine(socket string) *engine {
	return &engine{&http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{Timeout: answerTime}).DialContext(ctx, "unix", socket)
		},
		ResponseHeaderTimeout: answerTime,
		MaxIdleConnsPerHost:   4,
	}}}
}

// get is the body of an answer, which has to be closed.
func (e *engine) get(ctx context.Context, path string) (io.ReadCloser, error) {
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://docker"+path, nil)
	if err != nil {
		return nil, fmt.Errorf("agent: ask the Engine: %w", err)
	}
	answer, err := e.http.Do(q)
	if err != nil {
		var of *url.Error
		if errors.As(err, &of) {
			err = of.Err // without the host's name, which is none
		}
		return nil, fmt.Errorf("agent: ask the Engine: %w", err)
	}
	if answer.StatusCode == http.StatusOK {
		return answer.Body, nil
	}
	defer answer.Body.Close()
	if answer.StatusCode == http.StatusNotFound {
		return nil, fmt.Errorf("agent: the Engine says of %s: %w", path, errNotFound)
	}
	return nil, fmt.Errorf("agent: the Engine says of %s: %s", path, answer.Status)
}

func (e *engine) read(ctx context.Context, path string, into any) error {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	body, err := e.get(ctx, path)
	if err != nil {
		return err
	}
	defer body.Close()
	if err := json.NewDecoder(body).Decode(into); err != nil {
		return fmt.Errorf("agent: the Engine's answer to %s: %w", path, err)
	}
	return nil
}

// ping asks whether the Engine is there.
func (e *engine) ping(ctx context.Context) error {
	body, err := e.get(ctx, "/_ping")
	if err != nil {
		return err
	}
	return body.Close()
}

// labelled is the ids of the running containers that have a label of ours. The Engine
// can't search for the beginning of a label.
func (e *engine) labelled(ctx context.Context) (ids []string, err error) {
	var all []struct {
		ID     string `json:"Id"`
		Labels map[string]string
	}
	if err := e.read(ctx, "/containers/json", &all); err != nil {
		return nil, err
	}
	for _, c := range all {
		if len(ours(c.Labels)) > 0 {
			ids = append(ids, c.ID)
		}
	}
	return ids, nil
}

// ours are the labels that begin with containers.Prefix.
func ours(labels map[string]string) map[string]string {
	out := map[string]string{}
	for k, v := range labels {
		if strings.HasPrefix(k, containers.Prefix) {
			out[k] = v
		}
	}
	return out
}

// entry is a container with what is needed to follow it.
type entry struct {
	containers.Container
	started time.Time
	end     string // the number of the signal that ends it
}

// inspect asks for one container. Of what the Engine tells, the environment and all
// secrets too, nothing else is even decoded. errNotFound if it does not run.
func (e *engine) inspect(ctx context.Context, id string) (*entry, error) {
	var in struct {
		ID, Name string
		Created  time.Time
		State    struct {
			Running, Paused, Restarting bool
			StartedAt                   time.Time
			Health                      *struct{ Status string }
		}
		Config struct {
			Labels     map[string]string
			StopSignal string
		}
		NetworkSettings struct {
			Networks map[string]struct{ IPAddress, GlobalIPv6Address string }
		}
	}
	if err := e.read(ctx, "/containers/"+url.PathEscape(id)+"/json", &in); err != nil {
		return nil, err
	}
	if !in.State.Running && !in.State.Restarting {
		return nil, fmt.Errorf("agent: container %s does not run: %w", short(id), errNotFound)
	}
	c := &entry{started: in.State.StartedAt, end: signalNumber(in.Config.StopSignal)}
	c.Container = containers.Container{
		ID: short(in.ID), Name: strings.TrimPrefix(in.Name, "/"), Created: in.Created,
		State: containers.Running, Health: containers.None,
		Labels: ours(in.Config.Labels), Addresses: map[string]string{},
	}
	switch {
	case in.State.Restarting:
		c.State = containers.Restarting
	case in.State.Paused:
		c.State = containers.Paused
	}
	if h := in.State.Health; h != nil && h.Status != "" {
		c.Health = h.Status
	}
	for name, n := range in.NetworkSettings.Networks {
		if n.IPAddress == "" {
			n.IPAddress = n.GlobalIPv6Address
		}
		if n.IPAddress != "" {
			c.Addresses[name] = n.IPAddress
		}
	}
	return c, nil
}

func short(id string) string { return id[:min(len(id), 12)] }

// event is one of the Engine's.
type event struct {
	Type   string
	Action string
	Actor  struct {
		ID         string
		Attributes map[string]string // a container's labels are among them
	}
	TimeNano int64 `json:"timeNano"`
}

// wanted filters the events.
const wanted = `{"type":{"container":true,"network":true},"event":{"start":true,"die":true,"kill":true,"destroy":true,` +
	`"pause":true,"unpause":true,"rename":true,"health_status":true,"connect":true,"disconnect":true}}`

// events is the stream of events since a time, which has to be closed. Those of the past
// come first, as far as the Engine remembers them.
func (e *engine) events(ctx context.Context, since time.Time) (io.ReadCloser, error) {
	q := url.Values{"filters": {wanted}, "since": {fmt.Sprintf("%d.%09d", since.Unix(), since.Nanosecond())}}
	return e.get(ctx, "/events?"+q.Encode())
}

// signals are the numbers of those that a Dockerfile's STOPSIGNAL has in practice.
var signals = map[string]int{
	"HUP": 1, "INT": 2, "QUIT": 3, "ABRT": 6, "KILL": 9, "USR1": 10, "USR2": 12, "ALRM": 14, "TERM": 15, "WINCH": 28, "PWR": 30,
	"RTMIN": 34, "RTMIN+3": 37,
}

// signalNumber is that of a signal as the Engine's events have it; SIGTERM's if there is
// no such signal.
func signalNumber(name string) string {
	if _, err := strconv.Atoi(name); err == nil {
		return name
	}
	if n := signals[strings.TrimPrefix(strings.ToUpper(name), "SIG")]; n != 0 {
		return strconv.Itoa(n)
	}
	return strconv.Itoa(signals["TERM"])
}
