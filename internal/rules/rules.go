package rules

import (
	"github.com/settled-dev/settled/ledger"
	"github.com/settled-dev/settled/refund"
	"github.com/settled-dev/settled/wallet"
	"github.com/settled-dev/settled/wealth"
)

// All lists every rule once: one for each kind of request.
func All() []ledger.Rule {
	return []ledger.Rule{
		wallet.RechargeConfirm(),
		wallet.RechargeSuspend(),
		wallet.RewardGrant(),
		wallet.PaymentCapture(),
		wallet.TransferSend(),
		wallet.TransferReceive(),
		wallet.CreditCase(),
		wallet.ReturnCase(),
		wallet.CloseCase(),
		refund.Apply(),
		refund.Send(),
		refund.Answer(),
		refund.Revise(),
		wealth.Enrol(),
		wealth.SweepRun(),
		wealth.SweepChunk(),
	}
}
