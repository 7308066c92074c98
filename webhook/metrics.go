package webhook

import "github.com/prometheus/client_golang/prometheus"

// What an attempt came to.
const (
	resultDelivered = "delivered"
	resultFailed    = "failed"
)

// metrics are what a courier counts. Gauges are of the whole system: every process shows the same.
type metrics struct {
	attempts              *prometheus.HistogramVec
	oldest, waiting, dead prometheus.Gauge
	ended, errors         prometheus.Counter
}

func newMetrics(registerer prometheus.Registerer) *metrics {
	m := &metrics{
		attempts: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "settled_webhook_attempt_seconds",
			Help: "Time that an attempt to deliver a message took, by result.", Buckets: []float64{.01, .05, .1, .5, 1, 5, 15}}, []string{"result"}),
		oldest: prometheus.NewGauge(prometheus.GaugeOpts{Name: "settled_webhook_oldest_message_age_seconds",
			Help: "Age of the oldest message that waits to be delivered; 0 when none does."}),
		waiting: prometheus.NewGauge(prometheus.GaugeOpts{Name: "settled_webhook_waiting_messages", Help: "Messages that wait to be delivered."}),
		dead: prometheus.NewGauge(prometheus.GaugeOpts{Name: "settled_webhook_dead_messages",
			Help: "Messages that were not delivered by their last try."}),
		ended: prometheus.NewCounter(prometheus.CounterOpts{Name: "settled_webhook_ended_messages_total",
			Help: "Messages of this process that became dead."}),
		errors: prometheus.NewCounter(prometheus.CounterOpts{Name: "settled_webhook_errors_total",
			Help: "Rounds of gathering or claiming that failed."}),
	}
	for _, result := range []string{resultDelivered, resultFailed} {
		m.attempts.WithLabelValues(result)
	}
	if registerer != nil {
		registerer.MustRegister(m.attempts, m.oldest, m.waiting, m.dead, m.ended, m.errors)
	}
	return m
}
