package main

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/settled-dev/settled/internal/clock"
	"github.com/settled-dev/settled/internal/telemetry"
	"github.com/settled-dev/settled/ledger"
)

func TestAuditorAuditsAgainAndTellsWhatIsBroken(t *testing.T) {
	t.Parallel()
	now := clock.NewManual(time.Date(2026, 3, 2, 4, 0, 0, 0, time.UTC))
	registry, logged := prometheus.NewPedanticRegistry(), newOutput()
	results := make(chan func() (ledger.AuditReport, error))
	a := &auditor{every: time.Minute, clock: now, logger: slog.New(slog.NewTextHandler(logged, nil)),
		metrics: telemetry.NewAuditMetrics(registry, now),
		audit:   func(context.Context) (ledger.AuditReport, error) { return (<-results)() }}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- a.run(ctx) }()
	report := func(broken string) func() (ledger.AuditReport, error) {
		return func() (ledger.AuditReport, error) {
			return ledger.AuditReport{Checks: []ledger.Check{{Invariant: "I1", Statement: "sums to zero", Rows: 3, Broken: broken}}}, nil
		}
	}
	expect := func(metric, want string) {
		t.Helper()
		if err := now.WaitForTimers(t.Context(), 1); err != nil { // the audit has ended
			t.Fatal(err)
		}
		if err := testutil.GatherAndCompare(registry, strings.NewReader(want), metric); err != nil {
			t.Error(err)
		}
	}
	const ok = "# HELP settled_ledger_audit_ok Whether the invariant held in the last audit that ran to its end: 1 held, 0 broken.\n" +
		"# TYPE settled_ledger_audit_ok gauge\nsettled_ledger_audit_ok{invariant=\"I1\"} "
	results <- report("")
	expect("settled_ledger_audit_ok", ok+"1\n")

	now.Advance(time.Minute)
	results <- report("book 0 sums to 1 fen")
	expect("settled_ledger_audit_ok", ok+"0\n")
	if said := logged.String(); !strings.Contains(said, "level=ERROR") || !strings.Contains(said, `first_bad_row="book 0 sums to 1 fen"`) {
		t.Errorf("logged:\n%s", said)
	}

	now.Advance(time.Minute)
	results <- func() (ledger.AuditReport, error) { return ledger.AuditReport{}, errors.New("away") }
	expect("settled_ledger_audit_failures_total", "# HELP settled_ledger_audit_failures_total Audits that could not be run to their end; they say nothing of "+
		"the books.\n# TYPE settled_ledger_audit_failures_total counter\nsettled_ledger_audit_failures_total 1\n")
	expect("settled_ledger_audit_ok", ok+"0\n")

	cancel()
	if err := <-done; err != nil {
		t.Errorf("ended with %v", err)
	}
}

func TestProcessEndsWhenOneOfItsServicesFails(t *testing.T) {
	t.Parallel()
	h := &host{name: "test", logger: slog.New(slog.DiscardHandler)}
	broken, ended := errors.New("broken"), make(chan struct{})
	h.add("first", func(ctx context.Context) error {
		<-ctx.Done()
		close(ended)
		return nil
	})
	h.add("second", func(context.Context) error { return broken })
	err := h.run(t.Context(), nil)
	if !errors.Is(err, broken) || err.Error() != "second: broken" {
		t.Errorf("ended with %v", err)
	}
	select {
	case <-ended:
	default:
		t.Error("the other service was not waited for")
	}
}
