package bench

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/settled-dev/settled/ledger"
	"github.com/settled-dev/settled/tasks"
)

const (
	seedCashFen = 1000_00
	// surplusFen is what every night finds above the keep amount.
	surplusFen = 10_00
)

// seededUser is where a user of the sweep rows stands in its book.
type seededUser struct {
	id           string
	book         int
	cash, wealth int64 // account ids; wealth is 0 for a user who is not enrolled
	transfer     int64 // number of the transfer that funded the user
}

// eachUser visits users in order; the ids that it gives depend on nothing else, so several passes agree. Account 1 of each book is
// the channel that funded them.
func eachUser(users, books, enrolledPerMille int, visit func(seededUser) error) error {
	accounts, transfers := make([]int64, books), make([]int64, books)
	for book := range books {
		accounts[book] = 1
	}
	for i := range users {
		u := seededUser{id: userOf(i)}
		u.book = tasks.BookOf(u.id, books)
		accounts[u.book]++
		transfers[u.book]++
		u.cash, u.transfer = accounts[u.book], transfers[u.book]
		if i%1000 < enrolledPerMille {
			accounts[u.book]++
			u.wealth = accounts[u.book]
		}
		if err := visit(u); err != nil {
			return err
		}
	}
	return nil
}

// seedSweepUsers fills an empty database by COPY: it would take the ledger minutes. The rows are those that recharges and
// enrolments leave, under one request a book, so that the audit finds every transfer named.
func seedSweepUsers(ctx context.Context, e *environment, users, enrolledPerMille int) (*sweepUsers, error) {
	requests := make([]tasks.Request, e.books)
	for book := range requests {
		request, err := tasks.NewRequest(&tasks.SweepPart{ProductID: sweepProduct, BusinessDate: "2026-01-01", Book: book}, e.books, occurred)
		if err != nil {
			return nil, err
		}
		request.Producer = producerName
		requests[book] = request
	}
	columns := []string{"book", "id", "name", "kind", "guarded", "balance_fen", "version"}
	err := e.copyRows(ctx, "accounts", columns, users, enrolledPerMille, func(u seededUser) [][]any {
		rows := [][]any{{u.book, u.cash, string(ledger.UserCash(u.id)), "user_cash", true, seedCashFen, 1}}
		if u.wealth != 0 {
			rows = append(rows, []any{u.book, u.wealth, string(ledger.UserWealth(u.id, sweepProduct)), "user_wealth", true, 0, 0})
		}
		return rows
	})
	if err != nil {
		return nil, err
	}
	columns = []string{"book", "seq", "request_id", "debit_account", "credit_account", "amount_fen", "credit_version",
		"credit_balance_fen", "business_date", "posted_at"}
	err = e.copyRows(ctx, "transfers", columns, users, enrolledPerMille, func(u seededUser) [][]any {
		return [][]any{{u.book, u.transfer, requests[u.book].ID, 1, u.cash, seedCashFen, 1, seedCashFen, occurred, occurred}}
	})
	if err != nil {
		return nil, err
	}
	columns = []string{"book", "product_id", "user_id", "keep_fen", "consent_version", "cash_account", "wealth_account", "request_id",
		"occurred_at"}
	err = e.copyRows(ctx, "enrolments", columns, users, enrolledPerMille, func(u seededUser) [][]any {
		if u.wealth == 0 {
			return nil
		}
		return [][]any{{u.book, sweepProduct, u.id, seedCashFen, "2026-01", u.cash, u.wealth, requests[u.book].ID, occurred}}
	})
	if err != nil {
		return nil, err
	}
	seeded := &sweepUsers{env: e}
	return seeded, seeded.closeSeed(ctx, users, enrolledPerMille, requests)
}

func (e *environment) copyRows(ctx context.Context, table string, columns []string, users, enrolledPerMille int,
	rowsOf func(seededUser) [][]any) error {
	rows := make(chan []any, 1000)
	failed := make(chan error, 1)
	go func() {
		defer close(rows)
		failed <- eachUser(users, e.books, enrolledPerMille, func(u seededUser) error {
			for _, row := range rowsOf(u) {
				select {
				case rows <- row:
				case <-ctx.Done():
					return context.Cause(ctx)
				}
			}
			return nil
		})
	}()
	_, err := e.ownerPool.CopyFrom(ctx, pgx.Identifier{table}, columns, pgx.CopyFromFunc(func() ([]any, error) {
		return <-rows, nil // nil ends the copy
	}))
	if err != nil {
		return fmt.Errorf("seed %s: %w", table, err)
	}
	return <-failed
}

// closeSeed adds what one request a book needs beside its transfers: itself, its outcome, the channel's side and the counters.
func (u *sweepUsers) closeSeed(ctx context.Context, users, enrolledPerMille int, requests []tasks.Request) error {
	e := u.env
	transfers, accounts := make([]int64, e.books), make([]int64, e.books)
	if err := eachUser(users, e.books, enrolledPerMille, func(s seededUser) error {
		transfers[s.book], accounts[s.book] = s.transfer, max(s.cash, s.wealth)
		if s.wealth != 0 {
			u.enrolled++
		}
		return nil
	}); err != nil {
		return err
	}
	for book, request := range requests {
		var batch pgx.Batch
		batch.Queue(tasks.AcceptSQL, tasks.AcceptArgs([]tasks.Request{request}, time.Hour)...)
		batch.Queue(rawPendingSQL, book, []uuid.UUID{request.ID})
		batch.Queue(`INSERT INTO outcomes (book, request_id, result, first_transfer, transfers, attempts, decided_at)
			VALUES ($1, $2, 'applied', 1, $3, 0, now())`, book, request.ID, transfers[book])
		batch.Queue(`INSERT INTO accounts (book, id, name, kind, guarded, balance_fen) VALUES ($1, 1, $2, 'channel_clearing', false, $3)`,
			book, string(ledger.ChannelClearing(tasks.SourceWeChat)), -transfers[book]*seedCashFen)
		batch.Queue(`UPDATE books SET next_account = $2, next_transfer = $3 WHERE book = $1`, book, accounts[book]+1, transfers[book]+1)
		if err := e.ownerPool.SendBatch(ctx, &batch).Close(); err != nil {
			return fmt.Errorf("seed book %d: %w", book, err)
		}
	}
	return e.settleTables(ctx)
}
