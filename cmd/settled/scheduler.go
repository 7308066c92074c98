package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/settled-dev/settled/internal/telemetry"
	"github.com/settled-dev/settled/ledger"
	"github.com/settled-dev/settled/scheduler"
	"github.com/settled-dev/settled/tasks"
)

type schedulerFlags struct {
	SweepAt    scheduler.TimeOfDay `name:"sweep-at" setting:"SETTLED_SWEEP_AT" default:"00:30" placeholder:"HH:MM" help:"When the nightly sweep of every product is due, in Shanghai (default ${default})."`
	SweepFrom  string              `name:"sweep-from" setting:"SETTLED_SWEEP_FROM" placeholder:"DATE" help:"The first business date to sweep (default: the one that was due last when a scheduler first runs)."`
	Name       string              `setting:"SETTLED_SCHEDULER_NAME" placeholder:"NAME" help:"Who claims, for the slots' rows (default: the host's name)."`
	AuditEvery time.Duration       `name:"audit-every" setting:"SETTLED_AUDIT_EVERY" default:"10m" placeholder:"DURATION" help:"How long after an audit of the books the next one begins; 0 audits never (default ${default})."`
}

type schedulerCommand struct {
	databaseFlags
	redisFlags
	processFlags
	schedulerFlags
}

// Help is shown below the command's summary.
func (schedulerCommand) Help() string {
	return `Any number of schedulers may run: each slot, which is the run of a job for one business date in Shanghai, is claimed by one of ` +
		`them. Slots that were missed are caught up in their order, each with its own business date. The books are audited again and ` +
		`again beside that, for settled_ledger_audit_ok at /metrics. Example:

    $ settled scheduler --sweep-at 01:15 --audit-every 5m`
}

// Run asks for due work until ctx ends.
func (c *schedulerCommand) Run(ctx context.Context, p *Program) error {
	to := connection{databaseFlags: c.databaseFlags, redisFlags: c.redisFlags}
	return p.serve(ctx, "scheduler", to, c.processFlags, func(h *host) error {
		return h.startScheduler(ctx, c.schedulerFlags)
	})
}

// startScheduler adds a scheduler and an auditor to the process.
func (h *host) startScheduler(ctx context.Context, flags schedulerFlags) error {
	if flags.Name == "" {
		var err error
		if flags.Name, err = os.Hostname(); err != nil {
			return &usageError{problem: fmt.Sprintf("SETTLED_SCHEDULER_NAME is not set, and the host has no name: %v", err)}
		}
	}
	client, err := tasks.NewClient(ctx, h.pool, tasks.NewDoorbell(h.redis), tasks.ClientConfig{Producer: "scheduler", Clock: h.clock,
		OnRingError: h.ringFailed})
	if err != nil {
		return err
	}
	h.onClose(client.Close)
	sweep := scheduler.NightlySweep()
	sweep.At, sweep.From = flags.SweepAt, flags.SweepFrom
	s, err := scheduler.New(scheduler.Config{Pool: h.pool, Client: client, Name: flags.Name, Jobs: []scheduler.Job{sweep},
		Logger: h.logger, Registerer: h.registry, Clock: h.clock})
	if wrong := (*scheduler.ConfigError)(nil); errors.As(err, &wrong) {
		return &usageError{problem: err.Error()}
	} else if err != nil {
		return err
	}
	h.add("scheduler", s.Run)
	if flags.AuditEvery > 0 {
		a := &auditor{audit: ledger.NewReader(h.pool).Audit, every: flags.AuditEvery, logger: h.logger, clock: h.clock,
			metrics: telemetry.NewAuditMetrics(h.registry, h.clock)}
		h.add("auditor", a.run)
	}
	return nil
}
