package feed

import "github.com/earshot-mq/earshot/internal/metric"

// Metrics is what an operator has to know of the feeds and of replay.
func (s *Server) Metrics() []metric.Metric {
	f := &s.Stats
	return []metric.Metric{
		metric.Total("earshot_feed_messages_total", "Messages sent on the record feed.", &f.Messages),
		metric.Total("earshot_feed_bytes_total", "Bytes of batches sent on the record feed.", &f.Bytes),
		metric.Total("earshot_feed_stalls_total", "Times that a subscriber of the record feed took nothing for 50 ms and was not waited for any longer.", &f.Stalls),
		metric.Total("earshot_feed_paced_total", "Times that who published several records at once waited for the record feed.", &f.Paced),
		metric.Total("earshot_feed_text_frames_total", "Frames sent on the text feed.", &f.TextFrames),
		metric.Total("earshot_feed_queue_drops_total", "Batches that found a feed's queue full; subscribers of the record feed fetch them.", &s.drops),
		metric.Total("earshot_replay_fetches_total", "FETCHes of subscribers.", &f.Fetches),
		metric.Total("earshot_replay_bytes_total", "Bytes replayed.", &f.DataBytes),
		metric.Total("earshot_replay_trims_total", "Ranges that were asked for and are gone.", &f.Trims),
		metric.Total("earshot_replay_commits_total", "Commits of stores, one for each run.", &f.Commits),
		metric.Total("earshot_replay_refused_total", "Messages that replay refused.", &f.Refused),
	}
}
