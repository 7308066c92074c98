package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/settled-dev/settled/internal/child"
	"github.com/settled-dev/settled/internal/devstack"
	"github.com/settled-dev/settled/internal/drill"
	"github.com/settled-dev/settled/internal/postgres"
	"github.com/settled-dev/settled/internal/redisurl"
	"github.com/settled-dev/settled/ledger"
	"github.com/settled-dev/settled/tasks"
)

type redisLossCommand struct {
	databaseFlags
	redisFlags

	Requests int           `default:"2000" placeholder:"N" help:"Rewards of 0.01 to ask for, 2 to 1000000 (default ${default})."`
	Outage   time.Duration `placeholder:"TIME" help:"How long Redis answers nobody, at most 1h, before it is there again, empty (default: it answers all the time)."`
	Failover bool          `help:"Have Sentinel replace the master by a replica instead. REDIS_URL names Sentinels."`
	Own      bool          `help:"Start PostgreSQL, Redis and two workers of the drill's own, and kill that Redis for --outage."`
	Patience time.Duration `default:"2m" placeholder:"TIME" help:"How long everything accepted may take (default ${default})."`
	Yes      bool          `help:"Yes, empty this Redis database. Required, except with --own."`
	JSON     bool          `name:"json" help:"Print JSON."`
}

// outageMax bounds --outage: nobody could end it before.
const outageMax = time.Hour

// Help is shown below the command's summary.
func (redisLossCommand) Help() string {
	return `Runs against a live system with workers: asks for rewards for users of its own (drill-…), runs FLUSHDB when half are accepted, ` +
		`goes on asking, and compares what it was told with the books. The rewards stay in the books, a fen each, from the campaign ` +
		`"drill". Every other task in that Redis database is lost too, and rung again by the workers. Example:

    $ settled drill redis-loss --yes
    asking for 2000 rewards of 0.01 as drill-5f0c1a9e
    redis has lost what it held; 117 of 1000 accepted requests were outstanding
    accepted 2000 · lost 0 · doubled 0 · recovered in 0.4 s

With --outage, Redis is emptied, disconnects its clients and answers nobody for as long (CLIENT PAUSE), in all its databases; the other ` +
		`half is asked for meanwhile. With --failover, Sentinel makes a replica the master. Neither can be called off. With --own nothing ` +
		`else is touched: a system of the drill's own is started, and its Redis is killed and started again with nothing:

    $ settled drill redis-loss --own --outage 2m
    ...
    asking for 2000 rewards of 0.01 as drill-3adf3b80
    redis is away; 1000 requests are accepted
    redis has lost what it held; 1001 of 2000 accepted requests were outstanding
    accepted 2000, 1000 of them in the 120.1 s that redis was away · lost 0 · doubled 0 · recovered in 2.3 s

Exit code 1: something is lost or doubled, or, with --own, the books do not balance.`
}

func (c *redisLossCommand) check() error {
	switch {
	case c.Requests < 2 || c.Requests > 1_000_000:
		return &usageError{problem: fmt.Sprintf("--requests: is %d; allowed: 2 to 1000000", c.Requests)}
	case c.Patience <= 0:
		return &usageError{problem: fmt.Sprintf("--patience: is %s; allowed: above 0s", c.Patience)}
	case c.Outage < 0 || c.Outage > outageMax:
		return &usageError{problem: fmt.Sprintf("--outage: is %s; allowed: up to %s", c.Outage, outageMax)}
	case c.Outage > 0 && c.Outage < time.Millisecond:
		return &usageError{problem: fmt.Sprintf("--outage: is %s; allowed: 1ms or more", c.Outage)}
	case c.Failover && (c.Own || c.Outage > 0):
		return &usageError{problem: "--failover lasts as long as Sentinel takes, in a system that has one; it is given without --own and --outage"}
	case c.Own && c.Outage == 0:
		return &usageError{problem: "--outage is missing: how long the Redis of --own is away"}
	case !c.Own && !c.Yes:
		return &usageError{problem: "--yes is missing: the drill empties the Redis database that REDIS_URL names"}
	}
	return nil
}

// Run runs the drill.
func (c *redisLossCommand) Run(ctx context.Context, p *Program) error {
	if err := c.check(); err != nil {
		return err
	}
	if c.Own {
		return c.runOnOwn(ctx, p)
	}
	server, err := c.redisFlags.require()
	if err != nil {
		return err
	}
	if c.Failover && server.Watched == nil {
		return &usageError{problem: redisurl.ErrNotWatched.Error() + "; --failover asks a Sentinel"}
	}
	pool, err := c.openPool(ctx, "drill")
	if err != nil {
		return err
	}
	defer pool.Close()
	queues := server.Open()
	defer func() { _ = queues.Close() }()
	loss := drill.Flush(queues)
	switch {
	case c.Failover:
		loss = drill.Failover(server, queues, p.Clock)
	case c.Outage > 0:
		loss = drill.Freeze(queues, c.Outage, p.Clock)
	}
	return c.drill(ctx, p, &drill.RedisLoss{Pool: pool, Loss: loss}, queues)
}

// drill runs a drill that has its books and its loss, and tells what came of it.
func (c *redisLossCommand) drill(ctx context.Context, p *Program, d *drill.RedisLoss, queues *redis.Client) error {
	client, err := tasks.NewClient(ctx, d.Pool, tasks.NewDoorbell(queues), tasks.ClientConfig{Producer: "drill", Clock: p.Clock})
	if err != nil {
		return err
	}
	defer client.Close()
	d.Client, d.Requests, d.Outage, d.Patience, d.Clock = client, c.Requests, c.Outage, c.Patience, p.Clock
	d.Say = func(line string) { fmt.Fprintln(p.Stderr, line) }
	report, err := d.Run(ctx)
	if err != nil {
		return err
	}
	if c.JSON {
		err = printJSON(p.Stdout, report)
	} else {
		away := ""
		if d.Loss.Begin != nil {
			away = fmt.Sprintf(", %d of them in the %.1f s that redis was away", report.Away, report.Outage.Seconds())
		}
		_, err = fmt.Fprintf(p.Stdout, "accepted %d%s · lost %d · doubled %d · recovered in %.1f s\n", report.Accepted, away, report.Lost,
			report.Doubled, report.Recovery.Seconds())
	}
	if err == nil && !report.OK() {
		err = errNo
	}
	return err
}

// runOnOwn runs the drill on a system of its own, and audits that one's books.
func (c *redisLossCommand) runOnOwn(ctx context.Context, p *Program) (err error) {
	stack, err := devstack.Start(ctx, devstack.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stopWithin(ctx, stack.Stop)) }()
	for _, line := range stack.Describe() {
		fmt.Fprintln(p.Stderr, line)
	}
	if _, err := migrate(ctx, stack.Postgres.URL, localBooks(), nil); err != nil {
		return err
	}
	stopWorkers, err := startDrillWorkers(p, stack)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stopWithin(ctx, stopWorkers)) }()
	pool, err := postgres.Open(ctx, stack.Postgres.URL, postgres.MaxConns(4), postgres.ApplicationName("settled drill"))
	if err != nil {
		return err
	}
	defer pool.Close()
	server, err := redisurl.Parse(stack.Redis.URL)
	if err != nil {
		return err
	}
	queues := server.Open()
	defer func() { _ = queues.Close() }()
	if err := c.drill(ctx, p, &drill.RedisLoss{Pool: pool, Loss: drill.Kill(stack.Redis)}, queues); err != nil {
		return err
	}
	audited, err := ledger.NewReader(pool).Audit(ctx)
	if err != nil {
		return err
	}
	if broken := audited.Err(); broken != nil {
		fmt.Fprintln(p.Stderr, broken)
		return errNo
	}
	return nil
}

// stopWithin gives what is stopped its time, also when ctx has ended.
func stopWithin(ctx context.Context, stop func(context.Context) error) error {
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	return stop(stopping)
}

// startDrillWorkers starts two workers, copies of this program. stop lets them finish what they have begun.
func startDrillWorkers(p *Program, stack *devstack.Stack) (stop func(context.Context) error, err error) {
	path, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	env := append(p.Environ(), "DATABASE_URL="+stack.Postgres.URL, "REDIS_URL="+stack.Redis.URL, "SETTLED_METRICS_LISTEN=off",
		"SETTLED_LOG_LEVEL=error", "SETTLED_SHUTDOWN_TIMEOUT=5s", "SETTLED_CHANNELS=none", "SETTLED_WEBHOOKS=false") // the last of a name counts
	var group child.Group
	var workers []*child.Process
	stop = func(ctx context.Context) error {
		var errs []error
		for _, worker := range workers {
			errs = append(errs, worker.Stop(ctx))
		}
		return errors.Join(append(errs, group.Close())...)
	}
	for range 2 {
		worker, err := group.Start(child.Command{Name: "worker", Path: path, Args: []string{"worker"}, Env: env})
		if err != nil {
			return nil, errors.Join(err, stop(context.Background()))
		}
		workers = append(workers, worker)
	}
	return stop, nil
}
