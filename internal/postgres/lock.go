package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// lockPoll is how often a lock is asked for that another session holds.
const lockPoll = 50 * time.Millisecond

// Lock waits until the session of conn holds the advisory lock key in its database, or ctx ends. The lock goes with the
// session: close conn to release it. It is asked for again and again, not waited for inside the server, because a
// session that waits there holds a snapshot, and statements such as CREATE INDEX CONCURRENTLY under the lock would wait
// for that snapshot in turn.
func Lock(ctx context.Context, conn *pgx.Conn, key int64) error {
	tick := time.NewTicker(lockPoll)
	defer tick.Stop()
	for {
		var locked bool
		if err := conn.QueryRow(ctx, `SELECT pg_try_advisory_lock($1)`, key).Scan(&locked); err != nil {
			return fmt.Errorf("ask for advisory lock %d: %w", key, err)
		}
		if locked {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for advisory lock %d: %w", key, ctx.Err())
		case <-tick.C:
		}
	}
}
