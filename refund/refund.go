package refund

import (
	"github.com/settled-dev/settled/ledger"
	"github.com/settled-dev/settled/tasks"
)

// Apply is the rule of refund:apply. Until its order is captured it is parked; when the payment is rejected, so is the refund. A payment
// lives in its user's book: one that was asked of another book is another user's.
func Apply() ledger.Rule { return ledger.NewRule(readRefund, applyRefund) }

func readRefund(p *tasks.Refund, r *ledger.Reads) {
	if len(p.Lines) > 0 {
		r.OrderWithLines(p.OrderID)
	} else {
		r.Order(p.OrderID)
	}
	if p.To == tasks.ToBalance {
		r.Account(ledger.UserCash(p.UserID)) // the order's own accounts come with it
	}
}

func applyRefund(s *ledger.State, _ *ledger.Request, p *tasks.Refund) ledger.Decision {
	order, captured := s.Order(p.OrderID)
	if !captured {
		stranger, unpaid := notOfUser(p), notPaid(p)
		return ledger.Park(awaited(p)).OrElsewhere(stranger.Reason, stranger.Detail).OrRejected(unpaid.Reason, unpaid.Detail)
	}
	plan, refusal := NewPlan(order, p, s.Policy().RefundSplit)
	if refusal != nil {
		return ledger.Reject(refusal.Reason, refusal.Detail)
	}
	d := ledger.Apply(plan.String())
	d.Transfers = make([]ledger.Transfer, 0, len(plan.Parts))
	d.LegRefunds = make([]ledger.LegRefund, 0, len(plan.Parts))
	payable := s.Account(ledger.MerchantPayable(order.MerchantID))
	for _, part := range plan.Parts {
		d.Move(payable, s.Account(creditedAccount(order.UserID, part)), part.Amount)
		d.LegRefunds = append(d.LegRefunds, ledger.LegRefund{Order: order, Leg: part.Leg, Amount: part.Amount})
		if part.To == ToChannel {
			d.FollowUps = append(d.FollowUps, channelOrder(order, p, part))
		}
	}
	for _, line := range plan.Lines {
		d.LineRefunds = append(d.LineRefunds, ledger.LineRefund{Order: order, LineID: line.LineID, PerLeg: line.PerLeg})
	}
	return d
}

// awaited is what a refund waits for whose order is not captured.
func awaited(p *tasks.Refund) string { return string(tasks.PaymentCapture) + "/" + p.OrderID }

func creditedAccount(userID string, part Part) ledger.AccountName {
	switch part.To {
	case ToCash:
		return ledger.UserCash(userID)
	case ToReward:
		return ledger.UserReward(userID)
	default:
		return ledger.ChannelRefunding(part.Source)
	}
}

// channelOrder asks the channel for its part. A refund to the origin carries no consent to anything else, so the money of one that
// the channel cannot pay waits for a person.
func channelOrder(order *ledger.Order, p *tasks.Refund, part Part) *tasks.RefundOrder {
	leg := order.Legs[part.Leg]
	return &tasks.RefundOrder{Number: part.Number, RefundID: p.RefundID, OrderID: order.ID, UserID: order.UserID, Leg: part.Leg,
		Channel: leg.Source, ChannelTxnID: leg.ChannelTxnID, Captured: leg.Captured, Amount: part.Amount, Consented: false,
		OccurredAt: p.OccurredAt}
}
