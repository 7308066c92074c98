package ledger

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/settled-dev/settled/money"
	"github.com/settled-dev/settled/tasks"
)

// ErrNoCase says that no case has the id.
var ErrNoCase = errors.New("no such case")

// CaseRecord is a case as people see it.
type CaseRecord struct {
	ID       string       `json:"id" doc:"Under which it is decided: a case:credit, case:return or case:close of this case_id."`
	Kind     CaseKind     `json:"kind" enum:"unmatched_recharge,failed_return,failed_refund,paid_twice,unreturnable_refund"`
	Account  AccountName  `json:"account" doc:"Where the amount stands; of paid_twice, which is short of it."`
	Amount   money.Amount `json:"amount"`
	Detail   string       `json:"detail"`
	Opened   CaseRequest  `json:"opened_by"`
	OpenedAt time.Time    `json:"opened_at"`
	Closing  *CaseEnd     `json:"closing,omitempty" doc:"How it was closed; absent while it is open."`
}

// CaseRequest is the request that opened or closed a case.
type CaseRequest struct {
	Kind tasks.Kind `json:"kind"`
	Key  string     `json:"key"`
}

// CaseEnd is how a case was closed.
type CaseEnd struct {
	CaseRequest
	By   string    `json:"by" doc:"Who decided it; settled, when no person did."`
	Note string    `json:"note"`
	At   time.Time `json:"closed_at"`
}

// CaseFilter says which cases are listed; the zero one lists all.
type CaseFilter struct {
	Open bool     // only open ones
	Kind CaseKind // empty for all kinds
}

// CasePosition is where a page of cases ends: before the zero one stands none.
type CasePosition struct {
	OpenedAt time.Time
	Ref      tasks.CaseRef
}

const caseColumnsSQL = `
SELECT c.book, c.request_id, c.ordinal, c.kind, c.account, c.amount_fen, c.detail, r.kind, r.key, c.opened_at,
       coalesce(by.kind, ''), coalesce(by.key, ''), coalesce(x.closed_by, ''), coalesce(x.note, ''), x.closed_at
FROM cases c
JOIN requests r ON r.book = c.book AND r.id = c.request_id
LEFT JOIN case_closings x ON x.book = c.book AND x.request_id = c.request_id AND x.ordinal = c.ordinal
LEFT JOIN requests by ON by.book = x.book AND by.id = x.closing_request_id`

// listCasesSQL takes one of two branches: open cases are found by a table of their own, however many were closed before them.
const listCasesSQL = caseColumnsSQL + `
JOIN (
    (SELECT s.book, s.request_id, s.ordinal
     FROM open_cases s
     JOIN cases o ON o.book = s.book AND o.request_id = s.request_id AND o.ordinal = s.ordinal
     WHERE $5 AND (s.opened_at, s.book, s.request_id, s.ordinal) > ($1, $2::smallint, $3::uuid, $4::smallint) AND ($6 = '' OR o.kind = $6)
     ORDER BY s.opened_at, s.book, s.request_id, s.ordinal
     LIMIT $7)
    UNION ALL
    (SELECT book, request_id, ordinal
     FROM cases
     WHERE NOT $5 AND (opened_at, book, request_id, ordinal) > ($1, $2::smallint, $3::uuid, $4::smallint) AND ($6 = '' OR kind = $6)
     ORDER BY opened_at, book, request_id, ordinal
     LIMIT $7)
) page ON page.book = c.book AND page.request_id = c.request_id AND page.ordinal = c.ordinal
ORDER BY c.opened_at, c.book, c.request_id, c.ordinal`

const readCaseSQL = caseColumnsSQL + `
WHERE c.book = $1 AND c.request_id = $2 AND c.ordinal = $3`

// Cases lists cases, the oldest first. after is zero or the next of the page before; limit is 1 to 1000. next is nil on the last page.
func (r *Reader) Cases(ctx context.Context, filter CaseFilter, after CasePosition, limit int) (
	page []CaseRecord, next *CasePosition, err error,
) {
	limit = min(max(limit, 1), 1000)
	page, err = queryRows(ctx, r.pool, scanCase, listCasesSQL, after.OpenedAt, after.Ref.Book, after.Ref.Request, after.Ref.Ordinal,
		filter.Open, string(filter.Kind), limit+1)
	if err != nil {
		return nil, nil, fmt.Errorf("list cases: %w", err)
	}
	if len(page) <= limit {
		return page, nil, nil
	}
	page = page[:limit]
	last := &page[limit-1]
	ref, err := tasks.ParseCaseID(last.ID)
	return page, &CasePosition{OpenedAt: last.OpenedAt, Ref: ref}, err
}

// Case looks one case up. It returns ErrNoCase, wrapped.
func (r *Reader) Case(ctx context.Context, ref tasks.CaseRef) (CaseRecord, error) {
	found, err := queryRows(ctx, r.pool, scanCase, readCaseSQL, ref.Book, ref.Request, ref.Ordinal)
	switch {
	case err != nil:
		return CaseRecord{}, fmt.Errorf("look up case %s: %w", ref, err)
	case len(found) == 0:
		return CaseRecord{}, fmt.Errorf("case %s: %w", ref, ErrNoCase)
	}
	return found[0], nil
}

// casesBesideSQL looks at all open cases, which are few, for those of the asked one's payment at its channel. What is known of that is in the
// request that suspended it, or in the one that sent a refund of it.
const casesBesideSQL = `
WITH paid AS (
    SELECT c.book, c.request_id, c.ordinal, c.kind, c.opened_at, p.payload ->> 'channel' AS channel, p.payload ->> 'channel_txn_id' AS txn
    FROM (SELECT book, request_id, ordinal FROM open_cases UNION SELECT $1::smallint, $2::uuid, $3::smallint) looked
    JOIN cases c ON c.book = looked.book AND c.request_id = looked.request_id AND c.ordinal = looked.ordinal
    JOIN requests r ON r.book = c.book AND r.id = c.request_id
    JOIN requests p ON p.kind = CASE r.kind WHEN 'recharge:suspend' THEN r.kind ELSE 'refund:send' END AND p.key = r.key
)
SELECT o.book, o.request_id, o.ordinal, o.kind
FROM paid asked
JOIN paid o ON o.channel = asked.channel AND o.txn = asked.txn
WHERE asked.book = $1 AND asked.request_id = $2 AND asked.ordinal = $3
  AND (o.book, o.request_id, o.ordinal) <> (asked.book, asked.request_id, asked.ordinal)
ORDER BY o.opened_at, o.book, o.request_id, o.ordinal`

// CaseBeside is an open case of the same payment at its channel as another.
type CaseBeside struct {
	ID   string
	Kind CaseKind
}

// CasesBeside lists the other open cases of the payment that a case is of, the oldest first: they may stand against each other.
func (r *Reader) CasesBeside(ctx context.Context, ref tasks.CaseRef) ([]CaseBeside, error) {
	beside, err := queryRows(ctx, r.pool, func(row pgx.CollectableRow) (CaseBeside, error) {
		var found CaseBeside
		var other tasks.CaseRef
		err := row.Scan(&other.Book, &other.Request, &other.Ordinal, &found.Kind)
		found.ID = other.String()
		return found, err
	}, casesBesideSQL, ref.Book, ref.Request, ref.Ordinal)
	if err != nil {
		return nil, fmt.Errorf("look for cases beside %s: %w", ref, err)
	}
	return beside, nil
}

func scanCase(row pgx.CollectableRow) (CaseRecord, error) {
	var c CaseRecord
	var ref tasks.CaseRef
	var fen int64
	var end CaseEnd
	var closedAt *time.Time
	err := row.Scan(&ref.Book, &ref.Request, &ref.Ordinal, &c.Kind, &c.Account, &fen, &c.Detail, &c.Opened.Kind, &c.Opened.Key, &c.OpenedAt,
		&end.Kind, &end.Key, &end.By, &end.Note, &closedAt)
	c.ID, c.Amount = ref.String(), money.FromFen(fen)
	if closedAt != nil {
		end.At = *closedAt
		c.Closing = &end
	}
	return c, err
}

// OpenCases counts the open cases of a kind.
type OpenCases struct {
	Kind      CaseKind
	Cases     int64
	Amount    money.Amount // of all of them
	OldestAge time.Duration
}

const openCasesSQL = `
SELECT c.kind, count(*), sum(c.amount_fen)::bigint, greatest(0, extract(epoch FROM clock_timestamp() - min(c.opened_at)))::float8
FROM (SELECT book, request_id, ordinal FROM open_cases OFFSET 0) s
JOIN cases c ON c.book = s.book AND c.request_id = s.request_id AND c.ordinal = s.ordinal
GROUP BY c.kind`

// OpenCases counts what waits for a person to decide. Kinds that nothing is open of are absent. It reads open cases alone.
func (l *Ledger) OpenCases(ctx context.Context) ([]OpenCases, error) {
	rows, err := l.pool.Query(ctx, openCasesSQL)
	if err != nil {
		return nil, fmt.Errorf("count open cases: %w", err)
	}
	open, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (OpenCases, error) {
		var o OpenCases
		var fen int64
		var seconds float64
		err := row.Scan(&o.Kind, &o.Cases, &fen, &seconds)
		o.Amount = money.FromFen(fen)
		o.OldestAge = time.Duration(seconds * float64(time.Second))
		return o, err
	})
	if err != nil {
		return nil, fmt.Errorf("count open cases: %w", err)
	}
	return open, nil
}
