package tasks_test

import (
	"testing"

	"github.com/settled-dev/settled/tasks"
)

// The ends that channels tell, by their stored reasons: a new number is only for those that gave the money back.
func TestWhichFailuresTakeAnotherNumber(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		answer      tasks.RefundResult
		held, takes bool
	}{
		"WeChat Pay, no money for a week":         {tasks.RefundResult{Channel: tasks.SourceWeChat, Result: tasks.RefundFailed, Reason: "CLOSED"}, false, true},
		"WeChat Pay, the payee's card is void":    {tasks.RefundResult{Channel: tasks.SourceWeChat, Result: tasks.RefundFailed, Reason: "ABNORMAL"}, true, false},
		"WeChat Pay, the payee's account is void": {tasks.RefundResult{Channel: tasks.SourceWeChat, Result: tasks.RefundFailed, Reason: "USER_ACCOUNT_ABNORMAL"}, false, true},
		"UnionPay":                      {tasks.RefundResult{Channel: tasks.SourceUnionPay, Result: tasks.RefundFailed, Reason: "73 card has expired"}, false, true},
		"another channel of that word":  {tasks.RefundResult{Channel: tasks.SourceAlipay, Result: tasks.RefundFailed, Reason: "ABNORMAL"}, false, true},
		"a success":                     {tasks.RefundResult{Channel: tasks.SourceWeChat, Result: tasks.RefundSucceeded}, false, false},
		"an end that nobody knows here": {tasks.RefundResult{Channel: tasks.SourceWeChat, Result: "reversed", Reason: "ABNORMAL"}, false, false},
	} {
		if held, takes := c.answer.HeldByChannel(), c.answer.TakesAnotherNumber(); held != c.held || takes != c.takes {
			t.Errorf("%s: held %t, takes another number %t", name, held, takes)
		}
	}
}
