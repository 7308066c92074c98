package ledger_test

import (
	"testing"

	"github.com/settled-dev/settled/ledger"
	"github.com/settled-dev/settled/ledger/ledgertest"
	"github.com/settled-dev/settled/tasks"
)

func TestADayOfOneUserMovesEveryYuanWhereItBelongs(t *testing.T) {
	t.Parallel()
	b := ledgertest.Open(t)
	ledgertest.Applied(t, b.Do(t,
		ledgertest.Recharge("r1", "u1", "100.00"),
		ledgertest.Payment("o1", "u1", ledgertest.Leg(tasks.SourceCash, "80.00"), ledgertest.Leg(tasks.SourceWeChat, "20.00")),
		ledgertest.Refund("rf1", "o1", "u1", "30.00"),
		ledgertest.Reward("w1", "u1", "5.00"),
		ledgertest.Transfer("t1", "u1", "u2", "10.00"),
		ledgertest.Enrolment("e1", "u1", "20.00"),
		&tasks.Sweep{ProductID: "xiaojinku", BusinessDate: "2026-03-03"},
	)...)
	b.Settle(t)
	b.Expect(t, ledger.UserReward("u1"), "5.00")
	b.Expect(t, ledger.UserCash("u2"), "10.00")
	b.Expect(t, ledger.UserCash("u1"), "20.00")
	b.Expect(t, ledger.UserWealth("u1", "xiaojinku"), "14.00")
	b.Expect(t, ledger.MerchantPayable("m1"), "70.00")
	b.Expect(t, ledger.ChannelRefunding(tasks.SourceWeChat), "6.00")
}
