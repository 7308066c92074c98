package refund

import (
	"time"

	"github.com/settled-dev/settled/ledger"
	"github.com/settled-dev/settled/tasks"
)

// limitOf says which limit of its channel rules out one more refund of a leg; empty when none does. The age counts from the capture, which
// is never before the payment: a channel may refuse what is let through here, and its answer counts.
func limitOf(order *ledger.Order, leg int, policy *tasks.Policy, at time.Time) string {
	paid, age := order.Legs[leg], time.Duration(0)
	if !order.CapturedAt.IsZero() {
		age = at.Sub(order.CapturedAt)
	}
	return policy.BeyondLimit(paid.Source, age, paid.Asked)
}
