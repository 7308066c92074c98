package rules_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/settled-dev/settled/internal/rules"
	"github.com/settled-dev/settled/ledger"
	"github.com/settled-dev/settled/money"
	"github.com/settled-dev/settled/tasks"
)

func TestEveryKindHasExactlyOneRule(t *testing.T) {
	t.Parallel()
	var ruled []tasks.Kind
	for _, rule := range rules.All() {
		ruled = append(ruled, rule.Kind())
	}
	slices.Sort(ruled)
	if diff := cmp.Diff(tasks.Kinds(), ruled); diff != "" {
		t.Errorf("kinds (-known +ruled):\n%s", diff)
	}
}

func ruleOf(kind tasks.Kind) ledger.Rule {
	all := rules.All()
	return all[slices.IndexFunc(all, func(rule ledger.Rule) bool { return rule.Kind() == kind })]
}

// What an answer wakes is what its revision waits for.
func TestAnswerWakesItsRevision(t *testing.T) {
	t.Parallel()
	state := ledger.NewState(0, 1, tasks.DefaultPolicy())
	state.PutChannelAnswer("rf01", nil)
	state.PutRefundTries("rf01")
	answer := &tasks.RefundResult{Number: "rf01", UserID: "ada", Channel: tasks.SourceWeChat, Amount: money.FromFen(1), Result: tasks.RefundFailed}
	revision := tasks.RefundRevision(*answer)
	revision.Result = tasks.RefundSucceeded
	waits := ruleOf(tasks.RefundRevise).Decide(state, &ledger.Request{Payload: &revision}).WaitsFor()
	wakes := ruleOf(tasks.RefundAnswer).Decide(state, &ledger.Request{Payload: answer}).Wakes
	if waits == "" || !slices.Contains(wakes, waits) {
		t.Errorf("the revision waits for %q, the answer wakes %q", waits, wakes)
	}
}

// The rooms of payments and refunds do not know each other; what one waits for the other must say.
func TestCaptureWakesWhatTheRefundWaitsFor(t *testing.T) {
	t.Parallel()
	state := ledger.NewState(0, 1, tasks.DefaultPolicy())
	state.PutOrder("o1", nil)
	amount := money.FromFen(1)
	refund := ruleOf(tasks.RefundApply).Decide(state, &ledger.Request{Payload: &tasks.Refund{RefundID: "r1", OrderID: "o1",
		UserID: "ada", Amount: amount}})
	payment := ruleOf(tasks.PaymentCapture).Decide(state, &ledger.Request{Payload: &tasks.Payment{OrderID: "o1", UserID: "ada",
		MerchantID: "shop", Legs: []tasks.Leg{{Source: tasks.SourceWeChat, Amount: amount}}}})
	if refund.WaitsFor() == "" || !slices.Contains(payment.Wakes, refund.WaitsFor()) {
		t.Errorf("the refund waits for %q, the payment wakes %q", refund.WaitsFor(), payment.Wakes)
	}
}
