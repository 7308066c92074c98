package bench

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// The tables and statements of typical: what a team would write first for a refund, with the same promise of once per refund id.
const (
	typicalSchemaSQL = `
CREATE TABLE typical_accounts (id text PRIMARY KEY, balance bigint NOT NULL);
CREATE TABLE typical_refunds (refund_id text PRIMARY KEY, order_id text NOT NULL, amount bigint NOT NULL, created_at timestamptz NOT NULL DEFAULT now());
CREATE TABLE typical_orders (order_id text PRIMARY KEY, user_id text NOT NULL, merchant_id text NOT NULL, captured bigint NOT NULL,
    refunded bigint NOT NULL DEFAULT 0);
CREATE TABLE typical_entries (id bigserial PRIMARY KEY, refund_id text NOT NULL, account text NOT NULL, amount bigint NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now());
GRANT ALL ON typical_accounts, typical_refunds, typical_orders, typical_entries TO settled_service;
GRANT ALL ON SEQUENCE typical_entries_id_seq TO settled_service`
	typicalSeedSQL = `
INSERT INTO typical_accounts SELECT 'u' || lpad(i::text, 7, '0'), 0 FROM generate_series(0, $1 - 1) AS i`
	typicalSeedOrdersSQL = `
INSERT INTO typical_orders SELECT 'o' || lpad(i::text, 7, '0'), 'u' || lpad(i::text, 7, '0'), 'm-hot', 100000
FROM generate_series(0, $1 - 1) AS i`
	typicalInsertSQL = `INSERT INTO typical_refunds (refund_id, order_id, amount) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING`
	typicalOrderSQL  = `SELECT user_id, captured, refunded FROM typical_orders WHERE order_id = $1 FOR UPDATE`
	typicalLockSQL   = `SELECT balance FROM typical_accounts WHERE id = $1 FOR UPDATE`
	typicalMoveSQL   = `UPDATE typical_accounts SET balance = balance + $2 WHERE id = $1`
	typicalRefundSQL = `UPDATE typical_orders SET refunded = refunded + $2 WHERE order_id = $1`
	typicalEntrySQL  = `INSERT INTO typical_entries (refund_id, account, amount) VALUES ($1, $2, $3)`
)

// typical is the handler that a team would write first: a transaction per task, SELECT FOR UPDATE on the order and both accounts.
type typical struct {
	env   *environment
	count int
	round int
}

func prepareTypical(ctx context.Context, e *environment, count int) (*typical, error) {
	for _, step := range []struct {
		sql  string
		args []any
	}{
		{typicalSchemaSQL, nil},
		{typicalSeedSQL, []any{count}},
		{`INSERT INTO typical_accounts VALUES ('m-hot', 0)`, nil},
		{typicalSeedOrdersSQL, []any{count}},
		{`ANALYZE typical_accounts, typical_orders`, nil},
	} {
		if _, err := e.ownerPool.Exec(ctx, step.sql, step.args...); err != nil {
			return nil, fmt.Errorf("prepare typical: %w", err)
		}
	}
	return &typical{env: e, count: count}, nil
}

// measure refunds n orders, a task each.
func (t *typical) measure(ctx context.Context, n int) (sample, error) {
	t.round++
	round := t.round
	n = min(n, t.count)
	return drainTasks(ctx, t.env, n, func(ctx context.Context, i int) error { return t.refund(ctx, round, i) })
}

var errTypicalOverRefund = errors.New("typical: over-refund")

func (t *typical) refund(ctx context.Context, round, i int) error {
	id, order := fmt.Sprintf("rf%d-%s", round, orderOf(i)), orderOf(i)
	return pgx.BeginFunc(ctx, t.env.pool, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, typicalInsertSQL, id, order, refundFen)
		if err != nil || tag.RowsAffected() == 0 {
			return err
		}
		var user string
		var captured, refunded, balance int64
		if err := tx.QueryRow(ctx, typicalOrderSQL, order).Scan(&user, &captured, &refunded); err != nil {
			return err
		}
		if refunded+refundFen > captured {
			return errTypicalOverRefund
		}
		for _, account := range []string{hotMerchant, user} {
			if err := tx.QueryRow(ctx, typicalLockSQL, account).Scan(&balance); err != nil {
				return err
			}
		}
		return t.post(ctx, tx, id, order, user)
	})
}

func (t *typical) post(ctx context.Context, tx pgx.Tx, id, order, user string) error {
	for _, step := range []struct {
		sql  string
		args []any
	}{
		{typicalRefundSQL, []any{order, refundFen}},
		{typicalEntrySQL, []any{id, hotMerchant, -refundFen}},
		{typicalEntrySQL, []any{id, user, refundFen}},
		{typicalMoveSQL, []any{hotMerchant, -refundFen}},
		{typicalMoveSQL, []any{user, refundFen}},
	} {
		if _, err := tx.Exec(ctx, step.sql, step.args...); err != nil {
			return err
		}
	}
	return nil
}
