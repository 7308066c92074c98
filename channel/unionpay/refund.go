package unionpay

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/settled-dev/settled/channel"
	"github.com/settled-dev/settled/internal/clock"
	"github.com/settled-dev/settled/tasks"
)

// Refund implements channel.Refunder. UnionPay's answer says at best that it took the refund: how it ends is for a notice or Query. A
// refund ends by no refusal, because a repeat of a refund that was made may be refused for what the first one did (U5).
// Errors: a *tasks.FieldError when the order names no payment of UnionPay's and an *AnswerError when UnionPay refused, both with
// channel.ErrRefused (C5), channel.ErrNotGenuine when the answer does not verify, channel.ErrMalformed when it is about something else, and
// those of the HTTP client. All mean unknown.
func (c *Channel) Refund(ctx context.Context, order tasks.RefundOrder) (channel.RefundAnswer, error) {
	if order.ChannelTxnID == "" {
		return channel.RefundAnswer{}, fmt.Errorf("refund %s: %w: %w", order.Number, channel.ErrRefused,
			&tasks.FieldError{Field: "channel_txn_id", Problem: "is empty", Allowed: "the queryId of the payment"})
	}
	answer, err := c.call(ctx, c.backTransURL, map[string]string{"txnType": typeRefund, "txnSubType": "00", "bizType": "000201",
		"channelType": "07", "orderId": order.Number, "txnTime": txnTime(order.OccurredAt), "txnAmt": strconv.FormatInt(order.Amount.Fen(), 10),
		"origQryId": order.ChannelTxnID, "backUrl": c.backURL})
	if err != nil {
		return channel.RefundAnswer{}, fmt.Errorf("refund %s: %w", order.Number, err)
	}
	switch code := answer.get("respCode"); code {
	case codeSucceeded, codeWithDefects, codeTimedOut, codeUncertain, codeAccepted:
	default:
		return channel.RefundAnswer{}, fmt.Errorf("refund %s: %w", order.Number, problem(answer, "respCode", "respMsg"))
	}
	if err := c.checkEcho(answer, order); err != nil {
		return channel.RefundAnswer{}, fmt.Errorf("refund %s: %w", order.Number, err)
	}
	return channel.RefundAnswer{State: channel.RefundProcessing}, nil
}

// Query implements channel.Refunder. It returns channel.ErrUnknownNumber, or the errors of Refund.
func (c *Channel) Query(ctx context.Context, order tasks.RefundOrder) (channel.RefundAnswer, error) {
	answer, err := c.query(ctx, order.Number, order.OccurredAt)
	if err != nil {
		return channel.RefundAnswer{}, fmt.Errorf("query refund %s: %w", order.Number, err)
	}
	if err := c.checkEcho(answer, order); err != nil {
		return channel.RefundAnswer{}, fmt.Errorf("query refund %s: %w", order.Number, err)
	}
	read, certain := refundAnswer(answer.get("origRespCode"))
	if !certain {
		return channel.RefundAnswer{}, fmt.Errorf("query refund %s: %w", order.Number, problem(answer, "origRespCode", "origRespMsg"))
	}
	return read, nil
}

// query asks about a transaction and returns the answer of a query that worked. It returns channel.ErrUnknownNumber, or the errors of Refund.
func (c *Channel) query(ctx context.Context, number string, at time.Time) (fields, error) {
	answer, err := c.call(ctx, c.queryTransURL, map[string]string{"txnType": "00", "txnSubType": "00", "bizType": "000000",
		"orderId": number, "txnTime": txnTime(at)})
	if err != nil {
		return nil, err
	}
	switch answer.get("respCode") {
	case codeSucceeded:
		return answer, nil
	case codeNotFound:
		if echoed := answer.get("orderId"); echoed != "" && echoed != number {
			return nil, fmt.Errorf("%w: answer is about another", channel.ErrMalformed)
		}
		return nil, channel.ErrUnknownNumber
	default: // the query itself was refused
		return nil, problem(answer, "respCode", "respMsg")
	}
}

// txnTime is the time under which a transaction is known to UnionPay together with its number: it comes from the stored order, and so is
// the same in each request and query (U4).
func txnTime(at time.Time) string { return at.In(clock.Shanghai).Format(timeLayout) }

// about reads an answer and requires it to be about our transaction of that number, time and type (U5).
func (c *Channel) about(answer fields, number string, at time.Time, kind string) *reading {
	r := &reading{fields: answer}
	for _, echo := range []struct{ name, want string }{{"merId", c.merID}, {"orderId", number}, {"txnTime", txnTime(at)}, {"txnType", kind}} {
		if answer.get(echo.name) != echo.want {
			r.refuse(echo.name, "is another's")
		}
	}
	return r
}

// checkEcho refuses an answer that is not about the order: a signature does not cover the request (U5).
func (c *Channel) checkEcho(answer fields, order tasks.RefundOrder) error {
	r := c.about(answer, order.Number, order.OccurredAt, typeRefund)
	if r.fen("txnAmt") != order.Amount {
		r.refuse("txnAmt", "is another amount")
	}
	if payment := answer.get("origQryId"); payment != "" && payment != order.ChannelTxnID { // not every answer names it
		r.refuse("origQryId", "is another payment's")
	}
	if r.err != nil {
		return fmt.Errorf("%w: answer's %w", channel.ErrMalformed, r.err)
	}
	return nil
}
