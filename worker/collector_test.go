package worker

import (
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/settled-dev/settled/internal/clock"
	"github.com/settled-dev/settled/tasks"
)

// gauges gathers a registry's gauges as name{label values} -> value.
func gauges(t *testing.T, gatherer prometheus.Gatherer) map[string]float64 {
	t.Helper()
	families, err := gatherer.Gather()
	if err != nil {
		t.Fatal(err)
	}
	return gaugesOf(families)
}

func gaugesOf(families []*dto.MetricFamily) map[string]float64 {
	found := map[string]float64{}
	for _, family := range families {
		if family.GetType() != dto.MetricType_GAUGE {
			continue
		}
		for _, metric := range family.GetMetric() {
			name := family.GetName()
			for _, label := range metric.GetLabel() {
				name += " " + label.GetValue()
			}
			found[name] = metric.GetGauge().GetValue()
		}
	}
	return found
}

func TestWhatWaitsIsExported(t *testing.T) {
	t.Parallel()
	s := newStack(t, withRings(2))
	registry := prometheus.NewPedanticRegistry()
	now := clock.NewManual(clock.System.Now().Add(time.Minute))
	w := s.newWorker(t, func(c *Config) { c.Registerer, c.Clock = registry, now })
	s.accept(t, recharge("r1", "u1", 100), recharge("r2", "u1", 100), recharge("r3", "u1", 100))
	eventually(t, "all have rung", func() bool { return s.redis.LLen(t.Context(), "asynq:{critical}:pending").Val() == 2 })
	if err := s.redis.Del(t.Context(), "asynq:queues").Err(); err != nil {
		t.Fatal(err)
	}
	read := gauges(t, registry)
	for name, want := range map[string]float64{
		"settled_worker_queue_tasks critical pending": 2, "settled_worker_queue_tasks critical active": 0, "settled_worker_queue_tasks refunds retry": 0,
		"settled_worker_queue_tasks low archived": 0, "settled_worker_queue_paused critical": 0, "settled_worker_queue_oldest_pending_seconds refunds": 0,
		"settled_worker_backlog_requests recharge:confirm accepted": 3, "settled_worker_backlog_requests recharge:confirm dead": 0,
		"settled_worker_backlog_requests refund:apply parked": 0, "settled_worker_backlog_oldest_seconds refund:apply dead": 0,
		"settled_worker_collector_up redis": 1, "settled_worker_collector_up postgres": 1,
	} {
		if got, ok := read[name]; !ok || got != want {
			t.Errorf("%s is %v (present: %t), want %v", name, got, ok, want)
		}
	}
	if age := read["settled_worker_queue_oldest_pending_seconds critical"]; age < 50 || age > 120 {
		t.Errorf("the oldest ring is %v seconds old, want a minute", age)
	}
	if age := read["settled_worker_backlog_oldest_seconds recharge:confirm accepted"]; age <= 0 {
		t.Errorf("the oldest request is %v seconds old", age)
	}
	if got := len(s.redis.SMembers(t.Context(), "asynq:queues").Val()); got != len(tasks.Queues()) {
		t.Errorf("%d queues are published after a scrape, want all", got)
	}
	s.accept(t, recharge("r4", "u1", 100))
	if got := gauges(t, registry)["settled_worker_backlog_requests recharge:confirm accepted"]; got != 3 {
		t.Errorf("a second scrape at once counted again: %v", got)
	}
	now.Advance(collectEvery)
	if got := gauges(t, registry)["settled_worker_backlog_requests recharge:confirm accepted"]; got != 4 {
		t.Errorf("a later scrape says %v, want 4", got)
	}
	if err := w.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, ok := gauges(t, registry)["settled_worker_queue_paused critical"]; ok {
		t.Error("queue sizes are exported after the end")
	}
}

func TestScrapeSurvivesAnOutageOfRedis(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	registry := prometheus.NewPedanticRegistry()
	s.newWorker(t, func(c *Config) { c.Registerer = registry })
	if err := s.server.Kill(); err != nil {
		t.Fatal(err)
	}
	read := gauges(t, registry)
	if up, ok := read["settled_worker_collector_up redis"]; !ok || up != 0 {
		t.Errorf("redis is up: %v (present: %t)", up, ok)
	}
	if _, ok := read["settled_worker_queue_tasks critical pending"]; ok {
		t.Error("queue sizes are exported although they are not known")
	}
	if _, ok := read["settled_worker_backlog_requests refund:apply dead"]; !ok || read["settled_worker_collector_up postgres"] != 1 {
		t.Error("the backlog is not exported while Redis is away")
	}
}
