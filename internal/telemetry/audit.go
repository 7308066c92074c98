package telemetry

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/settled-dev/settled/internal/clock"
)

// AuditMetrics export what the last audit of the books found. The methods may be called by several goroutines at once.
type AuditMetrics struct {
	clock    clock.Clock
	ok       *prometheus.GaugeVec
	rows     *prometheus.GaugeVec
	duration prometheus.Gauge
	failures prometheus.Counter

	mu       sync.Mutex
	finished time.Time // of the last audit, or the start of the process
}

// Finding is what an audit says of one invariant.
type Finding struct {
	Invariant string // such as I1
	OK        bool
	Rows      int64 // rows looked at
}

// NewAuditMetrics registers the audit's metrics. Until the first audit ends, the age is that of the process, so that an
// audit which never runs raises the same alert as one which stopped running.
func NewAuditMetrics(registerer prometheus.Registerer, now clock.Clock) *AuditMetrics {
	m := &AuditMetrics{
		clock: now,
		ok: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "settled_ledger_audit_ok",
			Help: "Whether the invariant held in the last audit that ran to its end: 1 held, 0 broken."}, []string{"invariant"}),
		rows: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "settled_ledger_audit_checked_rows",
			Help: "Rows that the last audit looked at for the invariant."}, []string{"invariant"}),
		duration: prometheus.NewGauge(prometheus.GaugeOpts{Name: "settled_ledger_audit_duration_seconds",
			Help: "Time that the last audit took."}),
		failures: prometheus.NewCounter(prometheus.CounterOpts{Name: "settled_ledger_audit_failures_total",
			Help: "Audits that could not be run to their end; they say nothing of the books."}),
		finished: now.Now(),
	}
	age := prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "settled_ledger_audit_age_seconds",
		Help: "Time since the last audit ended, or since the start of the process when none has."}, m.age)
	registerer.MustRegister(m.ok, m.rows, m.duration, m.failures, age)
	return m
}

// Finished exports an audit that ran to its end. An invariant with several findings holds when all of them are OK.
func (m *AuditMetrics) Finished(findings []Finding, took time.Duration) {
	merged := map[string]Finding{}
	for _, finding := range findings {
		if before, seen := merged[finding.Invariant]; seen {
			finding.OK, finding.Rows = finding.OK && before.OK, finding.Rows+before.Rows
		}
		merged[finding.Invariant] = finding
	}
	for _, finding := range merged {
		held := 0.0
		if finding.OK {
			held = 1
		}
		m.ok.WithLabelValues(finding.Invariant).Set(held)
		m.rows.WithLabelValues(finding.Invariant).Set(float64(finding.Rows))
	}
	m.duration.Set(took.Seconds())
	m.mu.Lock()
	defer m.mu.Unlock()
	m.finished = m.clock.Now()
}

// Failed counts an audit that could not be run to its end. What the last one found stays exported, and ages.
func (m *AuditMetrics) Failed() { m.failures.Inc() }

func (m *AuditMetrics) age() float64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.clock.Now().Sub(m.finished).Seconds()
}
