package alipay

import (
	"fmt"
	"net/http"
	"strings"
	"unicode"

	"github.com/settled-dev/settled/channel"
)

// The codes that decide something.
const (
	codeSuccess = "10000" // of the call alone
	codeRefused = "40004" // by the method, for a reason of its business

	subCodeFinished = "ACQ.TRADE_HAS_FINISHED"
	subCodeNoTrade  = "ACQ.TRADE_NOT_EXIST"
)

// answer is what came back from the gateway for a method.
type answer struct {
	status   int    // 200 of all that the gateway answers itself, refusals too
	node     object // nil: there is none of the method, or it cannot be read
	verified error  // nil: the signature of the node is right
}

// AnswerError is an answer that tells nothing certain of a refund or a payment: it is unknown, and asked about again. Code is empty when the answer
// was none of Alipay's, such as a proxy's.
type AnswerError struct {
	Status  int    // of HTTP
	Code    string // of the gateway, e.g. 40004
	SubCode string // of the method, e.g. ACQ.SELLER_BALANCE_NOT_ENOUGH; may be empty
	Message string // Alipay's words for people, cut short
}

// Error implements error.
func (e *AnswerError) Error() string {
	if e.Code == "" {
		return fmt.Sprintf("answered %d", e.Status)
	}
	return fmt.Sprintf("answered %d %s %s %q", e.Status, e.Code, e.SubCode, e.Message)
}

// refusal reads an answer that is no success of the call, signed or not; nil when it is one.
func (a *answer) refusal() *AnswerError {
	refusal := &AnswerError{Status: a.status}
	r := &reading{from: a.node}
	code, subCode := r.id("code", idBytesMax), r.optional("sub_code")
	message := r.optional("sub_msg")
	if message == "" {
		message = r.optional("msg")
	}
	if r.err != nil || !printable(subCode, idBytesMax) {
		return refusal
	}
	if code == codeSuccess && a.status == http.StatusOK {
		return nil
	}
	refusal.Code, refusal.SubCode, refusal.Message = code, subCode, legible(message)
	return refusal
}

// problem is a refusal as an error of Refund, Query and QueryPayment: channel.ErrRefused is beside it when Alipay has signed it and its code
// speaks of what was asked (C5 of package channel).
func (a *answer) problem(refusal *AnswerError) error {
	switch {
	case a.verified != nil || !refusal.speaksOfRefund():
		return refusal
	case refusal.speaksOfMerchant():
		return fmt.Errorf("%w: %w", channel.ErrMerchantRefused, refusal)
	default:
		return fmt.Errorf("%w: %w", channel.ErrRefused, refusal)
	}
}

// speaksOfMerchant is true of a merchant that has no money for refunds, or no contract that allows them.
func (e *AnswerError) speaksOfMerchant() bool {
	switch e.SubCode {
	case "ACQ.SELLER_BALANCE_NOT_ENOUGH", "ACQ.ACCESS_FORBIDDEN":
		return true
	}
	return false
}

// speaksOfRefund says whether the method refused (40004) or could not read what the refund itself gave it. The other codes are of the
// gateway, the app or its signature, and a SYSTEM_ERROR is one of nobody's refund.
func (e *AnswerError) speaksOfRefund() bool {
	return e.Status == http.StatusOK &&
		(e.Code == codeRefused && !strings.HasSuffix(e.SubCode, "SYSTEM_ERROR") || e.SubCode == "isv.invalid-parameter")
}

// legible makes a foreign text one for an error: one line, not long.
func legible(text string) string {
	const shown = 100 // characters: the documented messages are shorter
	chars := []rune(text)
	chars = chars[:min(len(chars), shown)]
	for i, char := range chars {
		if !unicode.IsPrint(char) {
			chars[i] = ' '
		}
	}
	return string(chars)
}
