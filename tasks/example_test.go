package tasks_test

import (
	"fmt"

	"github.com/settled-dev/settled/tasks"
)

// A refused payload is refused for a field, with what would be allowed.
func ExampleParsePayload() {
	refund := `{"refund_id":"rf1","order_id":"o1","user_id":"u1","amount":%s,"occurred_at":"2026-01-02T12:00:00+08:00"}`
	payload, err := tasks.ParsePayload(tasks.RefundApply, fmt.Appendf(nil, refund, `"12.30"`))
	fmt.Println(payload.(*tasks.Refund).Amount, err)
	_, err = tasks.ParsePayload(tasks.RefundApply, fmt.Appendf(nil, refund, `"1e-30"`))
	fmt.Println(err)
	// Output:
	// 12.30 <nil>
	// amount is "1e-30", which is in exponent notation; allowed: a positive amount of yuan as a string with at most two places, such as "12.30", up to 100000000000.00
}
