package webhook

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

const (
	// shareMax is how many attempts to one endpoint are under way in one process.
	shareMax = 16
	// perAttempt is how many messages are claimed for each of them: a page's results are stored together.
	perAttempt = 4
	// attemptTimeout bounds one attempt; Standard Webhooks recommends 15 to 30 s.
	attemptTimeout = 15 * time.Second
	// storeTimeout bounds storing what a page came to, also while the process stops.
	storeTimeout = 15 * time.Second
	// lease is how long claimed messages are left to the process that claimed them. It must outlast a page whose every attempt takes
	// its time, and storing it: 75 s.
	lease = 2 * time.Minute
)

// readEndpointSQL finds nothing for an endpoint that was disabled just now, or rests.
const readEndpointSQL = `
SELECT url, secret, CASE WHEN previous_secret_until > clock_timestamp() THEN previous_secret END
FROM webhook_endpoints
WHERE id = $1 AND disabled_at IS NULL AND rests_until <= clock_timestamp()`

// claimMessagesSQL takes due messages of an endpoint for a lease, and reads what they say. It waits for no lock.
const claimMessagesSQL = `
WITH due AS (
    SELECT endpoint_id, sequence, next_try_at
    FROM webhook_messages
    WHERE endpoint_id = $1 AND state = 'waiting' AND next_try_at <= clock_timestamp()
    ORDER BY next_try_at, sequence
    LIMIT $2
    FOR UPDATE SKIP LOCKED
), claimed AS (
    UPDATE webhook_messages m
    SET attempts = m.attempts + 1, next_try_at = statement_timestamp() + $3
    FROM due
    WHERE m.endpoint_id = due.endpoint_id AND m.sequence = due.sequence
    RETURNING m.*, due.next_try_at AS was_due_at
)
SELECT c.endpoint_id, c.sequence, c.attempts, c.next_try_at, c.was_due_at, c.event, r.id, r.kind, r.key, r.payload, o.result,
       coalesce(o.reason, ''), coalesce(o.detail, ''), o.first_transfer, o.transfers, o.attempts, o.decided_at
FROM claimed c
JOIN requests r ON r.book = c.book AND r.id = c.request_id
JOIN outcomes o ON o.book = c.book AND o.request_id = c.request_id
ORDER BY c.was_due_at, c.sequence`

// deliverPage claims due messages of an endpoint and delivers them, at most share at once. more says that the endpoint takes messages
// and may have others due. When ctx ends, what is under way is cut short and given back.
func (c *Courier) deliverPage(ctx context.Context, id string, share int) (more bool, err error) {
	// The slots come before the lease, which runs while they are waited for.
	if err := c.slots.Acquire(ctx, int64(share)); err != nil {
		return false, err
	}
	defer c.slots.Release(int64(share))
	to, err := c.readTarget(ctx, id)
	if errors.Is(err, pgx.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read endpoint %s: %w", id, err)
	}
	limit := share
	if share > 1 {
		limit = share * perAttempt
	}
	claimed, err := c.claim(ctx, id, limit)
	if err != nil {
		return false, fmt.Errorf("claim messages of %s: %w", id, err)
	}
	if len(claimed) == 0 {
		return false, nil
	}
	attempts := c.attemptAll(ctx, to, claimed, share)
	// What the endpoint was told must be stored although this process stops.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
	defer cancel()
	takes, err := c.store(ctx, id, claimed, attempts)
	c.note(id, takes)
	return takes && len(claimed) == limit, err
}

func (c *Courier) readTarget(ctx context.Context, id string) (target, error) {
	var to target
	var secret, previous []byte
	if err := c.config.Pool.QueryRow(ctx, readEndpointSQL, id).Scan(&to.url, &secret, &previous); err != nil {
		return target{}, err
	}
	to.secrets = []Secret{secret}
	if previous != nil {
		to.secrets = append(to.secrets, previous)
	}
	return to, nil
}

func (c *Courier) claim(ctx context.Context, id string, limit int) ([]due, error) {
	rows, err := c.config.Pool.Query(ctx, claimMessagesSQL, id, limit, lease)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (d due, err error) {
		m, o := &d.message, &d.message.Data.Outcome
		err = row.Scan(&d.endpointID, &d.sequence, &d.attempts, &d.leasedUntil, &d.dueAt, &m.Type, &m.Data.ID, &m.Data.Kind, &m.Data.Key,
			&m.Data.Payload, &o.Result, &o.Reason, &o.Detail, &o.FirstTransfer, &o.Transfers, &o.Attempts, &o.DecidedAt)
		m.Sequence, m.Timestamp = d.sequence, o.DecidedAt
		return d, err
	})
}

// attemptAll makes an attempt for each message, share at once, in their order. Once the endpoint is away, gone, or asks for a pause, no
// more are begun; those that were not made are zero.
func (c *Courier) attemptAll(ctx context.Context, to target, claimed []due, share int) []attempt {
	attempts := make([]attempt, len(claimed))
	var next atomic.Int64
	var enough atomic.Bool
	var attempting sync.WaitGroup
	for range min(share, len(claimed)) {
		attempting.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(claimed) && !enough.Load() && ctx.Err() == nil; i = int(next.Add(1)) - 1 {
				attempts[i] = c.attempt(ctx, to, &claimed[i])
				if attempts[i].endsPage() {
					enough.Store(true)
				}
			}
		})
	}
	attempting.Wait()
	return attempts
}

// storeAttemptSQL finds nothing when the lease has ended: another process has the message, or a person had it redelivered.
const storeAttemptSQL = `
UPDATE webhook_messages
SET state = $4, next_try_at = clock_timestamp() + $5, last_status = nullif($6, 0), last_problem = nullif($7, ''),
    ended_at = CASE WHEN $4 = 'waiting' THEN NULL ELSE clock_timestamp() END
WHERE endpoint_id = $1 AND sequence = $2 AND next_try_at = $3 AND state = 'waiting'`

// giveBackSQL takes an attempt back that was not made.
const giveBackSQL = `
UPDATE webhook_messages
SET attempts = attempts - 1, next_try_at = $4
WHERE endpoint_id = $1 AND sequence = $2 AND next_try_at = $3 AND state = 'waiting'`

// store notes what became of a page: of its messages in the order of their sequence, in one transaction, then of the endpoint. takes says
// that a message was delivered.
func (c *Courier) store(ctx context.Context, id string, claimed []due, attempts []attempt) (takes bool, err error) {
	var queries pgx.Batch
	var died []int64
	for _, i := range inSequence(claimed) {
		d, a := &claimed[i], attempts[i]
		if !a.made {
			queries.Queue(giveBackSQL, id, d.sequence, d.leasedUntil, d.dueAt)
			continue
		}
		state, pause := a.leadsTo(d.attempts)
		takes = takes || state == Delivered
		queries.Queue(storeAttemptSQL, id, d.sequence, d.leasedUntil, string(state), pause, a.status, a.problem).
			Exec(func(tag pgconn.CommandTag) error {
				if state == Dead && tag.RowsAffected() > 0 {
					died = append(died, d.sequence)
				}
				return nil
			})
	}
	if err := c.config.Pool.SendBatch(ctx, &queries).Close(); err != nil {
		return takes, fmt.Errorf("store what %d messages of %s came to: %w", len(claimed), id, err)
	}
	if len(died) > 0 {
		c.metrics.burials.Add(float64(len(died)))
		c.config.Logger.LogAttrs(ctx, slog.LevelError, "webhook messages are dead after their last try", slog.String("endpoint", id),
			slog.Int("messages", len(died)), slog.Int64("first_sequence", died[0]))
	}
	return takes, c.heed(ctx, id, attempts)
}

// inSequence is the order in which messages are changed, by their places in claimed.
func inSequence(claimed []due) []int {
	places := make([]int, len(claimed))
	for i := range places {
		places[i] = i
	}
	slices.SortFunc(places, func(a, b int) int { return cmp.Compare(claimed[a].sequence, claimed[b].sequence) })
	return places
}

// goneSQL leaves what a person disabled as it is.
const goneSQL = `
UPDATE webhook_endpoints
SET disabled_at = clock_timestamp(), disabled_because = 'it answered 410 Gone', gone = true
WHERE id = $1 AND disabled_at IS NULL`

const restSQL = `
UPDATE webhook_endpoints
SET rests_until = clock_timestamp() + $2
WHERE id = $1`

// heed does what an endpoint asked for by its answers: never to be called again, or to be left alone for a time.
func (c *Courier) heed(ctx context.Context, id string, attempts []attempt) error {
	var gone bool
	var wait time.Duration
	for _, a := range attempts {
		gone = gone || a.status == http.StatusGone
		wait = max(wait, a.wait)
	}
	if gone {
		if _, err := c.config.Pool.Exec(ctx, goneSQL, id); err != nil {
			return fmt.Errorf("disable endpoint %s: %w", id, err)
		}
		c.config.Logger.LogAttrs(ctx, slog.LevelError, "webhook endpoint is gone and disabled", slog.String("endpoint", id))
	}
	if wait > 0 {
		if _, err := c.config.Pool.Exec(ctx, restSQL, id, wait); err != nil {
			return fmt.Errorf("let endpoint %s rest: %w", id, err)
		}
	}
	return nil
}
