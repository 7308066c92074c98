package main

import (
	"context"
	"log/slog"
	"time"

	"github.com/settled-dev/settled/internal/clock"
	"github.com/settled-dev/settled/internal/telemetry"
	"github.com/settled-dev/settled/ledger"
)

// auditEveryDefault is far above what an audit of some million transfers takes, and soon enough for a person to act on.
const auditEveryDefault = 10 * time.Minute

// auditor audits the books again and again, and exports what it finds.
type auditor struct {
	audit   func(context.Context) (ledger.AuditReport, error)
	every   time.Duration
	metrics *telemetry.AuditMetrics
	logger  *slog.Logger
	clock   clock.Timer
}

// run audits at once and then again when every has passed since the last audit ended, until ctx ends.
func (a *auditor) run(ctx context.Context) error {
	for {
		a.once(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-a.clock.After(a.every):
		}
	}
}

func (a *auditor) once(ctx context.Context) {
	started := a.clock.Now()
	report, err := a.audit(ctx)
	took := a.clock.Now().Sub(started)
	switch {
	case ctx.Err() != nil:
		return
	case err != nil:
		a.metrics.Failed()
		a.logger.Warn("audit could not be run", slog.Any("error", err))
		return
	}
	findings := make([]telemetry.Finding, len(report.Checks))
	for i, check := range report.Checks {
		findings[i] = telemetry.Finding{Invariant: check.Invariant, OK: check.Broken == "", Rows: check.Rows}
		if check.Broken != "" {
			a.logger.Error("books do not balance", slog.String("invariant", check.Invariant), slog.String("statement", check.Statement),
				slog.String("first_bad_row", check.Broken))
		}
	}
	a.metrics.Finished(findings, took)
	a.logger.Info("books audited", slog.Bool("ok", report.OK()), slog.Duration("took", took),
		slog.Int64("transfers", report.Totals.Transfers))
}
