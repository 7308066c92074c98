package demo

import (
	"cmp"
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/settled-dev/settled/tasks"
)

// Books are what the database holds at one moment, read by statements of the demo's own.
type Books struct {
	Requests  map[requestName]Row // of producers; what settled asks of itself is left out
	Holdings  map[string]int64
	Payments  map[paymentName]Paid // that channels told of
	FollowUps int                  // requests that settled asked of itself
	Undecided int                  // those of them without an outcome
	Conflicts int
}

// Row is a request as the books know it.
type Row struct {
	State     string // accepted, parked, dead, applied or rejected; empty when it has neither outcome nor pending row
	Reason    tasks.Reason
	LastError string
	Named     int // transfers that its outcome names
	Moves     Moves
}

// String tells the state, and why.
func (r Row) String() string {
	if why := cmp.Or(string(r.Reason), r.LastError); why != "" {
		return r.State + " (" + why + ")"
	}
	return r.State
}

// readWholeSQL turns around what the service's connections prefer: the verdict reads whole tables.
const readWholeSQL = `
SET LOCAL enable_seqscan = on;
SET LOCAL enable_hashjoin = on;
SET LOCAL enable_nestloop = off;
SET LOCAL work_mem = '128MB'`

const requestsSQL = `
SELECT r.kind, r.key, coalesce(o.result, p.state, ''), coalesce(o.reason, ''), coalesce(p.last_error, ''),
       coalesce(o.transfers, 0), coalesce(t.transfers, 0), coalesce(t.fen, 0)
FROM requests r
LEFT JOIN outcomes o ON o.book = r.book AND o.request_id = r.id
LEFT JOIN pending p ON p.book = r.book AND p.request_id = r.id
LEFT JOIN (
    SELECT book, request_id, count(*) AS transfers, sum(amount_fen)::bigint AS fen
    FROM transfers
    GROUP BY book, request_id
) t ON t.book = r.book AND t.request_id = r.id
WHERE NOT r.kind = ANY($1)`

// paymentsSQL reads what channels told of: it is accepted in the name of who opened the order.
const paymentsSQL = `
SELECT r.payload->>'channel', r.payload->>'channel_txn_id', count(*), sum((r.payload->>'amount')::numeric * 100)::bigint
FROM requests r
JOIN outcomes o ON o.book = r.book AND o.request_id = r.id AND o.result = 'applied'
WHERE r.producer = $1 AND r.kind IN ('recharge:confirm', 'recharge:suspend')
GROUP BY 1, 2`

const followUpsSQL = `
SELECT count(*), count(*) FILTER (WHERE o.request_id IS NULL)
FROM requests r
LEFT JOIN outcomes o ON o.book = r.book AND o.request_id = r.id
WHERE r.kind = ANY($1)`

// holdingsSQL leaves interbook accounts to the audit: what books owe each other is nobody's.
const holdingsSQL = `
SELECT CASE WHEN kind IN ('channel_clearing', 'channel_refunding') THEN 'channel/' || split_part(name, '/', 2) ELSE name END,
       sum(balance_fen)::bigint
FROM accounts
WHERE kind <> 'interbook'
GROUP BY 1
UNION ALL
SELECT 'order/' || order_id || '/refunded', sum(refunded_fen)::bigint
FROM legs
GROUP BY 1`

// ReadBooks reads everything over one snapshot.
func ReadBooks(ctx context.Context, pool *pgxpool.Pool) (*Books, error) {
	var books *Books
	options := pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}
	err := pgx.BeginTxFunc(ctx, pool, options, func(tx pgx.Tx) (err error) {
		books, err = readBooks(ctx, tx)
		return err
	})
	return books, err
}

func readBooks(ctx context.Context, tx pgx.Tx) (*Books, error) {
	books := &Books{Requests: map[requestName]Row{}, Holdings: map[string]int64{}, Payments: map[paymentName]Paid{}}
	if _, err := tx.Exec(ctx, readWholeSQL); err != nil {
		return nil, fmt.Errorf("prepare to read the books: %w", err)
	}
	for _, read := range []func(context.Context, pgx.Tx) error{books.readRequests, books.readHoldings, books.readPayments, books.count} {
		if err := read(ctx, tx); err != nil {
			return nil, fmt.Errorf("read the books: %w", err)
		}
	}
	return books, nil
}

func (b *Books) readRequests(ctx context.Context, tx pgx.Tx) error {
	rows, err := tx.Query(ctx, requestsSQL, internalKinds())
	if err != nil {
		return err
	}
	var name requestName
	var row Row
	_, err = pgx.ForEachRow(rows, []any{&name.Kind, &name.Key, &row.State, &row.Reason, &row.LastError, &row.Named,
		&row.Moves.Transfers, &row.Moves.Fen}, func() error {
		b.Requests[name] = row
		return nil
	})
	return err
}

func (b *Books) readHoldings(ctx context.Context, tx pgx.Tx) error {
	rows, err := tx.Query(ctx, holdingsSQL)
	if err != nil {
		return err
	}
	var holder string
	var fen int64
	_, err = pgx.ForEachRow(rows, []any{&holder, &fen}, func() error {
		b.Holdings[holder] = fen
		return nil
	})
	return err
}

func (b *Books) readPayments(ctx context.Context, tx pgx.Tx) error {
	rows, err := tx.Query(ctx, paymentsSQL, Checkout)
	if err != nil {
		return err
	}
	var name paymentName
	var paid Paid
	_, err = pgx.ForEachRow(rows, []any{&name.channel, &name.txnID, &paid.Times, &paid.Fen}, func() error {
		b.Payments[name] = paid
		return nil
	})
	return err
}

func (b *Books) count(ctx context.Context, tx pgx.Tx) error {
	if err := tx.QueryRow(ctx, followUpsSQL, internalKinds()).Scan(&b.FollowUps, &b.Undecided); err != nil {
		return err
	}
	return tx.QueryRow(ctx, "SELECT count(*) FROM conflicts").Scan(&b.Conflicts)
}

// internalKinds are the kinds that only settled asks of itself. Suspensions are not of them here: channels bring them.
func internalKinds() []string {
	var internal []string
	for _, kind := range tasks.Kinds() {
		if kind.Internal() && kind != tasks.RechargeSuspend {
			internal = append(internal, string(kind))
		}
	}
	return internal
}
