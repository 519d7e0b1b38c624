package subscriber

import (
	"time"

	"github.com/earshot-mq/earshot/internal/metric"
)

var lagLabels = []string{"service", "stream", "epoch"}

func (s *Subscriber) eachLag(value func(*Lag) float64) func(func(float64, ...string)) {
	return func(yield func(float64, ...string)) {
		lags, _ := s.Lags()
		for i := range lags {
			l := &lags[i]
			yield(value(l), l.Service, l.Run.Stream, l.Run.Epoch.String())
		}
	}
}

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
		metric.Gauge("earshot_publishers_left", "Publishers whose live feed is left, since it is too fast: what they have is fetched.", st.Left.Load),
		metric.Gauge("earshot_publishers_found", "Publishers that the labels of containers name.", s.sources.labelled),
	}
	all = append(all, []metric.Metric{
		metric.Total("earshot_publisher_reconnects_total", "Connections to publishers that were made anew, since nothing was heard.", &st.Reconnects),
		metric.Gauge("earshot_publishers_followed", "Publishers that are followed, heard or not.", func() int { return len(s.sources.all()) }),
		metric.Gauge("earshot_store_size_bytes", "Bytes of the store on disk.", s.store.Bytes),
		metric.Gauge("earshot_store_bound_bytes", "Bound of the store on disk; 0 is none.", func() int64 { return s.o.Retention.MaxBytes }),
		metric.Gauge("earshot_store_unsynced_bytes", "Bytes of the store that no fsync has made durable: what a power cut takes.", s.store.Unsynced),
		{Name: "earshot_store_oldest_seconds", Now: true, Help: "Age of the oldest record that the store has.", Value: func() float64 {
			return s.age(time.Now()).Seconds()
		}},
		{Name: "earshot_store_lasts_seconds", Now: true, Help: "For how long the store keeps what comes at the rate of the last day; +Inf where nothing comes, or there is no bound.", Value: s.lasts},
		{Name: "earshot_store_trouble_seconds", Now: true, Labels: []string{"trouble"}, Help: "For how long something has not been well, by the name that it has in the log.", Each: func(yield func(float64, ...string)) {
			s.troubles.Ages(time.Now(), yield)
		}},
		{Name: "earshot_store_lag_records", Now: true, Labels: lagLabels, Help: "Records of the run that were heard of and are not stored, for the hundred runs that lack most.", Each: s.eachLag(func(l *Lag) float64 { return float64(l.Records) })},
		{Name: "earshot_store_lag_seconds", Now: true, Labels: lagLabels, Help: "How long something of the run has been missing.", Each: s.eachLag(func(l *Lag) float64 { return l.For.Seconds() })},
	}...)
	if s.hub != nil {
		all = append(all, s.hub.server.Metrics()...)
	}
	return all
}
