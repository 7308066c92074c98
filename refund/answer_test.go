package refund_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/settled-dev/settled/ledger"
	"github.com/settled-dev/settled/money"
	"github.com/settled-dev/settled/refund"
	"github.com/settled-dev/settled/tasks"
)

func answer(result tasks.RefundEnd, consented bool) *tasks.RefundResult {
	return &tasks.RefundResult{Number: "rf01", RefundID: "r1", UserID: "ada", Channel: tasks.SourceWeChat, Amount: money.FromFen(6_00),
		Result: result, Consented: consented, Reason: "card void", OccurredAt: occurredAt}
}

func TestPaidRefundLeavesTheChannelsClearing(t *testing.T) {
	t.Parallel()
	for _, consented := range []bool{false, true} {
		d := decide(t, setup(tasks.Proportional, nil), refund.Answer(), answer(tasks.RefundSucceeded, consented))
		wantMoves(t, d, "channel/wechat/refunding -> channel/wechat/clearing 6.00")
		if len(d.Cases) != 0 {
			t.Errorf("a paid refund opens cases %v", d.Cases)
		}
	}
}

func TestFailedRefundWithConsentCreditsTheUsersCash(t *testing.T) {
	t.Parallel()
	d := decide(t, setup(tasks.Proportional, nil), refund.Answer(), answer(tasks.RefundFailed, true))
	wantMoves(t, d, "channel/wechat/refunding -> user/ada/cash 6.00")
	if len(d.Cases) != 0 {
		t.Errorf("a consented refund opens cases %v", d.Cases)
	}
}

func TestFailedRefundWithoutConsentStaysAndAsksAPerson(t *testing.T) {
	t.Parallel()
	d := decide(t, setup(tasks.Proportional, nil), refund.Answer(), answer(tasks.RefundFailed, false))
	wantMoves(t, d)
	want := []ledger.Case{{Kind: ledger.FailedRefund, Account: "channel/wechat/refunding", Amount: money.FromFen(6_00),
		Detail: `wechat answered failed ("card void") to refund r1, number rf01, of user ada`}}
	if diff := cmp.Diff(want, d.Cases); diff != "" {
		t.Errorf("cases (-want +got):\n%s", diff)
	}
}

func TestAnswerThatThisVersionDoesNotKnowMovesNothing(t *testing.T) {
	t.Parallel()
	s := setup(tasks.Proportional, nil)
	d := refund.Answer().Decide(s, &ledger.Request{Payload: answer("reversed", true)})
	wantMoves(t, d)
	if len(d.Cases) != 1 {
		t.Errorf("cases %v, want one", d.Cases)
	}
}

func TestSentRefundMovesNothing(t *testing.T) {
	t.Parallel()
	d := decide(t, setup(tasks.Proportional, nil), refund.Send(), &tasks.RefundOrder{Number: "rf01", RefundID: "r1", OrderID: "o1",
		UserID: "ada", Channel: tasks.SourceWeChat, Captured: money.FromFen(20_00), Amount: money.FromFen(6_00), OccurredAt: occurredAt})
	wantMoves(t, d)
	if want := "wechat has answered; see refund:answer rf01"; d.Detail() != want {
		t.Errorf("detail %q, want %q", d.Detail(), want)
	}
}
