package alipay

import (
	"context"
	"fmt"
	"net/http"

	"github.com/settled-dev/settled/channel"
	"github.com/settled-dev/settled/money"
	"github.com/settled-dev/settled/tasks"
)

// The methods that are called.
const (
	methodRefund = "alipay.trade.refund"
	methodQuery  = "alipay.trade.fastpay.refund.query"
)

// refundRequest is the content of a refund, and without an amount that of a query. Of trade_no and out_trade_no one is given.
type refundRequest struct {
	TradeNo      string       `json:"trade_no,omitempty"`
	OutTradeNo   string       `json:"out_trade_no,omitempty"`
	RefundAmount money.Amount `json:"refund_amount,omitzero"`
	OutRequestNo string       `json:"out_request_no"`
}

// requestFor names the payment and the refund. A payment without a channel's number is named by the order's id, under which it was then
// made.
func requestFor(order tasks.RefundOrder) refundRequest {
	if order.ChannelTxnID == "" {
		return refundRequest{OutTradeNo: order.OrderID, OutRequestNo: order.Number}
	}
	return refundRequest{TradeNo: order.ChannelTxnID, OutRequestNo: order.Number}
}

// Refund implements channel.Refunder. Errors: an *AnswerError when Alipay refused without saying for good, with channel.ErrRefused (C5),
// channel.ErrNotGenuine when the answer does not verify, channel.ErrMalformed when it cannot be read or is another refund's, and those of
// the HTTP client. All mean unknown.
func (c *Channel) Refund(ctx context.Context, order tasks.RefundOrder) (channel.RefundAnswer, error) {
	request := requestFor(order)
	request.RefundAmount = order.Amount
	reply, err := c.call(ctx, methodRefund, request)
	if err != nil {
		return channel.RefundAnswer{}, fmt.Errorf("refund %s: %w", order.Number, err)
	}
	if refusal := reply.refusal(); refusal != nil {
		if refusal.SubCode == subCodeFinished && refusal.Status == http.StatusOK && reply.verified == nil {
			return channel.RefundAnswer{State: channel.RefundFailed, Reason: subCodeFinished}, nil
		}
		return channel.RefundAnswer{}, fmt.Errorf("refund %s: %w", order.Number, reply.problem(refusal))
	}
	answer, err := reply.refund(order)
	if err != nil {
		return channel.RefundAnswer{}, fmt.Errorf("refund %s: %w", order.Number, err)
	}
	return answer, nil
}

// Query implements channel.Refunder. It returns channel.ErrUnknownNumber, or the errors of Refund.
func (c *Channel) Query(ctx context.Context, order tasks.RefundOrder) (channel.RefundAnswer, error) {
	reply, err := c.call(ctx, methodQuery, requestFor(order))
	if err != nil {
		return channel.RefundAnswer{}, fmt.Errorf("query refund %s: %w", order.Number, err)
	}
	if refusal := reply.refusal(); refusal != nil {
		if refusal.SubCode == subCodeNoTrade && refusal.Status == http.StatusOK && reply.verified == nil {
			return channel.RefundAnswer{}, fmt.Errorf("query refund %s: %w: %w", order.Number, channel.ErrUnknownNumber, refusal)
		}
		return channel.RefundAnswer{}, fmt.Errorf("query refund %s: %w", order.Number, reply.problem(refusal))
	}
	answer, err := reply.queried(order)
	if err != nil {
		return channel.RefundAnswer{}, fmt.Errorf("query refund %s: %w", order.Number, err)
	}
	return answer, nil
}

// refund reads what the success of a call says of the refund that it asked for (A6).
func (a *answer) refund(order tasks.RefundOrder) (channel.RefundAnswer, error) {
	if a.verified != nil {
		return channel.RefundAnswer{}, fmt.Errorf("verify answer: %w", a.verified)
	}
	r := &reading{from: a.node}
	switch r.optional("fund_change") {
	case "Y":
		r.samePayment(order)
		if r.yuan("refund_fee").Cmp(order.Amount) < 0 { // what was refunded of the payment in all
			r.refuse("refund_fee", "is less than this refund")
		}
	case "N", "":
		if r.err == nil {
			return channel.RefundAnswer{State: channel.RefundProcessing}, nil
		}
	default:
		r.refuse("fund_change", "is unknown")
	}
	return succeededIf(r.problem())
}

// queried reads what the success of a query says of the refund (A6).
func (a *answer) queried(order tasks.RefundOrder) (channel.RefundAnswer, error) {
	if a.verified != nil {
		return channel.RefundAnswer{}, fmt.Errorf("verify answer: %w", a.verified)
	}
	r := &reading{from: a.node}
	switch r.optional("refund_status") {
	case "REFUND_SUCCESS":
		r.samePayment(order)
		if r.id("out_request_no", idBytesMax) != order.Number {
			r.refuse("out_request_no", "is another refund's")
		}
		if r.yuan("refund_amount") != order.Amount {
			r.refuse("refund_amount", "is another amount")
		}
	case "":
		if r.err == nil {
			return channel.RefundAnswer{}, channel.ErrUnknownNumber
		}
	default:
		r.refuse("refund_status", "is unknown")
	}
	return succeededIf(r.problem())
}

// samePayment checks that an answer is about the payment that was asked about.
func (r *reading) samePayment(order tasks.RefundOrder) {
	if order.ChannelTxnID != "" && r.id("trade_no", idBytesMax) != order.ChannelTxnID {
		r.refuse("trade_no", "is another payment's")
	}
	if order.ChannelTxnID == "" && r.id("out_trade_no", idBytesMax) != order.OrderID {
		r.refuse("out_trade_no", "is another payment's")
	}
}

// problem is the first problem of an answer, as an error of Refund, Query and QueryPayment.
func (r *reading) problem() error {
	if r.err == nil {
		return nil
	}
	return fmt.Errorf("%w: answer's %w", channel.ErrMalformed, r.err)
}

// succeededIf is the end of a refund without a time (A7), unless there is a problem.
func succeededIf(problem error) (channel.RefundAnswer, error) {
	if problem != nil {
		return channel.RefundAnswer{}, problem
	}
	return channel.RefundAnswer{State: channel.RefundSucceeded}, nil
}
