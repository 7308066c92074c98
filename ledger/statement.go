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
