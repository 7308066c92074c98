package wallet

import (
	"slices"

	"github.com/settled-dev/settled/ledger"
	"github.com/settled-dev/settled/money"
	"github.com/settled-dev/settled/tasks"
)

// PaymentCapture is the rule of payment:capture: each leg pays the merchant from its bucket or channel, all of them or none (W3),
// and refunds that waited for the order are woken.
func PaymentCapture() ledger.Rule { return ledger.NewRule(readPayment, capturePayment) }

// readPayment names both buckets for either: whether the user has any account decides between two refusals.
func readPayment(p *tasks.Payment, r *ledger.Reads) {
	for _, leg := range p.Legs {
		switch {
		case leg.Source.IsBalance():
			r.Account(ledger.UserCash(p.UserID))
			r.Account(ledger.UserReward(p.UserID))
		case leg.ChannelTxnID != "":
			r.Receipt(ledger.Receipt{Channel: leg.Source, TxnID: leg.ChannelTxnID})
		}
	}
}

func capturePayment(s *ledger.State, _ *ledger.Request, p *tasks.Payment) ledger.Decision {
	shares := lineShares(p)
	if reason, detail := refuseByPolicy(s.Policy(), p, shares); reason != "" {
		return ledger.Reject(reason, detail)
	}
	if reason, detail := refuseByFunds(s, p); reason != "" {
		return ledger.Reject(reason, detail)
	}
	order := &ledger.Order{ID: p.OrderID, UserID: p.UserID, MerchantID: p.MerchantID, Legs: make([]ledger.Leg, len(p.Legs)),
		Lines: allocateLines(p, shares, s.Policy().BalanceExcludedLines)}
	d := ledger.Apply("")
	d.Orders = []*ledger.Order{order}
	d.Transfers = make([]ledger.Transfer, 0, len(p.Legs))
	payable := s.Account(ledger.MerchantPayable(p.MerchantID))
	for i, leg := range p.Legs {
		order.Legs[i] = ledger.Leg{Source: leg.Source, ChannelTxnID: leg.ChannelTxnID, Captured: leg.Amount}
		if leg.ChannelTxnID != "" {
			d.Receipts = append(d.Receipts, ledger.Receipt{Channel: leg.Source, TxnID: leg.ChannelTxnID})
		}
		d.Move(s.Account(fundingAccount(p.UserID, leg.Source)), payable, leg.Amount)
	}
	d.Wakes = []string{string(tasks.PaymentCapture) + "/" + p.OrderID}
	return d
}

func fundingAccount(userID string, source tasks.Source) ledger.AccountName {
	switch source {
	case tasks.SourceCash:
		return ledger.UserCash(userID)
	case tasks.SourceReward:
		return ledger.UserReward(userID)
	default:
		return ledger.ChannelClearing(source)
	}
}

// refuseByPolicy finds what the order, the merchant or the lines do not allow, whatever the user has. The reason is empty when
// they allow the payment.
func refuseByPolicy(policy *tasks.Policy, p *tasks.Payment, shares []money.Amount) (tasks.Reason, string) {
	var balance, channels money.Amount
	for _, leg := range p.Legs {
		if leg.Source.IsBalance() {
			balance = balance.Add(leg.Amount)
		} else {
			channels = channels.Add(leg.Amount)
		}
	}
	if p.BalanceExclusive && channels.IsPositive() {
		return tasks.BalanceOnly, "channels pay " + channels.String() + " of an order that is priced for balance alone"
	}
	if balance.IsZero() {
		return "", ""
	}
	if slices.Contains(policy.MerchantsWithoutBalance, p.MerchantID) {
		return tasks.MerchantTakesNone, "merchant " + p.MerchantID + " takes no balance"
	}
	allowed := p.Total()
	for i, line := range p.Lines {
		if slices.Contains(policy.BalanceExcludedLines, line.Kind) {
			allowed = allowed.Sub(shares[i])
		}
	}
	if balance.Cmp(allowed) > 0 {
		return tasks.ExcludedLines, "balance pays " + balance.String() + ", of lines that take " + allowed.String() + " of it"
	}
	return "", ""
}

// refuseByFunds finds a leg that cannot pay. Each source stands once in a payment, so legs are independent of each other.
func refuseByFunds(s *ledger.State, p *tasks.Payment) (tasks.Reason, string) {
	for _, leg := range p.Legs {
		if !leg.Source.IsBalance() {
			receipt := ledger.Receipt{Channel: leg.Source, TxnID: leg.ChannelTxnID}
			if leg.ChannelTxnID != "" && s.Funded(receipt) {
				return tasks.ChannelPaymentUsed, usedPayment(receipt)
			}
			continue
		}
		if !s.Account(ledger.UserCash(p.UserID)).Exists() && !s.Account(ledger.UserReward(p.UserID)).Exists() {
			return tasks.NoAccount, "the user has neither a cash nor a reward account"
		}
		bucket := s.Account(fundingAccount(p.UserID, leg.Source))
		if bucket.Available().Cmp(leg.Amount) < 0 {
			return tasks.InsufficientFunds, shortOf(leg.Source, leg.Amount, bucket.Available())
		}
	}
	return "", ""
}
