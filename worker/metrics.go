package worker

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/settled-dev/settled/channel"
	"github.com/settled-dev/settled/tasks"
)

// metrics are what a worker counts. Registering is injected: two workers of one process have two registries.
type metrics struct {
	tasks            *prometheus.CounterVec
	seconds          *prometheus.HistogramVec
	inFlight         prometheus.Gauge
	suspects         *prometheus.CounterVec
	unrecorded       prometheus.Counter
	channelCalls     *prometheus.HistogramVec
	channelConflicts *prometheus.CounterVec
	channelRevisions *prometheus.CounterVec
	merchantRefusals *prometheus.CounterVec
	redisErrors      *prometheus.CounterVec
	redisUp          prometheus.Gauge
	doneCombined     prometheus.Histogram
	rungAgain        prometheus.Counter
	relayErrors      prometheus.Counter
	redisWipes       prometheus.Counter
	unwoken          prometheus.Counter
}

func newMetrics(registerer prometheus.Registerer) *metrics {
	m := &metrics{}
	m.newTaskMetrics()
	m.newRedisMetrics()
	m.newRelayMetrics()
	m.presetLabels()
	if registerer != nil {
		registerer.MustRegister(m.tasks, m.seconds, m.inFlight, m.suspects, m.unrecorded, m.channelCalls, m.channelConflicts, m.channelRevisions,
			m.merchantRefusals, m.redisErrors, m.redisUp, m.doneCombined, m.rungAgain, m.relayErrors, m.redisWipes, m.unwoken)
	}
	return m
}

func (m *metrics) newTaskMetrics() {
	m.tasks = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "settled_worker_tasks_total",
		Help: "Deliveries of tasks, by type and by what became of them."}, []string{"type", "outcome"})
	m.seconds = prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "settled_worker_task_seconds",
		Help:    "Time that a delivery took.",
		Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 120}}, []string{"type"})
	m.inFlight = prometheus.NewGauge(prometheus.GaugeOpts{Name: "settled_worker_in_flight_tasks",
		Help: "Tasks that handlers of this process work on."})
	m.suspects = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "settled_worker_suspects_total",
		Help: "Requests of rings that came back without an outcome, by how they were applied."}, []string{"way"})
	m.unrecorded = prometheus.NewCounter(prometheus.CounterOpts{Name: "settled_worker_unrecorded_failures_total",
		Help: "Failed deliveries that PostgreSQL could not be told about."})
	m.channelCalls = prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "settled_worker_channel_call_seconds",
		Help:    "Time until a channel answered about a refund, by channel and answer.",
		Buckets: []float64{.01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 15}}, []string{"channel", "answer"})
	m.channelConflicts = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "settled_worker_channel_conflicts_total",
		Help: "Final answers of channels that differ from the one that was stored, other than a success after a failure."}, []string{"channel"})
	m.channelRevisions = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "settled_worker_channel_revisions_total",
		Help: "Refunds that channels have paid after they had failed, as they said when they were asked."}, []string{"channel"})
	m.merchantRefusals = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "settled_worker_merchant_refusals_total",
		Help: "Refunds that channels refused for the merchant's sake, as they would any other: no balance, no right."}, []string{"channel"})
}

func (m *metrics) newRedisMetrics() {
	m.redisErrors = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "settled_worker_redis_errors_total",
		Help: "Scripts of asynq's servers that Redis did not run, by script and cause."}, []string{"script", "cause"})
	m.redisUp = prometheus.NewGauge(prometheus.GaugeOpts{Name: "settled_worker_redis_up",
		Help: "Whether Redis answered the last health check: 1 it did, 0 it did not."})
	m.doneCombined = prometheus.NewHistogram(prometheus.HistogramOpts{Name: "settled_worker_done_combined_tasks",
		Help: "Finished tasks whose end one script told Redis.", Buckets: []float64{1, 2, 4, 8, 16, 32, 64, 128, 256}})
}

func (m *metrics) newRelayMetrics() {
	m.rungAgain = prometheus.NewCounter(prometheus.CounterOpts{Name: "settled_worker_relay_requests_total",
		Help: "Requests that the relay rang for: their first ring was lost, or waits long in its queue."})
	m.relayErrors = prometheus.NewCounter(prometheus.CounterOpts{Name: "settled_worker_relay_errors_total",
		Help: "Rounds of the relay that failed."})
	m.redisWipes = prometheus.NewCounter(prometheus.CounterOpts{Name: "settled_worker_redis_wipes_total",
		Help: "Times that Redis was found to have lost what it held; all accepted requests were then rung again."})
	m.unwoken = prometheus.NewCounter(prometheus.CounterOpts{Name: "settled_worker_unwoken_requests_total",
		Help: "Parked requests that were made dead, because what they waited for did not come."})
}

// presetLabels makes the series that alerts watch exist before anything happens: the rate of an absent series is no rate.
func (m *metrics) presetLabels() {
	for _, way := range []string{suspectsTogether, suspectsApart, suspectAlone, suspectBuried} {
		m.suspects.WithLabelValues(way)
	}
	for _, kind := range tasks.Kinds() {
		m.tasks.WithLabelValues(string(kind), string(classDone))
		m.seconds.WithLabelValues(string(kind))
	}
	for _, became := range []class{classStray, classNewer} {
		m.tasks.WithLabelValues("unknown", string(became))
	}
	for _, source := range tasks.Channels() {
		m.channelConflicts.WithLabelValues(string(source))
		m.channelRevisions.WithLabelValues(string(source))
		m.channelCalls.WithLabelValues(string(source), string(channel.RefundSucceeded))
		m.merchantRefusals.WithLabelValues(string(source))
	}
}
