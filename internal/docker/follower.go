package docker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/earshot-mq/earshot/internal/containers"
	"github.com/earshot-mq/earshot/internal/metric"
)

const (
	answerTime = 5 * time.Second // of the agent, beyond containers.Wait
	maxList    = 16 << 20        // bytes of a list
	firstPause = 100 * time.Millisecond
	longPause  = 5 * time.Second
)

// Follower asks an agent for its list again and again.
type Follower struct {
	agent    string
	network  string
	log      *slog.Logger
	told     []func([]Member)
	problems *Problems

	mu         sync.Mutex // guards what follows
	known      bool       // the agent has answered
	heard      time.Time  // when it did last, or when there was nobody to
	away       error      // why it does not
	containers int
	lists      uint64
	failures   uint64
}

// NewFollower makes a Follower of the agent at a URL, http://host:port, for who reaches
// the containers in a network (see Address). Nothing is asked yet.
func NewFollower(agent, network string, log *slog.Logger) *Follower {
	return &Follower{agent: agent, network: network, log: log, problems: NewProblems(log), heard: time.Now()}
}

// Tell has f called with the members of each list, from Run's goroutine. It is not for
// calls beside Run.
func (f *Follower) Tell(told func([]Member)) { f.told = append(f.told, told) }

// Run follows the agent until ctx is done.
func (f *Follower) Run(ctx context.Context) error {
	client := newClient()
	defer client.CloseIdleConnections()
	version, pause := "", firstPause
	for {
		list, err := ask(ctx, client, f.agent, version)
		switch {
		case ctx.Err() != nil:
			return nil
		case err == nil:
			version, pause = list.Version, firstPause
			f.apply(list.Containers)
			continue
		}
		f.failed(err)
		version = "" // which another agent does not wait for
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause/2 + rand.N(pause)): // several processes do not come back in step
		}
		pause = min(2*pause, longPause)
	}
}

// apply tells of a list. It is known once all have been told.
func (f *Follower) apply(all []containers.Container) {
	members, problems := Read(all, f.network)
	for _, told := range f.told {
		told(members)
	}
	f.problems.Set(problems)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.away != nil {
		f.log.Info("the Docker agent is back", "agent", f.agent)
	}
	f.known, f.heard, f.away, f.containers = true, time.Now(), nil, len(all)
	f.lists++
}

func (f *Follower) failed(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.away == nil {
		f.log.Warn("the Docker agent is away; what is known stays", "agent", f.agent, "error", err)
	}
	f.away = err
	f.failures++
}

// State is "ok: …", or "degraded: …" with what is wrong. It fails until the agent has
// answered once: nothing is known then.
func (f *Follower) State() (string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.known {
		return "", errors.Join(errors.New("the Docker agent has not answered yet"), f.away)
	}
	wrong := f.problems.Lines()
	if f.away != nil {
		wrong = append([]string{"the Docker agent is away, what it said last is used: " + f.away.Error()}, wrong...)
	}
	if len(wrong) > 0 {
		return "degraded: " + strings.Join(wrong, "; "), nil
	}
	return fmt.Sprintf("ok: %d containers", f.containers), nil
}

// Metrics is what an operator has to know of the agent and of what it says.
func (f *Follower) Metrics() []metric.Metric {
	return []metric.Metric{
		{
			Name: "earshot_discovery_containers", Help: "Containers that the Docker agent told of last.",
			Now: true, Value: metric.Locked(&f.mu, func() float64 { return float64(f.containers) }),
		},
		metric.Gauge("earshot_discovery_refused_containers", "Containers whose labels can't be used; /readyz names them.", f.problems.Containers),
		{
			Name: "earshot_discovery_lists_total", Help: "Lists that the Docker agent answered with.",
			Value: metric.Locked(&f.mu, func() float64 { return float64(f.lists) }),
		},
		{
			Name: "earshot_discovery_failures_total", Help: "Questions to the Docker agent that failed.",
			Value: metric.Locked(&f.mu, func() float64 { return float64(f.failures) }),
		},
		{
			Name: "earshot_discovery_list_age_seconds", Help: "Time since the Docker agent's last list, or since the start without one; it answers at least every 30 s.",
			Now: true, Value: metric.Locked(&f.mu, func() float64 { return time.Since(f.heard).Seconds() }),
		},
		{
			Name: "earshot_discovery_stale", Help: "1 while the Docker agent does not answer and what it said last is used, or nothing is known.",
			Now: true, Value: metric.Locked(&f.mu, func() float64 { return metric.Bool(!f.known || f.away != nil) }),
		},
	}
}

// Ask asks the agent at a URL once.
func Ask(ctx context.Context, agent, network string) (members []Member, problems []Problem, err error) {
	client := newClient()
	defer client.CloseIdleConnections()
	list, err := ask(ctx, client, agent, "")
	if err != nil {
		return nil, nil, err
	}
	members, problems = Read(list.Containers, network)
	return members, problems, nil
}

// newClient makes a client without a proxy, and that follows no redirect: the agent is
// asked in a network of its own.
func newClient() *http.Client {
	return &http.Client{
		Transport:     &http.Transport{ResponseHeaderTimeout: containers.Wait + answerTime},
		Timeout:       containers.Wait + 2*answerTime,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// ask asks once. The answer comes at once if the version is another.
func ask(ctx context.Context, client *http.Client, agent, version string) (list containers.List, err error) {
	where := strings.TrimSuffix(agent, "/") + containers.Path
	if version != "" {
		where += "?after=" + url.QueryEscape(version)
	}
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, where, nil)
	if err != nil {
		return list, fmt.Errorf("docker: ask the agent: %w", err)
	}
	answer, err := client.Do(q)
	if err != nil {
		return list, fmt.Errorf("docker: ask the agent: %w", err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return list, fmt.Errorf("docker: the agent says %s", answer.Status)
	}
	b, err := io.ReadAll(io.LimitReader(answer.Body, maxList+1))
	if err == nil && len(b) > maxList {
		err = errors.New("it is too long")
	}
	if err == nil {
		err = json.Unmarshal(b, &list)
	}
	if err == nil && list.Version == "" {
		err = errors.New("it has no version")
	}
	if err != nil {
		return list, fmt.Errorf("docker: the agent's list: %w", err)
	}
	return list, nil
}
