package channel

import (
	"context"
	"errors"
	"time"
)

// PaymentOrder is what a channel is asked about.
type PaymentOrder struct {
	// OutTradeNo is the recharge order's number, which the merchant gave the channel.
	OutTradeNo string
	// OpenedAt is when the recharge order was opened. UnionPay finds an order by its number together with the txnTime that the merchant sent:
	// it must have been this time, in Shanghai, to the second. Other channels do not look at it.
	OpenedAt time.Time
}

// PaymentQuerier asks one channel what became of a payer's order. It may be called at the same time, and again after any answer.
type PaymentQuerier interface {
	// QueryPayment returns a Notice of EventPaid, with the content that a genuine notice of the payment would have had but its ID and
	// Refunded, so that both are one request; or one of EventClosed, with the order's number and our ids, and a time where the channel tells it: as the channel
	// says now, the order will never be paid. It has checked that the answer is verified, of this order, in CNY, and ours. It returns
	// ErrUnpaid when the channel knows the order, and it is not paid yet;
	// ErrUnknownNumber when the channel says that it has never seen the number; ErrRefused, wrapped, beside the port's own error, where a
	// verified answer refuses. Any other error means that nothing is known. An order that was refunded since is one that was paid, and Refunded.
	QueryPayment(ctx context.Context, order PaymentOrder) (Notice, error)
}

// ErrUnpaid is returned by QueryPayment when the channel knows the order, and nobody has paid it yet: ask again later.
var ErrUnpaid = errors.New("channel says that the order is not paid")
