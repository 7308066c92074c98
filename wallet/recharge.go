package wallet

import (
	"github.com/settled-dev/settled/ledger"
	"github.com/settled-dev/settled/tasks"
)

// RechargeConfirm is the rule of recharge:confirm: a payment that a channel has confirmed becomes the user's cash, once (W1).
func RechargeConfirm() ledger.Rule { return ledger.NewRule(readRecharge, confirmRecharge) }

func readRecharge(p *tasks.Recharge, r *ledger.Reads) {
	r.Receipt(ledger.Receipt{Channel: p.Channel, TxnID: p.ChannelTxnID})
	r.Account(ledger.UserCash(p.UserID))
}

func confirmRecharge(s *ledger.State, _ *ledger.Request, p *tasks.Recharge) ledger.Decision {
	receipt := ledger.Receipt{Channel: p.Channel, TxnID: p.ChannelTxnID}
	if s.Funded(receipt) {
		return ledger.Reject(tasks.ChannelPaymentUsed, usedPayment(receipt))
	}
	d := ledger.Apply("")
	d.Receipts = []ledger.Receipt{receipt}
	d.Move(s.Account(ledger.ChannelClearing(p.Channel)), s.Account(ledger.UserCash(p.UserID)), p.Amount)
	return d
}

func usedPayment(receipt ledger.Receipt) string {
	return string(receipt.Channel) + " payment " + receipt.TxnID + " has funded another request"
}
