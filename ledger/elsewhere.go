package ledger

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
)

// elsewhereSQL finds awaited requests that were asked of other books than $1. It looks in all books, by their unique key.
const elsewhereSQL = `
SELECT r.kind || '/' || r.key
FROM unnest($2::text[], $3::text[]) AS awaited (kind, key)
JOIN requests r ON r.kind = awaited.kind AND r.key = awaited.key
WHERE r.book <> $1`

// lookElsewhere replaces decisions to park whose awaited request is in another book. It costs a round trip only when a request is about
// to be parked. What is asked of another book later, wakeStrandedSQL finds.
func (b *batch) lookElsewhere(ctx context.Context, conn *pgx.Conn) error {
	waiting := map[string][]*decided{}
	var kinds, keys []string
	for _, d := range b.settled {
		if d.decision.verdict != verdictPark || d.decision.elsewhere == nil {
			continue
		}
		awaited := d.decision.waitsFor
		if waiting[awaited] == nil {
			kind, key, _ := strings.Cut(awaited, "/")
			kinds, keys = append(kinds, kind), append(keys, key)
		}
		waiting[awaited] = append(waiting[awaited], d)
	}
	if len(waiting) == 0 {
		return nil
	}
	rows, err := conn.Query(ctx, elsewhereSQL, b.book, kinds, keys)
	if err != nil {
		return fmt.Errorf("look for %d awaited requests in other books: %w", len(waiting), err)
	}
	var awaited string
	if _, err := pgx.ForEachRow(rows, []any{&awaited}, func() error {
		for _, d := range waiting[awaited] {
			d.decision = *d.decision.elsewhere
		}
		return nil
	}); err != nil {
		return fmt.Errorf("look for %d awaited requests in other books: %w", len(waiting), err)
	}
	return nil
}

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
    SET state = 'accepted', waits_for = NULL, rings = 0, ring_at = clock_timestamp()
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
