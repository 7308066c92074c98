package refund_test

import (
	"fmt"
	"time"

	"github.com/settled-dev/settled/ledger"
	"github.com/settled-dev/settled/money"
	"github.com/settled-dev/settled/refund"
	"github.com/settled-dev/settled/tasks"
)

// Before Ada confirms, she is shown where 30.00 of her order would go back.
func ExampleNewPlan() {
	order := &ledger.Order{ID: "o1", UserID: "ada", MerchantID: "shop", Legs: []ledger.Leg{
		{Source: tasks.SourceCash, Captured: money.FromFen(80_00)},
		{Source: tasks.SourceWeChat, Captured: money.FromFen(20_00)},
	}}
	asked := &tasks.Refund{RefundID: "r1", OrderID: "o1", UserID: "ada", Amount: money.FromFen(30_00)}
	policy, at := tasks.DefaultPolicy(), time.Date(2026, 3, 2, 9, 30, 0, 0, time.UTC)
	plan, _ := refund.NewPlan(order, asked, &policy, at)
	fmt.Println(plan)
	asked.To = tasks.ToBalance
	policy.RefundSplit = tasks.ExternalFirst
	plan, _ = refund.NewPlan(order, asked, &policy, at)
	fmt.Println(plan)
	asked.Amount = money.FromFen(100_01)
	_, refusal := refund.NewPlan(order, asked, &policy, at)
	fmt.Println(refusal.Reason, refusal.Detail)
	// Output:
	// cash 24.00 to cash, wechat 6.00 to channel as rf9ad30511624b33094079fe23af5aca
	// cash 10.00 to cash, wechat 20.00 to cash
	// exceeds_refundable order o1: asked 100.01, remaining 100.00
}
