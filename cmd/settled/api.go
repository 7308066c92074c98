package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/settled-dev/settled/intake"
	"github.com/settled-dev/settled/intake/access"
	"github.com/settled-dev/settled/intake/notice"
	"github.com/settled-dev/settled/intake/recharge"
	"github.com/settled-dev/settled/ledger"
	"github.com/settled-dev/settled/tasks"
	"github.com/settled-dev/settled/webhook"
)

type apiCommand struct {
	databaseFlags
	redisFlags
	processFlags

	apiFlags
}

// apiFlags are those of the API's server.
type apiFlags struct {
	Listen   string `setting:"SETTLED_LISTEN" default:"127.0.0.1:8080" placeholder:"ADDRESS" help:"Where to serve the API (default ${default})."`
	Channels string `setting:"SETTLED_CHANNELS" default:"none" placeholder:"DIR" help:"Directory of the channels whose notices are taken, or none (default ${default})."`
	Rate     int    `setting:"SETTLED_RATE" default:"10000" placeholder:"N" help:"Items a second that one key may ask of this process (default ${default})."`
	Burst    int    `setting:"SETTLED_BURST" default:"50000" placeholder:"N" help:"Items that one key may ask at once (default ${default})."`

	WebhooksAllowPrivate bool `name:"webhooks-allow-private" setting:"SETTLED_WEBHOOKS_ALLOW_PRIVATE" help:"Let producers make webhook endpoints at private and loopback addresses and with plain http too; the workers must be told so as well."`

	ringAfter time.Duration // of what is accepted; 0 is the client's own
}

func (f apiFlags) check() error {
	for _, limit := range []struct {
		name  string
		value int
	}{{"SETTLED_RATE", f.Rate}, {"SETTLED_BURST", f.Burst}} {
		if limit.value < 1 || limit.value > limitMax {
			return &usageError{problem: fmt.Sprintf("%s is %d; allowed: 1 to %d", limit.name, limit.value, limitMax)}
		}
	}
	return nil
}

// limitMax is more than any server answers.
const limitMax = 1_000_000_000

// Help is shown below the command's summary.
func (apiCommand) Help() string {
	return `Answers 202 once a request is stored durably, 200 for a replay, 409 for a conflict, 422 for a field that is not allowed, 503 ` +
		`when PostgreSQL is away, also when it was when this process started. The routes are described at /docs, for people, and at /openapi.json, each with the scopes that it needs. Every call needs an API ` +
		`key: 401 without a valid one, 403 when it lacks a scope, which is named, 429 when it asks for more items than --rate and ` +
		`--burst let through. Serve it behind TLS: a key is as good as its secrecy. Only channels need no key: their notices, at ` +
		`/v1/notices/ and the channel's name, are signed; --channels names a directory as for settled worker. Example:

    $ settled api &
    $ KEY=$(settled key create --producer shop --scope rewards:write --scope read)
    $ curl -i -H "Authorization: Bearer $KEY" -H 'Content-Type: application/json' \
      http://127.0.0.1:8080/v1/requests/reward:grant -d '{"reward_id":"rw1",
      "user_id":"u1","campaign_id":"c1","amount":"5.00","occurred_at":"2026-01-02T12:00:00+08:00"}'
    $ curl -H "Authorization: Bearer $KEY" http://127.0.0.1:8080/v1/requests/reward:grant/rw1
    $ curl -H "Authorization: Bearer $KEY" http://127.0.0.1:8080/v1/users/u1/balances

SIGTERM ends it once the requests under way are answered.`
}

// apiMemoryBytes is what the API's process may hold before garbage is collected more often than usual. The lists that it has in memory at
// once (intake.ListsInMemory) live in some 300 MiB, headroom included, and would gather five times that (docs/adr/0012).
const apiMemoryBytes = 512 << 20

// Run serves until ctx ends.
func (c *apiCommand) Run(ctx context.Context, p *Program) error {
	if err := c.apiFlags.check(); err != nil {
		return err
	}
	if p.LimitMemory != nil {
		p.LimitMemory(apiMemoryBytes)
	}
	to := connection{databaseFlags: c.databaseFlags, redisFlags: c.redisFlags}
	listen := func(h *host) error {
		ports, err := h.ports(c.Channels)
		if err != nil {
			return err
		}
		return h.listenAPI(ctx, c.Listen, notice.NewAway(ports, h.clock))
	}
	return p.serve(ctx, "api", to, c.processFlags, func(h *host) error { return h.startAPI(ctx, c.apiFlags) }, listen)
}

// startAPI opens the HTTP API of the process to everybody.
func (h *host) startAPI(ctx context.Context, flags apiFlags) error {
	if err := flags.check(); err != nil {
		return err
	}
	client, err := tasks.NewClient(ctx, h.pool, tasks.NewDoorbell(h.redis), tasks.ClientConfig{Producer: "api", Clock: h.clock,
		RingAfter: flags.ringAfter, OnRingError: h.ringFailed, OnCommit: intake.NewCommitMetrics(h.registry).Observe})
	if err != nil {
		return err
	}
	h.onClose(client.Close)
	guard := access.NewGuard(access.Config{Pool: h.pool, Rate: float64(flags.Rate), Burst: flags.Burst, Registerer: h.registry, Clock: h.clock})
	ports, err := h.ports(flags.Channels)
	if err != nil {
		return err
	}
	orders := recharge.NewOrders(h.pool, client.Books(), h.clock)
	notices := notice.NewHandler(notice.Config{Ports: ports, Pool: h.pool, Recharges: orders, Client: client, Registerer: h.registry,
		Logger: h.logger, Clock: h.clock})
	api := intake.NewAPI(intake.Config{Client: client, Reader: ledger.NewReader(h.pool), Recharges: orders, Notices: notices, Access: guard,
		Webhooks:   &webhook.Registry{Pool: h.pool, Guard: webhook.Guard{AllowPrivate: flags.WebhooksAllowPrivate}},
		Registerer: h.registry, Logger: h.logger, Clock: h.clock, HeadroomBytes: intake.Headroom, Version: version()})
	if err := h.listenAPI(ctx, flags.Listen, nil); err != nil {
		return err
	}
	h.add("api's long calls", func(ctx context.Context) error {
		<-ctx.Done()
		api.Drain()
		return nil
	})
	h.apiEntrance.lead(api)
	return nil
}

// listenAPI opens the API's address and serves there that the books are away, until startAPI; unless it is open. What is to call the
// API may have to know its address first. notices are as for intake.NewAway.
func (h *host) listenAPI(ctx context.Context, address string, notices http.Handler) error {
	if h.apiEntrance != nil {
		return nil
	}
	listener, err := listen(ctx, "--listen", "SETTLED_LISTEN", address)
	if err != nil {
		return err
	}
	h.onClose(func() { _ = listener.Close() }) // serving has closed it, unless it never began
	h.apiAddress = "http://" + listener.Addr().String()
	h.apiEntrance = newEntrance(intake.NewAway(version(), notices))
	h.add("api", func(ctx context.Context) error {
		return serveHTTP(ctx, listener, h.apiEntrance, h.logger, intake.BusiestPaths()...)
	})
	h.logger.Info("api listens", slog.String("address", listener.Addr().String()))
	return nil
}
