package refund

import (
	"fmt"
	"time"

	"github.com/settled-dev/settled/ledger"
	"github.com/settled-dev/settled/tasks"
)

// limitOf says which limit of its channel rules out one more refund of a leg; empty when none does. The age counts from the capture, which
// is never before the payment: a channel may refuse what is let through here, and its answer counts.
func limitOf(order *ledger.Order, leg int, policy *tasks.Policy, at time.Time) string {
	paid := order.Legs[leg]
	limit := policy.RefundLimits[paid.Source]
	switch age := at.Sub(order.CapturedAt); {
	case limit.DaysMax > 0 && !order.CapturedAt.IsZero() && age > time.Duration(limit.DaysMax)*24*time.Hour:
		return fmt.Sprintf("%s takes refunds for %d days", paid.Source, limit.DaysMax)
	case limit.RefundsMax > 0 && paid.Asked >= limit.RefundsMax:
		return fmt.Sprintf("%s takes %d refunds of a payment", paid.Source, limit.RefundsMax)
	}
	return ""
}
