package recharge

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

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

// Trace looks up what is stored about a channel's payment and the order that it names, as of one moment after the call. Calls that come
// together share a statement. It locks nothing: what is accepted meanwhile shows as a conflict of what the caller accepts.
func (o *Orders) Trace(ctx context.Context, channel tasks.Source, txnID, outTradeNo string) (Trace, error) {
	row, err := o.looks.ask(ctx, payment{channel, txnID, outTradeNo})
	if err != nil {
		return Trace{}, fmt.Errorf("trace %s payment %s: %w", channel, txnID, err)
	}
	var trace Trace
	trace.Used = row.used
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

// tracePaymentsSQL looks in all books: a payment's number says nothing of the book. Each LIMIT keeps a plan from reading all requests of
// a kind and comparing keys afterwards (docs/adr/0006).
const tracePaymentsSQL = `
SELECT asked.place, o.recharge_id, o.user_id, o.channel, o.amount_fen, o.producer, o.created_at, o.expires_at, o.closed_at,
       confirmed.payload, suspended.payload,
       booked.request_id IS NOT NULL AND booked.request_id IS DISTINCT FROM confirmed.id AND booked.request_id IS DISTINCT FROM suspended.id
FROM unnest($1::text[], $2::text[], $3::text[]) WITH ORDINALITY AS asked (channel, channel_txn_id, out_trade_no, place)
LEFT JOIN LATERAL (SELECT * FROM recharge_orders WHERE out_trade_no = asked.out_trade_no LIMIT 1) o ON true
LEFT JOIN LATERAL (SELECT id, payload FROM requests WHERE kind = 'recharge:confirm' AND key = o.recharge_id LIMIT 1) confirmed ON true
LEFT JOIN LATERAL (
    SELECT id, payload FROM requests WHERE kind = 'recharge:suspend' AND key = asked.channel || '/' || asked.channel_txn_id LIMIT 1
) suspended ON true
LEFT JOIN LATERAL (
    SELECT request_id FROM channel_receipts WHERE channel = asked.channel AND channel_txn_id = asked.channel_txn_id LIMIT 1
) booked ON true`

// traceRow has nils where nothing is stored.
type traceRow struct {
	rechargeID, userID, producer   *string
	channel                        *tasks.Source
	fen                            *int64
	createdAt, expiresAt, closedAt *time.Time
	confirmed, suspended           []byte
	used                           bool
}

// payment is what a channel says of a payment to find it.
type payment struct {
	channel           tasks.Source
	txnID, outTradeNo string
}

// tracePayments looks payments up and returns a row for each, in their order.
func tracePayments(ctx context.Context, pool *pgxpool.Pool, payments []payment) ([]traceRow, error) {
	channels, txnIDs, numbers := make([]string, len(payments)), make([]string, len(payments)), make([]string, len(payments))
	for i, p := range payments {
		channels[i], txnIDs[i], numbers[i] = string(p.channel), p.txnID, p.outTradeNo
	}
	rows, err := pool.Query(ctx, tracePaymentsSQL, channels, txnIDs, numbers)
	if err != nil {
		return nil, err
	}
	found := make([]traceRow, len(payments))
	var place int
	var row traceRow
	_, err = pgx.ForEachRow(rows, []any{&place, &row.rechargeID, &row.userID, &row.channel, &row.fen, &row.producer, &row.createdAt,
		&row.expiresAt, &row.closedAt, &row.confirmed, &row.suspended, &row.used}, func() error {
		found[place-1] = row
		row = traceRow{}
		return nil
	})
	return found, err
}
