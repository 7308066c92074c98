package bench

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/settled-dev/settled/tasks"
)

// sweepProduct is the product that a run sweeps into.
const sweepProduct = "xiaojinku"

// sweepUsers is a database of users of whom some are enrolled.
type sweepUsers struct {
	env      *environment
	enrolled int
	nights   int
}

// night is the business date of the next sweep.
func (u *sweepUsers) night() string {
	u.nights++
	return occurred.AddDate(0, 0, u.nights).Format(time.DateOnly)
}

// lowerKeep leaves every enrolled user ten yuan above what is kept: the next night has work.
func (u *sweepUsers) lowerKeep(ctx context.Context) error {
	if _, err := u.env.ownerPool.Exec(ctx, "UPDATE enrolments SET keep_fen = keep_fen - $1", surplusFen); err != nil {
		return fmt.Errorf("lower the keep amounts: %w", err)
	}
	return u.env.settleTables(ctx)
}

const setSweepSQL = `
WITH chunk AS (
    SELECT e.user_id, e.keep_fen, c.id AS cash, w.id AS wealth, c.balance_fen - e.keep_fen AS amount, c.version AS cash_version,
           w.version AS wealth_version, w.balance_fen AS wealth_balance, row_number() OVER (ORDER BY e.user_id) - 1 AS n
    FROM (SELECT * FROM enrolments WHERE book = $1 AND product_id = $2 AND user_id > $3 ORDER BY user_id LIMIT $4) e
    JOIN accounts c ON c.book = $1 AND c.id = e.cash_account
    JOIN accounts w ON w.book = $1 AND w.id = e.wealth_account
    WHERE c.balance_fen - c.held_fen > e.keep_fen
), cashes AS (
    UPDATE accounts a SET balance_fen = a.balance_fen - chunk.amount, version = a.version + 1
    FROM chunk WHERE a.book = $1 AND a.id = chunk.cash
), wealths AS (
    UPDATE accounts a SET balance_fen = a.balance_fen + chunk.amount, version = a.version + 1
    FROM chunk WHERE a.book = $1 AND a.id = chunk.wealth
), posted AS (
    INSERT INTO transfers (book, seq, request_id, debit_account, credit_account, amount_fen, debit_version, debit_balance_fen,
        credit_version, credit_balance_fen, business_date, posted_at)
    SELECT $1, $5 + n, $6, cash, wealth, amount, cash_version + 1, keep_fen, wealth_version + 1, wealth_balance + amount, $7, now()
    FROM chunk
), subscribed AS (
    INSERT INTO subscriptions (book, product_id, business_date, user_id, amount_fen, keep_fen, cash_after_fen, request_id, transfer)
    SELECT $1, $2, $7, user_id, amount, keep_fen, keep_fen, $6, $5 + n FROM chunk
)
SELECT count(*), coalesce(max(user_id), '') FROM chunk`

// measureSetSweep sweeps a night with one statement per chunk, a connection a book, writing the rows that the ledger writes.
func (u *sweepUsers) measureSetSweep(ctx context.Context, chunk int) (sample, error) {
	date := u.night()
	swept := make([]int, u.env.books)
	s, err := u.env.measured(ctx, 0, func() error {
		errs := make([]error, u.env.books)
		var books sync.WaitGroup
		for book := range u.env.books {
			books.Go(func() { swept[book], errs[book] = u.setSweepBook(ctx, book, date, chunk) })
		}
		books.Wait()
		return errors.Join(errs...)
	})
	for _, n := range swept {
		s.items += n
	}
	return s, err
}

func (u *sweepUsers) setSweepBook(ctx context.Context, book int, date string, chunk int) (int, error) {
	sum, after := 0, ""
	for {
		var n int
		request, err := tasks.NewRequest(&tasks.SweepPart{ProductID: sweepProduct, BusinessDate: date, Book: book, AfterUserID: after},
			u.env.books, occurred)
		if err != nil {
			return sum, err
		}
		err = pgx.BeginFunc(ctx, u.env.pool, func(tx pgx.Tx) error {
			n, after, err = setSweepChunk(ctx, tx, book, request, date, after, chunk)
			return err
		})
		if err != nil {
			return sum, fmt.Errorf("sweep by one statement: %w", err)
		}
		sum += n
		if n < chunk {
			return sum, nil
		}
	}
}

func setSweepChunk(ctx context.Context, tx pgx.Tx, book int, request tasks.Request, date, after string, chunk int) (int, string, error) {
	var next int64
	if err := tx.QueryRow(ctx, `SELECT next_transfer FROM books WHERE book = $1 FOR UPDATE`, book).Scan(&next); err != nil {
		return 0, "", err
	}
	var n int
	var last string
	err := tx.QueryRow(ctx, setSweepSQL, book, sweepProduct, after, chunk, next, request.ID, date).Scan(&n, &last)
	if err != nil {
		return 0, "", err
	}
	request.Producer = producerName
	var rest pgx.Batch
	rest.Queue(tasks.AcceptSQL, tasks.AcceptArgs([]tasks.Request{request}, time.Hour)...)
	rest.Queue(rawPendingSQL, book, []uuid.UUID{request.ID})
	rest.Queue(`INSERT INTO outcomes (book, request_id, result, first_transfer, transfers, attempts, decided_at)
		VALUES ($1, $2, 'applied', $3, $4, 0, now())`, book, request.ID, next, n)
	rest.Queue(rawBooksSQL, book, next+int64(n))
	return n, last, tx.SendBatch(ctx, &rest).Close()
}

// sweptOn counts a night's subscriptions.
func (u *sweepUsers) sweptOn(ctx context.Context, date string) (n int, err error) {
	err = u.env.pool.QueryRow(ctx, "SELECT count(*) FROM subscriptions WHERE product_id = $1 AND business_date = $2", sweepProduct,
		date).Scan(&n)
	return n, err
}
