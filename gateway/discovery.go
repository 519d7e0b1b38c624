package gateway

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/earshot-mq/earshot/internal/docker"
	"github.com/earshot-mq/earshot/internal/metric"
)

// Discovery gives a Gateway the services of containers beside those of its file, as the
// labels of the containers say. It replaces the Gateway's table at each change. It may be
// used from many goroutines.
type Discovery struct {
	g        *Gateway
	problems *docker.Problems

	mu       sync.Mutex // guards what follows
	file     *Table
	members  []docker.Member // of the last list
	memory   *memory
	services int
}

// NewDiscovery makes the Discovery of a Gateway that has a file's table. A
// docker.Follower has to tell it of containers.
func NewDiscovery(g *Gateway, file *Table, log *slog.Logger) *Discovery {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Discovery{g: g, file: file, problems: docker.NewProblems(log), memory: newMemory()}
}

// Found says which containers there are now. On an error the table before stays, and
// State says so.
func (d *Discovery) Found(all []docker.Member) { d.found(all, time.Now()) }

func (d *Discovery) found(all []docker.Member, now time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.members = all
	problems, err := d.swap(d.file, now)
	if err != nil {
		problems = append(problems, docker.Problem{Container: "gateway", Err: err})
	}
	d.problems.Set(problems)
}

// Swap makes t the file's table; what was found stays beside it. On an error nothing has
// changed.
func (d *Discovery) Swap(t *Table) error {
	if t == nil {
		return errors.New("gateway: swap: no table")
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	problems, err := d.swap(t, time.Now())
	if err != nil {
		return err
	}
	d.file = t
	d.problems.Set(problems)
	return nil
}

// swap makes file, with what was found, the Gateway's table.
func (d *Discovery) swap(file *Table, now time.Time) ([]docker.Problem, error) {
	found, problems := gather(d.members)
	table, conflicts := file.with(d.memory.keep(found, now))
	d.services = len(found)
	return append(problems, conflicts...), d.g.Swap(table)
}

// State is "ok: …", or "degraded: …" with what is refused.
func (d *Discovery) State() string {
	if wrong := d.problems.Lines(); len(wrong) > 0 {
		return "degraded: " + strings.Join(wrong, "; ")
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return fmt.Sprintf("ok: %d services", d.services)
}

// Metrics is what an operator has to know of what was found.
func (d *Discovery) Metrics() []metric.Metric {
	return []metric.Metric{
		metric.Gauge("earshot_gateway_found_services", "Services that the gateway found in the labels of containers.", func() int {
			d.mu.Lock()
			defer d.mu.Unlock()
			return d.services
		}),
		metric.Gauge("earshot_gateway_refused_containers", "Containers of which the gateway refuses a route or another label; /readyz names them.", d.problems.Containers),
	}
}
