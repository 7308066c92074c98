package ecny

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/settled-dev/settled/channel"
	"github.com/settled-dev/settled/tasks"
)

// Where refunds are asked for and queried.
const (
	refundPath = "/polypay/v1.0/mchorders/refund"
	queryPath  = "/polypay/v1.0/mchorders/refundquery"
)

// The documented codes that decide something.
const (
	codeOverdue   = "TRADE_OVERDUE"        // the payment is too old to be refunded
	codeNotExists = "CMBORDERID_NOT_EXIST" // of a query: there is no such refund, or order
)

// foundFor is how long after it was ordered a refund or a payment is surely found: the bank looks back for rememberedFor, and whose clock counts it does
// not say.
const foundFor = rememberedFor - 24*time.Hour

// Refund implements channel.Refunder. A payment without a channel's number is named by the order's id, under which it was then made.
// Errors: an *AnswerError when the bank refused without saying for good, with channel.ErrRefused (C5), channel.ErrNotGenuine and
// ErrMalformed when the answer does not verify or cannot be read, and those of the HTTP client. All mean unknown.
func (c *Channel) Refund(ctx context.Context, order tasks.RefundOrder) (channel.RefundAnswer, error) {
	content := map[string]string{"merId": c.merID, "userId": c.userID, "orderId": order.Number, "currencyCode": "156",
		"txnAmt": strconv.FormatInt(order.Captured.Fen(), 10), "refundAmt": strconv.FormatInt(order.Amount.Fen(), 10)}
	if order.ChannelTxnID != "" {
		content["origCmbOrderId"] = order.ChannelTxnID
	} else {
		content["origOrderId"] = order.OrderID
	}
	if c.notifyURL != "" {
		content["notifyUrl"] = c.notifyURL
	}
	reply, err := c.call(ctx, refundPath, content)
	if err != nil {
		return channel.RefundAnswer{}, fmt.Errorf("refund %s: %w", order.Number, err)
	}
	var answer channel.RefundAnswer
	if reply.refuses(codeOverdue) {
		answer, err = c.overdue(reply, order.Number)
	} else {
		answer, err = c.refundAnswer(reply, order, "refundState")
	}
	if err != nil {
		return channel.RefundAnswer{}, fmt.Errorf("refund %s: %w", order.Number, err)
	}
	return answer, nil
}

// overdue reads the one refusal that no later try can change.
func (c *Channel) overdue(reply envelope, number string) (channel.RefundAnswer, error) {
	if r := c.about(reply, number, true); r.err != nil {
		return channel.RefundAnswer{}, fmt.Errorf("%w: answer's %w", channel.ErrMalformed, r.err)
	}
	return channel.RefundAnswer{State: channel.RefundFailed, Reason: codeOverdue}, nil
}

// Query implements channel.Refunder. It returns channel.ErrUnknownNumber, or the errors of Refund.
func (c *Channel) Query(ctx context.Context, order tasks.RefundOrder) (channel.RefundAnswer, error) {
	reply, err := c.call(ctx, queryPath, map[string]string{"merId": c.merID, "userId": c.userID, "orderId": order.Number})
	if err != nil {
		return channel.RefundAnswer{}, fmt.Errorf("query refund %s: %w", order.Number, err)
	}
	if reply.refuses(codeNotExists) && c.clock.Now().Sub(order.OccurredAt) <= foundFor && c.about(reply, order.Number, false).err == nil {
		return channel.RefundAnswer{}, fmt.Errorf("query refund %s: %w", order.Number, channel.ErrUnknownNumber)
	}
	answer, err := c.refundAnswer(reply, order, "tradeState")
	if err != nil {
		return channel.RefundAnswer{}, fmt.Errorf("query refund %s: %w", order.Number, err)
	}
	return answer, nil
}

// refundAnswer reads what a genuine answer says of the order, in the field of that name (E6).
func (c *Channel) refundAnswer(reply envelope, order tasks.RefundOrder, state string) (channel.RefundAnswer, error) {
	if !reply.done() {
		return channel.RefundAnswer{}, reply.problem()
	}
	r := c.about(reply, order.Number, true)
	r.yuanOnly(false)
	if r.fen("refundAmt") != order.Amount {
		r.refuse("refundAmt", "is another amount")
	}
	answer := r.refundState(state, r.optional(state))
	if r.err != nil {
		return channel.RefundAnswer{}, fmt.Errorf("%w: answer's %w", channel.ErrMalformed, r.err)
	}
	return answer, nil
}
