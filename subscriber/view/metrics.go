package view

import "github.com/earshot-mq/earshot/internal/metric"

// Metrics is what an operator has to know of the log file.
func (v *File) Metrics() []metric.Metric {
	st := &v.Stats
	return []metric.Metric{
		metric.Total("earshot_log_lines_total", "Lines of the log file.", &st.Lines),
		metric.Total("earshot_log_bytes_total", "Bytes of the log file.", &st.Bytes),
		metric.Total("earshot_log_rotations_total", "Log files that were left for a new one.", &st.Rotations),
		metric.Total("earshot_log_errors_total", "Writes of the log file that failed.", &st.Errors),
		metric.State("earshot_log_paused", "1 while the log file can't be written.", &st.Paused),
		metric.Gauge("earshot_log_position", "Arrival number of the next line.", st.Arrival.Load),
	}
}
