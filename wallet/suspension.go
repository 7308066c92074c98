package wallet

import (
	"fmt"

	"github.com/settled-dev/settled/ledger"
	"github.com/settled-dev/settled/tasks"
)

// RechargeSuspend is the rule of recharge:suspend: a channel's payment that no recharge order explains is kept in suspense, once (W1),
// and a person is asked. When the policy says so of the cause, a follow-up asks in the person's place for the return of the case; a return
// that fails is a person's again. It can never be credited as well: whichever of both is applied first has the payment.
func RechargeSuspend() ledger.Rule { return ledger.NewRule(readSuspension, suspendRecharge) }

func readSuspension(p *tasks.Suspension, r *ledger.Reads) {
	r.Receipt(ledger.Receipt{Channel: p.Channel, TxnID: p.ChannelTxnID})
}

func suspendRecharge(s *ledger.State, request *ledger.Request, p *tasks.Suspension) ledger.Decision {
	receipt := ledger.Receipt{Channel: p.Channel, TxnID: p.ChannelTxnID}
	if s.Funded(receipt) {
		return ledger.Reject(tasks.ChannelPaymentUsed, usedPayment(receipt))
	}
	suspense := ledger.Suspense(p.Channel)
	d := ledger.Apply("no recharge (" + string(p.Cause) + "), a person decides")
	if s.Policy().Returns(p.Cause) {
		d = d.WithDetail("no recharge (" + string(p.Cause) + "), it is sent back")
		opened := tasks.CaseRef{Book: s.Book(), Request: request.ID} // the one case below
		d.FollowUps = []tasks.Payload{&tasks.CaseReturn{CaseID: opened.String(), By: tasks.BySettled,
			Note: "policy: returned_suspensions has " + string(p.Cause)}}
	}
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
