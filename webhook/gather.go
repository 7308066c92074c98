package webhook

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/settled-dev/settled/internal/postgres/pguuid"
	"github.com/settled-dev/settled/tasks"
)

// gatherMax is how many outcomes one transaction looks at: some ten milliseconds.
const gatherMax = 1000

// ungatheredBooksSQL lists the books that have decided something since they were gathered from, while anybody is to be told: an endpoint
// that is gone has its messages wait for a person.
const ungatheredBooksSQL = `
SELECT c.book
FROM webhook_cursors c
JOIN books b ON b.book = c.book
WHERE b.decided_at > c.decided_at AND EXISTS (SELECT FROM webhook_endpoints WHERE disabled_at IS NULL OR gone)
ORDER BY c.book`

// lockCursorSQL is the first lock of gathering; the endpoints follow in the order of their ids. The book itself is read and not locked.
const lockCursorSQL = `
SELECT c.decided_at, b.decided_at
FROM webhook_cursors c
JOIN books b ON b.book = c.book
WHERE c.book = $1
FOR UPDATE OF c SKIP LOCKED`

const openEndpointsSQL = `
SELECT id, producer, events, told_since[$1 + 1]
FROM webhook_endpoints
WHERE disabled_at IS NULL OR gone
ORDER BY id`

// readOutcomesSQL reads the next outcomes of a book with who is to be told: the request's producer, but for what a channel says of a
// refund the refund's or the return's of a case, and for a payment that a channel's notice told of, or that settled sends back by itself, the
// recharge order's. Outcomes of one time belong to one batch and are read together; within it, transfers are numbered in the order in which
// they were decided.
const readOutcomesSQL = `
SELECT o.request_id, o.decided_at, r.kind, o.result,
       CASE WHEN r.kind IN ('refund:answer', 'refund:revise') THEN r.payload ->> 'result' ELSE '' END,
       coalesce(CASE
           WHEN r.kind IN ('refund:answer', 'refund:revise')
               THEN coalesce((SELECT producer FROM requests WHERE kind = 'refund:apply' AND key = r.payload ->> 'refund_id'),
                   (SELECT producer FROM requests WHERE kind = 'case:return' AND key = r.payload ->> 'case_id' AND producer <> 'settled'),
                   (SELECT w.producer
                    FROM requests q
                    JOIN recharge_orders w ON w.recharge_id = q.payload ->> 'recharge_id'
                    WHERE q.kind = 'recharge:suspend' AND q.book = split_part(r.payload ->> 'case_id', '.', 1)::smallint
                      AND q.id = split_part(r.payload ->> 'case_id', '.', 2)::uuid))
           WHEN r.kind = 'recharge:confirm' THEN (SELECT producer FROM recharge_orders WHERE recharge_id = r.key)
           WHEN r.kind = 'recharge:suspend' THEN (SELECT producer FROM recharge_orders WHERE recharge_id = r.payload ->> 'recharge_id')
       END, r.producer)
FROM (
    SELECT book, request_id, decided_at, result, first_transfer, transfers
    FROM outcomes
    WHERE book = $1 AND decided_at > $2
    ORDER BY decided_at
    FETCH FIRST $3 ROWS WITH TIES
) o
JOIN requests r ON r.book = o.book AND r.id = o.request_id
ORDER BY o.decided_at, o.first_transfer, o.transfers, o.request_id`

// numberMessagesSQL locks the endpoints that get messages. One that a person disabled meanwhile gets none.
const numberMessagesSQL = `
SELECT id, next_sequence
FROM webhook_endpoints
WHERE id = ANY ($1::text[]) AND (disabled_at IS NULL OR gone)
ORDER BY id
FOR NO KEY UPDATE`

const insertMessagesSQL = `
INSERT INTO webhook_messages (endpoint_id, sequence, event, book, request_id)
SELECT endpoint_id, sequence, event, $1, request_id
FROM unnest($2::text[], $3::bigint[], $4::text[], $5::uuid[]) AS told (endpoint_id, sequence, event, request_id)`

const moveSequencesSQL = `
UPDATE webhook_endpoints e
SET next_sequence = moved.next_sequence
FROM unnest($1::text[], $2::bigint[]) AS moved (id, next_sequence)
WHERE e.id = moved.id`

const moveCursorSQL = `UPDATE webhook_cursors SET decided_at = $2 WHERE book = $1`

// decided is an outcome that somebody may want to be told of.
type decided struct {
	requestID uuid.UUID
	at        time.Time
	event     Event
	producer  string
}

type openEndpoint struct {
	id, producer string
	events       []string
	since        time.Time // in this book: what was decided later is told
}

func (e *openEndpoint) wants(o decided) bool {
	return o.producer == e.producer && o.at.After(e.since) && slices.Contains(e.events, string(o.event))
}

// page is what one transaction gathers.
type page struct {
	book     int
	looked   int       // how many outcomes were looked at
	upTo     time.Time // every outcome of the book up to this time was
	outcomes []decided // those that are told to anybody
}

// gather turns a book's next outcomes into messages, in one transaction: limit of them, and those of the last one's batch. It returns how
// many it looked at: limit or more means that there may be others. It may run in several processes at once: who finds the cursor locked
// does nothing.
func gather(ctx context.Context, pool *pgxpool.Pool, book, limit int) (looked int, err error) {
	err = pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		var cursor, standing time.Time
		err := tx.QueryRow(ctx, lockCursorSQL, book).Scan(&cursor, &standing)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("lock the cursor: %w", err)
		}
		endpoints, since, err := openEndpoints(ctx, tx, book)
		if err != nil || len(endpoints) == 0 {
			return err
		}
		if cursor.After(since) {
			since = cursor
		}
		next, err := readPage(ctx, tx, book, since, standing, limit)
		if err != nil {
			return err
		}
		looked = next.looked
		if err := next.tell(ctx, tx, endpoints); err != nil || !next.upTo.After(cursor) {
			return err
		}
		_, err = tx.Exec(ctx, moveCursorSQL, book, next.upTo)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("gather outcomes of book %d: %w", book, err)
	}
	return looked, nil
}

// openEndpoints reads who is to be told, and since when at the earliest.
func openEndpoints(ctx context.Context, tx pgx.Tx, book int) (list []openEndpoint, since time.Time, err error) {
	rows, err := tx.Query(ctx, openEndpointsSQL, book)
	if err == nil {
		var e openEndpoint
		_, err = pgx.ForEachRow(rows, []any{&e.id, &e.producer, &e.events, &e.since}, func() error {
			if len(list) == 0 || e.since.Before(since) {
				since = e.since
			}
			list = append(list, e)
			e = openEndpoint{}
			return nil
		})
	}
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("read the endpoints: %w", err)
	}
	return list, since, nil
}

// readPage reads the next outcomes after since. standing is the time of the book's last batch as of an earlier statement of the
// transaction: when the page is not full, every outcome up to it was read.
func readPage(ctx context.Context, tx pgx.Tx, book int, since, standing time.Time, limit int) (page, error) {
	p := page{book: book, upTo: since}
	rows, err := tx.Query(ctx, readOutcomesSQL, book, since, limit)
	if err == nil {
		var o decided
		var kind tasks.Kind
		var result tasks.Result
		var end tasks.RefundEnd
		_, err = pgx.ForEachRow(rows, []any{pguuid.Into(&o.requestID), &o.at, &kind, &result, &end, &o.producer}, func() error {
			p.looked++
			p.upTo = o.at
			var told bool
			if o.event, told = eventOf(kind, result, end); told {
				p.outcomes = append(p.outcomes, o)
			}
			return nil
		})
	}
	if err != nil {
		return page{}, fmt.Errorf("read outcomes: %w", err)
	}
	if p.looked < limit && standing.After(p.upTo) {
		p.upTo = standing
	}
	return p, nil
}

// tell writes a message for each endpoint that wants an outcome.
func (p *page) tell(ctx context.Context, tx pgx.Tx, endpoints []openEndpoint) error {
	wanted := map[string][]decided{}
	for _, e := range endpoints {
		for _, o := range p.outcomes {
			if e.wants(o) {
				wanted[e.id] = append(wanted[e.id], o)
			}
		}
	}
	if len(wanted) == 0 {
		return nil
	}
	ids := make([]string, 0, len(wanted))
	for id := range wanted {
		ids = append(ids, id)
	}
	rows, err := tx.Query(ctx, numberMessagesSQL, ids)
	if err != nil {
		return fmt.Errorf("number messages: %w", err)
	}
	var id string
	var next int64
	var told messageColumns
	var moved []string
	var nexts []int64
	if _, err := pgx.ForEachRow(rows, []any{&id, &next}, func() error {
		for _, o := range wanted[id] {
			told.add(id, next, o)
			next++
		}
		moved, nexts = append(moved, id), append(nexts, next)
		return nil
	}); err != nil {
		return fmt.Errorf("number messages: %w", err)
	}
	if _, err := tx.Exec(ctx, insertMessagesSQL, p.book, told.endpoints, told.sequences, told.events, pguuid.Array(told.requests)); err != nil {
		return fmt.Errorf("write %d messages: %w", len(told.endpoints), err)
	}
	if _, err := tx.Exec(ctx, moveSequencesSQL, moved, nexts); err != nil {
		return fmt.Errorf("number messages: %w", err)
	}
	return nil
}

// messageColumns are new messages as the arrays that a statement takes.
type messageColumns struct {
	endpoints []string
	sequences []int64
	events    []string
	requests  []uuid.UUID
}

func (c *messageColumns) add(endpoint string, sequence int64, o decided) {
	c.endpoints, c.sequences = append(c.endpoints, endpoint), append(c.sequences, sequence)
	c.events, c.requests = append(c.events, string(o.event)), append(c.requests, o.requestID)
}
