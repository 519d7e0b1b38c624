package agent

import (
	"time"

	"github.com/earshot-mq/earshot/internal/metric"
)

// Metrics is what an operator has to know of the Engine and of what it says.
func (a *Agent) Metrics() []metric.Metric {
	return []metric.Metric{
		{
			Name: "earshot_agent_containers", Help: "Containers with a label that begins with earshot., which run or are being started again.",
			Now: true, Value: metric.Locked(&a.mu, func() float64 { return float64(len(a.all)) }),
		},
		metric.Total("earshot_agent_lists_total", "Times that the Engine has told all containers.", &a.stats.lists),
		metric.Total("earshot_agent_events_total", "Events that the Engine has told.", &a.stats.events),
		metric.Total("earshot_agent_failures_total", "Times that the Engine did not answer, or its stream of events ended.", &a.stats.failures),
		metric.Total("earshot_agent_reconnects_total", "Times that the stream of events was opened anew.", &a.stats.reconnects),
		metric.Total("earshot_agent_answers_total", "Lists that were given to those who ask.", &a.stats.answers),
		{
			Name: "earshot_agent_list_age_seconds", Help: "Time since the Engine has told all containers, or since the start; it is asked every 5 minutes, and events tell what changes between.",
			Now: true, Value: metric.Locked(&a.mu, func() float64 { return time.Since(a.listed).Seconds() }),
		},
		{
			Name: "earshot_agent_stale", Help: "1 while the events of the Engine are not followed and what it told last is given, or nothing is known.",
			Now: true, Value: metric.Locked(&a.mu, func() float64 { return metric.Bool(!a.synced || a.away != nil) }),
		},
	}
}
