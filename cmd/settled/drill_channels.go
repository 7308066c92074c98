package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/redis/go-redis/v9"

	"github.com/settled-dev/settled/intake/inquiry"
	"github.com/settled-dev/settled/internal/child"
	"github.com/settled-dev/settled/internal/devstack"
	"github.com/settled-dev/settled/internal/drill"
	"github.com/settled-dev/settled/internal/postgres"
	"github.com/settled-dev/settled/ledger"
	"github.com/settled-dev/settled/webhook"
)

type channelsDrillCommand struct {
	For      time.Duration `default:"60s" placeholder:"TIME" help:"How long everything breaks (default ${default})."`
	Shoppers int           `default:"16" placeholder:"N" help:"How many shop at once, 1 to 200 (default ${default})."`
	Pause    time.Duration `default:"50ms" placeholder:"TIME" help:"Of a shopper between two visits (default ${default})."`
	Patience time.Duration `default:"3m" placeholder:"TIME" help:"How long everything may take to settle afterwards (default ${default})."`
	Seed     uint64        `placeholder:"N" help:"Draws the shoppers, the faults and the mishaps (default: by the clock)."`
	Scale    float64       `name:"time-scale" default:"60" placeholder:"X" help:"Divides the channels' pauses (default ${default})."`
	Lost     int           `default:"5" placeholder:"N" help:"Of 100 recharges, how many are paid without any notice, so that settled must ask its channel (default ${default})."`
	JSON     bool          `name:"json" help:"Print JSON."`
}

// Help is shown below the command's summary.
func (channelsDrillCommand) Help() string {
	return `Starts a whole system of its own: PostgreSQL, Redis, an API, two workers, a scheduler, and the four simulated channels, each ` +
		`a process. Shoppers recharge, pay orders and ask for refunds; the channels send notices twice, late, out of order and with wrong ` +
		`signatures, send none at all of some payments, take wrong amounts or a second payment, lose their answers or keep them back, fail refunds ` +
		`and pay some of them after all, and have new keys ` +
		`in the middle; and every second or so a process is killed by SIGKILL, PostgreSQL and Redis among them, or Redis is wiped. Then all is ` +
		`left to settle, and the channels' own record, and what outcome webhooks have told, is compared with the books. Example:

    $ settled drill channels --for 30s
    ...
       4 x rotate a channel's keys
    payments 611, 23 without a notice · refunds 359, 17 failed first · requests 875 · suspended 50 · told by webhook 1848 · refused before new keys were loaded 34
    settled 58.6 s after the last mishap; seed 1795831504610721805
    lost 0 · doubled 0 · books balance

Exit code 1: something is lost or doubled, or the books do not balance.`
}

func (c *channelsDrillCommand) check(p *Program) error {
	if c.For <= 0 || c.Patience <= 0 || c.Pause < 0 || c.Scale <= 0 || c.Shoppers < 1 || c.Shoppers > 200 || c.Lost < 0 || c.Lost > 100 {
		return &usageError{problem: "--for, --patience, --pause, --time-scale, --shoppers or --lost is out of range; allowed: above 0, 1 to 200 " +
			"shoppers, 0 to 100 lost"}
	}
	if c.Seed == 0 {
		c.Seed = uint64(p.Clock.Now().UnixNano())
	}
	return nil
}

// Run runs the drill on a stack of its own.
func (c *channelsDrillCommand) Run(ctx context.Context, p *Program) (err error) {
	if err := c.check(p); err != nil {
		return err
	}
	stack, err := devstack.Start(ctx, devstack.Options{})
	if err != nil {
		return err
	}
	defer func() {
		stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
		defer cancel()
		err = errors.Join(err, stack.Stop(stopping))
	}()
	for _, line := range stack.Describe() {
		fmt.Fprintln(p.Stderr, line)
	}
	if _, err := migrate(ctx, stack.Postgres.URL, localBooks(), nil); err != nil {
		return err
	}
	dir, err := devstack.NewDirectory("drill")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, dir.Remove()) }()
	report, audit, err := c.drill(ctx, p, stack, dir.Path)
	if err != nil {
		return err
	}
	if err := c.print(p, report, audit); err != nil {
		return err
	}
	if !report.OK() || audit != nil {
		return errNo
	}
	return nil
}

// drill runs the drill and audits the books. audit names the first bad row.
func (c *channelsDrillCommand) drill(ctx context.Context, p *Program, stack *devstack.Stack, dir string) (_ *drill.ChannelsReport, audit, err error) {
	pool, err := postgres.Open(ctx, stack.Postgres.URL, postgres.MaxConns(4), postgres.ApplicationName("settled drill"))
	if err != nil {
		return nil, nil, err
	}
	defer pool.Close()
	token, err := createDevKey(ctx, stack.Postgres.URL)
	if err != nil {
		return nil, nil, err
	}
	owner, err := postgres.OpenOwner(ctx, stack.Postgres.URL, postgres.MaxConns(1), postgres.ApplicationName("settled drill"))
	if err != nil {
		return nil, nil, err
	}
	defer owner.Close()
	d := &drill.Channels{Key: token.Reveal(), Pool: pool, Mishaps: breakages(stack), For: c.For, Shoppers: c.Shoppers, Pause: c.Pause,
		Patience: c.Patience, LostPercent: c.Lost, Seed: c.Seed, Clock: p.Clock, Say: func(line string) { fmt.Fprintln(p.Stderr, line) }}
	if err := c.cast(p, stack, dir, d); err != nil {
		return nil, nil, err
	}
	if err := openInbox(ctx, owner, d); err != nil {
		return nil, nil, err
	}
	served := make(chan error, 1)
	go func() { served <- d.Inbox.Serve() }()
	report, err := d.Run(ctx)
	if err := errors.Join(err, d.Inbox.Close(), <-served); err != nil {
		return nil, nil, err
	}
	audited, err := ledger.NewReader(pool).Audit(ctx)
	if err != nil {
		return nil, nil, err
	}
	return report, audited.Err(), nil
}

// openInbox makes the drill's inbox the endpoint of its producer, for every event.
func openInbox(ctx context.Context, owner *pgxpool.Pool, d *drill.Channels) (err error) {
	if d.Inbox, err = drill.OpenInbox(ctx); err != nil {
		return err
	}
	registry := &webhook.Registry{Pool: owner, Guard: webhook.Guard{AllowPrivate: true}}
	endpoint, secret, err := registry.Add(ctx, webhook.NewEndpoint{Producer: devProducer, URL: d.Inbox.URL(), Events: webhook.Events(), By: "drill"})
	if err == nil {
		err = d.Inbox.Trust(secret.Reveal())
	}
	if err != nil {
		return errors.Join(err, d.Inbox.Close())
	}
	d.Inquire = func(ctx context.Context) error {
		_, err := inquiry.HastenAll(ctx, d.Pool, d.Clock.Now())
		return err
	}
	d.Redeliver = func(ctx context.Context) error {
		_, err := registry.Redeliver(ctx, endpoint.ID, 1, webhook.Newest, webhook.Waiting)
		return err
	}
	return nil
}

// breakages are what happens to the servers.
func breakages(stack *devstack.Stack) []drill.Mishap {
	return []drill.Mishap{
		{Name: "kill postgresql", Happen: func(ctx context.Context) error {
			return errors.Join(stack.Postgres.Kill(), stack.Postgres.Restart(ctx, true))
		}},
		{Name: "kill redis", Happen: func(ctx context.Context) error {
			return errors.Join(stack.Redis.Kill(), stack.Redis.Restart(ctx, true))
		}},
		{Name: "flush redis", Happen: func(ctx context.Context) error {
			options, err := redis.ParseURL(stack.Redis.URL)
			if err != nil {
				return fmt.Errorf("use redis: %w", err)
			}
			client := redis.NewClient(options)
			return errors.Join(client.FlushAll(ctx).Err(), client.Close())
		}},
	}
}

// cast names the processes of the system, copies of this program, and where they serve.
func (c *channelsDrillCommand) cast(p *Program, stack *devstack.Stack, dir string, d *drill.Channels) error {
	path, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	addresses := [3]string{}
	for i := range addresses {
		port, err := devstack.FreePort()
		if err != nil {
			return err
		}
		addresses[i] = "127.0.0.1:" + strconv.Itoa(port)
	}
	d.API, d.Simulator, d.Metrics = "http://"+addresses[0], "http://"+addresses[1], "http://"+addresses[2]
	env := append(p.Environ(), "DATABASE_URL="+stack.Postgres.URL, "REDIS_URL="+stack.Redis.URL, "SETTLED_METRICS_LISTEN=off",
		"SETTLED_LOG_LEVEL=error", "SETTLED_SHUTDOWN_TIMEOUT=5s", "SETTLED_CHANNELS="+dir, "SETTLED_WEBHOOKS_ALLOW_PRIVATE=true",
		"SETTLED_CHANNEL_TIMEOUT=2s") // the last of a name counts
	command := func(name string, args ...string) child.Command {
		return child.Command{Name: name, Path: path, Args: args, Env: env}
	}
	d.Cast = []child.Command{
		command("simulator", "simulate", "channel", "--dir", dir, "--listen", addresses[1], "--notify", d.API,
			"--time-scale", strconv.FormatFloat(c.Scale, 'f', -1, 64), "--seed", strconv.FormatUint(c.Seed, 10), "--duplicates", "100",
			"--repeats", "50", "--reorders", "100", "--delays", "20", "--wrong-amounts", "20", "--lost-answers", "100", "--hanging-answers", "20",
			"--failed-refunds", "50", "--closed-refunds", "20", "--revised-refunds", "50", "--slow-refunds", "300", "--probes", "20"),
		command("api", "api", "--listen", addresses[0], "--metrics-listen", addresses[2]),
		command("worker", "worker"),
		command("second worker", "worker"),
		command("scheduler", "scheduler"),
	}
	return nil
}

// drillLinesMax bounds what is told of what is wrong.
const drillLinesMax = 20

func (c *channelsDrillCommand) print(p *Program, report *drill.ChannelsReport, audit error) error {
	if c.JSON {
		told := struct {
			*drill.ChannelsReport
			Audit string `json:"audit"`
		}{report, "the books balance"}
		if audit != nil {
			told.Audit = audit.Error()
		}
		return printJSON(p.Stdout, told)
	}
	for _, name := range slices.Sorted(maps.Keys(report.Mishaps)) {
		fmt.Fprintf(p.Stdout, "%4d x %s\n", report.Mishaps[name], name)
	}
	for _, wrong := range append(slices.Clone(report.Lost), report.Doubled...)[:min(drillLinesMax, len(report.Lost)+len(report.Doubled))] {
		fmt.Fprintln(p.Stdout, wrong)
	}
	balance := "books balance"
	if audit != nil {
		balance = audit.Error()
	}
	_, err := fmt.Fprintf(p.Stdout, "payments %d, %d without a notice · refunds %d, %d failed first · requests %d · suspended %d · told by webhook %d · refused before "+
		"new keys were loaded %d\nsettled %.1f s after the last mishap; seed %d\nlost %d · doubled %d · %s\n", report.Payments, report.Unnoticed, report.Refunds,
		report.Revised, report.Requests, report.Suspended, report.Told, report.Refused, report.Settled.Seconds(), report.Seed, len(report.Lost),
		len(report.Doubled), balance)
	return err
}
