package bench

import (
	"context"
	"fmt"

	"github.com/settled-dev/settled/ledger"
	"github.com/settled-dev/settled/tasks"
)

// addHistorySQL writes one more applied recharge of one fen for every user: request, outcome, transfer and balances, as the ledger
// leaves them. Its ids are random, so the indexes grow everywhere.
const addHistorySQL = `
WITH who AS (
    SELECT a.book, a.id, a.version, a.balance_fen, a.name, b.next_transfer + row_number() OVER (PARTITION BY a.book ORDER BY a.id) - 1 AS seq,
           gen_random_uuid() AS request
    FROM accounts a JOIN books b ON b.book = a.book
    WHERE a.kind = 'user_cash'
), asked AS (
    INSERT INTO requests (book, id, kind, key, payload, producer, occurred_at, business_date)
    SELECT book, request, 'recharge:confirm', 'h' || $1 || '-' || name, '{"amount":"0.01"}', 'bench', now(), current_date FROM who
), told AS (
    INSERT INTO outcomes (book, request_id, result, first_transfer, transfers, attempts, decided_at)
    SELECT book, request, 'applied', seq, 1, 0, now() FROM who
), moved AS (
    INSERT INTO transfers (book, seq, request_id, debit_account, credit_account, amount_fen, credit_version, credit_balance_fen,
        business_date, posted_at)
    SELECT w.book, w.seq, w.request, c.id, w.id, 1, w.version + 1, w.balance_fen + 1, current_date, now()
    FROM who w JOIN accounts c ON c.book = w.book AND c.name = $2
), credited AS (
    UPDATE accounts a SET balance_fen = a.balance_fen + 1, version = a.version + 1
    FROM who w WHERE a.book = w.book AND a.id = w.id
), debited AS (
    UPDATE accounts a SET balance_fen = a.balance_fen - n.users
    FROM (SELECT book, count(*) AS users FROM who GROUP BY book) n
    WHERE a.book = n.book AND a.name = $2
)
UPDATE books b SET next_transfer = b.next_transfer + n.users
FROM (SELECT book, count(*) AS users FROM who GROUP BY book) n
WHERE b.book = n.book`

// addHistory multiplies the requests, outcomes and transfers that prepareOrders left.
func addHistory(ctx context.Context, e *environment, times int) error {
	// A prepared order has two requests: each round adds one a user.
	for round := range 2 * times {
		if _, err := e.ownerPool.Exec(ctx, addHistorySQL, fmt.Sprint(round), string(ledger.ChannelClearing(tasks.SourceWeChat))); err != nil {
			return fmt.Errorf("add history: %w", err)
		}
	}
	return e.settleTables(ctx)
}
