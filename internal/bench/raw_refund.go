package bench

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/settled-dev/settled/ledger"
	"github.com/settled-dev/settled/tasks"
)

// The statements of raw_batch for refunds: the rows that the ledger writes for a refund of one cash leg, from arrays that were
// computed beforehand.
const (
	rawOutcomesSQL = `
INSERT INTO outcomes (book, request_id, result, first_transfer, transfers, attempts, decided_at)
SELECT $1, unnest($2::uuid[]), 'applied', unnest($3::bigint[]), 1, 0, now()`
	rawTransfersSQL = `
INSERT INTO transfers (book, seq, request_id, debit_account, credit_account, amount_fen, credit_version, credit_balance_fen,
    business_date, posted_at)
SELECT $1, unnest($3::bigint[]), unnest($2::uuid[]), $4, unnest($6::bigint[]), $5, unnest($7::bigint[]), unnest($9::bigint[]), $8, now()`
	rawAccountsSQL = `
UPDATE accounts a SET balance_fen = v.balance, version = v.version
FROM (SELECT unnest($2::bigint[]) AS id, unnest($3::bigint[]) AS version, unnest($4::bigint[]) AS balance) v
WHERE a.book = $1 AND a.id = v.id`
	rawMerchantSQL = `UPDATE accounts SET balance_fen = balance_fen - $3 WHERE book = $1 AND id = $2`
	rawLegsSQL     = `
UPDATE legs l SET refunded_fen = v.refunded FROM (SELECT unnest($2::text[]) AS order_id, unnest($3::bigint[]) AS refunded) v
WHERE l.book = $1 AND l.order_id = v.order_id AND l.leg = 0`
	rawPendingSQL = `DELETE FROM pending WHERE book = $1 AND request_id = ANY($2)`
	rawBooksSQL   = `UPDATE books SET next_transfer = $2 WHERE book = $1`
)

// rawRefundStateSQL reads what the ledger would have read, for all refunds of a book at once and outside the measured time.
const rawRefundStateSQL = `
SELECT r.id, l.order_id, l.refunded_fen, a.id, a.version, a.balance_fen
FROM unnest($2::uuid[]) AS asked (id)
JOIN requests r ON r.book = $1 AND r.id = asked.id
JOIN legs l ON l.book = $1 AND l.order_id = r.payload ->> 'order_id' AND l.leg = 0
JOIN accounts a ON a.book = $1 AND a.name = 'user/' || (r.payload ->> 'user_id') || '/cash'`

// rawChunk is one batch of raw_batch, ready to be written.
type rawChunk struct {
	ids                                         []uuid.UUID
	orders                                      []string
	seqs, refunded, accounts, versions, balance []int64
	next                                        int64
}

const refundFen = 1_00

// rawRefunds prepares batches of size for each book; the returned function writes them, a connection a book.
func rawRefunds(ctx context.Context, e *environment, bells []tasks.Bell, size int) (func() error, error) {
	byBook := map[int][]uuid.UUID{}
	for _, bell := range bells {
		byBook[bell.Book] = append(byBook[bell.Book], bell.ID)
	}
	type book struct {
		number   int
		merchant int64
		chunks   []rawChunk
	}
	var books []book
	for number, ids := range byBook {
		b := book{number: number}
		var next int64
		err := e.pool.QueryRow(ctx, `SELECT b.next_transfer, a.id FROM books b JOIN accounts a ON a.book = b.book AND a.name = $2
			WHERE b.book = $1`, number, string(ledger.MerchantPayable(hotMerchant))).Scan(&next, &b.merchant)
		if err != nil {
			return nil, fmt.Errorf("prepare raw_batch: %w", err)
		}
		if b.chunks, err = rawChunks(ctx, e, number, ids, size, next); err != nil {
			return nil, err
		}
		books = append(books, b)
	}
	return func() error {
		errs := make([]error, len(books))
		var writing sync.WaitGroup
		for i, b := range books {
			writing.Go(func() {
				for _, chunk := range b.chunks {
					if errs[i] = chunk.write(ctx, e, b.number, b.merchant); errs[i] != nil {
						return
					}
				}
			})
		}
		writing.Wait()
		return errors.Join(errs...)
	}, nil
}

func rawChunks(ctx context.Context, e *environment, book int, ids []uuid.UUID, size int, next int64) ([]rawChunk, error) {
	rows, err := e.pool.Query(ctx, rawRefundStateSQL, book, ids)
	if err != nil {
		return nil, fmt.Errorf("prepare raw_batch: %w", err)
	}
	var chunks []rawChunk
	var id uuid.UUID
	var order string
	var refunded, account, version, balance int64
	_, err = pgx.ForEachRow(rows, []any{&id, &order, &refunded, &account, &version, &balance}, func() error {
		if len(chunks) == 0 || len(chunks[len(chunks)-1].ids) == size {
			chunks = append(chunks, rawChunk{})
		}
		c := &chunks[len(chunks)-1]
		c.ids, c.orders, c.seqs = append(c.ids, id), append(c.orders, order), append(c.seqs, next)
		c.refunded, c.accounts = append(c.refunded, refunded+refundFen), append(c.accounts, account)
		c.versions, c.balance = append(c.versions, version+1), append(c.balance, balance+refundFen)
		next++
		c.next = next
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("prepare raw_batch: %w", err)
	}
	return chunks, nil
}

func (c *rawChunk) write(ctx context.Context, e *environment, book int, merchant int64) error {
	var batch pgx.Batch
	batch.Queue("BEGIN")
	batch.Queue(rawTransfersSQL, book, c.ids, c.seqs, merchant, refundFen, c.accounts, c.versions, occurred, c.balance)
	batch.Queue(rawOutcomesSQL, book, c.ids, c.seqs)
	batch.Queue(rawPendingSQL, book, c.ids)
	batch.Queue(rawLegsSQL, book, c.orders, c.refunded)
	batch.Queue(rawAccountsSQL, book, c.accounts, c.versions, c.balance)
	batch.Queue(rawMerchantSQL, book, merchant, int64(len(c.ids))*refundFen)
	batch.Queue(rawBooksSQL, book, c.next)
	batch.Queue("COMMIT")
	if err := e.pool.SendBatch(ctx, &batch).Close(); err != nil {
		return fmt.Errorf("write raw_batch: %w", err)
	}
	return nil
}
