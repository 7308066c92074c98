package unionpay

import (
	"context"
	"fmt"

	"github.com/settled-dev/settled/channel"
	"github.com/settled-dev/settled/tasks"
)

// QueryPayment implements channel.PaymentQuerier. The order is found by its number and by when it was opened, so the merchant must have
// given UnionPay that very time as txnTime. It returns channel.ErrUnpaid, channel.ErrUnknownNumber, or the errors of Refund, and never a
// notice of channel.EventClosed: UnionPay tells how an attempt to pay has ended, and a payer may make another.
func (c *Channel) QueryPayment(ctx context.Context, order channel.PaymentOrder) (channel.Notice, error) {
	answer, err := c.query(ctx, order.OutTradeNo, order.OpenedAt)
	if err != nil {
		return channel.Notice{}, fmt.Errorf("query payment of %s: %w", order.OutTradeNo, err)
	}
	notice, err := c.paymentAnswer(answer, order)
	if err != nil {
		return channel.Notice{}, fmt.Errorf("query payment of %s: %w", order.OutTradeNo, err)
	}
	return notice, nil
}

// paymentAnswer reads what the answer of a query that worked says of the order (U5).
func (c *Channel) paymentAnswer(answer fields, order channel.PaymentOrder) (channel.Notice, error) {
	r := c.about(answer, order.OutTradeNo, order.OpenedAt, typePayment)
	notice := channel.Notice{Channel: tasks.SourceUnionPay, MerchantID: c.merID, OccurredAt: r.time("txnTime")}
	code := r.id("origRespCode")
	if succeeded(code) {
		r.payment(&notice)
	}
	if r.err != nil {
		return channel.Notice{}, fmt.Errorf("%w: answer's %w", channel.ErrMalformed, r.err)
	}
	switch _, failed := failures[code]; {
	case succeeded(code):
		return notice, nil
	case failed, code == codeTimedOut, code == codeUncertain, code == codeAccepted:
		return channel.Notice{}, channel.ErrUnpaid
	default:
		return channel.Notice{}, problem(answer, "origRespCode", "origRespMsg")
	}
}
