package refund

import (
	"time"

	"github.com/settled-dev/settled/ledger"
	"github.com/settled-dev/settled/tasks"
)

// Forecast is what would become of a refund at this moment: rejected when Refusal is set, parked when WaitsFor is, else applied as
// the Plan says.
type Forecast struct {
	Plan     Plan
	Refusal  *Refusal
	WaitsFor string
}

// Absence is what is known of the payment of an order that was not captured.
type Absence int

// The absences.
const (
	PaymentAwaited   Absence = iota // it was not asked for yet, or is undecided
	PaymentElsewhere                // it was asked of a book that is not the refund's user's
	PaymentRejected
)

// Foresee says what the rule of refund:apply would decide. It is pure, and changes nothing. order is nil when it was not captured;
// absence then says why, and counts for nothing otherwise. at is when it would be decided.
func Foresee(order *ledger.Order, absence Absence, refund *tasks.Refund, policy *tasks.Policy, at time.Time) Forecast {
	switch {
	case order != nil:
		plan, refusal := NewPlan(order, refund, policy, at)
		return Forecast{Plan: plan, Refusal: refusal}
	case absence == PaymentElsewhere:
		return Forecast{Refusal: notOfUser(refund)}
	case absence == PaymentRejected:
		return Forecast{Refusal: notPaid(refund)}
	default:
		return Forecast{WaitsFor: awaited(refund)}
	}
}
