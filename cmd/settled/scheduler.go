package main

import (
	"context"
	"time"

	"github.com/settled-dev/settled/internal/telemetry"
	"github.com/settled-dev/settled/ledger"
)

type schedulerFlags struct {
	AuditEvery time.Duration `name:"audit-every" setting:"SETTLED_AUDIT_EVERY" default:"10m" placeholder:"DURATION" help:"How long after an audit of the books the next one begins; 0 audits never (default ${default})."`
}

type schedulerCommand struct {
	databaseFlags
	redisFlags
	processFlags
	schedulerFlags
}

// Help is shown below the command's summary.
func (schedulerCommand) Help() string {
	return `Any number of schedulers may run: each slot, which is one due run of a schedule for one business date in Shanghai, is claimed by ` +
		`one of them. Slots that were missed are caught up in their order, each with its own business date. The books are audited again ` +
		`and again beside that, for settled_audit_ok at /metrics. Example:

    $ settled scheduler --audit-every 5m`
}

// Run asks for due work until ctx ends.
func (c *schedulerCommand) Run(ctx context.Context, p *Program) error {
	return p.serve(ctx, "scheduler", connection{databaseFlags: c.databaseFlags, redisFlags: c.redisFlags}, c.processFlags, func(h *host) error {
		return h.startScheduler(ctx, c.schedulerFlags)
	})
}

func (h *host) startScheduler(_ context.Context, flags schedulerFlags) error {
	if flags.AuditEvery > 0 {
		a := &auditor{audit: ledger.NewReader(h.pool).Audit, every: flags.AuditEvery, logger: h.logger, clock: h.clock,
			metrics: telemetry.NewAuditMetrics(h.registry, h.clock)}
		h.add("auditor", a.run)
	}
	return nil
}
