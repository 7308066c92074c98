package webhook

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/settled-dev/settled/internal/postgres/pguuid"
	"github.com/settled-dev/settled/tasks"
)

// gatherMax is how many outcomes one transaction looks at. A batch's outcomes have one time and are taken together, so it may be more.
const gatherMax = 1000

// makeCursorsSQL begins where the oldest endpoint began: it may have been made before the first gatherer ran.
const makeCursorsSQL = `
INSERT INTO webhook_cursors (book, decided_at)
SELECT book, least(clock_timestamp(), (SELECT min(created_at) FROM webhook_endpoints)) FROM books
ON CONFLICT ON CONSTRAINT webhook_cursor_is_one_per_book DO NOTHING`

// lockCursorSQL is the first lock of gathering; the endpoints follow in the order of their ids.
const lockCursorSQL = `SELECT decided_at FROM webhook_cursors WHERE book = $1 FOR UPDATE SKIP LOCKED`

const lockEndpointsSQL = `
SELECT id, producer, events, created_at, next_sequence
FROM webhook_endpoints
WHERE disabled_at IS NULL
ORDER BY id
FOR UPDATE`

// readOutcomesSQL reads the next outcomes of a book with who is to be told: the request's producer, but for a refund's answer by its
// channel the refund's, and for a recharge that a channel's notice confirmed the recharge order's. Outcomes of one time belong to one
// batch and are read together.
const readOutcomesSQL = `
SELECT o.request_id, o.decided_at, r.kind, o.result, coalesce(r.payload ->> 'result', ''),
       coalesce(refund.producer, opened.producer, r.producer)
FROM outcomes o
JOIN requests r ON r.book = o.book AND r.id = o.request_id
LEFT JOIN requests refund ON r.kind = 'refund:answer' AND refund.kind = 'refund:apply' AND refund.key = r.payload ->> 'refund_id'
LEFT JOIN recharge_orders opened ON r.kind = 'recharge:confirm' AND opened.recharge_id = r.key
WHERE o.book = $1 AND o.decided_at > $2 AND o.decided_at <= (
    SELECT coalesce(max(next.decided_at), 'infinity')
    FROM (SELECT decided_at FROM outcomes WHERE book = $1 AND decided_at > $2 ORDER BY decided_at LIMIT $3) next
)
ORDER BY o.decided_at, o.request_id`

const insertMessagesSQL = `
INSERT INTO webhook_messages (endpoint_id, sequence, event, book, request_id)
SELECT endpoint_id, sequence, event, $1, request_id
FROM unnest($2::text[], $3::bigint[], $4::text[], $5::uuid[]) AS told (endpoint_id, sequence, event, request_id)`

const moveSequencesSQL = `
UPDATE webhook_endpoints e
SET next_sequence = v.next_sequence
FROM unnest($1::text[], $2::bigint[]) AS v (id, next_sequence)
WHERE e.id = v.id`

const moveCursorSQL = `UPDATE webhook_cursors SET decided_at = $2 WHERE book = $1`

type outcomeRow struct {
	requestID uuid.UUID
	decidedAt time.Time
	event     Event
	told      bool
	producer  string
}

type openEndpoint struct {
	id, producer string
	events       []string
	createdAt    time.Time
	next         int64
}

// gather turns a book's next outcomes into messages, in one transaction. It returns how many outcomes it looked at: gatherMax or more
// means that there may be others. It may run in several processes at once: who finds the cursor locked does nothing.
func gather(ctx context.Context, pool *pgxpool.Pool, book int) (looked int, err error) {
	err = pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		var since time.Time
		err := tx.QueryRow(ctx, lockCursorSQL, book).Scan(&since)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		outcomes, err := readOutcomes(ctx, tx, book, since)
		if err != nil || len(outcomes) == 0 {
			return err
		}
		looked = len(outcomes)
		if err := tell(ctx, tx, book, outcomes); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, moveCursorSQL, book, outcomes[looked-1].decidedAt)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("gather outcomes of book %d: %w", book, err)
	}
	return looked, nil
}

func readOutcomes(ctx context.Context, tx pgx.Tx, book int, since time.Time) ([]outcomeRow, error) {
	rows, err := tx.Query(ctx, readOutcomesSQL, book, since, gatherMax)
	if err != nil {
		return nil, err
	}
	var list []outcomeRow
	var row outcomeRow
	var kind tasks.Kind
	var result tasks.Result
	var end tasks.RefundEnd
	_, err = pgx.ForEachRow(rows, []any{pguuid.Into(&row.requestID), &row.decidedAt, &kind, &result, &end, &row.producer}, func() error {
		row.event, row.told = eventOf(kind, result, end)
		list = append(list, row)
		return nil
	})
	return list, err
}

// tell writes a message for each endpoint that wants an outcome.
func tell(ctx context.Context, tx pgx.Tx, book int, outcomes []outcomeRow) error {
	rows, err := tx.Query(ctx, lockEndpointsSQL)
	if err != nil {
		return err
	}
	endpoints, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (e openEndpoint, err error) {
		return e, row.Scan(&e.id, &e.producer, &e.events, &e.createdAt, &e.next)
	})
	if err != nil {
		return err
	}
	var ids, events, moved []string
	var sequences, nexts []int64
	var requests []uuid.UUID
	for _, e := range endpoints {
		first := e.next
		for _, o := range outcomes {
			if !o.told || o.producer != e.producer || o.decidedAt.Before(e.createdAt) || !slices.Contains(e.events, string(o.event)) {
				continue
			}
			ids, sequences = append(ids, e.id), append(sequences, e.next)
			events, requests = append(events, string(o.event)), append(requests, o.requestID)
			e.next++
		}
		if e.next > first {
			moved, nexts = append(moved, e.id), append(nexts, e.next)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	if _, err := tx.Exec(ctx, insertMessagesSQL, book, ids, sequences, events, pguuid.Array(requests)); err != nil {
		return err
	}
	_, err = tx.Exec(ctx, moveSequencesSQL, moved, nexts)
	return err
}
