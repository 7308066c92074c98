package refund_test

import (
	"testing"

	"github.com/settled-dev/settled/refund"
	"github.com/settled-dev/settled/tasks"
)

func TestRefundOfWhatIsNotCapturedIsForeseenToWait(t *testing.T) {
	t.Parallel()
	p, policy := refundOf(1), tasks.DefaultPolicy()
	parked := refund.Foresee(nil, refund.PaymentAwaited, p, &policy, occurredAt)
	if parked.WaitsFor != "payment:capture/"+p.OrderID || parked.Refusal != nil {
		t.Errorf("no payment: %+v", parked)
	}
	elsewhere := refund.Foresee(nil, refund.PaymentElsewhere, p, &policy, occurredAt)
	if elsewhere.WaitsFor != "" || elsewhere.Refusal == nil || elsewhere.Refusal.Reason != tasks.OrderOfAnotherUser {
		t.Errorf("paid elsewhere: %+v", elsewhere)
	}
	refused := refund.Foresee(nil, refund.PaymentRejected, p, &policy, occurredAt)
	if refused.WaitsFor != "" || refused.Refusal == nil || refused.Refusal.Reason != tasks.PaymentRejected {
		t.Errorf("payment rejected: %+v", refused)
	}
}
