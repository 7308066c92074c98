package main

import (
	"context"
	"fmt"
	"time"

	"github.com/settled-dev/settled/internal/drill"
	"github.com/settled-dev/settled/tasks"
)

type drillCommand struct {
	RedisLoss redisLossCommand     `cmd:"" name:"redis-loss" help:"Empty the Redis of a running system, and count what was lost and doubled."`
	Channels  channelsDrillCommand `cmd:"" help:"Kill every process of a system of its own again and again, and compare the channels' record with the books."`
}

type redisLossCommand struct {
	databaseFlags
	redisFlags

	Requests int           `default:"2000" placeholder:"N" help:"Rewards of 0.01 to ask for, 2 to 1000000 (default ${default})."`
	Patience time.Duration `default:"2m" placeholder:"TIME" help:"How long everything accepted may take (default ${default})."`
	Yes      bool          `help:"Yes, empty this Redis database. Required."`
	JSON     bool          `name:"json" help:"Print JSON."`
}

// Help is shown below the command's summary.
func (redisLossCommand) Help() string {
	return `Runs against a live system with workers: asks for rewards for users of its own (drill-…), runs FLUSHDB when half are accepted, ` +
		`goes on asking, and compares what it was told with the books. The rewards stay in the books, a fen each, from the campaign ` +
		`"drill". Every other task in that Redis database is lost too, and rung again by the workers. Example:

    $ settled drill redis-loss --yes
    asking for 2000 rewards of 0.01 as drill-5f0c1a9e
    redis is empty; 117 of 1000 accepted requests were outstanding
    accepted 2000 · lost 0 · doubled 0 · recovered in 0.4 s

Exit code 1: something is lost or doubled.`
}

// Run runs the drill.
func (c *redisLossCommand) Run(ctx context.Context, p *Program) error {
	if !c.Yes {
		return &usageError{problem: "--yes is missing: the drill empties the Redis database that REDIS_URL names"}
	}
	if c.Requests < 2 || c.Requests > 1_000_000 || c.Patience <= 0 {
		return &usageError{problem: "--requests or --patience is out of range; allowed: 2 to 1000000, above 0"}
	}
	pool, err := c.openPool(ctx, "drill")
	if err != nil {
		return err
	}
	defer pool.Close()
	queues, err := c.redisFlags.open()
	if err != nil {
		return err
	}
	defer func() { _ = queues.Close() }()
	client, err := tasks.NewClient(ctx, pool, tasks.NewDoorbell(queues), tasks.ClientConfig{Producer: "drill", Clock: p.Clock})
	if err != nil {
		return err
	}
	defer client.Close()
	say := func(line string) { fmt.Fprintln(p.Stderr, line) }
	report, err := (&drill.RedisLoss{Client: client, Pool: pool, Redis: queues, Requests: c.Requests, Patience: c.Patience, Clock: p.Clock,
		Say: say}).Run(ctx)
	if err != nil {
		return err
	}
	if c.JSON {
		err = printJSON(p.Stdout, report)
	} else {
		_, err = fmt.Fprintf(p.Stdout, "accepted %d · lost %d · doubled %d · recovered in %.1f s\n", report.Accepted, report.Lost, report.Doubled,
			report.Recovery.Seconds())
	}
	if err == nil && !report.OK() {
		err = errNo
	}
	return err
}
