package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/settled-dev/settled/channel/simulate"
	"github.com/settled-dev/settled/channel/simulate/dialects"
	"github.com/settled-dev/settled/intake/access"
	"github.com/settled-dev/settled/internal/devstack"
	"github.com/settled-dev/settled/internal/postgres"
	"github.com/settled-dev/settled/scheduler"
)

// stopTimeout is how long the private servers may take to end in order.
const stopTimeout = 20 * time.Second

type devCommand struct {
	databaseFlags
	redisFlags

	Fast          bool   `help:"Give up PostgreSQL's durability for speed: for tests, which lose nothing by a crash."`
	Books         int    `placeholder:"N" help:"Books of the ledger (default: one for each of this machine's cores, 2 to 8). Not with CMD."`
	Listen        string `setting:"SETTLED_LISTEN" default:"127.0.0.1:0" placeholder:"ADDRESS" help:"Where to serve the API; port 0 is a free one (default ${default}). Not with CMD."`
	Simulator     string `name:"simulator-listen" setting:"SETTLED_SIMULATOR_LISTEN" default:"127.0.0.1:0" placeholder:"ADDRESS" help:"Where to serve the simulated channels (default ${default}). Not with CMD."`
	MetricsListen string `name:"metrics-listen" setting:"SETTLED_METRICS_LISTEN" default:"127.0.0.1:0" placeholder:"ADDRESS" help:"Where to serve /metrics (default ${default}). Not with CMD."`
	LogLevel      string `name:"log-level" setting:"SETTLED_LOG_LEVEL" default:"warn" placeholder:"LEVEL" help:"debug, info, warn or error (default ${default}). Not with CMD."`

	Command []string `arg:"" optional:"" passthrough:"" name:"cmd" help:"Start only PostgreSQL and Redis, and run this with DATABASE_URL, REDIS_URL and SETTLED_API_KEY set."`
}

// Help is shown below the command's summary.
func (devCommand) Help() string {
	return `Starts a PostgreSQL and a Redis of its own on free ports of the loopback interface, from installed binaries ("make deps" ` +
		`installs them); a server that DATABASE_URL or REDIS_URL names is used instead. Then it migrates, and runs api, worker, ` +
		`scheduler and simulated payment channels in this process. Nothing is kept: the servers end with this process, however it ends, ` +
		`and their data go with them.

    $ settled dev
    ...
      export DATABASE_URL='postgres://postgres@127.0.0.1:24713/postgres?sslmode=disable'
      export REDIS_URL='redis://127.0.0.1:28817/0'
      export SETTLED_API_KEY='sk_9f2c61d07be4a835_3vQ0bHq1kF5w4m2JtP8xZr6yLs9dNc7gUa0eTi1oWhY'
      export SETTLED_API='http://127.0.0.1:38633'
      export SETTLED_SIMULATOR='http://127.0.0.1:40385'

      API       http://127.0.0.1:38633
      channels  http://127.0.0.1:40385
      metrics   http://127.0.0.1:41517/metrics

    ready; Ctrl-C ends it

The API key has every scope, for the producer "dev". In a database of DATABASE_URL it is revoked when this process ends. Webhook
endpoints may be private and loopback addresses and plain http here.

With a command it starts only the two servers, with tables but no books yet, and exits as the command does. A database of ` +
		`DATABASE_URL is left as it is, and no key is made in it:

    $ settled dev -- go test ./...
    $ settled dev -- sh -c 'settled migrate && settled bench'`
}

// Run starts the stack and what stands on it.
func (c *devCommand) Run(ctx context.Context, p *Program) (err error) {
	command := c.Command
	if len(command) > 0 && command[0] == "--" {
		command = command[1:]
	}
	stack, err := devstack.Start(ctx, devstack.Options{
		DatabaseURL: c.DatabaseURL, RedisURL: c.RedisURL,
		Postgres: devstack.PostgresOptions{Fast: c.Fast},
		// An imitation is good enough to look around, and not to test on.
		Redis: devstack.RedisOptions{FallbackMiniredis: len(c.Command) == 0},
	})
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
	if len(c.Command) > 0 {
		return c.runCommand(ctx, p, stack, command)
	}
	return c.runSystem(ctx, p, stack)
}

// runCommand runs a command on the stack. In a database of its own it makes the tables and a key, so that the command finds one.
func (c *devCommand) runCommand(ctx context.Context, p *Program, stack *devstack.Stack, command []string) error {
	if len(command) == 0 {
		return &usageError{problem: "no command after --"}
	}
	var more []string
	if c.DatabaseURL == "" {
		if err := postgres.Migrate(ctx, stack.Postgres.URL, postgres.MigrateOptions{}); err != nil {
			return err
		}
		token, err := createDevKey(ctx, stack.Postgres.URL)
		if err != nil {
			return err
		}
		more = append(more, apiKeySetting+"="+token.Reveal())
	}
	return p.runWith(ctx, stack, command, more)
}

// apiKeySetting is the variable that clients of the API read their key from.
const apiKeySetting = "SETTLED_API_KEY"

// runSystem runs every process of the system in this one.
func (c *devCommand) runSystem(ctx context.Context, p *Program, stack *devstack.Stack) (err error) {
	if _, err := migrate(ctx, stack.Postgres.URL, cmp.Or(c.Books, localBooks()), nil); err != nil {
		return err
	}
	token, err := createDevKey(ctx, stack.Postgres.URL)
	if err != nil {
		return err
	}
	if c.DatabaseURL != "" {
		defer func() {
			stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
			defer cancel()
			err = errors.Join(err, revokeDevKey(stopping, stack.Postgres.URL, token))
		}()
	}
	to := connection{databaseFlags{DatabaseURL: stack.Postgres.URL}, redisFlags{RedisURL: stack.Redis.URL}, nil}
	flags := processFlags{MetricsListen: c.MetricsListen, LogLevel: c.LogLevel}
	dir, err := devstack.NewDirectory("channels")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, dir.Remove()) }()
	channels := dir.Path
	return p.serve(ctx, "dev", to, flags, func(h *host) error {
		for _, start := range []func() error{
			func() error { return h.listenAPI(ctx, c.Listen, nil) },
			func() error { return c.startChannels(ctx, h, channels) },
			func() error {
				return h.startAPI(ctx, apiFlags{Channels: channels, Rate: access.RateDefault, Burst: access.BurstDefault, WebhooksAllowPrivate: true})
			},
			func() error {
				return h.startWorker(ctx, workerFlags{Channels: channels, ShutdownTimeout: 5 * time.Second})
			},
			func() error {
				return h.startCourier(ctx, courierFlags{Webhooks: true, WebhooksAllowPrivate: true})
			},
			func() error {
				return h.startScheduler(ctx, schedulerFlags{SweepAt: scheduler.NightlySweep().At, AuditEvery: auditEveryDefault})
			},
		} {
			if err := start(); err != nil {
				return err
			}
		}
		_, err := fmt.Fprint(p.Stdout, c.greeting(stack, h, token.Reveal())) // what listens is open by now, and answers as soon as it runs
		return err
	})
}

// startChannels simulates every channel, with the merchant's settings in dir. A channel's minute is a second here.
func (c *devCommand) startChannels(ctx context.Context, h *host, dir string) error {
	address, err := h.startSimulator(ctx, c.Simulator, "", simulate.Config{Dir: dir, NotifyURL: h.apiAddress + noticesPath,
		Kinds: dialects.All(), TimeScale: 60, Faults: simulate.Faults{SlowRefunds: 500}})
	h.simulatorAddress = address
	return err
}

// greeting tells what runs where, and what to do with it. URLs that were given are not repeated: they may hold passwords.
func (c *devCommand) greeting(stack *devstack.Stack, h *host, key string) string {
	var text strings.Builder
	text.WriteString("\n")
	if c.DatabaseURL == "" {
		fmt.Fprintf(&text, "  export DATABASE_URL='%s'\n", stack.Postgres.URL)
	}
	if c.RedisURL == "" {
		fmt.Fprintf(&text, "  export REDIS_URL='%s'\n", stack.Redis.URL)
	}
	fmt.Fprintf(&text, "  export %s='%s'\n  export SETTLED_API='%s'\n  export SETTLED_SIMULATOR='%s'\n", apiKeySetting, key, h.apiAddress,
		h.simulatorAddress)
	fmt.Fprintf(&text, "\n  API       %s  (described at /docs)\n  channels  %s  (simulated)\n", h.apiAddress, h.simulatorAddress)
	if h.metricsAddress != "" {
		fmt.Fprintf(&text, "  metrics   %s/metrics\n", h.metricsAddress)
	}
	text.WriteString(`
In another terminal, with these variables set, open a recharge order, and pay it as its user does:

  AUTH="Authorization: Bearer $SETTLED_API_KEY"
  ORDER=$(curl -s -H "$AUTH" -H 'Content-Type: application/json' $SETTLED_API/v1/recharge-orders \
    -d '{"recharge_id":"rc1","user_id":"u1","channel":"wechat","amount":"100.00"}' | sed 's/.*"out_trade_no":"\([^"]*\)".*/\1/')
  curl -s $SETTLED_SIMULATOR/pay -d '{"channel":"wechat","out_trade_no":"'$ORDER'","amount":"100.00"}'

The channel's signed notice brings it to the books a moment later:

  settled show recharge:confirm rc1
  curl -s -H "$AUTH" $SETTLED_API/v1/users/u1/balances
  curl -s $SETTLED_SIMULATOR/record
  settled audit

ready; Ctrl-C ends it
`)
	return text.String()
}

// forwardsSignals says that a command that is run gets the signals.
func (c *devCommand) forwardsSignals() bool { return len(c.Command) > 0 }

// forwardsSignals says that the command wants the signals for itself.
func (p *Program) forwardsSignals() bool {
	forwarder, ok := p.parsed.Selected().Target.Addr().Interface().(interface{ forwardsSignals() bool })
	return ok && forwarder.forwardsSignals()
}

// runWith runs a command with the stack's addresses and more in its environment, hands signals on to it, and ends as it does.
func (p *Program) runWith(ctx context.Context, stack *devstack.Stack, command, more []string) error {
	child := exec.CommandContext(ctx, command[0], command[1:]...)
	child.Stdin, child.Stdout, child.Stderr = p.Stdin, underlying(p.Stdout), p.Stderr
	child.Env = append(p.Environ(), "DATABASE_URL="+stack.Postgres.URL, "REDIS_URL="+stack.Redis.URL)
	child.Env = append(child.Env, more...) // the last of a name counts
	if err := child.Start(); err != nil {
		return &statusError{code: 127, problem: err.Error()} // as shells do
	}
	done := make(chan struct{})
	go p.forwardSignals(child.Process, done)
	err := child.Wait()
	close(done)
	var exited *exec.ExitError
	switch {
	case !errors.As(err, &exited):
		return err
	case exited.ExitCode() >= 0:
		return &statusError{code: exited.ExitCode()}
	}
	status, ok := exited.Sys().(syscall.WaitStatus)
	if !ok {
		return err
	}
	return &statusError{code: 128 + int(status.Signal())} // as shells do
}

// forwardSignals hands on what this process is sent. A terminal sends its interrupts to the child as well: those are not doubled.
func (p *Program) forwardSignals(child *os.Process, done <-chan struct{}) {
	stdin, _ := p.Stdin.(*os.File)
	interactive := stdin != nil && isTerminal(stdin)
	for {
		select {
		case <-done:
			return
		case signal := <-p.Signals:
			if interactive && signal == os.Interrupt {
				continue
			}
			if err := child.Signal(signal); err != nil {
				slog.New(slog.NewTextHandler(p.Stderr, nil)).Warn("signal was not handed on", slog.Any("error", err))
			}
		}
	}
}
