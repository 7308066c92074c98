package ledger

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/settled-dev/settled/tasks"
)

// metrics are what a ledger counts. Registering is injected: two ledgers of one process have two registries.
type metrics struct {
	requests   *prometheus.CounterVec
	rejections *prometheus.CounterVec
	latency    *prometheus.HistogramVec
	size       prometheus.Histogram
	duration   prometheus.Histogram
	repeats    prometheus.Counter
	halves     prometheus.Counter
	burials    prometheus.Counter
}

func newMetrics(registerer prometheus.Registerer, l *Ledger) *metrics {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "settled_ledger_requests_total",
			Help: "Requests that a batch answered, by kind and fate; a replay is answered from the stored outcome."}, []string{"kind", "fate"}),
		rejections: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "settled_ledger_rejections_total",
			Help: "Requests that were rejected, by reason; a replay counts nothing."}, []string{"reason"}),
		latency: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "settled_ledger_accept_to_decided_seconds",
			Help:    "Time from a request's acceptance to its outcome, by PostgreSQL's clock.",
			Buckets: []float64{.002, .005, .01, .015, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 3600}}, []string{"kind"}),
		size: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "settled_ledger_batch_requests",
			Help: "Requests per batch that was answered: committed, or rolled back because it only looked stored outcomes up.", Buckets: []float64{1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000}}),
		duration: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "settled_ledger_batch_seconds",
			Help: "Time of a batch from its first read to its commit.", Buckets: prometheus.ExponentialBuckets(.001, 2, 14)}),
		repeats: prometheus.NewCounter(prometheus.CounterOpts{Name: "settled_ledger_batch_repeats_total",
			Help: "Batches that were run again: not serializable, a broken connection, or a new policy."}),
		halves: prometheus.NewCounter(prometheus.CounterOpts{Name: "settled_ledger_batch_halvings_total",
			Help: "Batches that were halved to find a request which PostgreSQL refuses."}),
		burials: prometheus.NewCounter(prometheus.CounterOpts{Name: "settled_ledger_burials_total",
			Help: "Requests that were made dead and wait for a person."}),
	}
	for _, reason := range tasks.Reasons() { // from zero, so that the first one is seen to be added
		m.rejections.WithLabelValues(string(reason))
	}
	if registerer == nil {
		return m
	}
	depth := prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "settled_ledger_lane_requests",
		Help: "Requests that wait in the lanes of this process."}, func() float64 {
		sum := 0
		for _, lane := range l.lanes {
			sum += lane.waitingRequests()
		}
		return float64(sum)
	})
	registerer.MustRegister(m.requests, m.rejections, m.latency, m.size, m.duration, m.repeats, m.halves, m.burials, depth)
	return m
}

// batch counts a committed batch.
func (m *metrics) batch(b *batch, took time.Duration) {
	m.size.Observe(float64(len(b.ids)))
	m.duration.Observe(took.Seconds())
	type count struct{ kind, fate string } // finding a series costs more than counting: once a batch
	counts := map[count]int{}
	latencies := map[tasks.Kind]prometheus.Observer{}
	for id, answer := range b.answers {
		c := count{"unknown", string(answer.Fate)}
		if d := b.loaded[id]; d != nil {
			c.kind = string(d.request.Kind)
			switch {
			case answer.Replay:
				c.fate = "replayed"
			case answer.Fate == Decided:
				c.fate = string(answer.Outcome.Result)
				if answer.Outcome.Result == tasks.Rejected {
					m.rejections.WithLabelValues(string(answer.Outcome.Reason)).Inc()
				}
				latency := latencies[d.request.Kind]
				if latency == nil {
					latency = m.latency.WithLabelValues(c.kind)
					latencies[d.request.Kind] = latency
				}
				latency.Observe(b.at.Sub(d.request.AcceptedAt).Seconds())
			}
		}
		counts[c]++
	}
	for _, d := range b.settled {
		if d.decision.verdict == verdictDead {
			m.buried(1)
		}
	}
	for c, n := range counts {
		m.requests.WithLabelValues(c.kind, c.fate).Add(float64(n))
	}
}

func (m *metrics) repeated() { m.repeats.Inc() }
func (m *metrics) bisected() { m.halves.Inc() }

// buried counts requests that were made dead, once that is committed.
func (m *metrics) buried(n int64) { m.burials.Add(float64(n)) }
