package subscriber

import "github.com/earshot-mq/earshot/internal/metric"

// Metrics is what an operator has to know of the store and of what it follows.
func (s *Subscriber) Metrics() []metric.Metric {
	st := &s.Stats
	all := []metric.Metric{
		metric.Total("earshot_store_records_total", "Records stored.", &st.Records),
		metric.Total("earshot_store_batches_total", "Batches stored.", &st.Batches),
		metric.Total("earshot_store_bytes_total", "Bytes stored.", &st.Bytes),
		metric.Total("earshot_store_duplicate_records_total", "Records that came again and were dropped.", &st.Duplicates),
		metric.Total("earshot_store_early_records_total", "Records that came before one that was missing, and were fetched later.", &st.Early),
		metric.Total("earshot_store_repairs_total", "Fetches of what the feed had dropped.", &st.Repairs),
		metric.Total("earshot_store_gaps_total", "Gap lines.", &st.Gaps),
		metric.Total("earshot_store_lost_records_total", "Records that gap lines stand for.", &st.Lost),
		metric.Gauge("earshot_store_stranded_records", "Records heard of that nobody offers.", st.Stranded.Load),
		metric.Total("earshot_store_overflow_total", "Live messages dropped since the writer was behind; they are fetched, and those of foreign sockets are a gap.", s.inbox.Drops),
		metric.Total("earshot_store_append_errors_total", "Appends to the store that failed.", &st.AppendErrors),
		metric.Total("earshot_store_sync_errors_total", "Fsyncs of the store that failed.", &st.SyncErrors),
		metric.State("earshot_store_full", "1 while the store can't be written.", &st.Full),
		metric.Total("earshot_store_commits_total", "Commits told to publishers.", &st.Commits),
		metric.Total("earshot_store_plain_messages_total", "Messages of foreign PUB sockets.", &st.Plain),
		metric.Gauge("earshot_publishers_heard", "Publishers heard within the last three seconds.", st.Sources.Load),
		metric.Gauge("earshot_publishers_found", "Publishers that the labels of containers name.", s.sources.labelled),
	}
	if s.hub != nil {
		all = append(all, s.hub.server.Metrics()...)
	}
	return all
}
