package tasks

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// aheadMax is how far ahead of the client's clock an event may be said to happen. Clocks differ by seconds, and a local time that was sent as
// UTC by hours; what lies further ahead would be counted into the limits of a date that has not come.
const aheadMax = 24 * time.Hour

const storedKeysSQL = `
SELECT r.kind, r.key
FROM unnest($1::text[], $2::text[]) AS asked (kind, key)
JOIN requests r ON r.kind = asked.kind AND r.key = asked.key`

// ahead tells which requests are of events too far ahead. The zero ahead refuses nothing.
type ahead struct {
	latest time.Time // an event may happen up to then
	stored map[storedKey]bool
}

// lookAhead finds out what may not be accepted for its time. What a channel has said is taken as it says, and what settled asks of itself has
// the time of its cause. A request that is stored already is not refused: asked again, it is answered as before. PostgreSQL is asked nothing
// unless an event is too far ahead.
func (c *Client) lookAhead(ctx context.Context, db querier, requests ...Request) (ahead, error) {
	if c.fromChannel {
		return ahead{}, nil
	}
	a := ahead{latest: c.config.Clock.Now().Add(aheadMax)}
	var kinds, keys []string
	for i := range requests {
		if r := &requests[i]; a.refuse(r) != nil {
			kinds, keys = append(kinds, string(r.Kind)), append(keys, r.Key)
		}
	}
	if kinds == nil {
		return a, nil
	}
	ctx, cancel := context.WithTimeout(ctx, c.config.AnswerWithin)
	defer cancel()
	rows, err := db.Query(ctx, storedKeysSQL, kinds, keys)
	if err != nil {
		return ahead{}, fmt.Errorf("look up %d requests ahead of their time: %w", len(kinds), err)
	}
	a.stored = map[storedKey]bool{}
	var key storedKey
	if _, err := pgx.ForEachRow(rows, []any{&key.kind, &key.key}, func() error {
		a.stored[key] = true
		return nil
	}); err != nil {
		return ahead{}, fmt.Errorf("look up %d requests ahead of their time: %w", len(kinds), err)
	}
	return a, nil
}

// refuse refuses a request of an event too far ahead with a *FieldError, and is nil for everything else.
func (a ahead) refuse(request *Request) error {
	if a.latest.IsZero() || request.Kind.Internal() || !request.OccurredAt.After(a.latest) || a.stored[storedKey{request.Kind, request.Key}] {
		return nil
	}
	return &FieldError{Field: "occurred_at", Problem: "is " + request.OccurredAt.Format(time.RFC3339) + ", which has not come yet",
		Allowed: "a time up to a day from now, " + a.latest.UTC().Format(time.RFC3339)}
}
