package ledger

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/settled-dev/settled/internal/postgres/pguuid"
	"github.com/settled-dev/settled/tasks"
)

// claimSQL takes a batch's requests out of pending. It follows the book's lock and precedes every other write: what it does not return
// has been decided or buried by somebody else, whenever that was, and is none of the batch's business. What the batch does not decide
// it puts back; what it decides stays away; a batch that fails has taken nothing.
const claimSQL = `
DELETE FROM pending p
USING (SELECT $1::smallint AS book, unnest($2::uuid[]) AS id OFFSET 0) asked
WHERE p.book = asked.book AND p.request_id = asked.id AND p.state <> 'dead'
RETURNING p.request_id, p.attempts, coalesce(p.waits_for, '')`

// claimed is what pending said of a request; the zero value of one that was not there to be claimed.
type claimed struct {
	held     bool
	attempts int
	waitsFor string // of a parked one
}

const readOutcomesSQL = `
SELECT o.request_id, o.result, coalesce(o.reason, ''), coalesce(o.detail, ''), o.first_transfer, o.transfers, o.attempts, o.decided_at
FROM (SELECT $1::smallint AS book, unnest($2::uuid[]) AS id OFFSET 0) asked
JOIN outcomes o ON o.book = asked.book AND o.request_id = asked.id`

const readDeadSQL = `
SELECT p.request_id
FROM (SELECT $1::smallint AS book, unnest($2::uuid[]) AS id OFFSET 0) asked
JOIN pending p ON p.book = asked.book AND p.request_id = asked.id AND p.state = 'dead'`

// parkSQL puts requests back that wait for another one. attempts tells of it once, however often they are rung while they wait.
const parkSQL = `
WITH asked AS (
    SELECT *
    FROM unnest($3::uuid[], $4::text[], $5::timestamptz[], $6::int[], $7::text[], $8::text[])
        AS u (request_id, kind, accepted_at, attempts, waits_for, waited_for)
), parked AS (
    INSERT INTO pending (book, request_id, kind, state, accepted_at, ring_at, attempts, waits_for)
    SELECT $1, request_id, kind, 'parked', accepted_at, $2, attempts, waits_for FROM asked
)
INSERT INTO attempts (book, request_id, event, detail)
SELECT $1, request_id, 'parked', 'waits for ' || waits_for FROM asked WHERE waits_for <> waited_for`

// burySQL puts requests back that no code can decide.
const burySQL = `
WITH asked AS (
    SELECT *
    FROM unnest($3::uuid[], $4::text[], $5::timestamptz[], $6::int[], $7::text[])
        AS u (request_id, kind, accepted_at, attempts, last_error)
), buried AS (
    INSERT INTO pending (book, request_id, kind, state, accepted_at, ring_at, attempts, last_error)
    SELECT $1, request_id, kind, 'dead', accepted_at, $2, attempts, last_error FROM asked
)
INSERT INTO attempts (book, request_id, event, detail)
SELECT $1, request_id, 'dead', last_error FROM asked`

// queueClaim claims what was loaded. It comes after the book's lock.
func (b *batch) queueClaim(queries *pgx.Batch) {
	ids := make([]uuid.UUID, 0, len(b.loaded))
	for _, id := range b.ids {
		if b.loaded[id] != nil {
			ids = append(ids, id)
		}
	}
	queries.Queue(claimSQL, b.book, pguuid.Array(ids)).Query(func(rows pgx.Rows) error {
		var id uuid.UUID
		c := claimed{held: true}
		_, err := pgx.ForEachRow(rows, []any{pguuid.Into(&id), &c.attempts, &c.waitsFor}, func() error {
			b.loaded[id].claimed = c
			return nil
		})
		return err
	})
}

// answerUnclaimed answers what was not there to be claimed: it has a final outcome, or waits for a person. What has neither breaks I9 and
// gets no answer: it is not to pass for done.
func (b *batch) answerUnclaimed(ctx context.Context, conn *pgx.Conn) error {
	var missing []uuid.UUID
	for id, d := range b.loaded {
		if !d.claimed.held {
			missing = append(missing, id)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	rows, err := conn.Query(ctx, readOutcomesSQL, b.book, pguuid.Array(missing))
	if err != nil {
		return fmt.Errorf("read %d outcomes: %w", len(missing), err)
	}
	var id uuid.UUID
	var o tasks.Outcome
	if _, err := pgx.ForEachRow(rows, []any{pguuid.Into(&id), &o.Result, &o.Reason, &o.Detail, &o.FirstTransfer, &o.Transfers,
		&o.Attempts, &o.DecidedAt}, func() error {
		b.answers[id] = Answer{Fate: Decided, Outcome: o, Replay: true}
		return nil
	}); err != nil {
		return fmt.Errorf("read %d outcomes: %w", len(missing), err)
	}
	missing = slices.DeleteFunc(missing, func(id uuid.UUID) bool { return b.answers[id].Fate == Decided })
	return b.answerDead(ctx, conn, missing)
}

func (b *batch) answerDead(ctx context.Context, conn *pgx.Conn, ids []uuid.UUID) error {
	if len(ids) == 0 {
		return nil
	}
	rows, err := conn.Query(ctx, readDeadSQL, b.book, pguuid.Array(ids))
	if err != nil {
		return fmt.Errorf("look for %d dead requests: %w", len(ids), err)
	}
	var id uuid.UUID
	if _, err := pgx.ForEachRow(rows, []any{pguuid.Into(&id)}, func() error {
		b.answers[id] = Answer{Fate: Dead}
		return nil
	}); err != nil {
		return fmt.Errorf("look for %d dead requests: %w", len(ids), err)
	}
	return nil
}

// returned are the columns of requests that go back to pending.
type returned struct {
	ids        []uuid.UUID
	kinds      []string
	acceptedAt []time.Time
	attempts   []int32
}

func (r *returned) add(d *decided) {
	r.ids, r.kinds = append(r.ids, d.request.ID), append(r.kinds, string(d.request.Kind))
	r.acceptedAt, r.attempts = append(r.acceptedAt, d.request.AcceptedAt), append(r.attempts, int32(d.claimed.attempts))
}

// queueReturns parks and buries what was claimed and not decided.
func queueReturns(queries *pgx.Batch, book int, batch []*decided, at time.Time) {
	var parked, dead returned
	var waits, waited, failures []string
	for _, d := range batch {
		switch d.decision.verdict {
		case verdictPark:
			parked.add(d)
			waits, waited = append(waits, d.decision.waitsFor), append(waited, d.claimed.waitsFor)
		case verdictDead:
			dead.add(d)
			failures = append(failures, storable(d.failure.Error()))
		}
	}
	if len(parked.ids) > 0 {
		queries.Queue(parkSQL, book, at, pguuid.Array(parked.ids), parked.kinds, parked.acceptedAt, parked.attempts, waits, waited)
	}
	if len(dead.ids) > 0 {
		queries.Queue(burySQL, book, at, pguuid.Array(dead.ids), dead.kinds, dead.acceptedAt, dead.attempts, failures)
	}
}
