package webhook

import (
	"slices"

	"github.com/settled-dev/settled/tasks"
)

// Event is what a message is about: refund.applied. It is a wire value: never renamed, only added to.
type Event string

// nouns are the kinds that producers may ask for, by their event's first word.
var nouns = map[tasks.Kind]string{
	tasks.PaymentCapture: "payment", tasks.RefundApply: "refund", tasks.RechargeConfirm: "recharge", tasks.RewardGrant: "reward",
	tasks.TransferSend: "transfer", tasks.WealthEnrol: "enrolment", tasks.SweepRun: "sweep",
	tasks.CreditCase: "case_credit", tasks.ReturnCase: "case_return", tasks.CloseCase: "case_close",
}

// The events that are not a kind's noun and its result.
const (
	// A refund's leg at its channel.
	RefundChannelSucceeded Event = "refund.channel_succeeded"
	RefundChannelFailed    Event = "refund.channel_failed"
	// RechargeSuspended is a payment under a recharge order that is not its recharge: a person decides.
	RechargeSuspended Event = "recharge.suspended"
)

// eventOf is the event of an outcome; false for what producers are not told. end is how a channel ended a refund, of refund:answer and
// refund:revise.
func eventOf(kind tasks.Kind, result tasks.Result, end tasks.RefundEnd) (Event, bool) {
	switch kind {
	case tasks.RefundAnswer, tasks.RefundRevise:
		if end == tasks.RefundSucceeded {
			return RefundChannelSucceeded, result == tasks.Applied
		}
		return RefundChannelFailed, result == tasks.Applied
	case tasks.RechargeSuspend:
		return RechargeSuspended, result == tasks.Applied
	}
	noun, told := nouns[kind]
	return Event(noun + "." + string(result)), told
}

// Events lists every event in alphabetical order.
func Events() []Event {
	all := []Event{RefundChannelSucceeded, RefundChannelFailed, RechargeSuspended}
	for _, noun := range nouns {
		all = append(all, Event(noun+"."+string(tasks.Applied)), Event(noun+"."+string(tasks.Rejected)))
	}
	slices.Sort(all)
	return all
}
