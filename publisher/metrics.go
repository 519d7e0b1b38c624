package publisher

import "github.com/earshot-mq/earshot/internal/metric"

// Metrics is what an operator has to know of the journal, the feeds and replay.
func (p *Publisher) Metrics() []metric.Metric {
	w, f := &p.writer.Stats, &p.server.Stats
	return []metric.Metric{
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
		metric.Total("earshot_feed_messages_total", "Messages sent on the record feed.", &f.Messages),
		metric.Total("earshot_feed_bytes_total", "Bytes of batches sent on the record feed.", &f.Bytes),
		metric.Total("earshot_feed_text_frames_total", "Frames sent on the text feed.", &f.TextFrames),
		metric.Total("earshot_feed_queue_drops_total", "Batches that found a feed's queue full; subscribers of the record feed fetch them.", p.server.Drops()),
		metric.Total("earshot_replay_fetches_total", "FETCHes of subscribers.", &f.Fetches),
		metric.Total("earshot_replay_bytes_total", "Bytes replayed.", &f.DataBytes),
		metric.Total("earshot_replay_trims_total", "Ranges that were asked for and are gone.", &f.Trims),
		metric.Total("earshot_replay_commits_total", "Commits of stores, one for each run.", &f.Commits),
		metric.Total("earshot_replay_refused_total", "Messages that replay refused.", &f.Refused),
	}
}
