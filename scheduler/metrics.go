package scheduler

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// The results of looking at a due slot; they label a metric.
const (
	resultOnTime = "on_time"
	resultLate   = "late"
	resultFailed = "failed"
)

// metrics are what a scheduler counts.
type metrics struct {
	slots *prometheus.CounterVec
}

func newMetrics(registerer prometheus.Registerer, jobs []Job, lag func(job string) time.Duration) *metrics {
	m := &metrics{slots: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "settled_scheduler_slots_total",
		Help: "Due slots, by schedule and result: claimed on time, claimed late, or failed to be claimed."}, []string{"schedule", "result"})}
	for _, job := range jobs {
		for _, result := range []string{resultOnTime, resultLate, resultFailed} {
			m.slots.WithLabelValues(job.Name, result)
		}
		if registerer != nil {
			registerer.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "settled_scheduler_slot_lag_seconds",
				Help:        "Time for which the schedule's oldest unclaimed slot has been due; 0 when none is.",
				ConstLabels: prometheus.Labels{"schedule": job.Name}}, func() float64 { return lag(job.Name).Seconds() }))
		}
	}
	if registerer != nil {
		registerer.MustRegister(m.slots)
	}
	return m
}
