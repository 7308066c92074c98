package ledger

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/settled-dev/settled/tasks"
)

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
	return tasks.ScanPolicy(r.pool.QueryRow(ctx, tasks.NewestPolicySQL))
}
