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
	"time"

	"github.com/earshot-mq/earshot/internal/containers"
)

const (
	answerTime = 5 * time.Second // of the agent, beyond containers.Wait
	maxList    = 16 << 20        // bytes of a list
	firstPause = 100 * time.Millisecond
	longPause  = 5 * time.Second
)

// Follow asks the agent at a URL, http://host:port, for its list until ctx is done, and
// tells of each answer and of each failure. It returns after them.
func Follow(ctx context.Context, agent string, log *slog.Logger, told func([]containers.Container), failed func(error)) {
	// No proxy, and no redirect: it is asked in a network of its own.
	client := &http.Client{
		Transport:     &http.Transport{ResponseHeaderTimeout: containers.Wait + answerTime},
		Timeout:       containers.Wait + 2*answerTime,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	defer client.CloseIdleConnections()
	version, pause, away := "", firstPause, false
	for {
		list, err := ask(ctx, client, agent, version)
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			if away {
				log.Info("the Docker agent is back", "agent", agent)
			}
			version, pause, away = list.Version, firstPause, false
			told(list.Containers)
			continue
		case !away:
			log.Warn("the Docker agent is away; what is known stays", "agent", agent, "error", err)
			away = true
		}
		failed(err)
		version = "" // which another agent does not wait for
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause/2 + rand.N(pause)): // several gateways do not come back in step
		}
		pause = min(2*pause, longPause)
	}
}

// ask asks once. The answer comes at once if the version is another.
func ask(ctx context.Context, client *http.Client, agent, version string) (list containers.List, err error) {
	where := agent + containers.Path
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
