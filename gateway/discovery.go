package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/earshot-mq/earshot/gateway/discover/docker"
	"github.com/earshot-mq/earshot/internal/containers"
)

// Discovery gives a Gateway the services of containers beside those of its file, as the
// labels of the containers say. It replaces the Gateway's table at each change; while
// the agent does not answer the last one stays.
type Discovery struct {
	g    *Gateway
	file *Table
	log  *slog.Logger

	memory *memory  // Run's
	last   []string // of the problems, what the log was told; Run's

	mu       sync.Mutex // guards what follows
	known    bool       // the agent has answered
	away     error      // why it does not
	services int
	problems []Problem
}

// NewDiscovery makes the Discovery of a table whose configuration says where to look.
// Without that it is nil.
func NewDiscovery(g *Gateway, file *Table, log *slog.Logger) *Discovery {
	if file.docker == nil {
		return nil
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Discovery{g: g, file: file, log: log, memory: newMemory()}
}

// Run follows the agent until ctx is done. One Run at a time.
func (d *Discovery) Run(ctx context.Context) error {
	docker.Follow(ctx, d.file.docker.Agent, d.log, func(all []containers.Container) { d.apply(all, time.Now()) }, d.failed)
	return nil
}

// apply makes the table of a list the Gateway's.
func (d *Discovery) apply(all []containers.Container, now time.Time) {
	found, problems := gather(all, d.file.docker.Network)
	table, conflicts := d.file.with(d.memory.keep(found, now))
	problems = append(problems, conflicts...)
	if err := d.g.Swap(table); err != nil {
		problems = append(problems, Problem{"gateway", err}) // the table before stays
	}
	d.tell(problems)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.known, d.away, d.services, d.problems = true, nil, len(found), problems
}

// tell tells the log what is wrong that was not before, and what no longer is.
func (d *Discovery) tell(problems []Problem) {
	var now []string
	for _, p := range problems {
		text := p.String()
		now = append(now, text)
		if !slices.Contains(d.last, text) {
			d.log.Warn("labels are refused", "container", p.Container, "error", p.Err)
		}
	}
	for _, text := range d.last {
		if !slices.Contains(now, text) {
			d.log.Info("labels are no longer refused", "was", text)
		}
	}
	d.last = now
}

func (d *Discovery) failed(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.away = err
}

// Problems are what is wrong with containers now.
func (d *Discovery) Problems() []Problem {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.problems)
}

// shown is how many problems State names.
const shown = 8

// State is "ok: …", or "degraded: …" with what is wrong. It fails until the agent has
// answered once: the routes are not known then.
func (d *Discovery) State() (string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.known {
		return "", errors.Join(errors.New("the Docker agent has not answered yet"), d.away)
	}
	var wrong []string
	if d.away != nil {
		wrong = append(wrong, "the Docker agent is away, what it said last is used: "+d.away.Error())
	}
	for i, p := range d.problems {
		if i == shown {
			wrong = append(wrong, fmt.Sprintf("and %d more", len(d.problems)-i))
			break
		}
		wrong = append(wrong, strings.ReplaceAll(p.String(), "\n", "; "))
	}
	if len(wrong) > 0 {
		return "degraded: " + strings.Join(wrong, "; "), nil
	}
	return fmt.Sprintf("ok: %d services", d.services), nil
}
