package notice

import (
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/settled-dev/settled/tasks"
)

// channelUnknown stands for whatever is no channel: labels are a closed set.
const channelUnknown = "unknown"

type metrics struct {
	notices *prometheus.CounterVec
	seconds *prometheus.HistogramVec
}

func newMetrics(registerer prometheus.Registerer) *metrics {
	m := &metrics{
		notices: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "settled_intake_notices_total",
			Help: "Messages that came as channels' notices, by channel and what became of them."}, []string{"channel", "result"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "settled_intake_notice_seconds",
			Help:    "Time from a message's head to its answer being known, for channels that are configured.",
			Buckets: []float64{.001, .002, .005, .01, .02, .05, .1, .2, .5, 1, 2, 4, 8}}, []string{"channel"}),
	}
	for _, source := range tasks.Channels() {
		m.seconds.WithLabelValues(string(source))
		for _, result := range results() {
			m.notices.WithLabelValues(string(source), string(result))
		}
	}
	m.notices.WithLabelValues(channelUnknown, string(resultNoChannel))
	if registerer != nil {
		registerer.MustRegister(m.notices, m.seconds)
	}
	return m
}

// taken counts a message. What is no channel was found to be none: it has no other result.
func (m *metrics) taken(source tasks.Source, became Result) {
	if !slices.Contains(tasks.Channels(), source) {
		m.notices.WithLabelValues(channelUnknown, string(resultNoChannel)).Inc()
		return
	}
	m.notices.WithLabelValues(string(source), string(became)).Inc()
}

func (m *metrics) took(source tasks.Source, took time.Duration) {
	m.seconds.WithLabelValues(string(source)).Observe(took.Seconds())
}
