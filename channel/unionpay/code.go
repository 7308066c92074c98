package unionpay

import "github.com/settled-dev/settled/channel"

// The codes of respCode and origRespCode that decide something, besides the failures.
const (
	codeSucceeded   = "00"
	codeWithDefects = "A6" // succeeded too: money has moved, and a system on the way did not confirm
	codeTimedOut    = "03"
	codeUncertain   = "04"
	codeAccepted    = "05"
	codeNotFound    = "34"
)

// failures are the codes that end a transaction without money having moved, each with its meaning. 01, 02, 06, 12, 34, 60, 64 and 99 are
// not among them: UnionPay gives them to faults that pass as well, or to transactions that it asks to query again.
var failures = map[string]string{
	"30": "not passed",
	"31": "state of the merchant forbids it",
	"32": "merchant has no right to it",
	"33": "amount is beyond a limit",
	"35": "payment is unknown or its state forbids it",
	"36": "differs from the payment",
	"38": "refused as a risk",
	"39": "time for it is over",
	"43": "merchant has no right to this business",
	"45": "payment was refunded or voided before",
	"61": "card number is invalid",
	"62": "bank of the card refuses the merchant",
	"63": "state of the card forbids it",
	"68": "bank of the card does not support it",
	"73": "card has expired",
	"78": "bank of the card has limited it",
}

func succeeded(code string) bool { return code == codeSucceeded || code == codeWithDefects }

// refundAnswer is what the code of a refund's end says; false when it is not certain. UnionPay's own words are left out of the reason:
// a notice and a query may word one code differently (U6).
func refundAnswer(code string) (channel.RefundAnswer, bool) {
	if succeeded(code) {
		return channel.RefundAnswer{State: channel.RefundSucceeded}, true
	}
	if meaning, known := failures[code]; known {
		return channel.RefundAnswer{State: channel.RefundFailed, Reason: code + " " + meaning}, true
	}
	pending := code == codeTimedOut || code == codeUncertain || code == codeAccepted
	return channel.RefundAnswer{State: channel.RefundProcessing}, pending
}
