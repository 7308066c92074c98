package ledger

import (
	"context"
	"fmt"
	"strings"

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

// wakeStrandedSQL takes no lock that a batch holds: that one decides the request, or the next round finds it.
const wakeStrandedSQL = `
WITH stranded AS (
    SELECT p.book, p.request_id
    FROM pending p
    JOIN requests r ON r.kind = split_part(p.waits_for, '/', 1) AND r.key = substr(p.waits_for, strpos(p.waits_for, '/') + 1)
    WHERE p.state = 'parked' AND r.book <> p.book
    FOR UPDATE OF p SKIP LOCKED
), woken AS (
    UPDATE pending p
    SET state = 'accepted', waits_for = NULL, parked_at = NULL, rings = 0, ring_at = clock_timestamp()
    FROM stranded
    WHERE p.book = stranded.book AND p.request_id = stranded.request_id
    RETURNING p.book, p.request_id
)
INSERT INTO attempts (book, request_id, event)
SELECT book, request_id, 'woken' FROM woken`

// WakeStranded makes parked requests due whose awaited request was asked of another book after they had been parked: their rules then
// decide without it. It may be called twice and at the same time. It reads what is parked only.
func (l *Ledger) WakeStranded(ctx context.Context) (int64, error) {
	tag, err := l.pool.Exec(ctx, wakeStrandedSQL)
	if err != nil {
		return 0, fmt.Errorf("wake stranded requests: %w", err)
	}
	return tag.RowsAffected(), nil
}
