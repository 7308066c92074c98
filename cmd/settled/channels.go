package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/settled-dev/settled/channel"
	"github.com/settled-dev/settled/channel/roster"
	"github.com/settled-dev/settled/intake/notice"
	"github.com/settled-dev/settled/tasks"
)

// The values of --channels that are no directory.
const (
	channelsNone      = "none"
	channelsSimulated = "simulated" // answers for all channels, inside the worker, and pays nothing
)

// channelTimeout bounds a call to a channel, whoever makes it; a worker's own bound is shorter.
const channelTimeout = 30 * time.Second

// openRoster loads the channels of a directory and watches it: once for all services of this process.
func (h *host) openRoster(dir string) (*roster.Roster, error) {
	if h.roster != nil {
		return h.roster, nil
	}
	client := &http.Client{Timeout: channelTimeout, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse // a signed request goes to where its settings say, and nowhere else
	}}
	opened, err := roster.Open(dir, client, h.logger)
	if err != nil {
		return nil, &usageError{problem: fmt.Sprintf("SETTLED_CHANNELS is %s: %v", quoted(dir), err)}
	}
	h.registry.MustRegister(opened)
	h.add("channels", func(ctx context.Context) error { return opened.Run(ctx, h.clock) })
	h.roster = opened
	return opened, nil
}

// ports are the channels whose notices an API takes, and that a worker asks about payments.
func (h *host) ports(channels string) (notice.Ports, error) {
	switch channels {
	case "", channelsNone, channelsSimulated: // the worker's simulator knows of no payments
		return noPorts{}, nil
	}
	return h.openRoster(channels)
}

// noPorts has no channel.
type noPorts struct{}

func (noPorts) Port(tasks.Source) (channel.Port, bool) { return nil, false }

// refunders are the channels that a worker pays refunds through; nil for none.
func (h *host) refunders(channels string) (map[tasks.Source]channel.Refunder, error) {
	switch channels {
	case channelsNone:
		return nil, nil
	case channelsSimulated:
		h.logger.Warn("channels are simulated: refunds to them are booked as paid, and nothing is paid")
		simulator := channel.NewSimulator(channel.SimulatorConfig{})
		refunders := map[tasks.Source]channel.Refunder{}
		for _, source := range tasks.Channels() {
			refunders[source] = simulator
		}
		return refunders, nil
	}
	opened, err := h.openRoster(channels)
	if err != nil {
		return nil, err
	}
	for _, source := range tasks.Channels() {
		if _, found := opened.Port(source); !found {
			h.logger.Warn("channel has no settings yet: its refunds wait", slog.String("channel", string(source)))
		}
	}
	return opened.Refunders(), nil
}
