package admin

import (
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/earshot-mq/earshot/internal/metric"
)

// own registers what every process shows.
func (s *Server) own() error {
	info := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "earshot_build_info", Help: "1, with the version of the program and of Go.",
		ConstLabels: prometheus.Labels{"version": s.o.Version, "go": runtime.Version()},
	}, func() float64 { return 1 })
	return errors.Join(
		s.register("go", collectors.NewGoCollector()),
		s.register("process", collectors.NewProcessCollector(collectors.ProcessCollectorOpts{})),
		s.register("earshot_build_info", info))
}

// Counter shows a total that only grows. Names are Prometheus': earshot_…_total, with
// the unit. The error says that the name is taken or none.
func (s *Server) Counter(name, help string, value func() float64) error {
	return s.register(name, prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help}, value))
}

// Gauge shows what is now.
func (s *Server) Gauge(name, help string, value func() float64) error {
	return s.register(name, prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value))
}

// Counts shows totals that differ in a label. add counts one; it has to be called with
// few values only, since each is kept for ever. It may be called from many goroutines.
func (s *Server) Counts(name, help, label string) (add func(value string), err error) {
	c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, []string{label})
	if err := s.register(name, c); err != nil {
		return nil, err
	}
	return func(value string) { c.WithLabelValues(value).Inc() }, nil
}

// Answers shows how long answers take, as a histogram. observe notes one of a service; it has to
// be called with few routes only, since each is kept for ever. It may be called from many
// goroutines.
func (s *Server) Answers() (observe func(service, route string, status int, took time.Duration), err error) {
	h := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "earshot_answer_seconds", Help: "How long answers took until all of them had left, by the service that gave or passed them on, by route and by class of status; without streams.",
		Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
	}, []string{"service", "route", "class"})
	if err := s.register("earshot_answer_seconds", h); err != nil {
		return nil, err
	}
	classes := [...]string{"none", "1xx", "2xx", "3xx", "4xx", "5xx"}
	return func(service, route string, status int, took time.Duration) {
		class := classes[min(max(status/100, 0), len(classes)-1)]
		h.WithLabelValues(service, route, class).Observe(took.Seconds())
	}, nil
}

func (s *Server) register(name string, c prometheus.Collector) error {
	if err := s.metrics.Register(c); err != nil {
		return fmt.Errorf("admin: metric %s: %w", name, err)
	}
	return nil
}

// Register shows the numbers of a part.
func (s *Server) Register(all []metric.Metric) (err error) {
	for _, m := range all {
		if m.Each != nil {
			err = errors.Join(err, s.register(m.Name, labelled{m, prometheus.NewDesc(m.Name, m.Help, m.Labels, nil)}))
		} else if m.Now {
			err = errors.Join(err, s.Gauge(m.Name, m.Help, m.Value))
		} else {
			err = errors.Join(err, s.Counter(m.Name, m.Help, m.Value))
		}
	}
	return err
}

// labelled is a Metric with labels.
type labelled struct {
	metric.Metric
	desc *prometheus.Desc
}

// Describe implements prometheus.Collector.
func (l labelled) Describe(to chan<- *prometheus.Desc) { to <- l.desc }

// Collect implements prometheus.Collector.
func (l labelled) Collect(to chan<- prometheus.Metric) {
	kind := prometheus.CounterValue
	if l.Now {
		kind = prometheus.GaugeValue
	}
	l.Each(func(value float64, labels ...string) {
		m, err := prometheus.NewConstMetric(l.desc, kind, value, labels...)
		if err != nil {
			m = prometheus.NewInvalidMetric(l.desc, err)
		}
		to <- m
	})
}
