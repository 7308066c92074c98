package wallet_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/settled-dev/settled/ledger"
	"github.com/settled-dev/settled/tasks"
	"github.com/settled-dev/settled/wallet"
)

func recharge(t testing.TB, txn, amount string) *tasks.Recharge {
	t.Helper()
	return &tasks.Recharge{RechargeID: "rc-" + txn, UserID: "ada", Channel: tasks.SourceAlipay, ChannelTxnID: txn,
		Amount: yuan(t, amount), OccurredAt: occurredAt}
}

func TestFirstRechargeOpensTheAccount(t *testing.T) {
	t.Parallel()
	f := setup(1).user("ada", notOpened, notOpened).payment(tasks.SourceAlipay, "t1", false)
	d := f.decide(t, wallet.RechargeConfirm(), recharge(t, "t1", "100.00"))
	wantMoves(t, d, move{"channel/alipay/clearing", "user/ada/cash", "100.00"})
	if diff := cmp.Diff([]ledger.Receipt{{Channel: tasks.SourceAlipay, TxnID: "t1"}}, d.Receipts); diff != "" {
		t.Errorf("receipts (-want +got):\n%s", diff)
	}
	cash := f.Account(ledger.UserCash("ada"))
	if !cash.Exists() || cash.Balance() != yuan(t, "100.00") {
		t.Errorf("cash exists %v with %s, want 100.00", cash.Exists(), cash.Balance())
	}
}

func TestSecondRechargeOfOneChannelPaymentIsRefused(t *testing.T) {
	t.Parallel()
	f := setup(1).user("ada", 0, notOpened).payment(tasks.SourceAlipay, "t1", false)
	f.decide(t, wallet.RechargeConfirm(), recharge(t, "t1", "100.00"))
	second := recharge(t, "t1", "100.00")
	second.RechargeID = "rc-other"
	wantReject(t, f.decide(t, wallet.RechargeConfirm(), second), tasks.ChannelPaymentUsed,
		"alipay payment t1 has funded another request")
	if got := f.Account(ledger.UserCash("ada")).Balance(); got != yuan(t, "100.00") {
		t.Errorf("cash is %s, want 100.00", got)
	}
}

func TestChannelPaymentsOfOtherChannelsDoNotCollide(t *testing.T) {
	t.Parallel()
	f := setup(1).user("ada", 0, notOpened).payment(tasks.SourceWeChat, "t1", true).payment(tasks.SourceAlipay, "t1", false)
	wantMoves(t, f.decide(t, wallet.RechargeConfirm(), recharge(t, "t1", "0.01")),
		move{"channel/alipay/clearing", "user/ada/cash", "0.01"})
}

func TestRewardIsCreditedToTheRewardBucket(t *testing.T) {
	t.Parallel()
	f := setup(1).user("ada", notOpened, notOpened)
	d := f.decide(t, wallet.RewardGrant(), &tasks.Reward{RewardID: "w1", UserID: "ada", CampaignID: "spring", Amount: yuan(t, "5.00"),
		OccurredAt: occurredAt})
	wantMoves(t, d, move{"promotion/spring", "user/ada/reward", "5.00"})
}
