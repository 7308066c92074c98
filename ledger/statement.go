package ledger

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/settled-dev/settled/money"
	"github.com/settled-dev/settled/tasks"
)

// Balance is one account's balance.
type Balance struct {
	Account   AccountName  `json:"account"`
	Balance   money.Amount `json:"balance"`
	Held      money.Amount `json:"held"` // now; a balance of the past tells no holds
	Available money.Amount `json:"available"`
}

// userAccountsSQL ranges over the names that begin with user/<id>/: '0' is the byte after the slash.
const userAccountsSQL = `
SELECT book, name, balance_fen, held_fen
FROM accounts
WHERE name >= 'user/' || $1::text || '/' AND name < 'user/' || $1::text || '0' AND book = $2
ORDER BY name`

// balancesAtSQL takes each account's running balance from the last transfer that was posted by then.
const balancesAtSQL = `
SELECT a.book, a.name, coalesce(last.balance_fen, 0), 0::bigint
FROM accounts a
LEFT JOIN LATERAL (
    (SELECT debit_version AS version, debit_balance_fen AS balance_fen
     FROM transfers
     WHERE book = a.book AND debit_account = a.id AND debit_version IS NOT NULL AND posted_at <= $3
     ORDER BY debit_version DESC
     LIMIT 1)
    UNION ALL
    (SELECT credit_version, credit_balance_fen
     FROM transfers
     WHERE book = a.book AND credit_account = a.id AND credit_version IS NOT NULL AND posted_at <= $3
     ORDER BY credit_version DESC
     LIMIT 1)
    ORDER BY version DESC
    LIMIT 1
) last ON true
WHERE a.name >= 'user/' || $1::text || '/' AND a.name < 'user/' || $1::text || '0' AND a.book = $2
ORDER BY a.name`

// Balances lists a user's accounts, as they are now or, when at is not zero, as they were at that time by the books' clock. It
// returns ErrNotFound for a user who has none.
func (r *Reader) Balances(ctx context.Context, userID string, at time.Time) ([]Balance, error) {
	book, err := r.bookOf(ctx, userID)
	if err != nil {
		return nil, err
	}
	sql, args := userAccountsSQL, []any{userID, book}
	if !at.IsZero() {
		sql, args = balancesAtSQL, []any{userID, book, at}
	}
	balances, err := queryRows(ctx, r.pool, func(row pgx.CollectableRow) (Balance, error) {
		var b Balance
		var book int
		var balance, held int64
		err := row.Scan(&book, &b.Account, &balance, &held)
		b.Balance, b.Held, b.Available = money.FromFen(balance), money.FromFen(held), money.FromFen(balance-held)
		return b, err
	}, sql, args...)
	if err != nil {
		return nil, fmt.Errorf("read balances of %s: %w", userID, err)
	}
	if len(balances) == 0 {
		return nil, fmt.Errorf("user %q has no accounts: %w", userID, ErrNotFound)
	}
	return balances, nil
}

func (r *Reader) bookOf(ctx context.Context, userID string) (int, error) {
	var books int
	if err := r.pool.QueryRow(ctx, "SELECT count(*) FROM books").Scan(&books); err != nil {
		return 0, fmt.Errorf("count books: %w", err)
	}
	if books == 0 {
		return 0, tasks.ErrNoBooks
	}
	return tasks.BookOf(userID, books), nil
}

// Entry is one line of a user's statement. Amount is positive for a credit; Balance is the account's after it.
type Entry struct {
	Seq          int64        `json:"seq"` // number in the book's journal
	PostedAt     time.Time    `json:"posted_at"`
	BusinessDate string       `json:"business_date"`
	Account      AccountName  `json:"account"`
	Amount       money.Amount `json:"amount"`
	Balance      money.Amount `json:"balance"`
	Other        AccountName  `json:"other"` // the account on the other side
	Kind         tasks.Kind   `json:"kind"`
	Key          string       `json:"key"`
}

// statementSQL pages by the journal's number, from the newest; $3 is where the page before ended. A transfer between two accounts
// of the user has two lines, the debit first; a page never ends between them.
const statementSQL = `
WITH mine AS (
    SELECT id, name
    FROM accounts
    WHERE name >= 'user/' || $1::text || '/' AND name < 'user/' || $1::text || '0' AND book = $2
), lines AS (
    SELECT t.seq, 1 AS side, m.name, -t.amount_fen AS amount_fen, t.debit_balance_fen AS balance_fen, t.credit_account AS other
    FROM mine m
    JOIN transfers t ON t.book = $2 AND t.debit_account = m.id AND t.debit_version IS NOT NULL
    WHERE t.seq < $3
    UNION ALL
    SELECT t.seq, 0, m.name, t.amount_fen, t.credit_balance_fen, t.debit_account
    FROM mine m
    JOIN transfers t ON t.book = $2 AND t.credit_account = m.id AND t.credit_version IS NOT NULL
    WHERE t.seq < $3
)
SELECT l.seq, t.posted_at, t.business_date::text, l.name, l.amount_fen, l.balance_fen, o.name, r.kind, r.key
FROM (SELECT * FROM lines ORDER BY seq DESC FETCH FIRST $4 ROWS WITH TIES) l
JOIN transfers t ON t.book = $2 AND t.seq = l.seq
JOIN accounts o ON o.book = $2 AND o.id = l.other
JOIN requests r ON r.book = $2 AND r.id = t.request_id
ORDER BY l.seq DESC, l.side`

// FirstPage is where a statement begins: before it stands every number of a journal.
const FirstPage = int64(1<<63 - 1)

// Statement lists what moved on a user's accounts, newest first, with running balances. before is FirstPage or the Seq of the last
// entry of the page before; limit is 1 to 1000.
func (r *Reader) Statement(ctx context.Context, userID string, before int64, limit int) ([]Entry, error) {
	book, err := r.bookOf(ctx, userID)
	if err != nil {
		return nil, err
	}
	entries, err := queryRows(ctx, r.pool, func(row pgx.CollectableRow) (Entry, error) {
		var e Entry
		var amount, balance int64
		err := row.Scan(&e.Seq, &e.PostedAt, &e.BusinessDate, &e.Account, &amount, &balance, &e.Other, &e.Kind, &e.Key)
		e.Amount, e.Balance = money.FromFen(amount), money.FromFen(balance)
		return e, err
	}, statementSQL, userID, book, before, min(max(limit, 1), 1000))
	if err != nil {
		return nil, fmt.Errorf("read the statement of %s: %w", userID, err)
	}
	return entries, nil
}
