package wallet

import (
	"fmt"

	"github.com/settled-dev/settled/ledger"
	"github.com/settled-dev/settled/tasks"
)

// RechargeSuspend is the rule of recharge:suspend: a channel's payment that no recharge order explains is kept in suspense, once (W1),
// and a person is asked. It can never be credited as well: whichever of both is applied first has the payment.
func RechargeSuspend() ledger.Rule { return ledger.NewRule(readSuspension, suspendRecharge) }

func readSuspension(p *tasks.Suspension, r *ledger.Reads) {
	r.Receipt(ledger.Receipt{Channel: p.Channel, TxnID: p.ChannelTxnID})
}

func suspendRecharge(s *ledger.State, _ *ledger.Request, p *tasks.Suspension) ledger.Decision {
	receipt := ledger.Receipt{Channel: p.Channel, TxnID: p.ChannelTxnID}
	if s.Funded(receipt) {
		return ledger.Reject(tasks.ChannelPaymentUsed, usedPayment(receipt))
	}
	suspense := ledger.Suspense(p.Channel)
	d := ledger.Apply("no recharge (" + string(p.Cause) + "), a person decides")
	d.Receipts = []ledger.Receipt{receipt}
	d.Move(s.Account(ledger.ChannelClearing(p.Channel)), s.Account(suspense), p.Amount)
	d.Cases = []ledger.Case{{Kind: ledger.UnmatchedRecharge, Account: suspense, Amount: p.Amount, Detail: describeSuspension(p)}}
	return d
}

// describeSuspension says all that is known of the payment. The order's number is the channel's text.
func describeSuspension(p *tasks.Suspension) string {
	text := fmt.Sprintf("%s payment %s under the order number %q: %s", p.Channel, p.ChannelTxnID, p.OutTradeNo, p.Cause)
	if p.RechargeID != "" {
		text += fmt.Sprintf("; recharge order %s of user %s", p.RechargeID, p.UserID)
	}
	return text
}
