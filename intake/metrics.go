package intake

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/settled-dev/settled/tasks"
)

// What became of an asked request, besides the statuses of a receipt.
const (
	statusRefused = "refused" // for a field; nothing is stored
	statusUnknown = "unknown" // PostgreSQL did not answer: accepted or not
	statusStopped = "stopped" // the end of a stream; counted as unknown
)

// kindUnknown stands for every kind that producers may not ask for: labels are a closed set.
const kindUnknown = "unknown"

// What became of a call's wait for its outcome.
const (
	waitDecided = "decided"
	waitExpired = "expired"
	waitFull    = "full"
)

// CommitMetrics are those of the inserts in which a client makes requests durable that were asked one by one: beside
// settled_intake_accept_seconds they say whether callers wait for PostgreSQL or for settled.
type CommitMetrics struct {
	seconds, requests prometheus.Histogram
}

// NewCommitMetrics registers them, once for a registerer. Observe is for tasks.ClientConfig.OnCommit of the API's client.
func NewCommitMetrics(registerer prometheus.Registerer) *CommitMetrics {
	m := &CommitMetrics{
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "settled_intake_commit_seconds",
			Help:    "Time that an insert of requests took with its commit.",
			Buckets: []float64{.0005, .001, .002, .005, .01, .02, .05, .1, .2, .5, 1, 2, 5, 10}}),
		requests: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "settled_intake_commit_requests",
			Help:    "Requests that shared an insert and its commit.",
			Buckets: []float64{1, 2, 4, 8, 16, 32, 64, 128, 256, 500}}),
	}
	registerer.MustRegister(m.seconds, m.requests)
	return m
}

// Observe adds one insert. It may be called by many goroutines at once.
func (m *CommitMetrics) Observe(requests int, took time.Duration) {
	m.seconds.Observe(took.Seconds())
	m.requests.Observe(float64(requests))
}

type metrics struct {
	requests *prometheus.CounterVec
	accept   *prometheus.HistogramVec
	streams  prometheus.Gauge
	waits    *prometheus.CounterVec
}

func newMetrics(registerer prometheus.Registerer) *metrics {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "settled_intake_requests_total",
			Help: "Requests that were asked over HTTP, by kind and what acceptance made of them."}, []string{"kind", "status"}),
		accept: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "settled_intake_accept_seconds",
			Help:    "Time from a request's body being read to its commit, for accepted requests.",
			Buckets: []float64{.001, .002, .005, .01, .02, .05, .1, .2, .5, 1, 2, 5, 10}}, []string{"kind"}),
		streams: prometheus.NewGauge(prometheus.GaugeOpts{Name: "settled_intake_streams",
			Help: "Streams of requests that are under way over HTTP."}),
		waits: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "settled_intake_waits_total",
			Help: "Calls that preferred to wait for their outcome, by whether it came in time; full is that too many waited already."},
			[]string{"result"}),
	}
	// Every series exists from the start, so that the first refusal is an increase and not a new series.
	for _, kind := range tasks.Kinds() {
		if kind.Internal() {
			continue
		}
		m.accept.WithLabelValues(string(kind))
		for _, status := range []string{string(tasks.Accepted), string(tasks.Replayed), string(tasks.Conflicting), statusRefused,
			statusUnknown} {
			m.requests.WithLabelValues(string(kind), status)
		}
	}
	m.requests.WithLabelValues(kindUnknown, statusRefused)
	for _, result := range []string{waitDecided, waitExpired, waitFull} {
		m.waits.WithLabelValues(result)
	}
	if registerer != nil {
		registerer.MustRegister(m.requests, m.accept, m.streams, m.waits)
	}
	return m
}

// counted counts requests of a bulk.
func (m *metrics) counted(kind, status string, requests int) {
	m.requests.WithLabelValues(kind, status).Add(float64(requests))
}

func (m *metrics) answered(kind, status string, took time.Duration) {
	m.requests.WithLabelValues(kind, status).Inc()
	if status == string(tasks.Accepted) {
		m.accept.WithLabelValues(kind).Observe(took.Seconds())
	}
}

func (m *metrics) waited(waited, decided bool) {
	result := waitExpired
	switch {
	case !waited:
		result = waitFull
	case decided:
		result = waitDecided
	}
	m.waits.WithLabelValues(result).Inc()
}
