package ledger

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/settled-dev/settled/money"
	"github.com/settled-dev/settled/tasks"
)

// OrderRecord is an order as it stands in the books, with the policy that counts at the same moment.
type OrderRecord struct {
	Order      Order // with its lines
	Book       int
	CapturedAt time.Time
	ReadAt     time.Time // that moment
	Policy     tasks.Policy
}

// The statements below find an order's book by its payment: an order's id is the key of the request that captured it.

const findOrderSQL = `
SELECT o.book, o.order_id, o.user_id, o.merchant_id, o.captured_at, clock_timestamp()
FROM requests r
JOIN orders o ON o.book = r.book AND o.order_id = r.key
WHERE r.kind = 'payment:capture' AND r.key = $1`

const legsOfOrderSQL = `
SELECT l.source, coalesce(l.channel_txn_id, ''), l.captured_fen, l.refunded_fen,
       CASE WHEN l.source NOT IN ('cash', 'reward') THEN (
           SELECT count(*) FROM requests s
           WHERE s.kind = 'refund:send' AND s.book = l.book AND s.payload ->> 'order_id' = l.order_id
             AND s.payload ->> 'channel' = l.source) ELSE 0 END
FROM requests r
JOIN legs l ON l.book = r.book AND l.order_id = r.key
WHERE r.kind = 'payment:capture' AND r.key = $1
ORDER BY l.leg`

const linesOfOrderSQL = `
SELECT l.line_id, l.kind, l.amount_fen, l.allocated_fen, l.refunded_fen
FROM requests r
JOIN order_lines l ON l.book = r.book AND l.order_id = r.key
WHERE r.kind = 'payment:capture' AND r.key = $1
ORDER BY l.position`

// Order reads an order, its lines and the policy, all as of one moment: what a rule would be given now. It returns ErrNotFound for
// an order that was not captured, whatever became of its payment.
func (r *Reader) Order(ctx context.Context, orderID string) (OrderRecord, error) {
	var record OrderRecord
	oneMoment := pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}
	err := pgx.BeginTxFunc(ctx, r.pool, oneMoment, func(tx pgx.Tx) error {
		var queries pgx.Batch
		queries.Queue(findOrderSQL, orderID).QueryRow(func(row pgx.Row) error {
			o := &record.Order
			err := row.Scan(&record.Book, &o.ID, &o.UserID, &o.MerchantID, &o.CapturedAt, &record.ReadAt)
			record.CapturedAt = o.CapturedAt
			return err
		})
		queries.Queue(legsOfOrderSQL, orderID).Query(record.Order.scanLegs)
		queries.Queue(linesOfOrderSQL, orderID).Query(record.Order.scanLines)
		queries.Queue(tasks.NewestPolicySQL).QueryRow(func(row pgx.Row) (err error) {
			record.Policy, _, err = tasks.ScanPolicy(row)
			return err
		})
		return tx.SendBatch(ctx, &queries).Close()
	})
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return OrderRecord{}, fmt.Errorf("order %q: %w", orderID, ErrNotFound)
	case err != nil:
		return OrderRecord{}, fmt.Errorf("read order %q: %w", orderID, err)
	}
	return record, nil
}

func (o *Order) scanLegs(rows pgx.Rows) error {
	var leg Leg
	var captured, refunded int64
	_, err := pgx.ForEachRow(rows, []any{&leg.Source, &leg.ChannelTxnID, &captured, &refunded, &leg.Asked}, func() error {
		leg.Captured, leg.Refunded = money.FromFen(captured), money.FromFen(refunded)
		o.Legs = append(o.Legs, leg)
		return nil
	})
	return err
}

func (o *Order) scanLines(rows pgx.Rows) error {
	lines, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (Line, error) {
		var line Line
		var amount int64
		var allocated, refunded []int64
		err := row.Scan(&line.ID, &line.Kind, &amount, &allocated, &refunded)
		line.Amount, line.Allocated, line.Refunded = money.FromFen(amount), amounts(allocated), amounts(refunded)
		return line, err
	})
	o.Lines = lines
	return err
}

// OrderRefund is one refund that was asked of an order.
type OrderRefund struct {
	ID         uuid.UUID
	Refund     *tasks.Refund
	AcceptedAt time.Time
	State      string // as of a Record
	WaitsFor   string
	Reason     tasks.Reason // why it was rejected
	Detail     string       // of the outcome
	DecidedAt  *time.Time   // nil while it has no outcome
}

const refundsOfOrderSQL = `
SELECT r.id, r.payload, r.accepted_at, coalesce(p.state, o.result, ''), coalesce(p.waits_for, ''), coalesce(o.reason, ''),
       coalesce(o.detail, ''), o.decided_at
FROM requests r
LEFT JOIN pending p ON p.book = r.book AND p.request_id = r.id
LEFT JOIN outcomes o ON o.book = r.book AND o.request_id = r.id
WHERE r.kind = 'refund:apply' AND r.book = $1 AND r.payload ->> 'order_id' = $2 AND r.id > $3 AND ($4 = '' OR r.producer = $4)
ORDER BY r.id
LIMIT $5`

// OrderRefundsQuery asks for one page of the refunds of an order.
type OrderRefundsQuery struct {
	Book     int
	OrderID  string
	Producer string    // whose refunds are listed; empty means everybody's
	After    uuid.UUID // of the last refund of the page before; zero for the first page
	Limit    int       // 1 to 1000
}

// OrderRefunds lists the refunds that were asked of an order in its own book, in the order of their ids, which is about that of
// their acceptance. A refund that names another user of another book is not among them: it is rejected there.
func (r *Reader) OrderRefunds(ctx context.Context, query OrderRefundsQuery) ([]OrderRefund, error) {
	refunds, err := queryRows(ctx, r.pool, func(row pgx.CollectableRow) (OrderRefund, error) {
		var refund OrderRefund
		var payload []byte
		if err := row.Scan(&refund.ID, &payload, &refund.AcceptedAt, &refund.State, &refund.WaitsFor, &refund.Reason, &refund.Detail,
			&refund.DecidedAt); err != nil {
			return refund, err
		}
		decoded, err := tasks.DecodePayload(tasks.RefundApply, payload)
		if err != nil {
			return refund, err
		}
		refund.Refund, _ = decoded.(*tasks.Refund)
		return refund, nil
	}, refundsOfOrderSQL, query.Book, query.OrderID, query.After, query.Producer, min(max(query.Limit, 1), 1000))
	if err != nil {
		return nil, fmt.Errorf("list the refunds of order %q: %w", query.OrderID, err)
	}
	return refunds, nil
}
