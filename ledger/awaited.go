package ledger

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// awaitedSQL finds awaited requests that will never be applied in book $1: asked of another book, or rejected. It looks in all books, by
// their unique key.
const awaitedSQL = `
SELECT r.kind || '/' || r.key, r.book <> $1
FROM unnest($2::text[], $3::text[]) AS awaited (kind, key)
JOIN requests r ON r.kind = awaited.kind AND r.key = awaited.key
LEFT JOIN outcomes o ON o.book = r.book AND o.request_id = r.id
WHERE r.book <> $1 OR o.result = 'rejected'`

// lookForAwaited replaces decisions to park that would wait in vain. It costs a round trip only when a request is about to be parked.
// What is asked of another book later, wakeStrandedSQL finds; what is rejected later wakes who waits for it.
func (b *batch) lookForAwaited(ctx context.Context, conn *pgx.Conn) error {
	waiting := map[string][]*decided{}
	rejected := map[string]bool{} // earlier in this batch; later ones wake who waits for them
	var kinds, keys []string
	for _, d := range b.settled {
		awaited := d.decision.waitsFor
		switch {
		case d.decision.verdict == verdictReject:
			rejected[nameOf(d.request)] = true
		case d.decision.verdict != verdictPark || d.decision.elsewhere == nil && d.decision.rejected == nil:
		case rejected[awaited]:
			waitInVain([]*decided{d}, false)
		default:
			if waiting[awaited] == nil {
				kind, key, _ := strings.Cut(awaited, "/")
				kinds, keys = append(kinds, kind), append(keys, key)
			}
			waiting[awaited] = append(waiting[awaited], d)
		}
	}
	if len(waiting) == 0 {
		return nil
	}
	rows, err := conn.Query(ctx, awaitedSQL, b.book, kinds, keys)
	if err != nil {
		return fmt.Errorf("look for %d awaited requests: %w", len(waiting), err)
	}
	var awaited string
	var elsewhere bool
	if _, err := pgx.ForEachRow(rows, []any{&awaited, &elsewhere}, func() error {
		waitInVain(waiting[awaited], elsewhere)
		return nil
	}); err != nil {
		return fmt.Errorf("look for %d awaited requests: %w", len(waiting), err)
	}
	return nil
}

// waitInVain replaces decisions to park by what their rules want instead.
func waitInVain(parked []*decided, elsewhere bool) {
	for _, d := range parked {
		instead := d.decision.rejected
		if elsewhere {
			instead = d.decision.elsewhere
		}
		if instead != nil {
			d.decision = *instead
		}
	}
}

// nameOf is what requests that wait for this one say.
func nameOf(request *Request) string { return string(request.Kind) + "/" + request.Key }

// wakeStrandedSQL looks at the next $4 parked requests behind $1, $2, $3 and says where it has come to. It takes no lock that a batch holds:
// that one decides the request, or the next look finds it.
const wakeStrandedSQL = `
WITH looked AS MATERIALIZED (
    SELECT parked_at, book, request_id, waits_for
    FROM pending
    WHERE state = 'parked' AND (parked_at, book, request_id) > ($1::timestamptz, $2::smallint, $3::uuid)
    ORDER BY parked_at, book, request_id
    LIMIT $4
), stranded AS (
    SELECT p.book, p.request_id
    FROM looked
    JOIN requests r
        ON r.kind = split_part(looked.waits_for, '/', 1) AND r.key = substr(looked.waits_for, strpos(looked.waits_for, '/') + 1)
    JOIN pending p ON p.book = looked.book AND p.request_id = looked.request_id
    WHERE p.state = 'parked' AND r.book <> p.book
    FOR UPDATE OF p SKIP LOCKED
), woken AS (
    UPDATE pending p
    SET state = 'accepted', waits_for = NULL, parked_at = NULL, rings = 0, ring_at = clock_timestamp()
    FROM stranded
    WHERE p.book = stranded.book AND p.request_id = stranded.request_id
    RETURNING p.book, p.request_id
), told AS (
    INSERT INTO attempts (book, request_id, event)
    SELECT book, request_id, 'woken' FROM woken
)
SELECT (SELECT count(*) FROM woken), parked_at, book, request_id
FROM looked
ORDER BY parked_at DESC, book DESC, request_id DESC
LIMIT 1`

// ParkedRef says where a parked request stands among all of them: those that were parked first come first. Before its zero value stands
// none.
type ParkedRef struct {
	ParkedAt time.Time
	RequestRef
}

// WakeStranded looks at up to limit parked requests behind after, and makes those due whose awaited request was asked of another book
// after they had been parked: their rules then decide without it. It returns how many it woke, and where the next look begins: at the
// zero value again once it has come to the end. It may be called twice and at the same time.
func (l *Ledger) WakeStranded(ctx context.Context, after ParkedRef, limit int) (woken int64, next ParkedRef, err error) {
	err = l.pool.QueryRow(ctx, wakeStrandedSQL, after.ParkedAt, after.Book, after.ID, limit).Scan(&woken, &next.ParkedAt, &next.Book, &next.ID)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return 0, ParkedRef{}, nil
	case err != nil:
		return 0, after, fmt.Errorf("wake stranded requests: %w", err)
	}
	return woken, next, nil
}
