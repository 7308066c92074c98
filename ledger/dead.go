package ledger

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/settled-dev/settled/tasks"
)

// DeadLetter is a request that waits for a person.
type DeadLetter struct {
	Kind       tasks.Kind `json:"kind"`
	Key        string     `json:"key"`
	AcceptedAt time.Time  `json:"accepted_at"`
	Attempts   int        `json:"attempts"` // starts that were counted before they began, as in an outcome
	LastError  string     `json:"last_error"`
}

const deadSQL = `
SELECT r.kind, r.key, p.accepted_at, p.attempts, p.last_error
FROM pending p
JOIN requests r ON r.book = p.book AND r.id = p.request_id
WHERE p.state = 'dead'
ORDER BY p.accepted_at
LIMIT $1`

// Dead lists up to limit dead requests, the oldest first.
func (r *Reader) Dead(ctx context.Context, limit int) ([]DeadLetter, error) {
	letters, err := queryRows(ctx, r.pool, pgx.RowToStructByPos[DeadLetter], deadSQL, limit)
	if err != nil {
		return nil, fmt.Errorf("list dead requests: %w", err)
	}
	return letters, nil
}
