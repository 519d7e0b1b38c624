package main

import (
	"errors"
	"sync/atomic"

	"github.com/earshot-mq/earshot/publisher"
	"github.com/earshot-mq/earshot/subscriber"
	"github.com/earshot-mq/earshot/subscriber/view"
)

// metric is one number that an operator sees.
type metric struct {
	name, help string
	value      func() float64
	now        bool // what is now, not a total
}

func total(v *atomic.Uint64) func() float64 { return func() float64 { return float64(v.Load()) } }

func flag(v *atomic.Bool) func() float64 {
	return func() float64 {
		if v.Load() {
			return 1
		}
		return 0
	}
}

func (p *program) register(all []metric) (err error) {
	for _, m := range all {
		register := p.admin.Counter
		if m.now {
			register = p.admin.Gauge
		}
		err = errors.Join(err, register("earshot_"+m.name, m.help, m.value))
	}
	return err
}

func publisherMetrics(pub *publisher.Publisher) []metric {
	w, f := pub.JournalStats(), pub.FeedStats()
	return []metric{
		{"records_total", "Records that were given a number.", total(&w.Records), false},
		{"journal_groups_total", "Writes of the journal, each of one or more records.", total(&w.Groups), false},
		{"journal_written_bytes_total", "Bytes written to the journal.", total(&w.Bytes), false},
		{"journal_write_errors_total", "Writes of the journal that failed.", total(&w.WriteErrors), false},
		{"journal_sync_errors_total", "Fsyncs of the journal that failed.", total(&w.SyncFails), false},
		{"journal_degraded", "1 while the journal can't be written and records are held in memory.", flag(&w.Degraded), true},
		{"journal_held_bytes", "Bytes of records that are held in memory, in no file.", func() float64 { return float64(w.Held.Load()) }, true},
		{"journal_lost_records_total", "Records that fell out of the memory while the journal could not be written.", total(&w.Lost), false},
		{"journal_bytes", "Bytes of the journal on disk, adopted ones included.", func() float64 { return float64(pub.JournalBytes()) }, true},
		{"journal_bound_bytes", "Bound of the journal on disk.", func() float64 { return float64(pub.Bound()) }, true},
		{"journal_dropped_records_total", "Records dropped past the bound before every store had them.", func() float64 { return float64(pub.Dropped()) }, false},
		{"feed_messages_total", "Messages sent on the record feed.", total(&f.Messages), false},
		{"feed_bytes_total", "Bytes of batches sent on the record feed.", total(&f.Bytes), false},
		{"feed_text_frames_total", "Frames sent on the text feed.", total(&f.TextFrames), false},
		{"feed_queue_drops_total", "Batches that found a feed's queue full; subscribers of the record feed fetch them.", func() float64 { return float64(pub.FeedDrops()) }, false},
		{"replay_fetches_total", "FETCHes of subscribers.", total(&f.Fetches), false},
		{"replay_bytes_total", "Bytes replayed.", total(&f.DataBytes), false},
		{"replay_trims_total", "Ranges that were asked for and are gone.", total(&f.Trims), false},
		{"replay_commits_total", "Commits of stores, one for each run.", total(&f.Commits), false},
		{"replay_refused_total", "Messages that replay refused.", total(&f.Refused), false},
	}
}

func subscriberMetrics(s *subscriber.Subscriber, v *view.File) []metric {
	st := &s.Stats
	return []metric{
		{"store_records_total", "Records stored.", total(&st.Records), false},
		{"store_batches_total", "Batches stored.", total(&st.Batches), false},
		{"store_bytes_total", "Bytes stored.", total(&st.Bytes), false},
		{"store_duplicate_records_total", "Records that came again and were dropped.", total(&st.Duplicates), false},
		{"store_early_records_total", "Records that came before one that was missing, and were fetched later.", total(&st.Early), false},
		{"store_repairs_total", "Fetches of what the feed had dropped.", total(&st.Repairs), false},
		{"store_gaps_total", "Gap lines.", total(&st.Gaps), false},
		{"store_lost_records_total", "Records that gap lines stand for.", total(&st.Lost), false},
		{"store_stranded_records", "Records heard of that nobody offers.", total(&st.Stranded), true},
		{"store_overflow_total", "Live messages dropped since the writer was behind; they are fetched.", total(&st.Overflow), false},
		{"store_append_errors_total", "Appends to the store that failed.", total(&st.AppendErrors), false},
		{"store_sync_errors_total", "Fsyncs of the store that failed.", total(&st.SyncErrors), false},
		{"store_full", "1 while the store can't be written.", flag(&st.Full), true},
		{"store_commits_total", "Commits told to publishers.", total(&st.Commits), false},
		{"store_plain_messages_total", "Messages of foreign PUB sockets.", total(&st.Plain), false},
		{"publishers_heard", "Publishers heard within the last three seconds.", func() float64 { return float64(st.Sources.Load()) }, true},
		{"log_lines_total", "Lines of the log file.", total(&v.Stats.Lines), false},
		{"log_bytes_total", "Bytes of the log file.", total(&v.Stats.Bytes), false},
		{"log_rotations_total", "Log files that were left for a new one.", total(&v.Stats.Rotations), false},
		{"log_errors_total", "Writes of the log file that failed.", total(&v.Stats.Errors), false},
		{"log_paused", "1 while the log file can't be written.", flag(&v.Stats.Paused), true},
		{"log_position", "Arrival number of the next line.", total(&v.Stats.Arrival), true},
	}
}
