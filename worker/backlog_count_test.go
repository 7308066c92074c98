package worker

import (
	"context"
	"errors"
	"strconv"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/settled-dev/settled/internal/clock"
	"github.com/settled-dev/settled/ledger"
	"github.com/settled-dev/settled/tasks"
)

// scrapePast scrapes while a count cannot end: as soon as the scrape waits for it, the clock says that it has waited long enough.
func scrapePast(t *testing.T, gatherer prometheus.Gatherer, now *clock.Manual) map[string]float64 {
	t.Helper()
	var families []*dto.MetricFamily
	var err error
	ctx, answered := context.WithCancel(t.Context())
	go func() {
		defer answered()
		families, err = gatherer.Gather()
	}()
	if now.WaitForTimers(ctx, 1) == nil {
		now.Advance(backlogWait)
	}
	<-ctx.Done()
	if err != nil {
		t.Fatal(err)
	}
	return gaugesOf(families)
}

// waitingForLocks counts the statements that wait for a lock. Only the owner of the database sees it of others.
func waitingForLocks(t *testing.T, s *stack) int {
	t.Helper()
	const sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
	var n int
	if err := s.db.Owner.QueryRow(t.Context(), sql).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// TestScrapeServesTheLastBacklogWhilePendingIsLocked stands for every reason for which a count takes long.
func TestScrapeServesTheLastBacklogWhilePendingIsLocked(t *testing.T) {
	t.Parallel()
	const outstanding = "settled_worker_backlog_requests recharge:confirm accepted"
	s := newStack(t, func(settings *stackSettings) { settings.lockTimeout = "60s" })
	registry, now := prometheus.NewPedanticRegistry(), clock.NewManual(clock.System.Now())
	s.newWorker(t, func(c *Config) { c.Registerer, c.Clock = registry, now })
	s.accept(t, recharge("r1", "u1", 100))
	if got, ok := gauges(t, registry)[outstanding]; !ok || got != 1 {
		t.Fatalf("%v are outstanding (present: %t), want 1", got, ok)
	}
	tx, err := s.db.Pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(t.Context())) }()
	if _, err := tx.Exec(t.Context(), "LOCK TABLE pending IN ACCESS EXCLUSIVE MODE"); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		now.Advance(collectEvery)
		read := scrapePast(t, registry, now)
		if got, ok := read[outstanding]; !ok || got != 1 {
			t.Errorf("%v are outstanding (present: %t), want the last count", got, ok)
		}
		if age := read["settled_worker_backlog_count_age_seconds"]; age < collectEvery.Seconds() || read["settled_worker_collector_up postgres"] != 1 {
			t.Errorf("the count is %v seconds old, up: %v", age, read["settled_worker_collector_up postgres"])
		}
	}
	eventually(t, "a count waits for the lock", func() bool { return waitingForLocks(t, s) > 0 })
	if got := waitingForLocks(t, s); got != 1 {
		t.Errorf("%d counts run at once", got)
	}
	now.Advance(backlogKept)
	read := scrapePast(t, registry, now)
	if up, ok := read["settled_worker_collector_up postgres"]; !ok || up != 0 {
		t.Errorf("postgres is up: %v (present: %t), a minute without a count", up, ok)
	}
	if got, ok := read[outstanding]; ok {
		t.Errorf("%v are outstanding, which nobody has known for a minute", got)
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.accept(t, recharge("r2", "u1", 100))
	eventually(t, "a count that ends is served", func() bool {
		now.Advance(collectEvery)
		read := scrapePast(t, registry, now)
		return read[outstanding] == 2 && read["settled_worker_collector_up postgres"] == 1
	})
}

// countOf is a count whose answers the test gives.
func countOf(t *testing.T, now *clock.Manual, read func(context.Context) ([]ledger.Backlog, error)) *backlogCount {
	none := func(context.Context) ([]ledger.OpenCases, error) { return nil, nil }
	return &backlogCount{read: read, cases: none, clock: now, logger: discard, base: t.Context}
}

// told is what a scrape is told: whether PostgreSQL is up, how many rewards are outstanding, and since when.
func told(t *testing.T, b *backlogCount) string {
	t.Helper()
	b.begin()
	got := map[string]float64{}
	for _, metric := range b.serve() {
		var written dto.Metric
		if err := metric.Write(&written); err != nil {
			t.Fatal(err)
		}
		switch {
		case metric.Desc() == collectorUpDesc:
			got["up"] = written.GetGauge().GetValue()
		case metric.Desc() == backlogCountAgeDesc:
			got["age"] = written.GetGauge().GetValue()
		case metric.Desc() == backlogDesc && written.GetLabel()[0].GetValue() == string(tasks.RewardGrant):
			got["requests"] += written.GetGauge().GetValue()
		}
	}
	text := "up " + strconv.Itoa(int(got["up"]))
	if requests, ok := got["requests"]; ok {
		text += ", " + strconv.Itoa(int(requests)) + " counted " + strconv.Itoa(int(got["age"])) + " s ago"
	}
	return text
}

func TestFailedCountSaysSoAndLeavesTheLastOneServedForAMinute(t *testing.T) {
	t.Parallel()
	now := clock.NewManual(noon)
	var failure error
	b := countOf(t, now, func(context.Context) ([]ledger.Backlog, error) {
		return []ledger.Backlog{{Kind: tasks.RewardGrant, State: "accepted", Requests: 7}}, failure
	})
	for i, step := range []struct {
		after   time.Duration
		failure error
		want    string
	}{
		{0, nil, "up 1, 7 counted 0 s ago"},
		{collectEvery - 1, nil, "up 1, 7 counted 4 s ago"},
		{10 * time.Minute, errors.New("away"), "up 0, 7 counted 604 s ago"},
		{backlogKept, errors.New("away"), "up 0, 7 counted 664 s ago"},
		{collectEvery, errors.New("away"), "up 0"},
		{collectEvery, nil, "up 1, 7 counted 0 s ago"},
	} {
		failure = step.failure
		now.Advance(step.after)
		if got := told(t, b); got != step.want {
			t.Errorf("step %d: %q, want %q", i, got, step.want)
		}
	}
}

func TestFirstScrapeWaitsForItsCount(t *testing.T) {
	t.Parallel()
	now := clock.NewManual(noon)
	counting := make(chan struct{})
	b := countOf(t, now, func(context.Context) ([]ledger.Backlog, error) {
		<-counting
		return []ledger.Backlog{{Kind: tasks.RewardGrant, State: "dead", Requests: 3}}, nil
	})
	first := make(chan string)
	go func() { first <- told(t, b) }()
	if err := now.WaitForTimers(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	now.Advance(backlogWait)
	close(counting)
	if got := <-first; got != "up 1, 3 counted 0 s ago" {
		t.Errorf("the first scrape is told %q", got)
	}
}

func TestCloseEndsTheCountThatRunsAndLetsNoOtherBegin(t *testing.T) {
	t.Parallel()
	base, end := context.WithCancel(t.Context())
	begun, ended := 0, 0
	now := clock.NewManual(noon)
	b := countOf(t, now, func(ctx context.Context) ([]ledger.Backlog, error) {
		begun++
		<-ctx.Done()
		ended++
		return nil, ctx.Err()
	})
	b.base = func() context.Context { return base }
	b.begin()
	end()
	b.close()
	now.Advance(collectEvery)
	b.begin()
	if begun != 1 || ended != 1 || b.running != nil {
		t.Errorf("%d counts begun, %d ended", begun, ended)
	}
}
