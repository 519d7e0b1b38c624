package publisher

import (
	"slices"
	"time"

	"github.com/earshot-mq/earshot/internal/metric"
)

// Metrics is what an operator has to know of the journal, the feeds and replay.
func (p *Publisher) Metrics() []metric.Metric {
	w := &p.writer.Stats
	all := []metric.Metric{
		metric.Total("earshot_records_total", "Records that were given a number.", &w.Records),
		metric.Total("earshot_journal_groups_total", "Writes of the journal, each of one or more records.", &w.Groups),
		metric.Total("earshot_journal_written_bytes_total", "Bytes written to the journal.", &w.Bytes),
		metric.Total("earshot_journal_write_errors_total", "Writes of the journal that failed.", &w.WriteErrors),
		metric.Total("earshot_journal_sync_errors_total", "Fsyncs of the journal that failed.", &w.SyncFails),
		metric.State("earshot_journal_degraded", "1 while the journal can't be written and records are held in memory.", &w.Degraded),
		metric.Gauge("earshot_journal_held_bytes", "Bytes of records that are held in memory, in no file.", w.Held.Load),
		metric.Total("earshot_journal_lost_records_total", "Records that fell out of the memory while the journal could not be written.", &w.Lost),
		metric.Gauge("earshot_journal_bytes", "Bytes of the journal on disk, with the adopted ones.", p.JournalBytes),
		metric.Gauge("earshot_journal_bound_bytes", "Bound of the journal on disk.", func() int64 { return p.o.MaxBytes }),
		metric.Total("earshot_journal_dropped_records_total", "Records dropped past the bound before every store had them.", &p.dropped),
		metric.Gauge("earshot_journal_unsynced_bytes", "Bytes of the journal that no fsync has made durable: what a power cut takes.", p.log.Unsynced),
		{Name: "earshot_journal_oldest_seconds", Now: true, Help: "Age of the oldest record that the journal has.", Value: func() float64 {
			return p.looks.age(time.Now()).Seconds()
		}},
		{Name: "earshot_journal_lasts_seconds", Now: true, Help: "How long the journal's bound lasts at the rate of the last day, while no store takes anything; +Inf where nothing is written.", Value: func() float64 {
			return float64(p.o.MaxBytes) / p.looks.growth()
		}},
	}
	all = append(all, metric.Metric{
		Name: "earshot_journal_trouble_seconds", Help: "For how long something has not been well, by the name that it has in the log.",
		Now: true, Labels: []string{"trouble"}, Each: func(yield func(float64, ...string)) { p.troubles.Ages(time.Now(), yield) },
	})
	return slices.Concat(all, p.lagMetrics(), p.server.Metrics())
}
