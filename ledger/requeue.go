package ledger

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/settled-dev/settled/tasks"
)

// DeadFilter says which dead requests are meant; an empty field takes all.
type DeadFilter struct {
	Kind    tasks.Kind
	Channel tasks.Source // that the request itself names, as a refund:send does
	Reason  string       // that their last error contains, to the letter
}

const countDeadSQL = `
SELECT count(*)
FROM pending p
JOIN requests r ON r.book = p.book AND r.id = p.request_id
WHERE p.state = 'dead' AND ($1 = '' OR p.kind = $1) AND ($2 = '' OR r.payload ->> 'channel' = $2)
    AND ($3 = '' OR strpos(p.last_error, $3) > 0)`

// CountDead counts the dead requests that RequeueDead would let run again.
func (r *Reader) CountDead(ctx context.Context, filter DeadFilter) (int64, error) {
	var dead int64
	if err := r.pool.QueryRow(ctx, countDeadSQL, filter.Kind, filter.Channel, filter.Reason).Scan(&dead); err != nil {
		return 0, fmt.Errorf("count dead requests: %w", err)
	}
	return dead, nil
}

// requeueDeadSQL raises the next page of dead requests behind $4, $5, $6, the oldest first, as requeueSQL does one. It waits for none that
// another transaction holds: that one is just being requeued.
const requeueDeadSQL = `
WITH found AS (
    SELECT p.book, p.request_id
    FROM pending p
    JOIN requests r ON r.book = p.book AND r.id = p.request_id
    WHERE p.state = 'dead' AND ($1 = '' OR p.kind = $1) AND ($2 = '' OR r.payload ->> 'channel' = $2)
        AND ($3 = '' OR strpos(p.last_error, $3) > 0)
        AND (p.accepted_at, p.book, p.request_id) > ($4::timestamptz, $5::smallint, $6::uuid)
    ORDER BY p.accepted_at, p.book, p.request_id
    LIMIT $7
    FOR UPDATE OF p SKIP LOCKED
), raised AS (
    UPDATE pending p
    SET state = 'accepted', attempts = CASE WHEN p.kind = 'refund:send' THEN 1 ELSE 0 END, refusals = 0, rings = 0,
        ring_at = clock_timestamp() + $8
    FROM found
    WHERE p.book = found.book AND p.request_id = found.request_id
    RETURNING p.book, p.request_id, p.kind, p.accepted_at
), told AS (
    INSERT INTO attempts (book, request_id, event, detail)
    SELECT book, request_id, 'requeued', $9 FROM raised
)
SELECT kind, book, request_id, accepted_at
FROM raised
ORDER BY accepted_at, book, request_id`

// requeuePage is how many requests one statement of RequeueDead raises: some ten milliseconds.
const requeuePage = 1000

// raised is a request that runs again.
type raised struct {
	tasks.Bell
	AcceptedAt time.Time
}

// RequeueDead lets the dead requests run again that filter means, page by page, each committed by itself and then rung for; by says who
// decided it. It returns how many those are, also with an error, after which it may be called again. It may be called twice and at once:
// each request is requeued once. One that dies again meanwhile stays dead.
func (l *Ledger) RequeueDead(ctx context.Context, filter DeadFilter, by string) (int64, error) {
	var requeued int64
	last := raised{Bell: tasks.Bell{Book: FirstRequest().Book}}
	for {
		page, err := l.requeuePage(ctx, filter, by, last)
		if err != nil {
			return requeued, fmt.Errorf("requeue dead requests, after %d: %w", requeued, err)
		}
		requeued += int64(len(page))
		if len(page) < requeuePage {
			return requeued, nil
		}
		last = page[len(page)-1]
	}
}

func (l *Ledger) requeuePage(ctx context.Context, filter DeadFilter, by string, last raised) ([]raised, error) {
	rows, err := l.pool.Query(ctx, requeueDeadSQL, filter.Kind, filter.Channel, filter.Reason, last.AcceptedAt, last.Book, last.ID, requeuePage,
		l.config.RingAfter, by)
	if err != nil {
		return nil, err
	}
	page, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (r raised, err error) {
		return r, row.Scan(&r.Kind, &r.Book, &r.ID, &r.AcceptedAt)
	})
	if err != nil || len(page) == 0 {
		return nil, err
	}
	bells := make([]tasks.Bell, len(page))
	for i, r := range page {
		bells[i] = r.Bell
	}
	l.config.Ring(bells)
	return page, nil
}
