package webhook

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/settled-dev/settled/tasks"
)

// State is what became of a message.
type State string

// The states of a message.
const (
	Waiting   State = "waiting"   // to be tried, or tried again
	Delivered State = "delivered" // the endpoint answered 2xx
	Dead      State = "dead"      // its last try failed: it waits for a person
)

// Sent is a message as an operator sees it.
type Sent struct {
	Sequence  int64      `json:"sequence"`
	Event     Event      `json:"event"`
	Kind      tasks.Kind `json:"kind"`
	Key       string     `json:"key"`
	State     State      `json:"state"`
	Attempts  int        `json:"attempts"` // since it was made or redelivered
	Status    int        `json:"last_status,omitempty"`
	Problem   string     `json:"last_problem,omitempty"`
	CreatedAt time.Time  `json:"created_at"`
	NextTryAt time.Time  `json:"next_try_at"` // of a waiting one
	EndedAt   *time.Time `json:"ended_at,omitempty"`
}

// messagesSQL takes one of three branches; those that wait and those that are dead are found by indexes of their own.
const messagesSQL = `
SELECT m.sequence, m.event, r.kind, r.key, m.state, m.attempts, coalesce(m.last_status, 0), coalesce(m.last_problem, ''), m.created_at,
       m.next_try_at, m.ended_at
FROM (
    (SELECT *
     FROM webhook_messages
     WHERE endpoint_id = $1 AND sequence >= $2 AND state = 'waiting' AND $3 = 'waiting'
     ORDER BY sequence
     LIMIT $4)
    UNION ALL
    (SELECT *
     FROM webhook_messages
     WHERE endpoint_id = $1 AND sequence >= $2 AND state = 'dead' AND $3 = 'dead'
     ORDER BY sequence
     LIMIT $4)
    UNION ALL
    (SELECT *
     FROM webhook_messages
     WHERE endpoint_id = $1 AND sequence >= $2 AND ($3 = '' OR state = $3) AND $3 NOT IN ('waiting', 'dead')
     ORDER BY sequence
     LIMIT $4)
) m
JOIN requests r ON r.book = m.book AND r.id = m.request_id
ORDER BY m.sequence`

// Messages lists an endpoint's messages from a sequence on, in a state, or in any when state is empty. It returns ErrNoEndpoint.
func (r *Registry) Messages(ctx context.Context, id string, from int64, state State, limit int) ([]Sent, error) {
	if err := r.exists(ctx, id); err != nil {
		return nil, err
	}
	rows, err := r.Pool.Query(ctx, messagesSQL, id, from, string(state), limit)
	if err != nil {
		return nil, fmt.Errorf("list messages of %s: %w", id, err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Sent])
	if err != nil {
		return nil, fmt.Errorf("list messages of %s: %w", id, err)
	}
	return list, nil
}

// redeliverSQL changes a page of messages in the order of their sequence, as deliverers do. It takes one of three branches, as messagesSQL
// does. A lease under way ends: what that attempt comes to is not stored any more.
const redeliverSQL = `
WITH waiting AS (
    SELECT endpoint_id, sequence
    FROM webhook_messages
    WHERE endpoint_id = $1 AND sequence BETWEEN $2 AND $3 AND state = 'waiting' AND $4 = 'waiting'
    ORDER BY sequence
    LIMIT $5
    FOR UPDATE
), dead AS (
    SELECT endpoint_id, sequence
    FROM webhook_messages
    WHERE endpoint_id = $1 AND sequence BETWEEN $2 AND $3 AND state = 'dead' AND $4 = 'dead'
    ORDER BY sequence
    LIMIT $5
    FOR UPDATE
), others AS (
    SELECT endpoint_id, sequence
    FROM webhook_messages
    WHERE endpoint_id = $1 AND sequence BETWEEN $2 AND $3 AND ($4 = '' OR state = $4) AND $4 NOT IN ('waiting', 'dead')
    ORDER BY sequence
    LIMIT $5
    FOR UPDATE
), again AS (
    UPDATE webhook_messages m
    SET state = 'waiting', next_try_at = clock_timestamp(), attempts = 0, ended_at = NULL
    FROM (TABLE waiting UNION ALL TABLE dead UNION ALL TABLE others) page
    WHERE m.endpoint_id = page.endpoint_id AND m.sequence = page.sequence
    RETURNING m.sequence
)
SELECT count(*), coalesce(max(sequence), 0) FROM again`

// Newest stands for an endpoint's newest message in Redeliver.
const Newest = int64(1<<63 - 1)

// Redeliver lets an endpoint's messages from..to be delivered once more, those in a state, or all when state is empty. It returns how
// many there are. It goes in pages, each committed by itself. It may be called twice: each call delivers them again, under their own
// ids. Those of a disabled endpoint wait until it is enabled. It returns ErrNoEndpoint or a *tasks.FieldError.
func (r *Registry) Redeliver(ctx context.Context, id string, from, to int64, state State) (int64, error) {
	var all int64
	for {
		count, next, err := r.RedeliverPage(ctx, id, from, to, state)
		all += count
		switch {
		case err != nil && all > 0:
			return all, fmt.Errorf("after %d messages: %w", all, err)
		case err != nil || next == 0:
			return all, err
		}
		from = next
	}
}

// RedeliverMax is how many messages RedeliverPage redelivers at most, by one statement: deliverers wait for none that it holds.
const RedeliverMax = 1000

// RedeliverPage does as Redeliver does, with the first RedeliverMax messages. next is where to go on, or 0 when there may be no more.
func (r *Registry) RedeliverPage(ctx context.Context, id string, from, to int64, state State) (count, next int64, err error) {
	if from < 1 || to < from {
		return 0, 0, &tasks.FieldError{Field: "from", Problem: fmt.Sprintf("is %d, to %d", from, to), Allowed: "1 or more, and not above to"}
	}
	if err := r.exists(ctx, id); err != nil {
		return 0, 0, err
	}
	var last int64
	if err := r.Pool.QueryRow(ctx, redeliverSQL, id, from, to, string(state), RedeliverMax).Scan(&count, &last); err != nil {
		return 0, 0, fmt.Errorf("redeliver messages of %s from %d on: %w", id, from, err)
	}
	if count < RedeliverMax || last == to {
		return count, 0, nil
	}
	return count, last + 1, nil
}
