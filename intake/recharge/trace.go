package recharge

import (
	"context"
	"fmt"
	"time"

	"github.com/settled-dev/settled/money"
	"github.com/settled-dev/settled/tasks"
)

// Trace is what is stored about a payment of a channel and the order that it names.
type Trace struct {
	// Order has the payment's number; nil when no order of ours has.
	Order *Order
	// Confirmed is the recharge:confirm that was accepted for the order, of this payment or another; nil when it is not paid.
	Confirmed *tasks.Recharge
	// Suspended is the recharge:suspend that was accepted for the payment; nil when there is none.
	Suspended *tasks.Suspension
	// Used says that the payment has funded a request that is neither of the two.
	Used bool
}

// ConfirmedBy says that it is this payment that has paid the order.
func (t *Trace) ConfirmedBy(channel tasks.Source, txnID string) bool {
	return t.Confirmed != nil && t.Confirmed.Channel == channel && t.Confirmed.ChannelTxnID == txnID
}

// tracePaymentSQL looks in all books: the payment's number says nothing of the book.
const tracePaymentSQL = `
SELECT o.recharge_id, o.user_id, o.channel, o.amount_fen, o.producer, o.created_at, o.expires_at, o.closed_at,
       confirmed.payload, suspended.payload,
       booked.request_id IS NOT NULL AND booked.request_id IS DISTINCT FROM confirmed.id AND booked.request_id IS DISTINCT FROM suspended.id
FROM (VALUES (1)) AS payment
LEFT JOIN recharge_orders o ON o.out_trade_no = $3::text
LEFT JOIN requests confirmed ON confirmed.kind = 'recharge:confirm' AND confirmed.key = o.recharge_id
LEFT JOIN requests suspended ON suspended.kind = 'recharge:suspend' AND suspended.key = $1::text || '/' || $2::text
LEFT JOIN channel_receipts booked ON booked.channel = $1::text AND booked.channel_txn_id = $2::text`

// Trace looks up, in one statement, what is stored about a channel's payment and the order that it names. It locks nothing: what is
// accepted meanwhile shows as a conflict of what the caller has accepted.
func (o *Orders) Trace(ctx context.Context, channel tasks.Source, txnID, outTradeNo string) (Trace, error) {
	var row traceRow
	var trace Trace
	err := o.pool.QueryRow(ctx, tracePaymentSQL, channel, txnID, outTradeNo).Scan(&row.rechargeID, &row.userID, &row.channel, &row.fen,
		&row.producer, &row.createdAt, &row.expiresAt, &row.closedAt, &row.confirmed, &row.suspended, &trace.Used)
	if err != nil {
		return Trace{}, fmt.Errorf("trace %s payment %s: %w", channel, txnID, err)
	}
	if trace.Confirmed, err = decode[*tasks.Recharge](tasks.RechargeConfirm, row.confirmed); err != nil {
		return Trace{}, err
	}
	if trace.Suspended, err = decode[*tasks.Suspension](tasks.RechargeSuspend, row.suspended); err != nil {
		return Trace{}, err
	}
	if row.rechargeID == nil {
		return trace, nil
	}
	order := Order{RechargeID: *row.rechargeID, UserID: *row.userID, Channel: *row.channel, Amount: money.FromFen(*row.fen),
		OutTradeNo: outTradeNo, CreatedAt: *row.createdAt, ExpiresAt: *row.expiresAt, ClosedAt: row.closedAt, Producer: *row.producer}
	if trace.Confirmed != nil {
		order.ChannelTxnID = trace.Confirmed.ChannelTxnID
	}
	order = o.complete(order)
	trace.Order = &order
	return trace, nil
}

// traceRow has nils where nothing is stored.
type traceRow struct {
	rechargeID, userID, producer   *string
	channel                        *tasks.Source
	fen                            *int64
	createdAt, expiresAt, closedAt *time.Time
	confirmed, suspended           []byte
}

// decode reads a stored payload; it is nil where none is stored.
func decode[P tasks.Payload](kind tasks.Kind, stored []byte) (P, error) {
	var none P
	if stored == nil {
		return none, nil
	}
	payload, err := tasks.DecodePayload(kind, stored)
	if err != nil {
		return none, err
	}
	p, ok := payload.(P)
	if !ok {
		return none, fmt.Errorf("%s holds a %T", kind, payload)
	}
	return p, nil
}
