package roster

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/settled-dev/settled/channel"
	"github.com/settled-dev/settled/tasks"
)

// What a version of the files came to.
const (
	resultLoaded  = "loaded"
	resultRefused = "refused"
)

// metrics are what a roster counts.
type metrics struct {
	reloads *prometheus.CounterVec
	stale   *prometheus.GaugeVec
	expiry  *prometheus.GaugeVec
}

func newMetrics() *metrics {
	m := &metrics{
		reloads: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "settled_channel_settings_reloads_total",
			Help: "Versions of a channel's settings and keys that were loaded or refused, the first one included."}, []string{"channel", "result"}),
		stale: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "settled_channel_settings_stale",
			Help: "Whether a channel's files as they are now were refused, and it works with older ones or not at all: 1 or 0."}, []string{"channel"}),
		expiry: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "settled_channel_certificate_expiry_timestamp_seconds",
			Help: "When the last of a channel's certificates ends with which its messages are verified; 0 when it has none that ends."},
			[]string{"channel"}),
	}
	for _, source := range tasks.Channels() {
		m.reloads.WithLabelValues(string(source), resultLoaded)
		m.reloads.WithLabelValues(string(source), resultRefused)
		m.stale.WithLabelValues(string(source))
		m.expiry.WithLabelValues(string(source))
	}
	return m
}

func (m *metrics) refused(source tasks.Source) {
	m.reloads.WithLabelValues(string(source), resultRefused).Inc()
	m.stale.WithLabelValues(string(source)).Set(1)
}

// expiring is a port that knows when the last certificate ends that it verifies with; false when it has none.
type expiring interface{ CertificateExpiry() (time.Time, bool) }

func (m *metrics) loaded(source tasks.Source, port channel.Port) {
	m.reloads.WithLabelValues(string(source), resultLoaded).Inc()
	m.stale.WithLabelValues(string(source)).Set(0)
	seconds := 0.0
	if p, knows := port.(expiring); knows {
		if at, ends := p.CertificateExpiry(); ends {
			seconds = float64(at.Unix())
		}
	}
	m.expiry.WithLabelValues(string(source)).Set(seconds)
}

// Describe implements prometheus.Collector, so that a roster can be registered.
func (r *Roster) Describe(into chan<- *prometheus.Desc) {
	r.metrics.reloads.Describe(into)
	r.metrics.stale.Describe(into)
	r.metrics.expiry.Describe(into)
}

// Collect implements prometheus.Collector.
func (r *Roster) Collect(into chan<- prometheus.Metric) {
	r.metrics.reloads.Collect(into)
	r.metrics.stale.Collect(into)
	r.metrics.expiry.Collect(into)
}
