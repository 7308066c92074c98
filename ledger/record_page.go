package ledger

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/settled-dev/settled/money"
)

const recordTransfersSQL = `
SELECT t.seq, d.name, c.name, t.amount_fen, t.debit_balance_fen, t.credit_balance_fen, t.business_date::text, t.posted_at
FROM transfers t
JOIN accounts d ON d.book = t.book AND d.id = t.debit_account
JOIN accounts c ON c.book = t.book AND c.id = t.credit_account
WHERE t.book = $1 AND t.seq >= $2 AND t.seq < $3
ORDER BY t.seq
LIMIT $4`

// TransferPage reads the transfers of a request that was found, in the order in which they were posted: those whose number is above
// after, which is 0 for the first page, and limit of them at most. A request without an outcome has none.
func (r *Reader) TransferPage(ctx context.Context, record *Record, after int64, limit int) ([]Posted, error) {
	o := record.Outcome
	if o == nil || o.Transfers == 0 || after >= o.FirstTransfer+int64(o.Transfers) {
		return []Posted{}, nil
	}
	page, err := queryRows(ctx, r.pool, scanPosted, recordTransfersSQL, record.Book, max(o.FirstTransfer, after+1),
		o.FirstTransfer+int64(o.Transfers), limit)
	if err != nil {
		return nil, fmt.Errorf("read the transfers of %s %q: %w", record.Kind, record.Key, err)
	}
	return page, nil
}

func scanPosted(row pgx.CollectableRow) (Posted, error) {
	var p Posted
	var fen int64
	var debit, credit *int64
	err := row.Scan(&p.Seq, &p.Debit, &p.Credit, &fen, &debit, &credit, &p.BusinessDate, &p.PostedAt)
	p.Amount, p.DebitBalance, p.CreditBalance = money.FromFen(fen), amountOf(debit), amountOf(credit)
	return p, err
}

func amountOf(fen *int64) *money.Amount {
	if fen == nil {
		return nil
	}
	amount := money.FromFen(*fen)
	return &amount
}

// EventPosition is a place in a request's timeline: after Skip events of the time At. The zero value is before all of them.
type EventPosition struct {
	At   time.Time
	Skip int
}

// EventSkipMax is how many events of one microsecond are told apart.
const EventSkipMax = 100_000

// eventsSQL walks what happened by time, from a time on. Events of one time are in the order of what they say: those that are equal in
// that too may change places.
const eventsSQL = `
(SELECT at, 1 AS place, event, detail, false AS outcome
 FROM attempts
 WHERE book = $1 AND request_id = $2 AND at >= $3
 ORDER BY at, event, detail
 LIMIT $4::bigint + $5::bigint)
UNION ALL
(SELECT at, 1, 'conflict', fields::text, false
 FROM conflicts
 WHERE book = $1 AND request_id = $2 AND at >= $3
 ORDER BY at, fields::text
 LIMIT $4::bigint + $5::bigint)
UNION ALL
SELECT $6::timestamptz, 0, 'accepted', $7, false
WHERE $6 >= $3
UNION ALL
SELECT $8::timestamptz, 2, $9, $10, true
WHERE $8 >= $3
ORDER BY at, place, event, detail
OFFSET $4
LIMIT $5`

// EventPage reads what happened to a request that was found, by time: its acceptance, its outcome, and all else, limit of it at most. What
// happens while somebody pages comes on later pages.
func (r *Reader) EventPage(ctx context.Context, record *Record, after EventPosition, limit int) ([]Event, error) {
	var decidedAt *time.Time
	var result, detail string
	if o := record.Outcome; o != nil {
		decidedAt, result, detail = &o.DecidedAt, string(o.Result), describe(*o)
	}
	page, err := queryRows(ctx, r.pool, func(row pgx.CollectableRow) (Event, error) {
		var e Event
		var place int
		err := row.Scan(&e.At, &place, &e.Event, &e.Detail, &e.Outcome)
		return e, err
	}, eventsSQL, record.Book, record.ID, after.At, after.Skip, limit, record.AcceptedAt, acceptedBy(record), decidedAt, result, detail)
	if err != nil {
		return nil, fmt.Errorf("read the timeline of %s %q: %w", record.Kind, record.Key, err)
	}
	return page, nil
}

// Past is the place after a page that began at p.
func (p EventPosition) Past(page []Event) EventPosition {
	for i := range page {
		if !page[i].At.Equal(p.At) {
			p = EventPosition{At: page[i].At}
		}
		p.Skip++
	}
	return p
}

func acceptedBy(record *Record) string { return "by " + record.Producer }
