package ledger

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/settled-dev/settled/tasks"
)

// DeadLetter is a request that waits for a person.
type DeadLetter struct {
	Kind       tasks.Kind `json:"kind"`
	Key        string     `json:"key"`
	AcceptedAt time.Time  `json:"accepted_at"`
	Attempts   int        `json:"attempts"`
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

const setPolicySQL = `
INSERT INTO policies (version, document, set_by)
SELECT coalesce(max(version), 0) + 1, $1::json, $2
FROM policies
RETURNING version`

// SetPolicy makes a policy the one that counts, from the next batch on, and returns its version. Two calls at once: one fails on
// the version's uniqueness and changes nothing.
func SetPolicy(ctx context.Context, pool *pgxpool.Pool, policy tasks.Policy, by string) (int, error) {
	document, err := json.Marshal(policy)
	if err != nil {
		return 0, fmt.Errorf("encode policy: %w", err)
	}
	if _, err := tasks.ParsePolicy(document); err != nil {
		return 0, err
	}
	var version int
	if err := pool.QueryRow(ctx, setPolicySQL, string(document), by).Scan(&version); err != nil {
		return 0, fmt.Errorf("set policy: %w", err)
	}
	return version, nil
}

// Policy is the policy that counts, with its version; version 0 is the default.
func (r *Reader) Policy(ctx context.Context) (tasks.Policy, int, error) {
	rows, err := queryRows(ctx, r.pool, scanPolicy, tasks.NewestPolicySQL)
	if err != nil {
		return tasks.Policy{}, 0, fmt.Errorf("read policy: %w", err)
	}
	if len(rows) == 0 {
		return tasks.DefaultPolicy(), 0, nil
	}
	return rows[0].policy, rows[0].version, nil
}

func scanPolicy(row pgx.CollectableRow) (versionedPolicy, error) {
	found := versionedPolicy{policy: tasks.DefaultPolicy()}
	var document []byte
	if err := row.Scan(&found.version, &document); err != nil {
		return found, err
	}
	return found, json.Unmarshal(document, &found.policy)
}
