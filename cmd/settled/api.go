package main

import (
	"context"
	"log/slog"

	"github.com/settled-dev/settled/intake"
	"github.com/settled-dev/settled/ledger"
	"github.com/settled-dev/settled/tasks"
)

type apiCommand struct {
	databaseFlags
	redisFlags
	processFlags

	Listen string `setting:"SETTLED_LISTEN" default:"127.0.0.1:8080" placeholder:"ADDRESS" help:"Where to serve the API (default ${default})."`
}

// Help is shown below the command's summary.
func (apiCommand) Help() string {
	return `Answers 202 once a request is stored durably, 200 for a replay, 409 for a conflict, 422 for a field that is not allowed, 503 ` +
		`when PostgreSQL is away. The routes are described at /openapi.json. There is no log-in yet: listen where only producers ` +
		`reach it. Example:

    $ settled api &
    $ curl -i -H 'Content-Type: application/json' http://127.0.0.1:8080/v1/requests/reward:grant -d '{"reward_id":"rw1",
      "user_id":"u1","campaign_id":"c1","amount":"5.00","occurred_at":"2026-01-02T12:00:00+08:00"}'
    $ curl http://127.0.0.1:8080/v1/requests/reward:grant/rw1
    $ curl http://127.0.0.1:8080/v1/users/u1/balances

SIGTERM ends it once the requests under way are answered.`
}

// Run serves until ctx ends.
func (c *apiCommand) Run(ctx context.Context, p *Program) error {
	return p.serve(ctx, "api", connection{databaseFlags: c.databaseFlags, redisFlags: c.redisFlags}, c.processFlags, func(h *host) error {
		return h.startAPI(ctx, c.Listen)
	})
}

// startAPI adds the HTTP API to the process.
func (h *host) startAPI(ctx context.Context, address string) error {
	client, err := tasks.NewClient(ctx, h.pool, tasks.NewDoorbell(h.redis), tasks.ClientConfig{Producer: "api", Clock: h.clock,
		OnRingError: h.ringFailed})
	if err != nil {
		return err
	}
	h.onClose(client.Close)
	api := intake.NewAPI(intake.Config{Client: client, Reader: ledger.NewReader(h.pool), Registerer: h.registry, Logger: h.logger,
		Clock: h.clock, Version: version()})
	listener, err := listen(ctx, "SETTLED_LISTEN", address)
	if err != nil {
		return err
	}
	h.onClose(func() { _ = listener.Close() }) // serving has closed it, unless it never began
	h.apiAddress = "http://" + listener.Addr().String()
	h.logger.Info("api listens", slog.String("address", listener.Addr().String()))
	h.add("api", func(ctx context.Context) error { return serveHTTP(ctx, listener, api, h.logger) })
	return nil
}
