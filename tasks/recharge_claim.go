package tasks

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// claimRechargesSQL takes the ids in their order, so that two who claim the same ones wait for each other and do not deadlock.
const claimRechargesSQL = `
INSERT INTO recharge_ids (recharge_id, ordered)
SELECT id, false
FROM (SELECT DISTINCT unnest($1::text[]) AS id ORDER BY 1) asked
ON CONFLICT ON CONSTRAINT recharge_is_confirmed_by_its_channel_or_by_a_producer DO NOTHING`

// orderedRechargesSQL also looks at the orders: an API of the version before opens them without taking their ids.
const orderedRechargesSQL = `
SELECT i.recharge_id
FROM unnest($1::text[]) AS asked (id)
JOIN recharge_ids i ON i.recharge_id = asked.id AND i.ordered
UNION
SELECT o.recharge_id
FROM unnest($1::text[]) AS asked (id)
JOIN recharge_orders o ON o.recharge_id = asked.id`

// batchSender is a pool, a connection or a transaction.
type batchSender interface {
	SendBatch(ctx context.Context, queries *pgx.Batch) pgx.BatchResults
}

// claimRecharges takes the ids of the recharges among the requests for their producer, and returns those that it cannot have: a recharge
// that has an order is confirmed by its channel's notice, and no producer may say in the channel's stead who has paid what. The others get
// no order from now on. It asks PostgreSQL nothing when there is no recharge. It may be called twice and at once; it waits for orders that
// are being opened under the same ids, and holds the ids until its commit, or that of the caller's transaction.
func (c *Client) claimRecharges(ctx context.Context, db batchSender, requests ...Request) (ordered map[string]bool, err error) {
	if c.fromChannel {
		return nil, nil
	}
	var ids []string
	for i := range requests {
		if requests[i].Kind == RechargeConfirm {
			ids = append(ids, requests[i].Key)
		}
	}
	if ids == nil {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, c.config.AnswerWithin)
	defer cancel()
	ordered = map[string]bool{}
	var queries pgx.Batch
	queries.Queue(claimRechargesSQL, ids)
	queries.Queue(orderedRechargesSQL, ids).Query(func(rows pgx.Rows) error {
		var id string
		_, err := pgx.ForEachRow(rows, []any{&id}, func() error {
			ordered[id] = true
			return nil
		})
		return err
	})
	if err := db.SendBatch(ctx, &queries).Close(); err != nil {
		return nil, fmt.Errorf("claim %d recharge ids: %w", len(ids), err)
	}
	return ordered, nil
}

// refuseOrdered refuses a recharge that has an order with a *FieldError, and is nil for everything else.
func refuseOrdered(ordered map[string]bool, request *Request) error {
	if request.Kind != RechargeConfirm || !ordered[request.Key] {
		return nil
	}
	return &FieldError{Field: "recharge_id", Problem: "is of a recharge order, which the channel's notice confirms",
		Allowed: "the id of a recharge that has no order here"}
}
