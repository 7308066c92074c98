package worker

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/settled-dev/settled/internal/clock"
	"github.com/settled-dev/settled/ledger"
	"github.com/settled-dev/settled/tasks"
)

// Numbers of the backlog's count.
const (
	// backlogTimeout bounds a count. One of a million requests takes a second on an idle server, and is wanted most on a busy one.
	backlogTimeout = 30 * time.Second
	// backlogWait is how long a scrape waits for a count. A usual one has ended by then, and is served fresh.
	backlogWait = 100 * time.Millisecond
	// backlogKept is for how long counts that do not end or that fail leave the last one served.
	backlogKept = time.Minute
)

// backlogCount counts what is outstanding in PostgreSQL, and the open cases, behind the scrapes: they are served the last count while the next one runs.
// Its methods may be called by several goroutines at once.
type backlogCount struct {
	read   func(context.Context) ([]ledger.Backlog, error)
	cases  func(context.Context) ([]ledger.OpenCases, error)
	clock  clock.Timer
	logger *slog.Logger
	base   func() context.Context // a scrape brings none

	mu      sync.Mutex
	running chan struct{} // closed when the count that runs has ended; nil when none runs
	begun   time.Time     // when the last count began
	ended   bool          // whether any count has ended
	up      bool          // whether the last one that ended succeeded
	counts  []prometheus.Metric
	counted time.Time // when that of counts began
	lacking time.Time // when the first count after it began that has not succeeded; zero when there is none
	closed  bool
	runs    sync.WaitGroup
}

// begin has a count run, unless one runs already, or the last one began less than collectEvery ago.
func (b *backlogCount) begin() {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.clock.Now()
	if b.closed || b.running != nil || !b.begun.IsZero() && now.Sub(b.begun) < collectEvery {
		return
	}
	b.running, b.begun = make(chan struct{}), now
	if b.lacking.IsZero() {
		b.lacking = now
	}
	b.runs.Go(b.run)
}

func (b *backlogCount) run() {
	ctx, cancel := context.WithTimeout(b.base(), backlogTimeout)
	defer cancel()
	var open []ledger.OpenCases
	backlog, err := b.read(ctx)
	if err == nil {
		open, err = b.cases(ctx)
	}
	if err != nil {
		b.logger.LogAttrs(ctx, slog.LevelWarn, "cannot count what waits", slog.String("source", "postgres"), slog.String("error", err.Error()))
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ended, b.up = true, err == nil
	if b.up {
		b.counts, b.counted, b.lacking = append(backlogMetrics(backlog), caseMetrics(open)...), b.begun, time.Time{}
	}
	close(b.running)
	b.running = nil
}

// serve returns what a scrape is told. It waits backlogWait for a count that runs, and for the first one of all as long as for Redis.
func (b *backlogCount) serve() []prometheus.Metric {
	b.mu.Lock()
	running, wait := b.running, backlogWait
	if !b.ended {
		wait = collectTimeout
	}
	b.mu.Unlock()
	if running != nil {
		select {
		case <-running:
		case <-b.clock.After(wait):
		}
	}
	return b.last()
}

func (b *backlogCount) last() []prometheus.Metric {
	b.mu.Lock()
	defer b.mu.Unlock()
	now, up := b.clock.Now(), 0.0
	kept := b.lacking.IsZero() || now.Sub(b.lacking) <= backlogKept
	if b.up && kept {
		up = 1
	}
	metrics := []prometheus.Metric{gauge(collectorUpDesc, up, "postgres")}
	if b.counts == nil || !kept {
		return metrics
	}
	metrics = append(metrics, gauge(backlogCountAgeDesc, max(0, now.Sub(b.counted)).Seconds()))
	return append(metrics, b.counts...)
}

// close waits for the count that runs, which the end of base ends, and lets no other begin.
func (b *backlogCount) close() {
	b.mu.Lock()
	b.closed = true
	b.mu.Unlock()
	b.runs.Wait()
}

// backlogStates are the states of a pending request.
var backlogStates = []string{"accepted", "parked", "dead"}

// backlogMetrics tells of every kind and state, also of those that nothing is in.
func backlogMetrics(backlog []ledger.Backlog) []prometheus.Metric {
	type place struct {
		kind  tasks.Kind
		state string
	}
	found := map[place]ledger.Backlog{}
	for _, kind := range tasks.Kinds() {
		for _, state := range backlogStates {
			found[place{kind, state}] = ledger.Backlog{}
		}
	}
	for _, b := range backlog {
		found[place{b.Kind, b.State}] = b
	}
	var metrics []prometheus.Metric
	for at, b := range found {
		metrics = append(metrics, gauge(backlogDesc, float64(b.Requests), string(at.kind), at.state),
			gauge(backlogAgeDesc, b.OldestAge.Seconds(), string(at.kind), at.state))
	}
	return metrics
}

// caseMetrics tells of every kind of case, also of those of which none is open.
func caseMetrics(open []ledger.OpenCases) []prometheus.Metric {
	found := map[ledger.CaseKind]ledger.OpenCases{}
	for _, kind := range ledger.CaseKinds() {
		found[kind] = ledger.OpenCases{}
	}
	for _, o := range open {
		found[o.Kind] = o
	}
	var metrics []prometheus.Metric
	for kind, o := range found {
		metrics = append(metrics, gauge(openCasesDesc, float64(o.Cases), string(kind)),
			gauge(openCasesYuanDesc, float64(o.Amount.Fen())/100, string(kind)),
			gauge(oldestCaseDesc, o.OldestAge.Seconds(), string(kind)))
	}
	return metrics
}
