package refund

import (
	"fmt"

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
	if p.To == tasks.ToBalance || p.IfRefused == tasks.FallBackToBalance {
		r.Account(ledger.UserCash(p.UserID)) // the order's own accounts come with it
	}
}

func applyRefund(s *ledger.State, _ *ledger.Request, p *tasks.Refund) ledger.Decision {
	order, captured := s.Order(p.OrderID)
	if !captured {
		stranger, unpaid := notOfUser(p), notPaid(p)
		return ledger.Park(awaited(p)).OrElsewhere(stranger.Reason, stranger.Detail).OrRejected(unpaid.Reason, unpaid.Detail)
	}
	plan, refusal := NewPlan(order, p, s.Policy(), s.At())
	if refusal != nil {
		return ledger.Reject(refusal.Reason, refusal.Detail)
	}
	d := ledger.Apply(plan.String())
	d.Transfers = make([]ledger.Transfer, 0, len(plan.Parts))
	d.LegRefunds = make([]ledger.LegRefund, 0, len(plan.Parts))
	payable := s.Account(ledger.MerchantPayable(order.MerchantID))
	for _, part := range plan.Parts {
		d.Move(payable, s.Account(creditedAccount(order.UserID, part)), part.Amount)
		d.LegRefunds = append(d.LegRefunds, ledger.LegRefund{Order: order, Leg: part.Leg, Amount: part.Amount,
			Asked: part.To == ToChannel})
		switch part.To {
		case ToChannel:
			d.FollowUps = append(d.FollowUps, channelOrder(order, p, part))
		case ToPerson:
			d.Cases = append(d.Cases, unreturnable(order, p, part))
		case ToCash, ToReward:
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

// unreturnable asks a person about a part that the channel does not take back any more.
func unreturnable(order *ledger.Order, p *tasks.Refund, part Part) ledger.Case {
	return ledger.Case{Kind: ledger.UnreturnableRefund, Account: ledger.ChannelRefunding(part.Source), Amount: part.Amount,
		Detail: fmt.Sprintf("%s, so it was not asked: refund %s of order %s, of user %s", part.Limit, p.RefundID, order.ID, order.UserID)}
}

// channelOrder asks the channel for its part, and carries the consent to cash if the channel cannot pay.
func channelOrder(order *ledger.Order, p *tasks.Refund, part Part) *tasks.RefundOrder {
	leg := order.Legs[part.Leg]
	return &tasks.RefundOrder{Number: part.Number, RefundID: p.RefundID, OrderID: order.ID, UserID: order.UserID, Leg: part.Leg,
		Channel: leg.Source, ChannelTxnID: leg.ChannelTxnID, Captured: leg.Captured, Amount: part.Amount,
		Consented: p.IfRefused == tasks.FallBackToBalance, OccurredAt: p.OccurredAt}
}
