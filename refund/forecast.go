package refund

import (
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

// Foresee says what the rule of refund:apply would decide. It is pure, and changes nothing. order is nil when it was not captured;
// elsewhere then says that its payment was asked of a book that is not the refund's user's.
func Foresee(order *ledger.Order, elsewhere bool, refund *tasks.Refund, how tasks.RefundSplit) Forecast {
	switch {
	case order == nil && elsewhere:
		return Forecast{Refusal: notOfUser(refund)}
	case order == nil:
		return Forecast{WaitsFor: awaited(refund)}
	}
	plan, refusal := NewPlan(order, refund, how)
	return Forecast{Plan: plan, Refusal: refusal}
}
