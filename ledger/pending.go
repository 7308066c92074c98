package ledger

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/settled-dev/settled/internal/postgres/pguuid"
	"github.com/settled-dev/settled/tasks"
)

// claimDueSQL takes due requests away from other relays by moving their next ring: 30 s, then twice as long each time, up to ten
// minutes. A request whose ring waits in a long queue is so rung rarely; a lost one soon.
const claimDueSQL = `
WITH due AS (
    SELECT book, request_id
    FROM pending
    WHERE state = 'accepted' AND ring_at <= clock_timestamp()
    ORDER BY ring_at
    LIMIT $1
    FOR UPDATE SKIP LOCKED
), claimed AS (
    UPDATE pending p
    SET rings = p.rings + 1, ring_at = clock_timestamp() + least(interval '30 seconds' * power(2, least(p.rings, 5)), interval '10 minutes')
    FROM due
    WHERE p.book = due.book AND p.request_id = due.request_id
    RETURNING p.book, p.request_id, p.kind, p.rings
), told AS (
    INSERT INTO attempts (book, request_id, event)
    SELECT book, request_id, 'rung' FROM claimed
)
SELECT kind, book, request_id FROM claimed`

// ClaimDue takes up to limit requests that are due for another ring. Several relays may call it at once: each request is claimed by
// one of them. It locks only rows that nobody holds, and waits for none.
func (l *Ledger) ClaimDue(ctx context.Context, limit int) ([]tasks.Bell, error) {
	rows, err := l.pool.Query(ctx, claimDueSQL, limit)
	if err != nil {
		return nil, fmt.Errorf("claim due requests: %w", err)
	}
	bells, err := pgx.CollectRows(rows, pgx.RowToStructByPos[tasks.Bell])
	if err != nil {
		return nil, fmt.Errorf("claim due requests: %w", err)
	}
	return bells, nil
}

const nowSQL = `SELECT clock_timestamp()`

// makeAllDueSQL takes the next rows that are due later than $1. It waits for none that another transaction holds: that one is being
// decided, or rung for, or its worker has just died, and then it is rung at its own time.
const makeAllDueSQL = `
WITH later AS (
    SELECT book, request_id
    FROM pending
    WHERE state = 'accepted' AND ring_at > $1
    ORDER BY ring_at
    LIMIT $2
    FOR UPDATE SKIP LOCKED
)
UPDATE pending p
SET ring_at = $1, rings = 0
FROM later
WHERE p.book = later.book AND p.request_id = later.request_id`

// dueChunk is how many rows one statement of MakeAllDue changes: some hundred milliseconds, and no long transaction.
const dueChunk = 20_000

// MakeAllDue makes every accepted request due at once: for when the queue is known to have lost its rings. It goes in chunks, each
// committed by itself. It may be called twice and at the same time.
func (l *Ledger) MakeAllDue(ctx context.Context) (int64, error) {
	var now time.Time
	if err := l.pool.QueryRow(ctx, nowSQL).Scan(&now); err != nil {
		return 0, fmt.Errorf("make all accepted requests due: %w", err)
	}
	var due int64
	for {
		tag, err := l.pool.Exec(ctx, makeAllDueSQL, now, dueChunk)
		if err != nil {
			return due, fmt.Errorf("make all accepted requests due, after %d: %w", due, err)
		}
		due += tag.RowsAffected()
		if tag.RowsAffected() < dueChunk {
			return due, nil
		}
	}
}

// makeDueSQL waits for no row that another transaction holds, as acquitSQL.
const makeDueSQL = `
WITH free AS (
    SELECT p.book, p.request_id
    FROM (SELECT * FROM unnest($1::smallint[], $2::uuid[]) AS u (book, request_id) OFFSET 0) unrung
    JOIN pending p ON p.book = unrung.book AND p.request_id = unrung.request_id
    WHERE p.state = 'accepted'
    FOR UPDATE OF p SKIP LOCKED
)
UPDATE pending p
SET ring_at = clock_timestamp()
FROM free
WHERE p.book = free.book AND p.request_id = free.request_id`

// MakeDue gives claimed requests back, whose ring failed: the next round claims them again instead of half a minute later.
func (l *Ledger) MakeDue(ctx context.Context, bells []tasks.Bell) error {
	books, ids := make([]int16, len(bells)), make([]uuid.UUID, len(bells))
	for i, bell := range bells {
		books[i], ids[i] = int16(bell.Book), bell.ID
	}
	if _, err := l.pool.Exec(ctx, makeDueSQL, books, pguuid.Array(ids)); err != nil {
		return fmt.Errorf("make %d requests due: %w", len(bells), err)
	}
	return nil
}

// suspectSQL takes its rows in the order of their ids, as a batch's claim does: neither holds what the other waits for.
const suspectSQL = `
WITH started AS (
    SELECT book, request_id
    FROM pending
    WHERE book = $1 AND request_id = ANY($2) AND kind = $3 AND state = 'accepted'
    ORDER BY request_id
    FOR UPDATE
)
UPDATE pending p
SET attempts = p.attempts + 1
FROM started
WHERE p.book = started.book AND p.request_id = started.request_id
RETURNING p.request_id, p.attempts`

// Suspect counts a start for requests that were delivered before without an outcome. It commits before the work begins, so that a
// request which ends its process is still counted. It returns the number of starts of each that is accepted and of the ring's kind: a
// ring that names another's is no start of it.
func (l *Ledger) Suspect(ctx context.Context, ring tasks.Ring) (map[uuid.UUID]int, error) {
	starts, err := l.count(ctx, suspectSQL, ring)
	if err != nil {
		return nil, fmt.Errorf("count starts: %w", err)
	}
	return starts, nil
}

// acquitSQL never takes the first start of a refund:send back: the next one must know that its channel may have been asked (W5).
// It waits for no row that another transaction holds: a batch that wakes what it holds would wait for it in turn.
const acquitSQL = `
WITH lived AS (
    SELECT book, request_id
    FROM pending
    WHERE book = $1 AND request_id = ANY($2) AND kind = $3
    FOR UPDATE SKIP LOCKED
)
UPDATE pending p
SET attempts = greatest(p.attempts - 1, CASE WHEN p.kind = 'refund:send' THEN 1 ELSE 0 END)
FROM lived
WHERE p.book = lived.book AND p.request_id = lived.request_id`

// Acquit takes a start back that Suspect counted for the ring's kind: the process has lived to see its end, so the requests are not to
// blame. One that a batch decides at that moment keeps it.
func (l *Ledger) Acquit(ctx context.Context, ring tasks.Ring) error {
	if _, err := l.pool.Exec(ctx, acquitSQL, ring.Book, ring.IDs, ring.Kind); err != nil {
		return fmt.Errorf("take starts back: %w", err)
	}
	return nil
}

// countRefusalsSQL takes its rows in the order of suspectSQL.
const countRefusalsSQL = `
WITH refused AS (
    SELECT book, request_id
    FROM pending
    WHERE book = $1 AND request_id = ANY($2) AND kind = $3 AND state = 'accepted'
    ORDER BY request_id
    FOR UPDATE
)
UPDATE pending p
SET refusals = p.refusals + 1
FROM refused
WHERE p.book = refused.book AND p.request_id = refused.request_id
RETURNING p.request_id, p.refusals`

// CountRefusals counts a refusal by their channel for refunds of the ring's kind, and returns how often each has been refused since it was
// accepted or requeued. What is not accepted any more is left out.
func (l *Ledger) CountRefusals(ctx context.Context, ring tasks.Ring) (map[uuid.UUID]int, error) {
	refusals, err := l.count(ctx, countRefusalsSQL, ring)
	if err != nil {
		return nil, fmt.Errorf("count refusals: %w", err)
	}
	return refusals, nil
}

// count runs a statement that counts something of a ring's requests and returns the count of each.
func (l *Ledger) count(ctx context.Context, sql string, ring tasks.Ring) (map[uuid.UUID]int, error) {
	rows, err := l.pool.Query(ctx, sql, ring.Book, ring.IDs, ring.Kind)
	if err != nil {
		return nil, err
	}
	counts := make(map[uuid.UUID]int, len(ring.IDs))
	var id uuid.UUID
	var count int
	_, err = pgx.ForEachRow(rows, []any{&id, &count}, func() error {
		counts[id] = count
		return nil
	})
	return counts, err
}

// recordFailureSQL waits for no row that another transaction holds, as acquitSQL: a batch is deciding that one.
const recordFailureSQL = `
WITH free AS (
    SELECT book, request_id
    FROM pending
    WHERE book = $1 AND request_id = ANY($2) AND kind = $4
    FOR UPDATE SKIP LOCKED
), failed AS (
    UPDATE pending p
    SET last_error = $3
    FROM free
    WHERE p.book = free.book AND p.request_id = free.request_id
    RETURNING p.request_id
)
INSERT INTO attempts (book, request_id, event, detail)
SELECT $1, request_id, 'failed', $3 FROM failed`

// RecordFailure puts a failed delivery on the timeline of the ring's requests of its kind that are still pending, and that no
// batch decides at that moment. Nothing else changes.
func (l *Ledger) RecordFailure(ctx context.Context, ring tasks.Ring, problem string) error {
	if _, err := l.pool.Exec(ctx, recordFailureSQL, ring.Book, ring.IDs, storable(problem), ring.Kind); err != nil {
		return fmt.Errorf("record a failure: %w", err)
	}
	return nil
}

// storable cuts a foreign text to what is kept of it, and takes out what PostgreSQL refuses: a zero byte, and what is no UTF-8.
func storable(text string) string {
	const kept = 2000
	if len(text) > kept {
		text = text[:kept]
	}
	return strings.ReplaceAll(strings.ToValidUTF8(text, "�"), "\x00", "�")
}

const buryPendingSQL = `
WITH buried AS (
    UPDATE pending
    SET state = 'dead', waits_for = NULL, parked_at = NULL, last_error = $3
    WHERE book = $1 AND request_id = $2 AND state <> 'dead'
    RETURNING request_id
)
INSERT INTO attempts (book, request_id, event, detail)
SELECT $1, request_id, 'dead', $3 FROM buried`

// Bury makes a pending request dead: it waits for a person. It may be called twice. A decided request is left alone, and so is one
// that a batch puts back at that moment.
func (l *Ledger) Bury(ctx context.Context, book int, id uuid.UUID, problem string) error {
	tag, err := l.pool.Exec(ctx, buryPendingSQL, book, id, storable(problem))
	if err != nil {
		return fmt.Errorf("bury request %s: %w", id, err)
	}
	l.metrics.buried(tag.RowsAffected())
	return nil
}

// buryUnwokenSQL waits for no row that a batch holds: that one is being decided, or is still late at the next look.
const buryUnwokenSQL = `
WITH late AS (
    SELECT book, request_id
    FROM pending
    WHERE state = 'parked' AND parked_at < statement_timestamp() - $1::interval
    ORDER BY parked_at
    LIMIT $2
    FOR UPDATE SKIP LOCKED
), buried AS (
    UPDATE pending p
    SET state = 'dead', last_error = 'waited too long for ' || p.waits_for, waits_for = NULL, parked_at = NULL
    FROM late
    WHERE p.book = late.book AND p.request_id = late.request_id
    RETURNING p.book, p.request_id, p.last_error
)
INSERT INTO attempts (book, request_id, event, detail)
SELECT book, request_id, 'dead', last_error FROM buried`

// BuryUnwoken makes up to limit requests dead that have been parked for longer than wait, those that wait longest first: a person
// must find out why the other request never came. A request that a person requeues, or that is accepted long before it is parked,
// has all of wait. It may be called twice and at the same time.
func (l *Ledger) BuryUnwoken(ctx context.Context, wait time.Duration, limit int) (int64, error) {
	tag, err := l.pool.Exec(ctx, buryUnwokenSQL, wait, limit)
	if err != nil {
		return 0, fmt.Errorf("bury parked requests: %w", err)
	}
	l.metrics.buried(tag.RowsAffected())
	return tag.RowsAffected(), nil
}

// requeueSQL forgets the starts and the refusals, but not that a refund's channel may have been asked: its next start must know (W5).
const requeueSQL = `
WITH raised AS (
    UPDATE pending p
    SET state = 'accepted', attempts = CASE WHEN p.kind = 'refund:send' THEN 1 ELSE 0 END, refusals = 0, rings = 0,
        ring_at = clock_timestamp()
    FROM requests r
    WHERE r.kind = $1 AND r.key = $2 AND p.book = r.book AND p.request_id = r.id AND p.state = 'dead'
    RETURNING p.book, p.request_id
), told AS (
    INSERT INTO attempts (book, request_id, event, detail)
    SELECT book, request_id, 'requeued', $3 FROM raised
)
SELECT book, request_id FROM raised`

// ErrNotDead is returned by Requeue for a request that is not dead: it runs by itself, or it is decided.
var ErrNotDead = errors.New("request is not dead")

// Requeue lets a dead request run again; by says who decided it. It may be called twice and at once: one call does it, the others
// get ErrNotDead.
func (l *Ledger) Requeue(ctx context.Context, kind tasks.Kind, key, by string) error {
	bell := tasks.Bell{Kind: kind}
	err := l.pool.QueryRow(ctx, requeueSQL, kind, key, by).Scan(&bell.Book, &bell.ID)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return fmt.Errorf("requeue %s %q: %w", kind, key, ErrNotDead)
	case err != nil:
		return fmt.Errorf("requeue %s %q: %w", kind, key, err)
	}
	l.config.Ring([]tasks.Bell{bell})
	return nil
}

const recordStraySQL = `
INSERT INTO strays (queue, task_id, problem, excerpt)
VALUES ($1, $2, $3, $4)`

// RecordStray keeps a queue task that names no request of ours. excerpt is cut to what can be stored safely.
func (l *Ledger) RecordStray(ctx context.Context, queue, taskID, problem string, excerpt []byte) error {
	const kept = 200
	if len(excerpt) > kept {
		excerpt = excerpt[:kept]
	}
	if _, err := l.pool.Exec(ctx, recordStraySQL, storable(queue), storable(taskID), storable(problem), fmt.Sprintf("%q", excerpt)); err != nil {
		return fmt.Errorf("record a stray task: %w", err)
	}
	return nil
}

// Backlog is what is outstanding of one kind in one state.
type Backlog struct {
	Kind      tasks.Kind
	State     string // accepted, parked or dead
	Requests  int64
	OldestAge time.Duration
}

const backlogSQL = `
SELECT kind, state, count(*), clock_timestamp() - min(accepted_at)
FROM pending
GROUP BY kind, state
ORDER BY kind, state`

// Backlog counts what is outstanding. It reads pending only, which never holds history.
func (l *Ledger) Backlog(ctx context.Context) ([]Backlog, error) {
	rows, err := l.pool.Query(ctx, backlogSQL)
	if err != nil {
		return nil, fmt.Errorf("count the backlog: %w", err)
	}
	backlog, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Backlog])
	if err != nil {
		return nil, fmt.Errorf("count the backlog: %w", err)
	}
	return backlog, nil
}

// LoadPayload reads one stored request: for handlers that call the outside world before the ledger decides. It returns
// ErrNotFound for an id that is not stored in the book.
func (l *Ledger) LoadPayload(ctx context.Context, book int, id uuid.UUID) (tasks.Payload, error) {
	var kind tasks.Kind
	var canonical []byte
	err := l.pool.QueryRow(ctx, `SELECT kind, payload FROM requests WHERE book = $1 AND id = $2`, book, id).Scan(&kind, &canonical)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return nil, fmt.Errorf("load request %s: %w", id, ErrNotFound)
	case err != nil:
		return nil, fmt.Errorf("load request %s: %w", id, err)
	}
	return tasks.DecodePayload(kind, canonical)
}
