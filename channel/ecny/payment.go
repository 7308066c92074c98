package ecny

import (
	"context"
	"fmt"

	"github.com/settled-dev/settled/channel"
	"github.com/settled-dev/settled/tasks"
)

// orderQueryPath is where orders are asked about.
const orderQueryPath = "/polypay/v1.0/mchorders/orderquery"

// The documented codes of an order that is not paid; the first is spelled so.
const (
	codeUnpaid  = "UNPAIED_ORDER"
	codeExpired = "ORDERID_INVALID" // its time is over. It is not closed, and the bank does not say that it cannot be paid any more
)

// QueryPayment implements channel.PaymentQuerier. It returns channel.ErrUnpaid, channel.ErrUnknownNumber, or the errors of Refund.
func (c *Channel) QueryPayment(ctx context.Context, order channel.PaymentOrder) (channel.Notice, error) {
	reply, err := c.call(ctx, orderQueryPath, map[string]string{"merId": c.merID, "userId": c.userID, "orderId": order.OutTradeNo})
	if err != nil {
		return channel.Notice{}, fmt.Errorf("query payment of %s: %w", order.OutTradeNo, err)
	}
	var notice channel.Notice
	if reply.done() {
		notice, err = c.paymentAnswer(reply, order)
	} else {
		err = c.paymentRefusal(reply, order)
	}
	if err != nil {
		return channel.Notice{}, fmt.Errorf("query payment of %s: %w", order.OutTradeNo, err)
	}
	return notice, nil
}

// paymentRefusal is what a genuine answer that is not done says of the order.
func (c *Channel) paymentRefusal(reply envelope, order channel.PaymentOrder) error {
	if r := c.about(reply, order.OutTradeNo, false); r.err != nil {
		return fmt.Errorf("%w: answer's %w", channel.ErrMalformed, r.err)
	}
	switch {
	case reply.refuses(codeUnpaid), reply.refuses(codeExpired):
		return channel.ErrUnpaid
	case reply.refuses(codeNotExists) && c.clock.Now().Sub(order.OpenedAt) <= foundFor:
		return channel.ErrUnknownNumber
	default:
		return reply.problem()
	}
}

// paymentAnswer reads what a genuine answer that is done says of the order (E6), to the values that a notice has.
func (c *Channel) paymentAnswer(reply envelope, order channel.PaymentOrder) (channel.Notice, error) {
	r := c.about(reply, order.OutTradeNo, true)
	notice := channel.Notice{Channel: tasks.SourceECNY, MerchantID: c.merID, OutTradeNo: order.OutTradeNo}
	unpaid := false
	switch state := r.optional("tradeState"); state {
	case "S", "R":
		notice.Refunded = state == "R"
		r.same("payType", payType, true)
		r.yuanOnly(true)
		at, told := r.endedAt()
		notice.Event, notice.OccurredAt, notice.TimeUnknown = channel.EventPaid, at, !told
		notice.ChannelTxnID, notice.Amount = r.id("cmbOrderId"), r.fen("txnAmt")
	case "C", "D": // closed, revoked: before any money moved
		notice.Event = channel.EventClosed
	case "P", "F": // a payer whose attempt has failed may make another
		unpaid = true
	default:
		r.refuse("tradeState", "is unknown of an order")
	}
	if r.err != nil {
		return channel.Notice{}, fmt.Errorf("%w: answer's %w", channel.ErrMalformed, r.err)
	}
	if unpaid {
		return channel.Notice{}, channel.ErrUnpaid
	}
	return notice, nil
}
