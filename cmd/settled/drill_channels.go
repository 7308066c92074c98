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

	"github.com/redis/go-redis/v9"

	"github.com/settled-dev/settled/internal/child"
	"github.com/settled-dev/settled/internal/devstack"
	"github.com/settled-dev/settled/internal/drill"
	"github.com/settled-dev/settled/internal/postgres"
	"github.com/settled-dev/settled/ledger"
)

type channelsDrillCommand struct {
	For      time.Duration `default:"60s" placeholder:"TIME" help:"How long everything breaks (default ${default})."`
	Shoppers int           `default:"16" placeholder:"N" help:"How many shop at once, 1 to 200 (default ${default})."`
	Pause    time.Duration `default:"50ms" placeholder:"TIME" help:"Of a shopper between two visits (default ${default})."`
	Patience time.Duration `default:"3m" placeholder:"TIME" help:"How long everything may take to settle afterwards (default ${default})."`
	Seed     uint64        `placeholder:"N" help:"Draws the shoppers, the faults and the mishaps (default: by the clock)."`
	Scale    float64       `name:"time-scale" default:"60" placeholder:"X" help:"Divides the channels' pauses (default ${default})."`
	JSON     bool          `name:"json" help:"Print JSON."`
}

// Help is shown below the command's summary.
func (channelsDrillCommand) Help() string {
	return `Starts a whole system of its own: PostgreSQL, Redis, an API, two workers, a scheduler, and the four simulated channels, each ` +
		`a process. Shoppers recharge, pay orders and ask for refunds; the channels send notices twice, late, out of order and with wrong ` +
		`signatures, take wrong amounts, lose their answers and fail refunds; and every second or so a process is killed by SIGKILL, ` +
		`PostgreSQL and Redis among them, or Redis is wiped. Then all is left to settle, and the channels' own record is compared with the ` +
		`books. Example:

    $ settled drill channels --for 60s
    ...
    payments 3021 · refunds 1180 · requests 2544 · suspended 214
    lost 0 · doubled 0 · books balance

Exit code 1: something is lost or doubled, or the books do not balance.`
}

func (c *channelsDrillCommand) check(p *Program) error {
	if c.For <= 0 || c.Patience <= 0 || c.Pause < 0 || c.Scale <= 0 || c.Shoppers < 1 || c.Shoppers > 200 {
		return &usageError{problem: "--for, --patience, --pause, --time-scale or --shoppers is out of range; allowed: above 0, 1 to 200 shoppers"}
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
	d := &drill.Channels{Key: token.Reveal(), Pool: pool, Mishaps: breakages(stack), For: c.For, Shoppers: c.Shoppers, Pause: c.Pause,
		Patience: c.Patience, Seed: c.Seed, Clock: p.Clock, Say: func(line string) { fmt.Fprintln(p.Stderr, line) }}
	if err := c.cast(p, stack, dir, d); err != nil {
		return nil, nil, err
	}
	report, err := d.Run(ctx)
	if err != nil {
		return nil, nil, err
	}
	audited, err := ledger.NewReader(pool).Audit(ctx)
	if err != nil {
		return nil, nil, err
	}
	return report, audited.Err(), nil
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
	addresses := [2]string{}
	for i := range addresses {
		port, err := devstack.FreePort()
		if err != nil {
			return err
		}
		addresses[i] = "127.0.0.1:" + strconv.Itoa(port)
	}
	d.API, d.Simulator = "http://"+addresses[0], "http://"+addresses[1]
	env := append(p.Environ(), "DATABASE_URL="+stack.Postgres.URL, "REDIS_URL="+stack.Redis.URL, "SETTLED_METRICS_LISTEN=off",
		"SETTLED_LOG_LEVEL=error", "SETTLED_SHUTDOWN_TIMEOUT=5s", "SETTLED_CHANNELS="+dir) // the last of a name counts
	command := func(name string, args ...string) child.Command {
		return child.Command{Name: name, Path: path, Args: args, Env: env}
	}
	d.Cast = []child.Command{
		command("simulator", "simulate", "channel", "--dir", dir, "--listen", addresses[1], "--notify", d.API,
			"--time-scale", strconv.FormatFloat(c.Scale, 'f', -1, 64), "--seed", strconv.FormatUint(c.Seed, 10), "--duplicates", "100",
			"--repeats", "50", "--reorders", "100", "--delays", "20", "--wrong-amounts", "20", "--lost-answers", "100", "--failed-refunds", "50",
			"--slow-refunds", "300", "--probes", "20"),
		command("api", "api", "--listen", addresses[0]),
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
	_, err := fmt.Fprintf(p.Stdout, "payments %d · refunds %d · requests %d · suspended %d; settled %.1f s after the last mishap; seed %d\n"+
		"lost %d · doubled %d · %s\n", report.Payments, report.Refunds, report.Requests, report.Suspended, report.Settled.Seconds(), report.Seed,
		len(report.Lost), len(report.Doubled), balance)
	return err
}
