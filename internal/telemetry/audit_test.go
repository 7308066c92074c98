package telemetry_test

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/settled-dev/settled/internal/clock"
	"github.com/settled-dev/settled/internal/telemetry"
)

func TestAuditMetricsTellTheLastFindingsAndTheirAge(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewPedanticRegistry()
	now := clock.NewManual(time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC))
	metrics := telemetry.NewAuditMetrics(registry, now)
	expect := func(want string) {
		t.Helper()
		if err := testutil.GatherAndCompare(registry, strings.NewReader(want), "settled_ledger_audit_ok", "settled_ledger_audit_age_seconds",
			"settled_ledger_audit_failures_total"); err != nil {
			t.Error(err)
		}
	}
	const head = "# HELP settled_ledger_audit_age_seconds Time since the last audit ended, or since the start of the process when none has.\n" +
		"# TYPE settled_ledger_audit_age_seconds gauge\n"
	const failures = "# HELP settled_ledger_audit_failures_total Audits that could not be run to their end; they say nothing of the books.\n" +
		"# TYPE settled_ledger_audit_failures_total counter\n"
	const ok = "# HELP settled_ledger_audit_ok Whether the invariant held in the last audit that ran to its end: 1 held, 0 broken.\n" +
		"# TYPE settled_ledger_audit_ok gauge\n"

	now.Advance(time.Minute)
	expect(head + "settled_ledger_audit_age_seconds 60\n" + failures + "settled_ledger_audit_failures_total 0\n")

	metrics.Finished([]telemetry.Finding{{Invariant: "I1", OK: true, Rows: 10}, {Invariant: "I2", OK: false, Rows: 3},
		{Invariant: "I2", OK: true, Rows: 4}}, time.Second)
	now.Advance(5 * time.Second)
	metrics.Failed()
	expect(head + "settled_ledger_audit_age_seconds 5\n" + failures + "settled_ledger_audit_failures_total 1\n" +
		ok + "settled_ledger_audit_ok{invariant=\"I1\"} 1\nsettled_ledger_audit_ok{invariant=\"I2\"} 0\n")
}
