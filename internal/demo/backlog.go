package demo

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/settled-dev/settled/internal/clock"
)

// backlog is what has no outcome yet.
type backlog struct {
	accepted, parked, dead int
}

const backlogSQL = `
SELECT count(*) FILTER (WHERE state = 'accepted'), count(*) FILTER (WHERE state = 'parked'), count(*) FILTER (WHERE state = 'dead')
FROM pending`

func readBacklog(ctx context.Context, pool *pgxpool.Pool) (backlog, error) {
	var b backlog
	if err := pool.QueryRow(ctx, backlogSQL).Scan(&b.accepted, &b.parked, &b.dead); err != nil {
		return backlog{}, fmt.Errorf("count what is pending: %w", err)
	}
	return b, nil
}

// errStillPending says that accepted requests were not decided in time. The verdict tells which.
var errStillPending = errors.New("accepted requests are still undecided")

// untilDecided waits until nothing that was accepted waits for a worker; what is parked or dead stays so. seen is told how much is
// left; it may be nil. It returns errStillPending, wrapped, when that takes longer than patience.
func untilDecided(ctx context.Context, pool *pgxpool.Pool, timer clock.Timer, every, patience time.Duration, seen func(backlog)) error {
	began := timer.Now()
	for {
		b, err := readBacklog(ctx, pool)
		if err != nil {
			return err
		}
		if seen != nil {
			seen(b)
		}
		if b.accepted == 0 {
			return nil
		}
		if timer.Now().Sub(began) > patience {
			return fmt.Errorf("%w: %d after %s", errStillPending, b.accepted, patience)
		}
		select {
		case <-timer.After(every):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
