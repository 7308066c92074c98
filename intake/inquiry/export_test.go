package inquiry

import (
	"context"

	"github.com/settled-dev/settled/intake/recharge"
	"github.com/settled-dev/settled/tasks"
)

// The bounds that tests go by.
const (
	CallsMax = callsMax
	PerCall  = perCall
	LookMax  = lookMax
	Lease    = lease
	PauseMin = pauseMin
	PauseMax = pauseMax
	CountMax = countMax

	ClaimSQL, BacklogSQL = claimSQL, backlogSQL
)

// Page asks one channel about a page of what is due.
func (q *Inquirer) Page(ctx context.Context, source tasks.Source) (more bool, err error) {
	return q.page(ctx, source)
}

// Claim claims what is due at a channel and does no more with it, as a process that dies then.
func (q *Inquirer) Claim(ctx context.Context, source tasks.Source) ([]recharge.Order, error) {
	claimed, _, err := q.claim(ctx, source, callsMax*perCall)
	orders := make([]recharge.Order, len(claimed))
	for i, d := range claimed {
		orders[i] = d.order
	}
	return orders, err
}

// Count counts what waits, for the metrics.
func (q *Inquirer) Count(ctx context.Context) error { return q.count(ctx) }
