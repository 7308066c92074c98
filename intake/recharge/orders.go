package recharge

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/settled-dev/settled/internal/clock"
	"github.com/settled-dev/settled/money"
	"github.com/settled-dev/settled/tasks"
)

// How long an order is open. The shortest leaves a payer time; the longest is as long as channels keep an unpaid order.
const (
	ExpiresAfterDefault = 2 * time.Hour
	ExpiresAfterMin     = time.Minute
	ExpiresAfterMax     = 24 * time.Hour
)

var (
	// ErrNotFound says that no order has that id or number.
	ErrNotFound = errors.New("no such recharge order")
	// ErrPaid says that an order cannot be closed because it is paid.
	ErrPaid = errors.New("the recharge order is paid")
	// ErrRejected says that an order cannot be closed because what was to pay it was rejected.
	ErrRejected = errors.New("the recharge order's payment was rejected")
)

// ConflictError says that a recharge id was used before, for another order.
type ConflictError struct {
	Stored Order
	Fields []tasks.Diff // what differs
}

// Error implements error.
func (e *ConflictError) Error() string {
	text := fmt.Sprintf("recharge order %q was opened before with other content:", e.Stored.RechargeID)
	for _, diff := range e.Fields {
		text += " " + diff.String() + ";"
	}
	return text[:len(text)-1]
}

// Orders stores recharge orders. It may be used by many goroutines and processes at once, and holds nothing that must be closed.
type Orders struct {
	pool  *pgxpool.Pool
	books int
	clock clock.Clock
	looks *looks
}

// NewOrders makes a store over a pool that the caller owns, of a ledger with that many books. The clock dates orders.
func NewOrders(pool *pgxpool.Pool, books int, clock clock.Clock) *Orders {
	return &Orders{pool: pool, books: books, clock: clock, looks: &looks{pool: pool}}
}

// orderIDSQL gives the id to an order, unless a producer has it for a confirmation of his own, or had before there was such a table.
const orderIDSQL = `
INSERT INTO recharge_ids (recharge_id, ordered)
SELECT $1::text, true
WHERE NOT EXISTS (SELECT FROM requests r WHERE r.kind = 'recharge:confirm' AND r.key = $1::text)
ON CONFLICT ON CONSTRAINT recharge_is_confirmed_by_its_channel_or_by_a_producer DO NOTHING`

// openOrderSQL leaves an order alone that exists, and opens none whose id orderIDSQL has not got. Of two that insert one id at once, the
// second has waited there, and finds the first one's order. A number that is taken is an error. With an order comes its inquiry, which the
// statement counts.
const openOrderSQL = `
WITH opened AS (
    INSERT INTO recharge_orders (book, recharge_id, user_id, channel, amount_fen, out_trade_no, producer, created_at, expires_at)
    SELECT $1::smallint, $2::text, $3, $4, $5::bigint, $6, $7, $8::timestamptz, $9::timestamptz
    WHERE EXISTS (SELECT FROM recharge_ids i WHERE i.recharge_id = $2::text AND i.ordered)
    ON CONFLICT ON CONSTRAINT recharge_order_is_opened_once DO NOTHING
    RETURNING recharge_id, channel
)
INSERT INTO recharge_inquiries (recharge_id, channel, due_at, try_at)
SELECT recharge_id, channel, $10::timestamptz, $10::timestamptz
FROM opened`

// Open stores an order for a producer and gives it its number. It may be called twice and at once: the same content is the same order,
// and opened says who was first. It holds the recharge's id until its commit. It returns a *tasks.FieldError for what is not allowed, and a
// *ConflictError when the id was used for another order, or by another producer.
func (o *Orders) Open(ctx context.Context, producer string, asked tasks.RechargeOrder) (order Order, opened bool, err error) {
	if err := tasks.CheckProducer(producer); err != nil {
		return Order{}, false, err
	}
	if err := asked.Validate(); err != nil {
		return Order{}, false, err
	}
	now := o.clock.Now().UTC().Truncate(time.Microsecond) // what PostgreSQL keeps
	order = Order{RechargeID: asked.RechargeID, UserID: asked.UserID, Channel: asked.Channel, Amount: asked.Amount, OutTradeNo: newNumber(),
		State: StateOpen, CreatedAt: now, ExpiresAt: asked.ExpiresAt, Producer: producer}
	if asked.ExpiresAt.IsZero() {
		order.ExpiresAt = now.Add(ExpiresAfterDefault)
	}
	refused := checkExpiry(now, order.ExpiresAt)
	if refused == nil {
		if opened, err = o.insert(ctx, order); err != nil || opened {
			return order, opened, err
		}
	}
	// An order of the past may be asked for again after its time: only a new one must expire in the future.
	stored, err := o.Find(ctx, asked.RechargeID)
	switch {
	case errors.Is(err, ErrNotFound) && refused != nil:
		return Order{}, false, refused
	case errors.Is(err, ErrNotFound):
		return Order{}, false, &tasks.FieldError{Field: "recharge_id", Problem: "is of a recharge that was confirmed without an order",
			Allowed: "an id that was not used before"}
	case err != nil:
		return Order{}, false, fmt.Errorf("open recharge order %q: %w", asked.RechargeID, err)
	}
	if err := o.confirm(ctx); err != nil {
		return Order{}, false, err
	}
	if diffs := stored.differences(producer, asked); diffs != nil {
		return Order{}, false, &ConflictError{Stored: stored, Fields: diffs}
	}
	return stored, false, nil
}

// confirm makes sure that what was found is as durable as what is stored now: the answer tells that it is there.
func (o *Orders) confirm(ctx context.Context) error {
	if _, err := o.pool.Exec(ctx, tasks.ConfirmSQL); err != nil {
		return fmt.Errorf("make sure of a recharge order that is stored: %w", err)
	}
	return nil
}

// checkExpiry returns a *tasks.FieldError as an error, or nil.
func checkExpiry(now, expiresAt time.Time) error {
	if after := expiresAt.Sub(now); after < ExpiresAfterMin || after > ExpiresAfterMax {
		return &tasks.FieldError{Field: "expires_at", Problem: "is " + wireTime(expiresAt),
			Allowed: fmt.Sprintf("a time of RFC 3339, %s to %s from now, or no such field", ExpiresAfterMin, ExpiresAfterMax)}
	}
	return nil
}

// insert says whether it has stored the order. Its two statements share a transaction; the second sees what the first has waited for.
func (o *Orders) insert(ctx context.Context, order Order) (stored bool, err error) {
	inquireAt, _ := order.NextInquiry(order.CreatedAt)
	var queries pgx.Batch
	queries.Queue(orderIDSQL, order.RechargeID)
	queries.Queue(openOrderSQL, tasks.BookOf(order.UserID, o.books), order.RechargeID, order.UserID, order.Channel, order.Amount.Fen(),
		order.OutTradeNo, order.Producer, order.CreatedAt, order.ExpiresAt, inquireAt).Exec(func(tag pgconn.CommandTag) error {
		stored = tag.RowsAffected() == 1
		return nil
	})
	if err := o.pool.SendBatch(ctx, &queries).Close(); err != nil {
		return false, fmt.Errorf("store recharge order %q: %w", order.RechargeID, err)
	}
	return stored, nil
}

// closeOrderSQL locks the one order.
const closeOrderSQL = `
UPDATE recharge_orders o
SET closed_at = $2
WHERE o.recharge_id = $1 AND o.closed_at IS NULL
  AND NOT EXISTS (SELECT FROM requests r WHERE r.kind = 'recharge:confirm' AND r.key = o.recharge_id)`

// Close ends an order that is not paid: payments made from now on are not credited. Closing it twice changes nothing. It returns
// ErrNotFound, or ErrPaid or ErrRejected with the order.
func (o *Orders) Close(ctx context.Context, rechargeID string) (Order, error) {
	closed, err := o.pool.Exec(ctx, closeOrderSQL, rechargeID, o.clock.Now())
	if err != nil {
		return Order{}, fmt.Errorf("close recharge order %q: %w", rechargeID, err)
	}
	order, err := o.Find(ctx, rechargeID)
	if err == nil && closed.RowsAffected() == 0 {
		err = o.confirm(ctx)
	}
	switch {
	case err != nil:
		return Order{}, err
	case order.State == StatePaid:
		return order, fmt.Errorf("close recharge order %q: %w", rechargeID, ErrPaid)
	case order.State == StateRejected:
		return order, fmt.Errorf("close recharge order %q: %w", rechargeID, ErrRejected)
	default:
		return order, nil
	}
}

const findOrderSQL = `
SELECT o.recharge_id, o.user_id, o.channel, o.amount_fen, o.out_trade_no, o.producer, o.created_at, o.expires_at, o.closed_at,
       coalesce(paid.payload ->> 'channel_txn_id', ''), coalesce(decided.result = 'rejected', false)
FROM recharge_orders o
LEFT JOIN LATERAL (SELECT book, id, payload FROM requests WHERE kind = 'recharge:confirm' AND key = o.recharge_id LIMIT 1) paid ON true
LEFT JOIN outcomes decided ON decided.book = paid.book AND decided.request_id = paid.id
WHERE o.recharge_id = $1`

// Find finds an order by its id. It returns ErrNotFound.
func (o *Orders) Find(ctx context.Context, rechargeID string) (Order, error) {
	var order Order
	var fen int64
	var rejected bool
	err := o.pool.QueryRow(ctx, findOrderSQL, rechargeID).Scan(&order.RechargeID, &order.UserID, &order.Channel, &fen, &order.OutTradeNo,
		&order.Producer, &order.CreatedAt, &order.ExpiresAt, &order.ClosedAt, &order.ChannelTxnID, &rejected)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return Order{}, fmt.Errorf("recharge order %q: %w", rechargeID, ErrNotFound)
	case err != nil:
		return Order{}, fmt.Errorf("find recharge order %q: %w", rechargeID, err)
	}
	order.Amount = money.FromFen(fen)
	order = o.complete(order)
	if rejected {
		order.State = StateRejected
	}
	return order, nil
}

// complete adds what is not stored, and puts times into one zone.
func (o *Orders) complete(order Order) Order {
	order.CreatedAt, order.ExpiresAt = order.CreatedAt.UTC(), order.ExpiresAt.UTC()
	if order.ClosedAt != nil {
		closedAt := order.ClosedAt.UTC()
		order.ClosedAt = &closedAt
	}
	order.State = order.stateAt(o.clock.Now())
	return order
}
