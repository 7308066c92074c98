package bench

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/settled-dev/settled/tasks"
)

// latencySeconds is how long the fixed arrival rate is kept.
const latencySeconds = 6

// latencies are what a fixed arrival rate saw.
type latencies struct {
	sample
	p50, p99      time.Duration // accepted to decided, by PostgreSQL's clock
	bareCommitP99 time.Duration
	batch         float64 // requests in a batch, on average
}

const latencySQL = `
SELECT coalesce(percentile_cont(0.5) WITHIN GROUP (ORDER BY took), 0), coalesce(percentile_cont(0.99) WITHIN GROUP (ORDER BY took), 0)
FROM (
    SELECT extract(epoch FROM o.decided_at - r.accepted_at) * 1000 AS took
    FROM requests r JOIN outcomes o ON o.book = r.book AND o.request_id = r.id
    WHERE r.kind = 'refund:apply' AND r.accepted_at >= $1
    ORDER BY r.accepted_at
    OFFSET $2
) t`

// measureLatency lets refunds arrive at a fixed rate, whether earlier ones are done or not, and asks the books how long they took.
// The first second warms up and does not count.
func measureLatency(ctx context.Context, e *environment, o *orders, perSecond int) (latencies, error) {
	var l latencies
	commits, err := bareCommits(ctx, e)
	if err != nil {
		return l, err
	}
	l.bareCommitP99 = commits[len(commits)*99/100]
	payloads := o.refunds(perSecond * latencySeconds)
	var begun time.Time
	if err := e.pool.QueryRow(ctx, "SELECT clock_timestamp()").Scan(&begun); err != nil {
		return l, fmt.Errorf("read the clock: %w", err)
	}
	if err := e.redis.FlushDB(ctx).Err(); err != nil {
		return l, fmt.Errorf("empty redis: %w", err)
	}
	s, err := startSystem(ctx, e, tasks.Refunds)
	if err != nil {
		return l, err
	}
	l.sample, err = e.measured(ctx, len(payloads), func() error {
		if err := arrive(ctx, s.client, payloads, perSecond); err != nil {
			return err
		}
		return s.decided(ctx, len(payloads))
	})
	l.batch = s.batchSize()
	if err := errors.Join(err, s.stop(ctx)); err != nil {
		return l, err
	}
	var p50, p99 float64 // milliseconds; no money
	if err := e.ownerPool.QueryRow(ctx, latencySQL, begun, perSecond).Scan(&p50, &p99); err != nil {
		return l, fmt.Errorf("read latencies: %w", err)
	}
	l.p50, l.p99 = time.Duration(p50*float64(time.Millisecond)), time.Duration(p99*float64(time.Millisecond))
	return l, nil
}

// arrive starts the rate's share of acceptances every two milliseconds.
func arrive(ctx context.Context, client *tasks.Client, payloads []tasks.Payload, perSecond int) error {
	ticker := time.NewTicker(2 * time.Millisecond)
	defer ticker.Stop()
	begun := benchClock.Now()
	var arriving sync.WaitGroup
	var mu sync.Mutex
	var first error
	for next := 0; next < len(payloads); {
		due := min(len(payloads), int(benchClock.Now().Sub(begun).Seconds()*float64(perSecond)))
		for ; next < due; next++ {
			payload := payloads[next]
			arriving.Go(func() {
				if _, err := client.Enqueue(ctx, payload); err != nil {
					mu.Lock()
					defer mu.Unlock()
					first = err
				}
			})
		}
		<-ticker.C
	}
	arriving.Wait()
	return first
}

// bareCommits is how long committing one row on one connection takes with nothing else going on, the shortest first.
func bareCommits(ctx context.Context, e *environment) ([]time.Duration, error) {
	const commits = 1000
	if _, err := e.ownerPool.Exec(ctx, "CREATE TABLE IF NOT EXISTS bare (n int)"); err != nil {
		return nil, fmt.Errorf("prepare a bare commit: %w", err)
	}
	took := make([]time.Duration, commits)
	for i := range took {
		var err error
		took[i], err = timed(func() error {
			_, err := e.ownerPool.Exec(ctx, "INSERT INTO bare VALUES ($1)", i)
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("commit a row: %w", err)
		}
	}
	slices.Sort(took)
	return took, nil
}
