package main

import (
	"github.com/settled-dev/settled/intake/inquiry"
	"github.com/settled-dev/settled/intake/notice"
	"github.com/settled-dev/settled/intake/recharge"
	"github.com/settled-dev/settled/tasks"
)

// startInquirer adds what asks channels about recharge orders to the process. Without channels it asks nobody, and counts what waits.
func (h *host) startInquirer(client *tasks.Client, channels string) error {
	ports, err := h.ports(channels)
	if err != nil {
		return err
	}
	payments := &notice.Payments{Recharges: recharge.NewOrders(h.pool, client.Books(), h.clock), Client: client, Logger: h.logger}
	inquirer := inquiry.New(inquiry.Config{Ports: ports, Pool: h.pool, Payments: payments, Clock: h.clock, Registerer: h.registry,
		Logger: h.logger})
	h.add("inquiries", inquirer.Run)
	return nil
}
