package roster

import (
	"context"
	"errors"
	"fmt"

	"github.com/settled-dev/settled/channel"
	"github.com/settled-dev/settled/tasks"
)

// ErrNotConfigured is returned by a refunder whose channel has no settings yet: the refund waits.
var ErrNotConfigured = errors.New("channel has no settings")

// Refunders returns a refunder for every channel. Each call goes through the port that the roster has at that time, and returns
// ErrNotConfigured, wrapped, where it has none.
func (r *Roster) Refunders() map[tasks.Source]channel.Refunder {
	refunders := map[tasks.Source]channel.Refunder{}
	for _, source := range tasks.Channels() {
		refunders[source] = refunder{roster: r, source: source}
	}
	return refunders
}

type refunder struct {
	roster *Roster
	source tasks.Source
}

// Refund implements channel.Refunder.
func (f refunder) Refund(ctx context.Context, order tasks.RefundOrder) (channel.RefundAnswer, error) {
	port, err := f.port()
	if err != nil {
		return channel.RefundAnswer{}, err
	}
	return port.Refund(ctx, order)
}

// Query implements channel.Refunder.
func (f refunder) Query(ctx context.Context, order tasks.RefundOrder) (channel.RefundAnswer, error) {
	port, err := f.port()
	if err != nil {
		return channel.RefundAnswer{}, err
	}
	return port.Query(ctx, order)
}

func (f refunder) port() (channel.Port, error) {
	port, found := f.roster.Port(f.source)
	if !found {
		return nil, fmt.Errorf("%s: %w", f.source, ErrNotConfigured)
	}
	return port, nil
}
