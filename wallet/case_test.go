package wallet_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/settled-dev/settled/ledger"
	"github.com/settled-dev/settled/tasks"
	"github.com/settled-dev/settled/wallet"
)

var caseRef = tasks.CaseRef{Book: 0, Request: uuid.MustParse("019b1c0e-6d5a-7c2e-9d4e-0a6f3f2b1c11")}

// standing are cases of 10.00 as each kind stands.
func standing(t testing.TB) map[ledger.CaseKind]*ledger.StandingCase {
	t.Helper()
	paid := ledger.Receipt{Channel: tasks.SourceAlipay, TxnID: "t1"}
	found := map[ledger.CaseKind]*ledger.StandingCase{
		ledger.UnmatchedRecharge: {Account: ledger.Suspense(tasks.SourceAlipay), Payment: paid},
		ledger.FailedReturn:      {Account: ledger.Suspense(tasks.SourceAlipay), Payment: paid},
		ledger.FailedRefund: {Account: ledger.ChannelRefunding(tasks.SourceAlipay), Sent: sentRefund(t),
			Answer: &tasks.RefundResult{Number: "rf1", Channel: tasks.SourceAlipay, Result: tasks.RefundFailed}},
		ledger.PaidTwice:          {Account: ledger.ChannelRefunding(tasks.SourceAlipay)},
		ledger.UnreturnableRefund: {Account: ledger.ChannelRefunding(tasks.SourceAlipay), OwnerID: "ada"},
	}
	for kind, c := range found {
		c.Ref, c.Kind, c.Amount = caseRef, kind, yuan(t, "10.00")
	}
	if len(found) != len(ledger.CaseKinds()) {
		t.Fatal("a kind of case is not looked at")
	}
	return found
}

// sentRefund is what Alipay could not pay of ada's order.
func sentRefund(t testing.TB) *tasks.RefundOrder {
	t.Helper()
	return &tasks.RefundOrder{Number: "rf1", RefundID: "r1", OrderID: "o1", UserID: "ada", Leg: 1, Channel: tasks.SourceAlipay,
		ChannelTxnID: "t9", Captured: yuan(t, "30.00"), Amount: yuan(t, "10.00"), OccurredAt: occurredAt}
}

// withCase is a book with the case and a user of it.
func withCase(books int, found *ledger.StandingCase) fixture {
	f := setup(books).user("ada", 0, notOpened)
	f.PutCase(caseRef, found)
	return f
}

func crediting(user string) *tasks.CaseCredit {
	return &tasks.CaseCredit{CaseID: caseRef.String(), UserID: user, By: "eve", Note: "hers"}
}

func returning() *tasks.CaseReturn {
	return &tasks.CaseReturn{CaseID: caseRef.String(), By: "eve", Note: "twice"}
}

func stating(statement tasks.CaseStatement) *tasks.CaseClosing {
	return &tasks.CaseClosing{CaseID: caseRef.String(), Statement: statement, By: "eve", Note: "looked"}
}

// ways are the ways out, each with its rule.
func ways() map[string]struct {
	rule  ledger.Rule
	asked tasks.Payload
} {
	type way = struct {
		rule  ledger.Rule
		asked tasks.Payload
	}
	return map[string]way{
		"credit":         {wallet.CreditCase(), crediting("ada")},
		"return":         {wallet.ReturnCase(), returning()},
		"paid":           {wallet.CloseCase(), stating(tasks.PaidAtChannel)},
		"shortage stays": {wallet.CloseCase(), stating(tasks.ShortageStays)},
	}
}

// Every kind of case has its ways out, and every other is refused for its own reason, and moves nothing.
func TestEachKindOfCaseHasItsWaysOut(t *testing.T) {
	t.Parallel()
	const suspense, refunding, clearing = "suspense/alipay", "channel/alipay/refunding", "channel/alipay/clearing"
	suspended := map[string]any{"credit": move{suspense, "user/ada/cash", "10.00"}, "return": move{suspense, refunding, "10.00"},
		"paid": move{suspense, clearing, "10.00"}, "shortage stays": tasks.CaseHasMoney}
	want := map[ledger.CaseKind]map[string]any{
		ledger.UnmatchedRecharge: suspended, ledger.FailedReturn: suspended,
		ledger.FailedRefund: {"credit": move{refunding, "user/ada/cash", "10.00"}, "return": nil,
			"paid": move{refunding, clearing, "10.00"}, "shortage stays": tasks.CaseHasMoney},
		ledger.PaidTwice: {"credit": tasks.CaseHasNoMoney, "return": tasks.CaseHasNoPayment, "paid": tasks.CaseHasNoMoney,
			"shortage stays": nil},
		ledger.UnreturnableRefund: {"credit": move{refunding, "user/ada/cash", "10.00"}, "return": tasks.CaseHasNoPayment,
			"paid": move{refunding, clearing, "10.00"}, "shortage stays": tasks.CaseHasMoney},
	}
	for _, kind := range ledger.CaseKinds() {
		for name, way := range ways() {
			found := standing(t)[kind]
			d := withCase(1, found).decide(t, way.rule, way.asked)
			if reason, refused := want[kind][name].(tasks.Reason); refused {
				if d.Applied() || d.Reason() != reason || found.ClosedBy != "" || d.Closes != nil {
					t.Errorf("%s of %s: applied %v, %s; want %s", name, kind, d.Applied(), d.Reason(), reason)
				}
				continue
			}
			var moved []move
			if m, moves := want[kind][name].(move); moves {
				moved = []move{m}
			}
			wantMoves(t, d, moved...)
			if found.ClosedBy != way.asked.Kind() || d.Closes.By != "eve" || d.Closes.Note == "" || len(d.Cases) != 0 {
				t.Errorf("%s of %s: closed by %q, %+v", name, kind, found.ClosedBy, d.Closes)
			}
		}
	}
}

// W7: after any way out, every one is refused.
func TestClosedCaseHasNoWayOut(t *testing.T) {
	t.Parallel()
	for kind := range standing(t) {
		for _, way := range ways() {
			found := standing(t)[kind]
			found.ClosedBy = tasks.RefundRevise
			wantReject(t, withCase(1, found).decide(t, way.rule, way.asked), tasks.CaseIsClosed,
				"case "+caseRef.String()+" was closed by refund:revise")
			wantReject(t, withCase(1, nil).decide(t, way.rule, way.asked), tasks.NoSuchCase, "book 0 has no case "+caseRef.String())
		}
	}
}

// What an older version's worker has booked as paid is nobody's any more: a failed refund's money has left, a failed return's has not.
func TestCaseWhoseChannelHasPaidIsOnlyClosed(t *testing.T) {
	t.Parallel()
	for kind, moved := range map[ledger.CaseKind][]move{
		ledger.FailedRefund: nil, ledger.FailedReturn: {{"suspense/alipay", "channel/alipay/clearing", "10.00"}},
	} {
		for name, way := range ways() {
			found := standing(t)[kind]
			found.Revised = true
			d := withCase(1, found).decide(t, way.rule, way.asked)
			switch name {
			case "paid":
				wantMoves(t, d, moved...)
			case "shortage stays":
				if d.Reason() != tasks.CaseHasMoney {
					t.Errorf("%s of %s: %s", name, kind, d.Reason())
				}
			default:
				if d.Reason() != tasks.CaseIsClosed || !strings.Contains(d.Detail(), "the channel has paid") {
					t.Errorf("%s of %s: %s, %s", name, kind, d.Reason(), d.Detail())
				}
			}
		}
	}
}

// A user of another book is credited there, by a follow-up under the case's id.
func TestCaseIsCreditedAcrossBooksByAFollowUp(t *testing.T) {
	t.Parallel()
	user := "u0"
	for i := 0; tasks.BookOf(user, 4) == 0; i++ {
		user = "u" + string(rune('a'+i))
	}
	book := tasks.BookOf(user, 4)
	f := withCase(4, standing(t)[ledger.UnmatchedRecharge])
	f.PutAccount(ledger.UserCash(user), yuan(t, "0"))
	d := f.decide(t, wallet.CreditCase(), crediting(user))
	wantMoves(t, d, move{"suspense/alipay", ledger.Interbook(book), "10.00"})
	want := []tasks.Payload{&tasks.TransferArrival{CaseID: caseRef.String(), FromBook: 0, ToUserID: user, Amount: yuan(t, "10.00")}}
	if diff := cmp.Diff(want, d.FollowUps); diff != "" {
		t.Errorf("follow-ups (-want +got):\n%s", diff)
	}
}

// A return asks its channel for the whole payment, under a number that is the case's alone and that every channel takes.
func TestReturnAsksTheChannelOnceUnderANumberOfItsOwn(t *testing.T) {
	t.Parallel()
	d := withCase(1, standing(t)[ledger.FailedReturn]).decide(t, wallet.ReturnCase(), returning())
	number := wallet.ReturnNumber(caseRef.String())
	want := []tasks.Payload{&tasks.RefundOrder{Number: number, CaseID: caseRef.String(), Channel: tasks.SourceAlipay, ChannelTxnID: "t1",
		Captured: yuan(t, "10.00"), Amount: yuan(t, "10.00")}}
	if diff := cmp.Diff(want, d.FollowUps); diff != "" {
		t.Errorf("follow-ups (-want +got):\n%s", diff)
	}
	other := caseRef
	other.Ordinal++
	if again := wallet.ReturnNumber(caseRef.String()); len(number) != 32 || again != number || wallet.ReturnNumber(other.String()) == number ||
		strings.Trim(number, "abcdefghijklmnopqrstuvwxyz0123456789") != "" || !strings.HasPrefix(number, "rc") {
		t.Errorf("number %q, again %q", number, again)
	}
}

// A refund that failed is sent again for the same leg, payment, total and amount, under the case's number; its money is in refunding already.
func TestFailedRefundIsSentAgainUnderTheCasesNumber(t *testing.T) {
	t.Parallel()
	d := withCase(1, standing(t)[ledger.FailedRefund]).decide(t, wallet.ReturnCase(), returning())
	wantMoves(t, d)
	want := sentRefund(t)
	want.Number, want.OccurredAt = wallet.ReturnNumber(caseRef.String()), time.Time{} // of the return
	if diff := cmp.Diff([]tasks.Payload{want}, d.FollowUps); diff != "" {
		t.Errorf("follow-ups (-want +got):\n%s", diff)
	}
}

// Another number is only for a refund that ended as if it had not been asked for.
func TestRefundThatMayBePaidUnderItsNumberIsNotSentAgain(t *testing.T) {
	t.Parallel()
	for _, kind := range []ledger.CaseKind{ledger.FailedRefund, ledger.FailedReturn} {
		for name, c := range map[string]struct {
			answer tasks.RefundResult
			detail string
		}{
			"held": {tasks.RefundResult{Channel: tasks.SourceWeChat, Result: tasks.RefundFailed, Reason: "ABNORMAL"}, "the channel holds the money: " +
				"apply for the abnormal refund in its pages (to the merchant's card), then credit the owner, or close it"},
			"unknown": {tasks.RefundResult{Number: "rf1", Channel: tasks.SourceWeChat, Result: "reversed"},
				"wechat ended number rf1 as reversed, which this version does not know: it may have been paid"},
		} {
			found := standing(t)[kind]
			found.Answer = &c.answer
			d := withCase(1, found).decide(t, wallet.ReturnCase(), returning())
			if d.Reason() != tasks.ChannelHoldsMoney || d.Detail() != c.detail {
				t.Errorf("%s, %s: %s, %q", kind, name, d.Reason(), d.Detail())
			}
		}
	}
}

// Whose a refund was is read from what its channel was asked, whatever a payload says; whose suspense is, a person says.
func TestRefundThatWasNotPaidIsCreditedToNobodyButItsOrdersUser(t *testing.T) {
	t.Parallel()
	for kind, found := range standing(t) {
		if !kind.HasMoney() {
			continue
		}
		f := withCase(1, found).user("eve", 0, notOpened)
		d := f.decide(t, wallet.CreditCase(), crediting("eve"))
		owned := kind == ledger.FailedRefund || kind == ledger.UnreturnableRefund
		if refused := d.Reason() == tasks.OrderOfAnotherUser; refused != owned || strings.Contains(d.Detail(), "ada") {
			t.Errorf("%s is credited to eve: %s, %q", kind, d.Reason(), d.Detail())
		}
	}
	lost := standing(t)[ledger.FailedRefund]
	lost.Sent = nil
	wantReject(t, withCase(1, lost).decide(t, wallet.CreditCase(), crediting("ada")), tasks.OrderOfAnotherUser,
		"case "+caseRef.String()+" is of a refund of another user's order")
}
