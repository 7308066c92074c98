package unionpay

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/settled-dev/settled/channel"
	"github.com/settled-dev/settled/tasks"
)

// NoticeBytesMax bounds the body of a notice. Real ones have about three kilobytes.
const NoticeBytesMax = 1 << 16

// The types of transactions (txnType) whose notices are read.
const (
	typePayment = "01"
	typeRefund  = "04"
	typeVoid    = "31"
)

// yuan is the code of the only currency.
const yuan = "156"

// ReadNotice implements channel.Port: it verifies and reads a notice. There is no replay window, since a notice has no time of its own:
// whoever takes it in takes each ChannelTxnID and RefundNumber once. It returns channel.ErrNotGenuine, ErrMalformed or ErrNotOurs, wrapped.
func (c *Channel) ReadNotice(_ http.Header, body []byte, now time.Time) (channel.Notice, error) {
	if len(body) > NoticeBytesMax {
		return channel.Notice{}, fmt.Errorf("%w: body has %d bytes", channel.ErrMalformed, len(body))
	}
	message, err := parseForm(string(body))
	if err != nil {
		return channel.Notice{}, fmt.Errorf("%w: body %w", channel.ErrMalformed, err)
	}
	if err := c.signers.verify(message, now); err != nil {
		return channel.Notice{}, fmt.Errorf("verify notice: %w", err)
	}
	r := &reading{fields: message}
	r.noQuery()
	notice := channel.Notice{Channel: tasks.SourceUnionPay, Event: channel.EventOther, MerchantID: r.id("merId"),
		OccurredAt: r.time("txnTime")}
	switch code := r.id("respCode"); r.id("txnType") {
	case typePayment:
		if succeeded(code) {
			r.payment(&notice)
		}
	case typeRefund, typeVoid:
		r.refund(&notice)
	}
	if r.err != nil {
		return channel.Notice{}, fmt.Errorf("%w: %w", channel.ErrMalformed, r.err)
	}
	if notice.MerchantID != c.merID {
		return channel.Notice{}, fmt.Errorf("%w: notice of merchant %s", channel.ErrNotOurs, notice.MerchantID)
	}
	return notice, nil
}

// noQuery refuses the answer to a query, whose respCode is not the transaction's but the query's (U8).
func (r *reading) noQuery() {
	for _, name := range []string{"origRespCode", "origRespMsg"} {
		if r.fields.get(name) != "" {
			r.refuse(name, "is there: an answer, and no notice")
		}
	}
}

// The marks of a notice, which an answer to a request does not have (U8): under which number and when UnionPay has sent the transaction
// to the bank, and what it clears, once there is something to clear.
var (
	marksOfAnEnd    = []string{"traceNo", "traceTime"}
	marksOfASuccess = []string{"settleAmt", "settleDate", "traceNo", "traceTime"}
)

// marked requires marks, each of up to 14 digits: no documented one is longer.
func (r *reading) marked(marks []string) {
	for _, name := range marks {
		if mark := r.fields.get(name); mark == "" || len(mark) > 14 || strings.Trim(mark, "0123456789") != "" {
			r.refuse(name, "is missing or not of digits: an answer, and no notice")
		}
	}
}

// payment completes the notice of a payment, from a notice or from the answer to a query, to the same values.
func (r *reading) payment(notice *channel.Notice) {
	r.marked(marksOfASuccess)
	notice.Event = channel.EventPaid
	notice.OccurredAt = r.passedOnAt(notice.OccurredAt)
	notice.OutTradeNo, notice.ChannelTxnID = r.id("orderId"), r.id("queryId")
	notice.Amount = r.fen("txnAmt")
	if r.fields.get("currencyCode") != yuan {
		r.refuse("currencyCode", "is not "+yuan)
	}
}

// refund completes the notice of a refund or of a void. It does not name the order that was paid, only the payment; and when its code is
// not certain, a query will tell how the refund ended.
func (r *reading) refund(notice *channel.Notice) {
	notice.Event = channel.EventRefund
	notice.RefundNumber, notice.ChannelTxnID = r.id("orderId"), r.optionalID("origQryId")
	notice.Amount = r.fen("txnAmt")
	if currency := r.fields.get("currencyCode"); currency != "" && currency != yuan {
		r.refuse("currencyCode", "is not "+yuan)
	}
	notice.Refund, _ = refundAnswer(r.fields.get("respCode"))
	switch notice.Refund.State {
	case channel.RefundSucceeded:
		r.marked(marksOfASuccess)
	case channel.RefundFailed:
		r.marked(marksOfAnEnd)
	}
}
