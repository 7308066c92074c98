package channel

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/settled-dev/settled/tasks"
)

// Result is the refund:answer with which a final answer is to be accepted; false when the answer is not final and the channel is to
// be asked later. Accept it first, then apply the refund:send: a crash in between asks the channel again and accepts the same.
func Result(order tasks.RefundOrder, answer RefundAnswer) (*tasks.RefundResult, bool) {
	result := &tasks.RefundResult{Number: order.Number, CaseID: order.CaseID, RefundID: order.RefundID, UserID: order.UserID,
		Channel: order.Channel, Amount: order.Amount, Consented: order.Consented, OccurredAt: answer.EndedAt}
	if answer.EndedAt.IsZero() {
		result.OccurredAt = order.OccurredAt // never the time of hearing it: each hearing would be another content (C4)
	}
	switch answer.State {
	case RefundSucceeded:
		result.Result = tasks.RefundSucceeded
	case RefundFailed:
		result.Result, result.Reason = tasks.RefundFailed, legible(answer.Reason)
	default: // processing, and whatever this version does not know
		return nil, false
	}
	return result, true
}

// reasonBytesMax is as long as the texts that producers may send.
const reasonBytesMax = 200

// legible makes a foreign text one that can be stored: valid UTF-8, no control characters, not long.
func legible(text string) string {
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "?"))
	if len(text) <= reasonBytesMax {
		return text
	}
	cut := reasonBytesMax
	for !utf8.RuneStart(text[cut]) {
		cut--
	}
	return text[:cut]
}
