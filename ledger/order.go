package ledger

import (
	"time"

	"github.com/settled-dev/settled/money"
	"github.com/settled-dev/settled/tasks"
)

// Order is a captured payment with what was given back of it.
type Order struct {
	ID         string
	UserID     string
	MerchantID string
	CapturedAt time.Time // zero of one that is captured in the same batch
	Legs       []Leg
	Lines      []Line // in the order of the payment; loaded only where a rule reads them
}

// Leg is one funding source of an order. Its number is its index.
type Leg struct {
	Source       tasks.Source
	ChannelTxnID string
	Captured     money.Amount
	Refunded     money.Amount
	Asked        int // how many refunds of the leg its channel was to be asked for, whatever became of them
}

// Remaining is what can still be given back to the leg.
func (l Leg) Remaining() money.Amount { return l.Captured.Sub(l.Refunded) }

// Line is one position of an order. Allocated and Refunded have an entry per leg: what the leg paid of the line, and what went back
// to the leg for it. A coupon line is allocated nothing.
type Line struct {
	ID        string
	Kind      tasks.LineKind
	Amount    money.Amount
	Allocated []money.Amount
	Refunded  []money.Amount
}

// Captured is what the legs paid together.
func (o *Order) Captured() money.Amount {
	var sum money.Amount
	for _, leg := range o.Legs {
		sum = sum.Add(leg.Captured)
	}
	return sum
}

// Remaining is what can still be refunded of the order.
func (o *Order) Remaining() money.Amount {
	var sum money.Amount
	for _, leg := range o.Legs {
		sum = sum.Add(leg.Remaining())
	}
	return sum
}

// Line finds a line by its id.
func (o *Order) Line(id string) (*Line, bool) {
	for i := range o.Lines {
		if o.Lines[i].ID == id {
			return &o.Lines[i], true
		}
	}
	return nil, false
}

// Enrolment is a user's standing consent to be swept into a product.
type Enrolment struct {
	ProductID      string
	UserID         string
	Keep           money.Amount
	ConsentVersion string
	OccurredAt     time.Time // when the user consented; a later consent replaces an earlier one, in whichever order they arrive
	Cash, Wealth   *Account
}

// Subscription is what one night's sweep moved for one user. Its transfer is the decision's Transfers[Transfer].
type Subscription struct {
	ProductID    string
	BusinessDate string
	UserID       string
	Amount       money.Amount
	Keep         money.Amount
	CashAfter    money.Amount
	Transfer     int
}
