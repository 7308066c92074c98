package inquiry

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/settled-dev/settled/intake/recharge"
	"github.com/settled-dev/settled/tasks"
)

// due is an order that this process has claimed to ask about.
type due struct {
	order        recharge.Order // what the schedule and the channel need of it
	dueAt, tryAt time.Time      // as it was found
	leasedUntil  time.Time
}

// claimSQL looks at what is due first at a channel: what is known as paid is dropped, and some of the others are claimed until a time. It
// returns a row for each that it looked at, with the order where it is claimed. It locks inquiries and waits for no lock. The scalar
// subquery and the LIMITs keep a plan from reading all requests or orders (docs/adr/0006).
const claimSQL = `
WITH due AS MATERIALIZED (
    SELECT recharge_id, due_at, try_at
    FROM recharge_inquiries
    WHERE channel = $1 AND try_at <= $2
    ORDER BY try_at
    LIMIT $3
    FOR UPDATE SKIP LOCKED
), looked AS MATERIALIZED (
    SELECT due.*, (SELECT id FROM requests WHERE kind = 'recharge:confirm' AND key = due.recharge_id LIMIT 1) IS NOT NULL AS paid
    FROM due
), dropped AS (
    DELETE FROM recharge_inquiries i
    USING looked
    WHERE looked.paid AND i.recharge_id = looked.recharge_id
), claimed AS (
    UPDATE recharge_inquiries i
    SET try_at = $5
    FROM (SELECT recharge_id FROM looked WHERE NOT paid ORDER BY try_at LIMIT $4) first
    WHERE i.recharge_id = first.recharge_id
    RETURNING i.recharge_id
)
SELECT looked.recharge_id, looked.due_at, looked.try_at, o.out_trade_no, o.created_at, o.expires_at
FROM looked
LEFT JOIN claimed ON claimed.recharge_id = looked.recharge_id
LEFT JOIN LATERAL (
    SELECT out_trade_no, created_at, expires_at FROM recharge_orders WHERE recharge_id = claimed.recharge_id LIMIT 1
) o ON true
ORDER BY looked.try_at`

// claim claims up to limit orders of a channel that are due now. full says that more of them may be.
func (q *Inquirer) claim(ctx context.Context, source tasks.Source, limit int) (claimed []due, full bool, err error) {
	now := q.config.Clock.Now().UTC().Truncate(time.Microsecond) // what PostgreSQL keeps
	until := now.Add(lease)
	rows, err := q.config.Pool.Query(ctx, claimSQL, string(source), now, lookMax, limit, until)
	if err != nil {
		return nil, false, fmt.Errorf("claim %s inquiries: %w", source, err)
	}
	looked := 0
	var d due
	var number *string
	var createdAt, expiresAt *time.Time
	_, err = pgx.ForEachRow(rows, []any{&d.order.RechargeID, &d.dueAt, &d.tryAt, &number, &createdAt, &expiresAt}, func() error {
		looked++
		if number != nil {
			d.leasedUntil = until
			d.order.Channel, d.order.OutTradeNo, d.order.CreatedAt, d.order.ExpiresAt = source, *number, createdAt.UTC(), expiresAt.UTC()
			claimed = append(claimed, d)
		}
		return nil
	})
	if err != nil {
		return nil, false, fmt.Errorf("claim %s inquiries: %w", source, err)
	}
	return claimed, looked == lookMax || len(claimed) == limit, nil
}

// endSQL ends an order's inquiries whoever has claimed it: what a channel has said of a payment holds.
const endSQL = `DELETE FROM recharge_inquiries WHERE recharge_id = $1`

// putOffSQL finds nothing when the lease has ended and another process has the order.
const putOffSQL = `
UPDATE recharge_inquiries
SET due_at = $3, try_at = $4
WHERE recharge_id = $1 AND try_at = $2`

// store notes what claimed orders came to: in the order of their ids, in one transaction.
func (q *Inquirer) store(ctx context.Context, claimed []due, answers []answer) error {
	places := make([]int, len(claimed))
	for i := range places {
		places[i] = i
	}
	slices.SortFunc(places, func(a, b int) int {
		return strings.Compare(claimed[a].order.RechargeID, claimed[b].order.RechargeID)
	})
	now := q.config.Clock.Now()
	var queries pgx.Batch
	for _, i := range places {
		d := &claimed[i]
		if next, more := answers[i].leadsTo(d, now); more {
			queries.Queue(putOffSQL, d.order.RechargeID, d.leasedUntil, next.dueAt, next.tryAt)
		} else {
			queries.Queue(endSQL, d.order.RechargeID)
		}
	}
	if err := q.config.Pool.SendBatch(ctx, &queries).Close(); err != nil {
		return fmt.Errorf("store what %d inquiries came to: %w", len(claimed), err)
	}
	return nil
}

// backlogSQL reads no more of what waits for a channel than it counts. The order makes it go by the index that has it.
const backlogSQL = `
SELECT channel,
       (SELECT count(*) FROM (SELECT FROM recharge_inquiries i WHERE i.channel = asked.channel ORDER BY due_at LIMIT $2) first),
       (SELECT due_at FROM recharge_inquiries i WHERE i.channel = asked.channel ORDER BY due_at LIMIT 1)
FROM unnest($1::text[]) AS asked (channel)`

// count counts what waits, for the metrics.
func (q *Inquirer) count(ctx context.Context) error {
	rows, err := q.config.Pool.Query(ctx, backlogSQL, tasks.Channels(), countMax)
	if err != nil {
		return fmt.Errorf("count inquiries: %w", err)
	}
	now := q.config.Clock.Now()
	var source string
	var inquiries int64
	var oldest *time.Time // nil: none waits
	if _, err := pgx.ForEachRow(rows, []any{&source, &inquiries, &oldest}, func() error {
		overdue := time.Duration(0)
		if oldest != nil {
			overdue = max(now.Sub(*oldest), 0)
		}
		q.metrics.waiting.WithLabelValues(source).Set(float64(inquiries))
		q.metrics.overdue.WithLabelValues(source).Set(overdue.Seconds())
		return nil
	}); err != nil {
		return fmt.Errorf("count inquiries: %w", err)
	}
	return nil
}
