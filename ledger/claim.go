package ledger

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/settled-dev/settled/internal/postgres/pguuid"
	"github.com/settled-dev/settled/tasks"
)

// claimSQL takes a batch's requests out of pending. It follows the book's lock and precedes every other write: what it does not return
// has been decided or buried by somebody else, whenever that was, and is none of the batch's business. What the batch does not decide
// it puts back; what it decides stays away; a batch that fails has taken nothing. It is given its ids in order and takes the rows one by
// one in that order, as everything does that waits for several rows of pending (suspectSQL); what goes by no order waits for none.
const claimSQL = `
DELETE FROM pending p
USING (SELECT $1::smallint AS book, unnest($2::uuid[]) AS id OFFSET 0) asked
WHERE p.book = asked.book AND p.request_id = asked.id AND p.state <> 'dead'
RETURNING p.request_id, p.attempts, coalesce(p.waits_for, ''), CASE WHEN p.state = 'parked' THEN p.parked_at END`

// claimed is what pending said of a request; the zero value of one that was not there to be claimed.
type claimed struct {
	held     bool
	attempts int
	waitsFor string     // of a parked one
	parkedAt *time.Time // of a parked one
}

// lookUpSQL says what stands of requests; what is accepted and not decided has no fate. $3 is their kind, or empty for any.
const lookUpSQL = `
SELECT asked.id,
       CASE WHEN o.request_id IS NOT NULL THEN 'decided' WHEN p.state IN ('parked', 'dead') THEN p.state WHEN r.id IS NULL THEN 'unknown'
            ELSE '' END,
       coalesce(o.result, ''), coalesce(o.reason, ''), coalesce(o.detail, ''), coalesce(o.first_transfer, 0), coalesce(o.transfers, 0),
       coalesce(o.attempts, 0), coalesce(o.decided_at, 'epoch')
FROM (SELECT $1::smallint AS book, unnest($2::uuid[]) AS id OFFSET 0) asked
LEFT JOIN requests r ON r.book = asked.book AND r.id = asked.id AND $3 IN ('', r.kind)
LEFT JOIN outcomes o ON o.book = r.book AND o.request_id = r.id
LEFT JOIN pending p ON p.book = r.book AND p.request_id = r.id`

// putBackSQL makes requests pending again that the batch claimed and did not decide. attempts tells of those that have something new to
// tell: one that is rung while it waits is parked again, since when it was, and told of once.
const putBackSQL = `
WITH asked AS (
    SELECT *
    FROM unnest($3::uuid[], $4::text[], $5::timestamptz[], $6::int[], $7::text[], $8::text[], $9::text[], $10::text[], $11::timestamptz[])
        AS u (request_id, kind, accepted_at, attempts, state, waits_for, last_error, told, parked_at)
), back AS (
    INSERT INTO pending (book, request_id, kind, state, accepted_at, ring_at, attempts, waits_for, last_error, parked_at)
    SELECT $1, request_id, kind, state, accepted_at, $2, attempts, nullif(waits_for, ''), nullif(last_error, ''), parked_at
    FROM asked
)
INSERT INTO attempts (book, request_id, event, detail)
SELECT $1, request_id, state, told FROM asked WHERE told <> ''`

// queueClaim claims what was loaded. It comes after the book's lock.
func (b *batch) queueClaim(queries *pgx.Batch) {
	ids := make([]uuid.UUID, 0, len(b.loaded))
	for _, id := range b.ids {
		if b.loaded[id] != nil {
			ids = append(ids, id)
		}
	}
	slices.SortFunc(ids, func(a, b uuid.UUID) int { return bytes.Compare(a[:], b[:]) })
	queries.Queue(claimSQL, b.book, pguuid.Array(ids)).Query(func(rows pgx.Rows) error {
		var id uuid.UUID
		c := claimed{held: true}
		_, err := pgx.ForEachRow(rows, []any{pguuid.Into(&id), &c.attempts, &c.waitsFor, &c.parkedAt}, func() error {
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
	return lookUp(ctx, conn, tasks.Ring{Book: b.book, IDs: missing}, b.answers)
}

// lookUp adds to answers what stands of a ring's requests, of any kind if it has none.
func lookUp(ctx context.Context, conn *pgx.Conn, ring tasks.Ring, answers map[uuid.UUID]Answer) error {
	rows, err := conn.Query(ctx, lookUpSQL, ring.Book, pguuid.Array(ring.IDs), ring.Kind)
	if err != nil {
		return fmt.Errorf("look %d requests up: %w", len(ring.IDs), err)
	}
	var id uuid.UUID
	var fate Fate
	var o tasks.Outcome
	if _, err := pgx.ForEachRow(rows, []any{pguuid.Into(&id), &fate, &o.Result, &o.Reason, &o.Detail, &o.FirstTransfer, &o.Transfers,
		&o.Attempts, &o.DecidedAt}, func() error {
		answers[id] = Answer{Fate: fate}
		if fate == Decided {
			answers[id] = Answer{Fate: Decided, Outcome: o, Replay: true}
		}
		return nil
	}); err != nil {
		return fmt.Errorf("look %d requests up: %w", len(ring.IDs), err)
	}
	return nil
}

// LookUp says what stands of a ring's requests, in the order of its ids, and changes nothing. What is accepted and not decided has no
// fate; a request of another kind than the ring's is NotStored to it, as in ApplyRing.
func (l *Ledger) LookUp(ctx context.Context, ring tasks.Ring) ([]Answer, error) {
	found := make(map[uuid.UUID]Answer, len(ring.IDs))
	if err := l.pool.AcquireFunc(ctx, func(conn *pgxpool.Conn) error { return lookUp(ctx, conn.Conn(), ring, found) }); err != nil {
		return nil, err
	}
	answers := make([]Answer, len(ring.IDs))
	for i, id := range ring.IDs {
		answers[i] = found[id]
	}
	return answers, nil
}

// returned are the columns of requests that go back to pending.
type returned struct {
	ids                                     []uuid.UUID
	kinds, states, waitsFor, failures, told []string
	acceptedAt                              []time.Time
	attempts                                []int32
	parkedAt                                []*time.Time // nil of a dead one
}

func (r *returned) add(d *decided, state, waitsFor, failure, told string, parkedAt *time.Time) {
	r.ids, r.kinds = append(r.ids, d.request.ID), append(r.kinds, string(d.request.Kind))
	r.acceptedAt, r.attempts = append(r.acceptedAt, d.request.AcceptedAt), append(r.attempts, int32(d.claimed.attempts))
	r.states, r.waitsFor = append(r.states, state), append(r.waitsFor, waitsFor)
	r.failures, r.told, r.parkedAt = append(r.failures, failure), append(r.told, told), append(r.parkedAt, parkedAt)
}

// queueReturns parks and buries what was claimed and not decided.
func queueReturns(queries *pgx.Batch, book int, batch []*decided, at time.Time) {
	var back returned
	for _, d := range batch {
		switch d.decision.verdict {
		case verdictPark:
			told, since := "", d.claimed.parkedAt
			if d.decision.waitsFor != d.claimed.waitsFor {
				told, since = "waits for "+d.decision.waitsFor, &at
			}
			back.add(d, StateParked, d.decision.waitsFor, "", told, since)
		case verdictDead:
			failure := storable(d.failure.Error())
			back.add(d, StateDead, "", failure, failure, nil)
		}
	}
	if len(back.ids) > 0 {
		queries.Queue(putBackSQL, book, at, pguuid.Array(back.ids), back.kinds, back.acceptedAt, back.attempts, back.states, back.waitsFor,
			back.failures, back.told, back.parkedAt)
	}
}
