package ledger

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/settled-dev/settled/money"
)

// AccountPosition says where a page of a statement ended in one account: the next page has versions below Below.
type AccountPosition struct {
	Account int64 // its number in the book
	Below   int64
}

// StatementQuery asks for one page of a user's statement.
type StatementQuery struct {
	UserID string
	// From and To bound the time of posting: From is within, To is not. Zero means no bound.
	From, To time.Time
	// After is empty for the first page, else the Next of the page before, of the same user and times.
	After []AccountPosition
	// Limit is 1 to 1000.
	Limit int
}

// StatementPage is a page of a statement, newest first. Next is empty on the last page.
type StatementPage struct {
	Entries []Entry
	Next    []AccountPosition
}

const statementBeginSQL = `
SELECT id, version + 1
FROM accounts
WHERE name >= 'user/' || $1::text || '/' AND name < 'user/' || $1::text || '0' AND book = $2
ORDER BY id`

// statementPageSQL walks each account down its versions, so that a page costs the same however long the history is. Positions of
// accounts that are not the user's find nothing.
const statementPageSQL = `
SELECT l.seq, l.posted_at, l.business_date::text, l.name, l.amount_fen, l.balance_fen, o.name, r.kind, r.key, l.account, l.version
FROM (
    SELECT m.id AS account, m.name, t.*
    FROM (
        SELECT a.id, a.name, asked.below
        FROM unnest($3::bigint[], $4::bigint[]) AS asked (id, below)
        JOIN accounts a ON a.book = $2 AND a.id = asked.id
        WHERE a.name >= 'user/' || $1::text || '/' AND a.name < 'user/' || $1::text || '0'
    ) m
    CROSS JOIN LATERAL (
        (SELECT seq, 1 AS side, -amount_fen AS amount_fen, debit_balance_fen AS balance_fen, debit_version AS version,
                credit_account AS other, request_id, posted_at, business_date
         FROM transfers
         WHERE book = $2 AND debit_account = m.id AND debit_version IS NOT NULL AND debit_version < m.below
             AND posted_at < coalesce($5::timestamptz, 'infinity')
         ORDER BY debit_version DESC
         LIMIT $6)
        UNION ALL
        (SELECT seq, 0, amount_fen, credit_balance_fen, credit_version, debit_account, request_id, posted_at, business_date
         FROM transfers
         WHERE book = $2 AND credit_account = m.id AND credit_version IS NOT NULL AND credit_version < m.below
             AND posted_at < coalesce($5::timestamptz, 'infinity')
         ORDER BY credit_version DESC
         LIMIT $6)
    ) t
    ORDER BY t.seq DESC, t.side
    LIMIT $6
) l
JOIN accounts o ON o.book = $2 AND o.id = l.other
JOIN requests r ON r.book = $2 AND r.id = l.request_id
ORDER BY l.seq DESC, l.side`

// StatementPage reads a page of what moved on a user's accounts, newest first, with each account's running balance. Entries that
// are posted while somebody pages are not on the later pages: they are newer. It returns ErrNotFound for a user who has no accounts.
func (r *Reader) StatementPage(ctx context.Context, query StatementQuery) (StatementPage, error) {
	book, err := r.bookOf(ctx, query.UserID)
	if err != nil {
		return StatementPage{}, err
	}
	after := query.After
	if len(after) == 0 {
		after, err = queryRows(ctx, r.pool, pgx.RowToStructByPos[AccountPosition], statementBeginSQL, query.UserID, book)
		switch {
		case err != nil:
			return StatementPage{}, fmt.Errorf("find the accounts of %s: %w", query.UserID, err)
		case len(after) == 0:
			return StatementPage{}, fmt.Errorf("user %q has no accounts: %w", query.UserID, ErrNotFound)
		}
	}
	limit := min(max(query.Limit, 1), 1000)
	lines, err := r.statementLines(ctx, book, query, after, limit+1)
	if err != nil {
		return StatementPage{}, fmt.Errorf("read the statement of %s: %w", query.UserID, err)
	}
	return pageOf(lines, query.From, after, limit), nil
}

// statementLine is an entry with its place in its account.
type statementLine struct {
	Entry
	account, version int64
}

func (r *Reader) statementLines(ctx context.Context, book int, query StatementQuery, after []AccountPosition, limit int) (
	[]statementLine, error,
) {
	accounts, below := make([]int64, len(after)), make([]int64, len(after))
	for i, position := range after {
		accounts[i], below[i] = position.Account, position.Below
	}
	var to *time.Time
	if !query.To.IsZero() {
		to = &query.To
	}
	return queryRows(ctx, r.pool, func(row pgx.CollectableRow) (statementLine, error) {
		var l statementLine
		var amount, balance int64
		err := row.Scan(&l.Seq, &l.PostedAt, &l.BusinessDate, &l.Account, &amount, &balance, &l.Other, &l.Kind, &l.Key, &l.account,
			&l.version)
		l.Amount, l.Balance = money.FromFen(amount), money.FromFen(balance)
		return l, err
	}, statementPageSQL, query.UserID, book, accounts, below, to, limit)
}

// pageOf cuts lines, newest first, to a page. What comes after a line that is older than from is older too: a book's later batch has
// a later time.
func pageOf(lines []statementLine, from time.Time, after []AccountPosition, limit int) StatementPage {
	page := StatementPage{Entries: make([]Entry, 0, min(len(lines), limit))}
	reached := make(map[int64]int64, len(after))
	for i, line := range lines {
		if line.PostedAt.Before(from) {
			return page
		}
		if i == limit {
			page.Next = make([]AccountPosition, len(after))
			for n, position := range after {
				if version, moved := reached[position.Account]; moved {
					position.Below = version
				}
				page.Next[n] = position
			}
			return page
		}
		page.Entries = append(page.Entries, line.Entry)
		reached[line.account] = line.version
	}
	return page
}
