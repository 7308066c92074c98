package ledger

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/settled-dev/settled/internal/postgres/pguuid"
	"github.com/settled-dev/settled/money"
)

// lockBookSQL takes the one lock of a batch. It comes first and is held to the commit: whoever has it is the book's only writer,
// so nothing that the batch reads or writes needs a lock of its own.
const lockBookSQL = `
SELECT next_account, next_transfer, decided_at, (SELECT coalesce(max(version), 0) FROM policies)
FROM books
WHERE book = $1
FOR UPDATE`

// batchTimeSQL is read after the lock. A later batch of a book is always later: should the server's clock go back, by a microsecond.
const batchTimeSQL = `SELECT clock_timestamp()`

// The statements below join to what is asked for by whole primary keys. The OFFSET hides from the planner that all of it is of one
// book: it would otherwise plan, while a table is young and has no statistics, to read the whole book and filter.

const readAccountsSQL = `
SELECT a.name, a.id, a.balance_fen, a.held_fen, a.version
FROM (SELECT $1::smallint AS book, unnest($2::text[]) AS name OFFSET 0) asked
JOIN accounts a ON a.book = asked.book AND a.name = asked.name`

// readOrdersSQL reads with each balance leg the account that paid it, and with each channel's how often the channel was to be asked. An
// order has a source once.
const readOrdersSQL = `
SELECT o.order_id, o.user_id, o.merchant_id, o.captured_at, l.source, coalesce(l.channel_txn_id, ''), l.captured_fen, l.refunded_fen,
       CASE WHEN l.source NOT IN ('cash', 'reward') THEN (
           SELECT count(*) FROM requests s
           WHERE s.kind = 'refund:send' AND s.book = l.book AND s.payload ->> 'order_id' = l.order_id
             AND s.payload ->> 'channel' = l.source) ELSE 0 END,
       coalesce(a.id, 0), coalesce(a.balance_fen, 0), coalesce(a.held_fen, 0), coalesce(a.version, 0)
FROM (SELECT $1::smallint AS book, unnest($2::text[]) AS order_id OFFSET 0) asked
JOIN orders o ON o.book = asked.book AND o.order_id = asked.order_id
JOIN legs l ON l.book = o.book AND l.order_id = o.order_id
LEFT JOIN accounts a
    ON a.book = o.book AND a.name = 'user/' || o.user_id || '/' || l.source AND l.source IN ('cash', 'reward')
ORDER BY o.order_id, l.leg`

const readLinesSQL = `
SELECT l.order_id, l.line_id, l.kind, l.amount_fen, l.allocated_fen, l.refunded_fen
FROM (SELECT $1::smallint AS book, unnest($2::text[]) AS order_id OFFSET 0) asked
JOIN order_lines l ON l.book = asked.book AND l.order_id = asked.order_id
ORDER BY l.order_id, l.position`

// readReceiptsSQL looks in all books: a channel's payment funds one request of the whole ledger.
const readReceiptsSQL = `
SELECT r.channel, r.channel_txn_id
FROM unnest($1::text[], $2::text[]) AS asked (channel, channel_txn_id)
JOIN channel_receipts r ON r.channel = asked.channel AND r.channel_txn_id = asked.channel_txn_id`

// readChannelAnswersSQL looks in the batch's book: a refund's answer lives with the refund's user, as what revises it does.
const readChannelAnswersSQL = `
SELECT r.key, r.payload ->> 'result', coalesce(r.payload ->> 'consented' = 'true', false), ((r.payload ->> 'amount')::numeric * 100)::bigint,
       r.id, coalesce(c.kind, ''), coalesce(c.account, ''), coalesce(c.amount_fen, 0), coalesce(by.kind, '')
FROM unnest($2::text[]) AS asked (number)
JOIN requests r ON r.kind = 'refund:answer' AND r.key = asked.number AND r.book = $1
JOIN outcomes o ON o.book = r.book AND o.request_id = r.id
LEFT JOIN cases c ON c.book = r.book AND c.request_id = r.id AND c.ordinal = 0
LEFT JOIN case_closings x ON x.book = c.book AND x.request_id = c.request_id AND x.ordinal = c.ordinal
LEFT JOIN requests by ON by.book = x.book AND by.id = x.closing_request_id
WHERE o.result = 'applied'`

const readEnrolmentsSQL = `
SELECT e.product_id, e.user_id, e.keep_fen, e.consent_version, e.occurred_at
FROM (SELECT $1::smallint AS book, * FROM unnest($2::text[], $3::text[]) AS a (product_id, user_id) OFFSET 0) asked
JOIN enrolments e ON e.book = asked.book AND e.product_id = asked.product_id AND e.user_id = asked.user_id`

const readSweepPageSQL = `
SELECT e.user_id, e.keep_fen, c.id, c.balance_fen, c.held_fen, c.version, w.id, w.balance_fen, w.held_fen, w.version
FROM (
    SELECT book, user_id, keep_fen, cash_account, wealth_account
    FROM enrolments
    WHERE book = $1 AND product_id = $2 AND user_id > $3
    ORDER BY user_id
    LIMIT $4
) e
JOIN accounts c ON c.book = e.book AND c.id = e.cash_account
JOIN accounts w ON w.book = e.book AND w.id = e.wealth_account
ORDER BY e.user_id`

// standing is what the lock found of a batch and its book.
type standing struct {
	nextAccount   int64
	nextTransfer  int64
	policyVersion int
	lastAt        time.Time // of the batch before
	at            time.Time
}

// open begins the transaction, locks the book, claims the requests, and reads everything that their rules read, in one round trip.
func (b *batch) open(ctx context.Context, conn *pgx.Conn, state *State, reads *Reads) (standing, error) {
	var now standing
	var queries pgx.Batch
	queries.Queue("BEGIN")
	queries.Queue(lockBookSQL, state.book).QueryRow(func(row pgx.Row) error {
		return row.Scan(&now.nextAccount, &now.nextTransfer, &now.lastAt, &now.policyVersion)
	})
	queries.Queue(batchTimeSQL).QueryRow(func(row pgx.Row) error { return row.Scan(&now.at) })
	b.queueClaim(&queries)
	queueAccounts(&queries, state, reads)
	queueOrders(&queries, state, reads)
	queueReceipts(&queries, state, reads)
	queueCaseReads(&queries, state, reads)
	queueChannelAnswers(&queries, state, reads)
	queueRefundTries(&queries, state, reads)
	queueEnrolments(&queries, state, reads)
	queueSentDayReads(&queries, state, reads)
	if err := conn.SendBatch(ctx, &queries).Close(); err != nil {
		return standing{}, fmt.Errorf("lock book %d and read: %w", state.book, err)
	}
	if !now.at.After(now.lastAt) {
		now.at = now.lastAt.Add(time.Microsecond)
	}
	return now, nil
}

func queueAccounts(queries *pgx.Batch, state *State, reads *Reads) {
	if len(reads.accounts) == 0 {
		return
	}
	names := make([]string, 0, len(reads.accounts))
	for name := range reads.accounts {
		names = append(names, string(name))
		state.accounts[name] = &Account{name: name, kind: name.Kind()}
	}
	queries.Queue(readAccountsSQL, state.book, names).Query(func(rows pgx.Rows) error {
		var name string
		var read Account
		_, err := pgx.ForEachRow(rows, []any{&name, &read.id, &read.balance, &read.held, &read.version}, func() error {
			state.read(AccountName(name), read)
			return nil
		})
		return err
	})
}

// read puts an account's row into the working set. It may be read twice: both saw the same under the book's lock.
func (s *State) read(name AccountName, row Account) {
	account := s.accounts[name]
	if account == nil {
		account = &Account{name: name, kind: name.Kind()}
		s.accounts[name] = account
	}
	account.id, account.balance, account.held = row.id, row.balance, row.held
	account.version, account.stored = row.version, row.version
	s.byID[account.id] = account
}

func queueOrders(queries *pgx.Batch, state *State, reads *Reads) {
	if len(reads.orders) == 0 {
		return
	}
	ids, withLines := make([]string, 0, len(reads.orders)), []string(nil)
	for id, lines := range reads.orders {
		ids = append(ids, id)
		state.orders[id], state.withLines[id] = nil, lines
		if lines {
			withLines = append(withLines, id)
		}
	}
	queries.Queue(readOrdersSQL, state.book, ids).Query(func(rows pgx.Rows) error {
		var id, user, merchant string
		var leg Leg
		var capturedAt time.Time
		var captured, refunded int64
		var paid Account
		_, err := pgx.ForEachRow(rows, []any{&id, &user, &merchant, &capturedAt, &leg.Source, &leg.ChannelTxnID, &captured, &refunded,
			&leg.Asked, &paid.id, &paid.balance, &paid.held, &paid.version}, func() error {
			order := state.orders[id]
			if order == nil {
				order = &Order{ID: id, UserID: user, MerchantID: merchant, CapturedAt: capturedAt}
				state.orders[id] = order
			}
			leg.Captured, leg.Refunded = money.FromFen(captured), money.FromFen(refunded)
			order.Legs = append(order.Legs, leg)
			if leg.Source.IsBalance() {
				state.read(UserBucket(user, leg.Source), paid)
			}
			return nil
		})
		return err
	})
	if len(withLines) > 0 {
		queueLines(queries, state, withLines)
	}
}

func queueLines(queries *pgx.Batch, state *State, orders []string) {
	queries.Queue(readLinesSQL, state.book, orders).Query(func(rows pgx.Rows) error {
		for rows.Next() {
			var id string
			var line Line
			var amount int64
			var allocated, refunded []int64
			if err := rows.Scan(&id, &line.ID, &line.Kind, &amount, &allocated, &refunded); err != nil {
				return err
			}
			line.Amount, line.Allocated, line.Refunded = money.FromFen(amount), amounts(allocated), amounts(refunded)
			state.orders[id].Lines = append(state.orders[id].Lines, line)
		}
		return rows.Err()
	})
}

func amounts(fen []int64) []money.Amount {
	list := make([]money.Amount, len(fen))
	for i, f := range fen {
		list[i] = money.FromFen(f)
	}
	return list
}

func queueReceipts(queries *pgx.Batch, state *State, reads *Reads) {
	if len(reads.receipts) == 0 {
		return
	}
	var channels, txns []string
	for receipt := range reads.receipts {
		state.receipts[receipt] = false
		channels, txns = append(channels, string(receipt.Channel)), append(txns, receipt.TxnID)
	}
	queries.Queue(readReceiptsSQL, channels, txns).Query(func(rows pgx.Rows) error {
		var receipt Receipt
		_, err := pgx.ForEachRow(rows, []any{&receipt.Channel, &receipt.TxnID}, func() error {
			state.receipts[receipt] = true
			return nil
		})
		return err
	})
}

// queueChannelAnswers runs after queueCaseReads.
func queueChannelAnswers(queries *pgx.Batch, state *State, reads *Reads) {
	if len(reads.answers) == 0 {
		return
	}
	numbers := make([]string, 0, len(reads.answers))
	for number := range reads.answers {
		numbers = append(numbers, number)
		state.answers[number] = nil
	}
	queries.Queue(readChannelAnswersSQL, state.book, numbers).Query(func(rows pgx.Rows) error {
		var number string
		var answer ChannelAnswer
		var opened StandingCase
		var fen, caseFen int64
		_, err := pgx.ForEachRow(rows, []any{&number, &answer.Result, &answer.Consented, &fen, pguuid.Into(&opened.Ref.Request), &opened.Kind,
			&opened.Account, &caseFen, &opened.ClosedBy}, func() error {
			found := answer
			found.Amount = money.FromFen(fen)
			found.Case = state.openedBy(opened, caseFen)
			state.answers[number] = &found
			return nil
		})
		return err
	})
}

// queueEnrolments runs after queueAccounts: an enrolment's accounts are among those that its rule reads.
func queueEnrolments(queries *pgx.Batch, state *State, reads *Reads) {
	if len(reads.enrolments) > 0 {
		var products, users []string
		for key := range reads.enrolments {
			state.enrolments[key] = nil
			products, users = append(products, key.productID), append(users, key.userID)
		}
		queries.Queue(readEnrolmentsSQL, state.book, products, users).Query(func(rows pgx.Rows) error {
			var e Enrolment
			var keep int64
			_, err := pgx.ForEachRow(rows, []any{&e.ProductID, &e.UserID, &keep, &e.ConsentVersion, &e.OccurredAt}, func() error {
				found := e
				found.Keep = money.FromFen(keep)
				found.Cash, found.Wealth = state.accounts[UserCash(e.UserID)], state.accounts[UserWealth(e.UserID, e.ProductID)]
				state.enrolments[enrolmentKey{e.ProductID, e.UserID}] = &found
				return nil
			})
			return err
		})
	}
	for _, key := range slices.SortedFunc(maps.Keys(reads.pages), comparePages) {
		queueSweepPage(queries, state, key)
	}
}

func comparePages(a, b pageKey) int {
	return slices.Compare([]string{a.productID, a.after}, []string{b.productID, b.after})
}

func queueSweepPage(queries *pgx.Batch, state *State, key pageKey) {
	state.pages[key] = nil
	queries.Queue(readSweepPageSQL, state.book, key.productID, key.after, state.policy.SweepUsersMax).Query(func(rows pgx.Rows) error {
		page := make([]Enrolment, 0, state.policy.SweepUsersMax)
		var user string
		var keep int64
		var c, w Account
		_, err := pgx.ForEachRow(rows, []any{&user, &keep, &c.id, &c.balance, &c.held, &c.version, &w.id, &w.balance, &w.held,
			&w.version}, func() error {
			page = append(page, Enrolment{ProductID: key.productID, UserID: user, Keep: money.FromFen(keep),
				Cash:   state.share(c, UserCash(user)),
				Wealth: state.share(w, UserWealth(user, key.productID))})
			return nil
		})
		state.pages[key] = page
		return err
	})
}

// share finds the account in the working set or adds it: requests of one batch must see one account as one.
func (s *State) share(read Account, name AccountName) *Account {
	if known, ok := s.byID[read.id]; ok {
		return known
	}
	account := &Account{name: name, kind: name.Kind(), id: read.id, balance: read.balance, held: read.held, version: read.version,
		stored: read.version}
	s.byID[read.id] = account
	return account
}
