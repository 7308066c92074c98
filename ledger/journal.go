package ledger

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/settled-dev/settled/internal/postgres/pguuid"
	"github.com/settled-dev/settled/money"
	"github.com/settled-dev/settled/tasks"
)

// verdictDead is given by the ledger, never by a rule.
const verdictDead verdict = "dead"

// decided is one request of a batch with what is known, and then decided, of it.
type decided struct {
	request   *Request
	decision  Decision
	claimed   claimed
	followUps []tasks.Request
	first     int64 // number of its first transfer
	failure   error // of a dead one
}

// The statements below take their rows apart in the select list: a function in FROM with several arrays would first write each of them
// to a store of its own, a tenth of what an insert costs.

const insertAccountsSQL = `
INSERT INTO accounts (book, id, name, kind, guarded, balance_fen, version)
SELECT $1, unnest($2::bigint[]), unnest($3::text[]), unnest($4::text[]), unnest($5::bool[]), unnest($6::bigint[]), unnest($7::bigint[])`

// updateGuardedSQL names the version that it replaces: a row that was changed behind the book's lock fails the batch.
const updateGuardedSQL = `
WITH changed AS (
    UPDATE accounts a
    SET balance_fen = v.balance_fen, version = v.version
    FROM (
        SELECT $1::smallint AS book, unnest($2::bigint[]) AS id, unnest($3::bigint[]) AS balance_fen, unnest($4::bigint[]) AS version,
               unnest($5::bigint[]) AS stored
        OFFSET 0
    ) v
    WHERE a.book = v.book AND a.id = v.id AND a.version = v.stored
    RETURNING 1
)
SELECT expect_rows('guarded accounts', (SELECT count(*) FROM changed), cardinality($2::bigint[]))`

// updateUnguardedSQL names the accounts beside their ids, which a lane remembers: after a failover or a restore that lost the last
// commits an id may have gone to another account, and then the batch fails.
const updateUnguardedSQL = `
WITH changed AS (
    UPDATE accounts a
    SET balance_fen = a.balance_fen + v.change_fen
    FROM (
        SELECT $1::smallint AS book, unnest($2::bigint[]) AS id, unnest($3::text[]) AS name, unnest($4::bigint[]) AS change_fen
        OFFSET 0
    ) v
    WHERE a.book = v.book AND a.id = v.id AND a.name = v.name
    RETURNING 1
)
SELECT expect_rows('unguarded accounts', (SELECT count(*) FROM changed), cardinality($2::bigint[]))`

const insertTransfersSQL = `
INSERT INTO transfers (book, posted_at, seq, request_id, debit_account, credit_account, amount_fen, debit_version, debit_balance_fen,
    credit_version, credit_balance_fen, business_date)
SELECT $1, $2, unnest($3::bigint[]), unnest($4::uuid[]), unnest($5::bigint[]), unnest($6::bigint[]), unnest($7::bigint[]),
       unnest($8::bigint[]), unnest($9::bigint[]), unnest($10::bigint[]), unnest($11::bigint[]), unnest($12::date[])`

const insertOutcomesSQL = `
INSERT INTO outcomes (book, decided_at, request_id, result, reason, detail, first_transfer, transfers, attempts)
SELECT $1, $2, unnest($3::uuid[]), unnest($4::text[]), nullif(unnest($5::text[]), ''), nullif(unnest($6::text[]), ''),
       unnest($7::bigint[]), unnest($8::int[]), unnest($9::int[])`

// updateBookSQL says that what the book numbers now is counted on sent days. What a worker of a version before those has numbered since
// the last batch of this one is not: what is counted begins behind it.
const updateBookSQL = `
UPDATE books
SET next_account = $2, next_transfer = $3, decided_at = $4, counted_to = $3,
    counted_from = CASE WHEN counted_to = next_transfer THEN counted_from ELSE next_transfer END
WHERE book = $1`

// postings numbers a batch's transfers and gathers them in columns.
type postings struct {
	seq, debit, credit, amount                               []int64
	debitVersion, debitBalance, creditVersion, creditBalance []*int64
	request                                                  []uuid.UUID
	dates                                                    []string
}

// number gives every applied decision's transfers their place in the journal, in the order in which they were decided, and replays
// the running balances of guarded accounts. It returns the next free number.
func (p *postings) number(batch []*decided, next int64) int64 {
	type running struct{ balance, version int64 }
	balances := make(map[*Account]*running, len(batch))
	at := func(a *Account, change int64) (version, balance *int64) {
		if !a.guarded() {
			return nil, nil
		}
		r := balances[a]
		if r == nil {
			r = &running{version: a.stored, balance: a.balance - a.changed}
			balances[a] = r
		}
		r.version++
		r.balance += change
		v, b := r.version, r.balance
		return &v, &b
	}
	for _, d := range batch {
		d.first = next
		if d.decision.verdict != verdictApply {
			continue
		}
		for _, t := range d.decision.Transfers {
			fen := t.Amount.Fen()
			p.seq, p.request = append(p.seq, next), append(p.request, d.request.ID)
			p.debit, p.credit = append(p.debit, t.Debit.id), append(p.credit, t.Credit.id)
			p.amount, p.dates = append(p.amount, fen), append(p.dates, d.request.BusinessDate)
			version, balance := at(t.Debit, -fen)
			p.debitVersion, p.debitBalance = append(p.debitVersion, version), append(p.debitBalance, balance)
			version, balance = at(t.Credit, fen)
			p.creditVersion, p.creditBalance = append(p.creditVersion, version), append(p.creditBalance, balance)
			next++
		}
	}
	return next
}

func (p *postings) queue(queries *pgx.Batch, book int, posted time.Time) {
	if len(p.seq) == 0 {
		return
	}
	queries.Queue(insertTransfersSQL, book, posted, p.seq, pguuid.Array(p.request), p.debit, p.credit, p.amount, p.debitVersion, p.debitBalance,
		p.creditVersion, p.creditBalance, p.dates)
}

// queueOutcomes stores the final outcomes.
func queueOutcomes(queries *pgx.Batch, book int, batch []*decided, at time.Time) {
	var ids []uuid.UUID
	var results, reasons, details []string
	var firsts []int64
	var counts, attempts []int
	for _, d := range batch {
		if d.decision.verdict != verdictApply && d.decision.verdict != verdictReject {
			continue
		}
		ids, results = append(ids, d.request.ID), append(results, string(d.decision.verdict))
		reasons, details = append(reasons, string(d.decision.reason)), append(details, d.decision.detail)
		firsts, counts = append(firsts, d.first), append(counts, len(d.decision.Transfers))
		attempts = append(attempts, d.claimed.attempts)
	}
	if len(ids) == 0 {
		return
	}
	queries.Queue(insertOutcomesSQL, book, at, pguuid.Array(ids), results, reasons, details, firsts, counts, attempts)
}

// outcome is the outcome that queueOutcomes stored.
func (d *decided) outcome(at time.Time) tasks.Outcome {
	return tasks.Outcome{Result: tasks.Result(d.decision.verdict), Reason: d.decision.reason, Detail: d.decision.detail,
		FirstTransfer: d.first, Transfers: len(d.decision.Transfers), Attempts: d.claimed.attempts, DecidedAt: at}
}

// touchedAccounts lists the accounts of applied decisions, guarded ones first, each group in the order of ids, then names.
func touchedAccounts(batch []*decided) (guarded, unguarded []*Account) {
	seen := make(map[*Account]bool, len(batch))
	add := func(a *Account) {
		if seen[a] {
			return
		}
		seen[a] = true
		if a.guarded() {
			guarded = append(guarded, a)
		} else {
			unguarded = append(unguarded, a)
		}
	}
	for _, d := range batch {
		if d.decision.verdict != verdictApply {
			continue
		}
		for _, t := range d.decision.Transfers {
			add(t.Debit)
			add(t.Credit)
		}
		for _, a := range d.decision.Opens {
			add(a)
		}
	}
	byID := func(a, b *Account) int { return cmp.Or(cmp.Compare(a.id, b.id), cmp.Compare(a.name, b.name)) }
	slices.SortFunc(guarded, byID)
	slices.SortFunc(unguarded, byID)
	return guarded, unguarded
}

// openAccounts gives ids to the accounts that have none. The caller holds the book's lock.
func openAccounts(accounts []*Account, next int64) (opened []*Account, after int64) {
	for _, a := range accounts {
		if a.id == 0 {
			a.id = next
			next++
			opened = append(opened, a)
		}
	}
	return opened, next
}

func queueOpened(queries *pgx.Batch, book int, opened []*Account) {
	if len(opened) == 0 {
		return
	}
	n := len(opened)
	ids, names, kinds := make([]int64, n), make([]string, n), make([]string, n)
	guarded, balances, versions := make([]bool, n), make([]int64, n), make([]int64, n)
	for i, a := range opened {
		ids[i], names[i], kinds[i] = a.id, string(a.name), string(a.kind)
		guarded[i], balances[i], versions[i] = a.guarded(), a.balance, a.version
	}
	queries.Queue(insertAccountsSQL, book, ids, names, kinds, guarded, balances, versions)
}

// queueBalances updates the accounts that existed before the batch; unguarded ones last, once each.
func queueBalances(queries *pgx.Batch, book int, guarded, unguarded, opened []*Account) {
	isNew := make(map[*Account]bool, len(opened))
	for _, a := range opened {
		isNew[a] = true
	}
	var ids, balances, versions, stored []int64
	for _, a := range guarded {
		if !isNew[a] && a.version != a.stored {
			ids, balances = append(ids, a.id), append(balances, a.balance)
			versions, stored = append(versions, a.version), append(stored, a.stored)
		}
	}
	if len(ids) > 0 {
		queries.Queue(updateGuardedSQL, book, ids, balances, versions, stored)
	}
	var systemIDs, changes []int64
	var names []string
	for _, a := range unguarded { // also those whose changes cancel out: their ids are in the transfers
		if !isNew[a] {
			systemIDs, names, changes = append(systemIDs, a.id), append(names, string(a.name)), append(changes, a.balance)
		}
	}
	if len(systemIDs) > 0 {
		queries.Queue(updateUnguardedSQL, book, systemIDs, names, changes)
	}
}

const findAccountsSQL = `
SELECT a.name, a.id
FROM (SELECT $1::smallint AS book, unnest($2::text[]) AS name OFFSET 0) asked
JOIN accounts a ON a.book = asked.book AND a.name = asked.name`

// resolveUnguarded finds the ids of unguarded accounts, from the cache or the table; an account that is not found is new. An id never
// changes while the database keeps its commits; updateUnguardedSQL finds out when it has not.
func resolveUnguarded(ctx context.Context, conn *pgx.Conn, book int, accounts []*Account, cache map[AccountName]int64) error {
	var unknown []string
	byName := map[string]*Account{}
	for _, a := range accounts {
		if id, ok := cache[a.name]; ok {
			a.id = id
		} else {
			unknown = append(unknown, string(a.name))
			byName[string(a.name)] = a
		}
	}
	if len(unknown) == 0 {
		return nil
	}
	rows, err := conn.Query(ctx, findAccountsSQL, book, unknown)
	if err != nil {
		return fmt.Errorf("find unguarded accounts: %w", err)
	}
	var name string
	var id int64
	if _, err := pgx.ForEachRow(rows, []any{&name, &id}, func() error {
		byName[name].id = id
		return nil
	}); err != nil {
		return fmt.Errorf("find unguarded accounts: %w", err)
	}
	return nil
}

func fens(list []money.Amount) []int64 {
	fen := make([]int64, len(list))
	for i, a := range list {
		fen[i] = a.Fen()
	}
	return fen
}
