package main

import (
	"context"

	"github.com/settled-dev/settled/internal/postgres"
	"github.com/settled-dev/settled/webhook"
)

type courierFlags struct {
	Webhooks             bool `setting:"SETTLED_WEBHOOKS" default:"true" negatable:"" help:"Tell producers what became of their requests (the default); --no-webhooks leaves it to other workers."`
	WebhooksAllowPrivate bool `name:"webhooks-allow-private" setting:"SETTLED_WEBHOOKS_ALLOW_PRIVATE" help:"Call private and loopback addresses and plain http too: inside a closed network, and to try it out."`
}

// startCourier adds the courier of outcome webhooks to the process. Its connections are its own: the ledger waits for none of them.
func (h *host) startCourier(ctx context.Context, flags courierFlags) error {
	if !flags.Webhooks {
		return nil
	}
	pool, err := postgres.Open(ctx, h.databaseURL, postgres.MaxConns(webhook.ConnsWanted), postgres.ApplicationName("settled "+h.name+" webhooks"))
	if err != nil {
		return err
	}
	h.onClose(pool.Close)
	courier := webhook.NewCourier(webhook.Config{Pool: pool, Guard: webhook.Guard{AllowPrivate: flags.WebhooksAllowPrivate}, Clock: h.clock,
		Registerer: h.registry, Logger: h.logger})
	h.add("webhooks", courier.Run)
	return nil
}
