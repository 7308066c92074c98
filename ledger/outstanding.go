package ledger

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/settled-dev/settled/tasks"
)

// The states of a request that has no outcome yet.
const (
	StateAccepted = "accepted" // to be applied
	StateParked   = "parked"   // waits for another request
	StateDead     = "dead"     // waits for a person
)

// RequestRef says where a request stands.
type RequestRef struct {
	Book int
	ID   uuid.UUID
}

// FirstRequest is where a list of requests begins: before it stands none.
func FirstRequest() RequestRef { return RequestRef{Book: -1} }

// OutstandingFilter says which outstanding requests are listed; an empty field takes all.
type OutstandingFilter struct {
	State    string // StateAccepted, StateParked or StateDead
	Kind     tasks.Kind
	Producer string
}

// Outstanding is a request that has no outcome yet.
type Outstanding struct {
	ID         uuid.UUID  `json:"id"`
	Book       int        `json:"book"`
	Kind       tasks.Kind `json:"kind"`
	Key        string     `json:"key"`
	Producer   string     `json:"producer"`
	State      string     `json:"state"`
	WaitsFor   string     `json:"waits_for,omitempty"`
	LastError  string     `json:"last_error,omitempty"`
	Attempts   int        `json:"attempts" doc:"Starts that were counted before they began: each of a refund:send, and of others those that a lost process or ring made suspect."`
	AcceptedAt time.Time  `json:"accepted_at"`
}

// outstandingScanMax is how many rows one page looks at: a filter that matches few of very many costs no more than this.
const outstandingScanMax = 5000

// outstandingEdgeSQL finds where a page's look ends.
const outstandingEdgeSQL = `
SELECT book, request_id
FROM pending
WHERE (book, request_id) > ($1::smallint, $2::uuid)
ORDER BY book, request_id
OFFSET $3
LIMIT 1`

const outstandingSQL = `
SELECT r.id, r.book, r.kind, r.key, r.producer, p.state, coalesce(p.waits_for, ''), coalesce(p.last_error, ''), p.attempts,
       p.accepted_at
FROM pending p
JOIN requests r ON r.book = p.book AND r.id = p.request_id
WHERE (p.book, p.request_id) > ($1::smallint, $2::uuid) AND (p.book, p.request_id) <= ($3::smallint, $4::uuid)
    AND ($5 = '' OR p.state = $5) AND ($6 = '' OR p.kind = $6) AND ($7 = '' OR r.producer = $7)
ORDER BY p.book, p.request_id
LIMIT $8`

// lastRequest stands behind every other one.
var lastRequest = RequestRef{Book: 1<<15 - 1, ID: uuid.Max}

// Outstanding lists requests that have no outcome yet, book by book, in each in the order of ids, which is about that of
// acceptance. after is FirstRequest or the next of the page before; limit is 1 to 1000. next is nil on the last page. A page may
// hold fewer than limit requests, even none, and yet not be the last: one page looks at 5,000 outstanding requests at most.
func (r *Reader) Outstanding(ctx context.Context, filter OutstandingFilter, after RequestRef, limit int) (
	page []Outstanding, next *RequestRef, err error,
) {
	limit = min(max(limit, 1), 1000)
	var edge RequestRef
	err = r.pool.QueryRow(ctx, outstandingEdgeSQL, after.Book, after.ID, outstandingScanMax-1).Scan(&edge.Book, &edge.ID)
	atEnd := errors.Is(err, pgx.ErrNoRows)
	switch {
	case atEnd:
		edge = lastRequest
	case err != nil:
		return nil, nil, fmt.Errorf("list outstanding requests: %w", err)
	}
	page, err = queryRows(ctx, r.pool, pgx.RowToStructByPos[Outstanding], outstandingSQL, after.Book, after.ID, edge.Book, edge.ID,
		filter.State, string(filter.Kind), filter.Producer, limit+1)
	switch {
	case err != nil:
		return nil, nil, fmt.Errorf("list outstanding requests: %w", err)
	case len(page) > limit:
		page = page[:limit]
		return page, &RequestRef{Book: page[limit-1].Book, ID: page[limit-1].ID}, nil
	case !atEnd:
		return page, &edge, nil
	}
	return page, nil, nil
}
