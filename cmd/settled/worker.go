package main

import (
	"context"
	"errors"
	"time"

	"github.com/settled-dev/settled/internal/rules"
	"github.com/settled-dev/settled/ledger"
	"github.com/settled-dev/settled/tasks"
	"github.com/settled-dev/settled/worker"
)

type workerFlags struct {
	Servers         map[string]int `setting:"SETTLED_WORKER_SERVERS" placeholder:"QUEUE=N;..." help:"asynq servers for each queue, of critical, refunds, sweeps and low; one that is left out is not served here (default critical=1;refunds=4;sweeps=1;low=1)."`
	Concurrency     int            `setting:"SETTLED_WORKER_CONCURRENCY" default:"64" placeholder:"N" help:"Tasks that one server works on at once, 1 to 1000 (default ${default})."`
	ShutdownTimeout time.Duration  `name:"shutdown-timeout" setting:"SETTLED_SHUTDOWN_TIMEOUT" default:"10s" placeholder:"DURATION" help:"How long tasks may finish after SIGTERM before they go back to Redis (default ${default})."`
	PollOnly        bool           `name:"poll-only" setting:"SETTLED_WORKER_POLL_ONLY" help:"Ask Redis again and again instead of waiting inside it: for proxies that refuse blocking commands."`
	ChannelTimeout  time.Duration  `name:"channel-timeout" setting:"SETTLED_CHANNEL_TIMEOUT" default:"15s" placeholder:"DURATION" help:"How long a channel may take to answer a call, up to 30s (default ${default})."`
	ChannelRate     int            `name:"channel-rate" setting:"SETTLED_CHANNEL_RATE" default:"80" placeholder:"N" help:"How many calls a second this process makes to one channel for refunds, 0 for any number; WeChat Pay allows a merchant 150 in all, and 5,000 a minute of payments older than a month (default ${default})."`
	Channels        string         `setting:"SETTLED_CHANNELS" default:"none" placeholder:"WHICH" help:"Who pays refunds to channels and is asked about payments: a directory with their settings; none, they wait; or simulated, which answers at once and pays nothing (default ${default})."`
}

type workerCommand struct {
	databaseFlags
	redisFlags
	processFlags
	workerFlags
	courierFlags
}

// Help is shown below the command's summary.
func (workerCommand) Help() string {
	return `Any number of workers may run, and any of them may be killed: what it had in hand is applied by another, once. SIGTERM lets ` +
		`tasks finish and gives the rest back. A refund's leg that goes back to WeChat Pay, Alipay, UnionPay or digital RMB waits until a ` +
		`worker has that channel. --channels names a directory with the settings of each: wechat.json, and in a folder wechat the keys ` +
		`that it names. New ones are loaded when the files change, without a restart. "settled simulate channel --dir DIR" fills such ` +
		`a directory. Workers with channels also ask them about recharge orders whose payment no notice has told. Workers tell producers what ` +
		`became of their requests, at the endpoints of "settled webhook". Example:

    $ settled worker --channels /etc/settled/channels
    $ settled worker --channels simulated        # nothing is paid
    $ settled worker --servers 'sweeps=2'        # for the night, beside others`
}

// Run applies requests until ctx ends.
func (c *workerCommand) Run(ctx context.Context, p *Program) error {
	to := connection{c.databaseFlags, c.redisFlags, c.servers()}
	return p.serve(ctx, "worker", to, c.processFlags, func(h *host) error {
		if err := h.startWorker(ctx, c.workerFlags); err != nil {
			return err
		}
		return h.startCourier(ctx, c.courierFlags)
	})
}

// startWorker adds a worker, with its ledger and its client, to the process.
func (h *host) startWorker(ctx context.Context, flags workerFlags) error {
	client, err := tasks.NewClient(ctx, h.pool, tasks.NewDoorbell(h.redis), tasks.ClientConfig{Producer: "worker", Clock: h.clock,
		OnRingError: h.ringFailed})
	if err != nil {
		return err
	}
	h.onClose(client.Close)
	books, err := ledger.Open(ctx, h.pool, ledger.Config{Rules: rules.All(), Ring: worker.RingThrough(client), Registerer: h.registry,
		Clock: h.clock})
	if err != nil {
		return err
	}
	h.onClose(books.Close)
	refunders, err := h.refunders(flags.Channels)
	if err != nil {
		return err
	}
	if flags.Channels == channelsSimulated { // it is asked within the process
		flags.ChannelRate = 0
	}
	config := worker.Config{
		Ledger: books, Client: client, Pool: h.pool, Redis: h.redis, Refunders: refunders, Servers: flags.servers(),
		Concurrency: flags.Concurrency, ShutdownTimeout: flags.ShutdownTimeout, PollOnly: flags.PollOnly, ChannelTimeout: flags.ChannelTimeout,
		ChannelRate: flags.ChannelRate, Logger: h.logger, Registerer: h.registry, Clock: h.clock,
	}
	if err := h.startInquirer(client, flags.Channels); err != nil {
		return err
	}
	w, err := worker.New(ctx, config)
	if wrong := (*worker.ConfigError)(nil); errors.As(err, &wrong) {
		return &usageError{problem: err.Error()}
	} else if err != nil {
		return err
	}
	h.ready("worker", w.Ready)
	h.add("worker", func(ctx context.Context) error {
		if err := w.Start(); err != nil {
			return err
		}
		<-ctx.Done()
		stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), flags.ShutdownTimeout+drainTimeout)
		defer cancel()
		return w.Shutdown(stopping)
	})
	return nil
}

// servers is nil for the worker's own default.
func (f workerFlags) servers() map[tasks.Queue]int {
	if len(f.Servers) == 0 {
		return nil
	}
	servers := make(map[tasks.Queue]int, len(f.Servers))
	for queue, count := range f.Servers {
		servers[tasks.Queue(queue)] = count
	}
	return servers
}
