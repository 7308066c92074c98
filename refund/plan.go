package refund

import (
	"fmt"
	"strings"
	"time"

	"github.com/settled-dev/settled/ledger"
	"github.com/settled-dev/settled/money"
	"github.com/settled-dev/settled/tasks"
)

// Destination is where a part of a refund goes.
type Destination string

// The destinations.
const (
	ToCash    Destination = "cash"
	ToReward  Destination = "reward"
	ToChannel Destination = "channel" // back to the channel that paid
	ToPerson  Destination = "person"  // a case: the channel is not asked, and nobody has consented to cash
)

// Plan is what a refund gives back, before it is applied. What a preview shows is what a refund at the same moment does.
type Plan struct {
	Parts []Part // one for each leg that gives back, in the order of the legs
	Lines []LinePart
}

// Part is what one leg gives back.
type Part struct {
	Leg    int
	Source tasks.Source
	Amount money.Amount
	To     Destination
	Number string // the refund number at the channel; empty for parts that no channel pays
	Limit  string // why the channel that paid is not asked; empty when nothing stands against it
}

// LinePart is what goes back for one line, by leg.
type LinePart struct {
	LineID string
	PerLeg []money.Amount
}

// Refusal says why an order cannot give back what a refund asks.
type Refusal struct {
	Reason tasks.Reason
	Detail string
}

// NewPlan plans a refund of an order that has been captured. It is pure, and changes neither. It needs the order's lines when the
// refund names lines. A channel is not asked at a time, or as often, as the policy's limits rule out. The refusal is nil when the refund
// is possible.
func NewPlan(order *ledger.Order, refund *tasks.Refund, policy *tasks.Policy, at time.Time) (Plan, *Refusal) {
	if refusal := refuse(order, refund); refusal != nil {
		return Plan{}, refusal
	}
	perLeg := make([]money.Amount, len(order.Legs))
	var plan Plan
	if len(refund.Lines) == 0 {
		perLeg = Split(order, refund.Amount, policy.RefundSplit)
	} else {
		for i, row := range SplitLines(order, refund.Lines) {
			plan.Lines = append(plan.Lines, LinePart{LineID: refund.Lines[i].LineID, PerLeg: row})
			for j, part := range row {
				perLeg[j] = perLeg[j].Add(part)
			}
		}
	}
	for j, amount := range perLeg {
		if amount.IsZero() {
			continue
		}
		part := Part{Leg: j, Source: order.Legs[j].Source, Amount: amount, To: destination(order.Legs[j].Source, refund.To)}
		if part.To == ToChannel {
			part.Limit = policy.BeyondLimit(order.Legs[j].Source, order.CapturedAt, at, order.Legs[j].Asked)
		}
		switch {
		case part.Limit != "" && refund.IfRefused == tasks.FallBackToBalance:
			part.To = ToCash
		case part.Limit != "":
			part.To = ToPerson
		case part.To == ToChannel:
			part.Number = Number(refund.RefundID, j)
		}
		plan.Parts = append(plan.Parts, part)
	}
	return plan, nil
}

// destination keeps reward in its bucket whatever the refund asks for (R3).
func destination(source tasks.Source, to tasks.RefundTarget) Destination {
	switch {
	case source == tasks.SourceReward:
		return ToReward
	case source == tasks.SourceCash, to == tasks.ToBalance:
		return ToCash
	default:
		return ToChannel
	}
}

func refuse(order *ledger.Order, refund *tasks.Refund) *Refusal {
	if order.UserID != refund.UserID {
		return notOfUser(refund)
	}
	if remaining := order.Remaining(); refund.Amount.Cmp(remaining) > 0 {
		return &Refusal{tasks.ExceedsRefundable, tooMuch("order "+order.ID, refund.Amount, remaining)}
	}
	for _, asked := range refund.Lines {
		line, ok := order.Line(asked.LineID)
		if !ok {
			return &Refusal{tasks.UnknownLine, "order " + order.ID + " has no line " + asked.LineID}
		}
		if remaining := LineRemaining(line); asked.Amount.Cmp(remaining) > 0 {
			return &Refusal{tasks.ExceedsLine, tooMuch("line "+asked.LineID, asked.Amount, remaining)}
		}
	}
	return nil
}

func notOfUser(refund *tasks.Refund) *Refusal {
	return &Refusal{tasks.OrderOfAnotherUser, "order " + refund.OrderID + " is not of user " + refund.UserID}
}

func notPaid(refund *tasks.Refund) *Refusal {
	return &Refusal{tasks.PaymentRejected, "the payment of order " + refund.OrderID + " is rejected"}
}

func tooMuch(what string, asked, remaining money.Amount) string {
	return fmt.Sprintf("%s: asked %s, remaining %s", what, asked, remaining)
}

// String tells the parts in one line: "cash 24.00 to cash, wechat 6.00 to channel as rf0123".
func (p Plan) String() string {
	var text strings.Builder
	for i, part := range p.Parts {
		if i > 0 {
			text.WriteString(", ")
		}
		text.WriteString(string(part.Source) + " " + part.Amount.String() + " to " + string(part.To))
		if part.Number != "" {
			text.WriteString(" as " + part.Number)
		}
		if part.Limit != "" {
			text.WriteString(" (" + part.Limit + ")")
		}
	}
	return text.String()
}
