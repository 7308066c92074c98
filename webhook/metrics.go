package webhook

import "github.com/prometheus/client_golang/prometheus"

// What an attempt came to.
const (
	resultDelivered = "delivered"
	resultFailed    = "failed"
)

// metrics are what a courier counts. Gauges are of the whole system: every process shows the same.
type metrics struct {
	attempts                    *prometheus.HistogramVec
	oldest, waiting, dead, gone prometheus.Gauge
	burials, errors             prometheus.Counter
}

func newMetrics(registerer prometheus.Registerer) *metrics {
	m := &metrics{
		attempts: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "settled_webhook_attempt_seconds",
			Help: "Time that an attempt to deliver a message took, by result.", Buckets: []float64{.01, .05, .1, .5, 1, 5, 15}}, []string{"result"}),
		oldest: prometheus.NewGauge(prometheus.GaugeOpts{Name: "settled_webhook_oldest_message_age_seconds",
			Help: "Age of the oldest outcome that an endpoint waits for, as a message or not gathered yet; 0 when there is none."}),
		waiting: prometheus.NewGauge(prometheus.GaugeOpts{Name: "settled_webhook_waiting_messages",
			Help: "Messages that wait to be delivered to endpoints that are not disabled."}),
		dead: prometheus.NewGauge(prometheus.GaugeOpts{Name: "settled_webhook_dead_messages",
			Help: "Messages whose last try failed, of endpoints that are not disabled."}),
		gone: prometheus.NewGauge(prometheus.GaugeOpts{Name: "settled_webhook_gone_endpoints",
			Help: "Endpoints that answered 410 and are called no more: their messages wait for a person."}),
		burials: prometheus.NewCounter(prometheus.CounterOpts{Name: "settled_webhook_burials_total",
			Help: "Messages that were made dead after their last try and wait for a person."}),
		errors: prometheus.NewCounter(prometheus.CounterOpts{Name: "settled_webhook_errors_total",
			Help: "Rounds of gathering or delivering that PostgreSQL did not let finish."}),
	}
	for _, result := range []string{resultDelivered, resultFailed} {
		m.attempts.WithLabelValues(result)
	}
	if registerer != nil {
		registerer.MustRegister(m.attempts, m.oldest, m.waiting, m.dead, m.gone, m.burials, m.errors)
	}
	return m
}
