package rules_test

import (
	"fmt"
	"testing"

	"github.com/settled-dev/settled/ledger"
	"github.com/settled-dev/settled/ledger/ledgertest"
	"github.com/settled-dev/settled/money"
	"github.com/settled-dev/settled/refund"
	"github.com/settled-dev/settled/tasks"
)

// A rule that looks at what it did not name panics, and its request is dead. Over a state made by hand every row is there, so only
// the ledger can show it: each request below is a batch of its own, with nobody else's rows to lean on.
func TestEveryRuleNamesWhatItLooksAt(t *testing.T) {
	t.Parallel()
	b := ledgertest.Open(t)
	neighbour, foreigner := usersOf(t, "ada")
	payment := ledgertest.Payment("o1", "ada", ledgertest.Leg(tasks.SourceReward, "5.00"), ledgertest.Leg(tasks.SourceCash, "75.00"),
		tasks.Leg{Source: tasks.SourceWeChat, Amount: ledgertest.Yuan("20.00"), ChannelTxnID: "wx-1"})
	payment.Lines = []tasks.Line{{LineID: "l1", Kind: tasks.Goods, Amount: ledgertest.Yuan("90.00")},
		{LineID: "l2", Kind: tasks.Virtual, Amount: ledgertest.Yuan("15.00")}, {LineID: "c", Kind: tasks.Coupon, Amount: ledgertest.Yuan("5.00")}}
	byLine := ledgertest.Refund("f2", "o1", "ada", "10.00")
	byLine.Lines = []tasks.LineRefund{{LineID: "l2", Amount: ledgertest.Yuan("10.00")}}
	toBalance := ledgertest.Refund("f3", "o1", "ada", "10.00")
	toBalance.To = tasks.ToBalance
	// WeChat's parts of the first two refunds: 20 of 100 of the first, all of the line that balance cannot pay.
	consented := &tasks.RefundResult{Number: refund.Number("f1", 2), RefundID: "f1", UserID: "ada", Channel: tasks.SourceWeChat,
		Amount: ledgertest.Yuan("2.00"), Result: tasks.RefundFailed, Consented: true, OccurredAt: ledgertest.Noon}
	refused := *consented
	refused.Number, refused.RefundID, refused.Consented, refused.Amount = refund.Number("f2", 2), "f2", false, ledgertest.Yuan("10.00")

	revised := tasks.RefundRevision(refused)
	revised.Result = tasks.RefundSucceeded

	suspended := &tasks.Suspension{Channel: tasks.SourceWeChat, ChannelTxnID: "wx-2", OutTradeNo: "RC1", Amount: ledgertest.Yuan("7.00"),
		Cause: tasks.UnknownOrder, OccurredAt: ledgertest.Noon}

	early := b.Do(t, ledgertest.Refund("f1", "o1", "ada", "10.00"))
	if early[0].Fate != ledger.Parked {
		t.Fatalf("a refund before its payment is %+v, want parked", early[0])
	}
	for _, payload := range []tasks.Payload{
		ledgertest.Recharge("c1", "ada", "200.00"), suspended, ledgertest.Reward("w1", "ada", "5.00"), payment, byLine, toBalance, consented, &refused,
		&revised,
		ledgertest.Transfer("t1", "ada", neighbour, "10.00"), ledgertest.Transfer("t2", "ada", foreigner, "10.00"),
		ledgertest.Enrolment("e1", "ada", "50.00"), ledgertest.Enrolment("e2", "ada", "40.00"),
		&tasks.Sweep{ProductID: "xiaojinku", BusinessDate: "2026-03-02"},
	} {
		answers := b.Do(t, payload)
		if answers[0].Fate != ledger.Decided || answers[0].Outcome.Result != tasks.Applied {
			t.Errorf("%s: %+v, want applied", payload.Kind(), answers[0])
		}
		b.Settle(t)
	}
	b.Expect(t, ledger.UserCash(neighbour), "10.00")
	b.Expect(t, ledger.UserCash(foreigner), "10.00")
	b.Expect(t, ledger.UserCash("ada"), "40.00")
	b.Expect(t, ledger.Suspense(tasks.SourceWeChat), "7.00")
}

// usersOf finds a user who lives in the same book as somebody and one who lives in another.
func usersOf(t *testing.T, somebody string) (neighbour, foreigner string) {
	t.Helper()
	const books = 4
	for i := 0; neighbour == "" || foreigner == ""; i++ {
		user := fmt.Sprintf("u%d", i)
		if tasks.BookOf(user, books) == tasks.BookOf(somebody, books) {
			neighbour = user
		} else {
			foreigner = user
		}
	}
	return neighbour, foreigner
}

// What the rules decide in memory is what the ledger stores.
func TestLinesAndLegsAreStoredAsTheRulesLeftThem(t *testing.T) {
	t.Parallel()
	b := ledgertest.Open(t)
	payment := ledgertest.Payment("o1", "ada", ledgertest.Leg(tasks.SourceCash, "60.00"), ledgertest.Leg(tasks.SourceWeChat, "40.00"))
	payment.Lines = []tasks.Line{{LineID: "l1", Kind: tasks.Goods, Amount: ledgertest.Yuan("70.00")},
		{LineID: "l2", Kind: tasks.Virtual, Amount: ledgertest.Yuan("30.00")}}
	whole := ledgertest.Refund("f1", "o1", "ada", "70.00")
	whole.Lines = []tasks.LineRefund{{LineID: "l1", Amount: ledgertest.Yuan("70.00")}}
	ledgertest.Applied(t, b.Do(t, ledgertest.Recharge("c1", "ada", "60.00"), payment, whole)...)
	again := *whole
	again.RefundID, again.Amount = "f2", ledgertest.Yuan("0.01")
	again.Lines = []tasks.LineRefund{{LineID: "l1", Amount: money.FromFen(1)}}
	ledgertest.RejectedFor(t, b.Do(t, &again)[0], tasks.ExceedsLine)
	ledgertest.Applied(t, b.Do(t, ledgertest.Refund("f3", "o1", "ada", "30.00"))...)
	ledgertest.RejectedFor(t, b.Do(t, ledgertest.Refund("f4", "o1", "ada", "0.01"))[0], tasks.ExceedsRefundable)
	b.Expect(t, ledger.UserCash("ada"), "60.00")
	b.Expect(t, ledger.ChannelRefunding(tasks.SourceWeChat), "40.00")
	b.Expect(t, ledger.MerchantPayable("m1"), "0.00")
}
