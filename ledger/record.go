package ledger

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/settled-dev/settled/money"
	"github.com/settled-dev/settled/tasks"
)

// ErrNotFound says that what was asked for is not stored.
var ErrNotFound = errors.New("not found")

// Reader looks things up in the books. It writes nothing and locks nothing; it may be used by many goroutines at once.
type Reader struct{ pool *pgxpool.Pool }

// NewReader makes a reader over a pool that the caller owns.
func NewReader(pool *pgxpool.Pool) *Reader { return &Reader{pool: pool} }

// Record is all that is known of one request.
type Record struct {
	ID           uuid.UUID       `json:"id"`
	Book         int             `json:"book"`
	Kind         tasks.Kind      `json:"kind"`
	Key          string          `json:"key"`
	Producer     string          `json:"producer"`
	Payload      json.RawMessage `json:"payload"`
	OccurredAt   time.Time       `json:"occurred_at"`
	BusinessDate string          `json:"business_date"`
	AcceptedAt   time.Time       `json:"accepted_at"`
	State        string          `json:"state"` // accepted, parked, dead, applied or rejected
	WaitsFor     string          `json:"waits_for,omitempty"`
	LastError    string          `json:"last_error,omitempty"`
	Outcome      *tasks.Outcome  `json:"outcome,omitempty"`
	Transfers    []Posted        `json:"transfers" doc:"The first 1,000; the outcome says how many there are, and more_transfers where the others are."`
	Timeline     []Event         `json:"timeline" doc:"By time: the acceptance, the outcome, and the newest 200 of what else happened; more_events says where all of it is."`
	// Events is how many events there are in all: more than the timeline has when it is cut.
	Events int `json:"events" doc:"How many events there are in all: more than the timeline has when it is cut."`
}

// Posted is a transfer as it stands in the journal. Balances are those after it; unguarded accounts have none.
type Posted struct {
	Seq           int64         `json:"seq"`
	Debit         AccountName   `json:"debit"`
	Credit        AccountName   `json:"credit"`
	Amount        money.Amount  `json:"amount"`
	DebitBalance  *money.Amount `json:"debit_balance,omitempty"`
	CreditBalance *money.Amount `json:"credit_balance,omitempty"`
	BusinessDate  string        `json:"business_date"`
	PostedAt      time.Time     `json:"posted_at"`
}

// Event is one thing that happened to a request.
type Event struct {
	At     time.Time `json:"at"`
	Event  string    `json:"event"`
	Detail string    `json:"detail,omitempty"`
	// Outcome says that this event is the request's outcome. There may be later ones.
	Outcome bool `json:"outcome,omitempty" db:"-" doc:"This event is the outcome. There may be later ones."`
}

// timelineMax is how many events a timeline has beside the acceptance and the outcome: a producer may ask a thousand times under one key.
const timelineMax = 200

const findRecordSQL = `
SELECT r.id, r.book, r.producer, r.payload, r.occurred_at, r.business_date::text, r.accepted_at,
       coalesce(p.state, o.result, ''), coalesce(p.waits_for, ''), coalesce(p.last_error, ''),
       coalesce(o.result, ''), coalesce(o.reason, ''), coalesce(o.detail, ''), coalesce(o.first_transfer, 0),
       coalesce(o.transfers, 0), coalesce(o.attempts, 0), coalesce(o.decided_at, r.accepted_at)
FROM requests r
LEFT JOIN pending p ON p.book = r.book AND p.request_id = r.id
LEFT JOIN outcomes o ON o.book = r.book AND o.request_id = r.id
WHERE r.kind = $1 AND r.key = $2`

// timelineSQL finds the newest of what happened, the newest first: conflicts are others' requests that were refused for this one.
const timelineSQL = `
(SELECT at, event, detail
 FROM attempts
 WHERE book = $1 AND request_id = $2
 ORDER BY at DESC
 LIMIT $3)
UNION ALL
(SELECT at, 'conflict', fields::text
 FROM conflicts
 WHERE book = $1 AND request_id = $2
 ORDER BY at DESC
 LIMIT $3)
ORDER BY 1 DESC
LIMIT $3`

const countEventsSQL = `
SELECT (SELECT count(*) FROM attempts WHERE book = $1 AND request_id = $2)
     + (SELECT count(*) FROM conflicts WHERE book = $1 AND request_id = $2)`

// recordTransfersMax is how many of its transfers a Record has at most: a part of a sweep has thousands.
const recordTransfersMax = 1000

// Record finds a request by its kind and key. It returns ErrNotFound when it was never accepted. At most 1,000 of its transfers
// are listed, TransferPage has the others. The timeline has its acceptance, its outcome, and the newest 200 of what else happened;
// EventPage has all of it.
func (r *Reader) Record(ctx context.Context, kind tasks.Kind, key string) (Record, error) {
	record, err := r.Find(ctx, kind, key)
	if err != nil {
		return Record{}, err
	}
	if err := r.readTimeline(ctx, &record); err != nil {
		return Record{}, fmt.Errorf("read the timeline of %s %q: %w", kind, key, err)
	}
	record.Transfers, err = r.TransferPage(ctx, &record, 0, recordTransfersMax)
	return record, err
}

// Find finds a request as Record does, without its transfers and its timeline.
func (r *Reader) Find(ctx context.Context, kind tasks.Kind, key string) (Record, error) {
	record := Record{Kind: kind, Key: key, Transfers: []Posted{}, Timeline: []Event{}}
	var o tasks.Outcome
	err := r.pool.QueryRow(ctx, findRecordSQL, kind, key).Scan(&record.ID, &record.Book, &record.Producer, &record.Payload,
		&record.OccurredAt, &record.BusinessDate, &record.AcceptedAt, &record.State, &record.WaitsFor, &record.LastError,
		&o.Result, &o.Reason, &o.Detail, &o.FirstTransfer, &o.Transfers, &o.Attempts, &o.DecidedAt)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return Record{}, fmt.Errorf("%s %q: %w", kind, key, ErrNotFound)
	case err != nil:
		return Record{}, fmt.Errorf("find %s %q: %w", kind, key, err)
	}
	if o.Result != "" {
		record.Outcome = &o
	}
	return record, nil
}

// readTimeline puts together what happened to a request, by time. The outcome is not always the last: conflicts may follow.
func (r *Reader) readTimeline(ctx context.Context, record *Record) error {
	events, err := queryRows(ctx, r.pool, pgx.RowToStructByPos[Event], timelineSQL, record.Book, record.ID, timelineMax)
	if err != nil {
		return err
	}
	record.Events = len(events)
	if len(events) == timelineMax {
		if err := r.pool.QueryRow(ctx, countEventsSQL, record.Book, record.ID).Scan(&record.Events); err != nil {
			return err
		}
	}
	slices.Reverse(events)
	if o := record.Outcome; o != nil {
		record.Events++
		events = append(events, Event{At: o.DecidedAt, Event: string(o.Result), Detail: describe(*o), Outcome: true})
		slices.SortStableFunc(events, func(a, b Event) int { return a.At.Compare(b.At) })
	}
	record.Events++
	accepted := Event{At: record.AcceptedAt, Event: "accepted", Detail: acceptedBy(record)}
	record.Timeline = slices.Insert(events, 0, accepted)
	return nil
}

func describe(o tasks.Outcome) string {
	if o.Reason == "" {
		return o.Detail
	}
	if o.Detail == "" {
		return string(o.Reason)
	}
	return string(o.Reason) + ": " + o.Detail
}

func queryRows[T any](ctx context.Context, pool *pgxpool.Pool, scan pgx.RowToFunc[T], sql string, args ...any) ([]T, error) {
	rows, err := pool.Query(ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, scan)
}
