package tasks

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/settled-dev/settled/internal/postgres/pguuid"
)

// AcceptSQL stores requests and makes them pending, in one statement; it returns the ids of those that were new. A key that exists
// is left alone. Follow-ups are stored by the same statement, inside the batch that asked for them.
const AcceptSQL = `
WITH accepted AS (
    INSERT INTO requests (book, id, kind, key, payload, producer, occurred_at, business_date)
    SELECT unnest($1::smallint[]), unnest($2::uuid[]), unnest($3::text[]), unnest($4::text[]), unnest($5::text[])::json,
           unnest($6::text[]), unnest($7::timestamptz[]), unnest($8::date[])
    ON CONFLICT ON CONSTRAINT request_key_is_unique_within_its_kind DO NOTHING
    RETURNING book, id, kind, accepted_at
)
INSERT INTO pending (book, request_id, kind, accepted_at, ring_at, parked_at)
SELECT book, id, kind, accepted_at, accepted_at + $9, NULL
FROM accepted
RETURNING request_id`

// AcceptArgs are the arguments of AcceptSQL. The requests must be in the order that SortRequests gives, each with its producer.
func AcceptArgs(requests []Request, ringAfter time.Duration) []any {
	n := len(requests)
	books, ids, kinds := make([]int16, n), make([]uuid.UUID, n), make([]string, n)
	keys, payloads, producers := make([]string, n), make([]string, n), make([]string, n)
	occurred, dates := make([]time.Time, n), make([]string, n)
	for i := range requests {
		r := &requests[i]
		books[i], ids[i], kinds[i], keys[i] = int16(r.Book), r.ID, string(r.Kind), r.Key
		payloads[i], producers[i], occurred[i], dates[i] = string(r.Payload), r.Producer, r.OccurredAt, r.BusinessDate
	}
	return []any{books, pguuid.Array(ids), kinds, keys, payloads, producers, occurred, dates, ringAfter}
}

// SortRequests puts requests into the order in which they are inserted. Two statements that insert the same keys in one order wait
// for each other; in two orders they deadlock. Of several requests with one key the first stays first: it is the one that is stored.
func SortRequests(requests []Request) {
	slices.SortStableFunc(requests, func(a, b Request) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Key, b.Key))
	})
}

const storedSQL = `
SELECT r.book, r.id, r.kind, r.key, r.producer, r.payload, o.result, coalesce(o.reason, ''), coalesce(o.detail, ''), o.first_transfer,
       o.transfers, o.attempts, o.decided_at
FROM unnest($1::text[], $2::text[]) AS asked (kind, key)
JOIN requests r ON r.kind = asked.kind AND r.key = asked.key
LEFT JOIN outcomes o ON o.book = r.book AND o.request_id = r.id`

const recordConflictSQL = `
INSERT INTO conflicts (book, request_id, producer, fields)
SELECT book, request_id, producer, fields::json
FROM unnest($1::smallint[], $2::uuid[], $3::text[], $4::text[]) AS refused (book, request_id, producer, fields)`

// ConfirmSQL writes a commit of its own, which waits for all that was committed before it: a synchronous standby has that too, then. What
// a statement reads may be there only locally: PostgreSQL shows what it has committed also when the wait for the standby was cut short.
const ConfirmSQL = `SELECT pg_logical_emit_message(true, 'settled', '')`

// querier is a pool, a connection or a transaction.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
}

// accept stores requests and answers each with a receipt, in their order. The same key may stand in it twice. The insert is one
// statement and needs no transaction around it; conflicts are recorded after it.
func accept(ctx context.Context, db querier, asked []Request, ringAfter time.Duration) ([]Receipt, error) {
	sorted := slices.Clone(asked)
	SortRequests(sorted)
	rows, err := db.Query(ctx, AcceptSQL, AcceptArgs(sorted, ringAfter)...)
	if err != nil {
		return nil, fmt.Errorf("store %d requests: %w", len(asked), err)
	}
	fresh := make(map[uuid.UUID]bool, len(asked))
	var id uuid.UUID
	if _, err := pgx.ForEachRow(rows, []any{pguuid.Into(&id)}, func() error {
		fresh[id] = true
		return nil
	}); err != nil {
		return nil, fmt.Errorf("store %d requests: %w", len(asked), err)
	}
	receipts := make([]Receipt, len(asked))
	var known []int
	for i := range asked {
		r := &asked[i]
		receipts[i] = Receipt{ID: r.ID, Book: r.Book, Kind: r.Kind, Key: r.Key, Status: Accepted, Producer: r.Producer}
		if !fresh[r.ID] {
			known = append(known, i)
		}
	}
	if len(known) == 0 {
		return receipts, nil
	}
	return receipts, compareWithStored(ctx, db, asked, known, receipts)
}

// compareWithStored turns the receipts of requests whose key exists into replays or conflicts, and records the conflicts. What it says is
// stored is as durable as what it stores.
func compareWithStored(ctx context.Context, db querier, asked []Request, known []int, receipts []Receipt) error {
	stored, err := loadStored(ctx, db, asked, known)
	if err != nil {
		return err
	}
	var books []int16
	var ids []uuid.UUID
	var producers, fields []string // producers are those who asked now
	for _, i := range known {
		was, ok := stored[storedKey{asked[i].Kind, asked[i].Key}]
		if !ok {
			return fmt.Errorf("store %s %q: its key exists, but not its request", asked[i].Kind, asked[i].Key)
		}
		receipts[i], err = was.receiptFor(asked[i].Payload)
		if err != nil {
			return err
		}
		if receipts[i].Status == Conflicting {
			text, err := json.Marshal(receipts[i].Fields)
			if err != nil {
				return fmt.Errorf("encode a conflict: %w", err)
			}
			books, ids = append(books, int16(was.receipt.Book)), append(ids, was.receipt.ID)
			producers, fields = append(producers, asked[i].Producer), append(fields, string(text))
		}
	}
	if len(ids) == 0 {
		if _, err := db.Exec(ctx, ConfirmSQL); err != nil {
			return fmt.Errorf("make sure of %d requests that are stored: %w", len(known), err)
		}
		return nil
	}
	// This commit, too, waits for those of the replays.
	if _, err := db.Exec(ctx, recordConflictSQL, books, pguuid.Array(ids), producers, fields); err != nil {
		return fmt.Errorf("record %d conflicts: %w", len(ids), err)
	}
	return nil
}

type storedKey struct {
	kind Kind
	key  string
}

type storedRequest struct {
	receipt Receipt
	payload []byte
}

// receiptFor answers another request of the same kind and key.
func (s storedRequest) receiptFor(payload []byte) (Receipt, error) {
	receipt := s.receipt
	diffs, err := diffPayloads(s.payload, payload)
	if err != nil {
		return Receipt{}, fmt.Errorf("compare with %s %q: %w", receipt.Kind, receipt.Key, err)
	}
	receipt.Status = Replayed
	if diffs != nil {
		receipt.Status, receipt.Fields, receipt.Outcome = Conflicting, diffs, nil
	}
	return receipt, nil
}

func loadStored(ctx context.Context, db querier, asked []Request, known []int) (map[storedKey]storedRequest, error) {
	kinds, keys := make([]string, len(known)), make([]string, len(known))
	for n, i := range known {
		kinds[n], keys[n] = string(asked[i].Kind), asked[i].Key
	}
	rows, err := db.Query(ctx, storedSQL, kinds, keys)
	if err != nil {
		return nil, fmt.Errorf("look up stored requests: %w", err)
	}
	stored := make(map[storedKey]storedRequest, len(known))
	_, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (struct{}, error) {
		var s storedRequest
		var result *Result
		var first *int64
		var transfers, attempts *int
		var decided *time.Time
		var outcome Outcome
		r := &s.receipt
		if err := row.Scan(&r.Book, &r.ID, &r.Kind, &r.Key, &r.Producer, &s.payload, &result, &outcome.Reason, &outcome.Detail, &first,
			&transfers, &attempts, &decided); err != nil {
			return struct{}{}, err
		}
		if result != nil {
			outcome.Result, outcome.FirstTransfer, outcome.Transfers = *result, *first, *transfers
			outcome.Attempts, outcome.DecidedAt = *attempts, *decided
			r.Outcome = &outcome
		}
		stored[storedKey{r.Kind, r.Key}] = s
		return struct{}{}, nil
	})
	if err != nil {
		return nil, fmt.Errorf("look up stored requests: %w", err)
	}
	return stored, nil
}
