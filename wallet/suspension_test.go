package wallet_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/settled-dev/settled/ledger"
	"github.com/settled-dev/settled/tasks"
	"github.com/settled-dev/settled/wallet"
)

func suspension(t testing.TB, txn, amount string) *tasks.Suspension {
	t.Helper()
	return &tasks.Suspension{Channel: tasks.SourceAlipay, ChannelTxnID: txn, OutTradeNo: "RC1", Amount: yuan(t, amount),
		Cause: tasks.WrongAmount, UserID: "ada", RechargeID: "rc-1", OccurredAt: occurredAt}
}

func TestPaymentThatIsNoRechargeIsKeptInSuspenseAndAPersonIsAsked(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*tasks.Suspension)
		detail string
	}{
		"of a known order": {func(*tasks.Suspension) {},
			`alipay payment t1 under the order number "RC1": wrong_amount; recharge order rc-1 of user ada`},
		"of an unknown order": {func(p *tasks.Suspension) {
			p.Cause, p.UserID, p.RechargeID, p.OutTradeNo = tasks.UnknownOrder, "", "", "no|such*\u200bnumber"
		}, `alipay payment t1 under the order number "no|such*\u200bnumber": unknown_order`},
	} {
		f := setup(1).payment(tasks.SourceAlipay, "t1", false)
		p := suspension(t, "t1", "99.99")
		c.change(p)
		d := f.decide(t, wallet.RechargeSuspend(), p)
		wantMoves(t, d, move{"channel/alipay/clearing", "suspense/alipay", "99.99"})
		if diff := cmp.Diff([]ledger.Receipt{{Channel: tasks.SourceAlipay, TxnID: "t1"}}, d.Receipts); diff != "" {
			t.Errorf("%s: receipts (-want +got):\n%s", name, diff)
		}
		want := []ledger.Case{{Kind: "unmatched_recharge", Account: "suspense/alipay", Amount: yuan(t, "99.99"), Detail: c.detail}}
		if diff := cmp.Diff(want, d.Cases); diff != "" {
			t.Errorf("%s: cases (-want +got):\n%s", name, diff)
		}
	}
}

func TestPaymentIsCreditedOrSuspendedAndNeverBoth(t *testing.T) {
	t.Parallel()
	f := setup(1).user("ada", 0, notOpened).payment(tasks.SourceAlipay, "t1", false).payment(tasks.SourceAlipay, "t2", false)
	const used = "alipay payment t1 has funded another request"
	f.decide(t, wallet.RechargeConfirm(), recharge(t, "t1", "100.00"))
	wantReject(t, f.decide(t, wallet.RechargeSuspend(), suspension(t, "t1", "100.00")), tasks.ChannelPaymentUsed, used)
	f.decide(t, wallet.RechargeSuspend(), suspension(t, "t2", "100.00"))
	wantReject(t, f.decide(t, wallet.RechargeConfirm(), recharge(t, "t2", "100.00")), tasks.ChannelPaymentUsed,
		"alipay payment t2 has funded another request")
	if got := f.Account(ledger.UserCash("ada")).Balance(); got != yuan(t, "100.00") {
		t.Errorf("cash is %s, want 100.00", got)
	}
}

// What the policy lists is sent back by a follow-up in settled's name, which names the case that this very request opens.
func TestPaymentWhoseCauseThePolicyListsIsSentBackByItself(t *testing.T) {
	t.Parallel()
	for _, cause := range tasks.SuspensionCauses() {
		f := setup(1).payment(tasks.SourceAlipay, "t1", false)
		f.Policy().ReturnedSuspensions = tasks.SuspensionCauses() // a document that was not validated too
		p := suspension(t, "t1", "10.00")
		p.Cause = cause
		d := f.decide(t, wallet.RechargeSuspend(), p)
		wantMoves(t, d, move{"channel/alipay/clearing", "suspense/alipay", "10.00"})
		var want []tasks.Payload
		if cause != tasks.UnknownOrder && cause != tasks.UsedPayment && cause != tasks.RefundedPayment {
			want = []tasks.Payload{&tasks.CaseReturn{CaseID: "0.00000000-0000-0000-0000-000000000000.0", By: "settled",
				Note: "policy: returned_suspensions has " + string(cause)}}
		}
		if diff := cmp.Diff(want, d.FollowUps); diff != "" || len(d.Cases) != 1 {
			t.Errorf("%s: cases %v; follow-ups (-want +got):\n%s", cause, d.Cases, diff)
		}
	}
}
