package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/settled-dev/settled/internal/child"
	"github.com/settled-dev/settled/internal/demo"
	"github.com/settled-dev/settled/internal/devstack"
)

type demoCommand struct {
	databaseFlags
	redisFlags

	Users    int    `default:"10000" placeholder:"N" help:"Users of the day (default ${default})."`
	Requests int    `default:"50000" placeholder:"N" help:"Requests of the day, repeats included (default ${default})."`
	Enrolled int    `default:"100000" placeholder:"N" help:"Users whom the night sweeps (default ${default})."`
	Rate     int    `default:"0" placeholder:"N" help:"Requests a second in the day; 0 is as many as are accepted (default ${default})."`
	Seed     uint64 `placeholder:"N" help:"Draws the day; the same seed gives the same requests (default: by the clock)."`
}

// Help is shown below the command's summary.
func (demoCommand) Help() string {
	return `Tells one user's story, plays a day at scale with a worker killed and Redis wiped in the middle, sweeps at night, and compares ` +
		`the books with what the producers recorded. The day's recharges are paid at simulated channels, whose signed notices come twice, late ` +
		`and out of order, and the books are compared with the channels' record as well. It starts a PostgreSQL, a Redis and workers of its own and removes them at the end. ` +
		`With DATABASE_URL it makes a database of its own in that server and drops it; with REDIS_URL it uses that Redis if it is empty, ` +
		`and wipes it. Example:

    $ settled demo
    ...
    lost 0 · doubled 0 · books balance

Exit code 1: something is lost or doubled, or the books do not balance.`
}

// Run plays the demo.
func (c *demoCommand) Run(ctx context.Context, p *Program) (err error) {
	if c.Users < 100 || c.Requests < 2*c.Users || c.Enrolled < c.Users {
		return &usageError{problem: "--users, --requests or --enrolled is out of range; allowed: 100 users or more, twice as many requests " +
			"or more, and as many enrolled users or more"}
	}
	began := p.Clock.Now()
	stack, err := devstack.Start(ctx, devstack.Options{DatabaseURL: c.DatabaseURL, RedisURL: c.RedisURL,
		Redis: devstack.RedisOptions{FallbackMiniredis: true}})
	if err != nil {
		return err
	}
	defer func() {
		stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
		defer cancel()
		err = errors.Join(err, stack.Stop(stopping))
	}()
	place, err := demo.Prepare(ctx, stack)
	if errors.Is(err, demo.ErrRedisNotEmpty) {
		return &usageError{problem: err.Error()}
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, place.Remove(context.WithoutCancel(ctx))) }()
	books, err := migrate(ctx, place.DatabaseURL, localBooks(), nil)
	if err != nil {
		return err
	}
	if err := c.play(ctx, p, demo.Config{
		DatabaseURL: place.DatabaseURL, RedisURL: place.RedisURL, SharedRedis: place.SharedRedis(),
		Stack: append(stack.Describe(), fmt.Sprintf("a ledger of %s", plural(books, "book"))), Ready: p.Clock.Now().Sub(began),
	}); err != nil {
		return err
	}
	fmt.Fprintf(p.Stdout, "all of it in %.1f s\n", p.Clock.Now().Sub(began).Seconds())
	return nil
}

// demoWorkers is how many worker processes the demo starts: one is killed, and the other goes on.
const demoWorkers = 2

// demoServers are the asynq servers of each of them: the day is payments before all.
const demoServers = "critical=4;refunds=2;sweeps=1;low=1"

// play runs the demo on what config names, with workers that are copies of this program.
func (c *demoCommand) play(ctx context.Context, p *Program, config demo.Config) (err error) {
	path, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	workers := &child.Group{Ended: func(err error) { cancel(err) }}
	command := child.Command{Name: "worker", Path: path, Args: []string{"worker"},
		Env: append(p.Environ(), "DATABASE_URL="+config.DatabaseURL, "REDIS_URL="+config.RedisURL, "SETTLED_CHANNELS="+channelsSimulated,
			"SETTLED_WORKER_SERVERS="+demoServers, "SETTLED_METRICS_LISTEN=off", "SETTLED_LOG_LEVEL=error",
			"SETTLED_SHUTDOWN_TIMEOUT=5s"), // the last of a name counts
	}
	defer func() { err = errors.Join(err, workers.Close()) }()
	config.Users, config.Requests, config.Enrolled, config.Rate = c.Users, c.Requests, c.Enrolled, c.Rate
	if config.Seed = c.Seed; config.Seed == 0 {
		config.Seed = uint64(p.Clock.Now().Unix())
	}
	channels, stop, err := startDemoChannels(ctx, p, config, cancel)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	config.Channels = channels
	config.Mishaps, config.Workers = true, demoWorkers
	config.StartWorker = func() (demo.Worker, error) { return workers.Start(command) }
	config.Screen, config.Clock = demo.Screen{Out: p.Stdout, Terminal: isTerminal(p.Stdout)}, p.Clock
	err = demo.Run(ctx, config)
	if errors.Is(err, demo.ErrNotSo) {
		return &answerNoError{answer: err.Error()}
	}
	return err
}
