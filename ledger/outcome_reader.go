package ledger

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/settled-dev/settled/internal/postgres/pguuid"
	"github.com/settled-dev/settled/tasks"
)

const outcomesSQL = `
SELECT o.request_id, o.result, coalesce(o.reason, ''), coalesce(o.detail, ''), o.first_transfer, o.transfers, o.attempts, o.decided_at
FROM unnest($1::smallint[], $2::uuid[]) AS asked (book, request_id)
JOIN outcomes o ON o.book = asked.book AND o.request_id = asked.request_id`

// Outcomes looks the outcomes of many requests up at once. Those that have none yet are absent.
func (r *Reader) Outcomes(ctx context.Context, requests []RequestRef) (map[uuid.UUID]tasks.Outcome, error) {
	books, ids := make([]int16, len(requests)), make([]uuid.UUID, len(requests))
	for i, request := range requests {
		books[i], ids[i] = int16(request.Book), request.ID
	}
	rows, err := r.pool.Query(ctx, outcomesSQL, books, pguuid.Array(ids))
	if err != nil {
		return nil, fmt.Errorf("look up %d outcomes: %w", len(requests), err)
	}
	found := make(map[uuid.UUID]tasks.Outcome, len(requests))
	var id uuid.UUID
	var o tasks.Outcome
	_, err = pgx.ForEachRow(rows, []any{pguuid.Into(&id), &o.Result, &o.Reason, &o.Detail, &o.FirstTransfer, &o.Transfers, &o.Attempts,
		&o.DecidedAt}, func() error {
		found[id] = o
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("look up %d outcomes: %w", len(requests), err)
	}
	return found, nil
}
