package ledger

import (
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/settled-dev/settled/internal/postgres/pguuid"
	"github.com/settled-dev/settled/tasks"
)

const insertOrdersSQL = `
INSERT INTO orders (book, order_id, user_id, merchant_id, request_id, captured_fen, captured_at)
SELECT $1, unnest($3::text[]), unnest($4::text[]), unnest($5::text[]), unnest($6::uuid[]), unnest($7::bigint[]), $2`

const insertLegsSQL = `
INSERT INTO legs (book, order_id, leg, source, channel_txn_id, captured_fen, refunded_fen)
SELECT $1, unnest($2::text[]), unnest($3::smallint[]), unnest($4::text[]), nullif(unnest($5::text[]), ''), unnest($6::bigint[]),
       unnest($7::bigint[])`

// insertLinesSQL takes each line's amounts by leg as the text of an array: lines of one batch have different numbers of legs.
const insertLinesSQL = `
INSERT INTO order_lines (book, order_id, line_id, position, kind, amount_fen, allocated_fen, refunded_fen)
SELECT $1, unnest($2::text[]), unnest($3::text[]), unnest($4::smallint[]), unnest($5::text[]), unnest($6::bigint[]),
       unnest($7::text[])::bigint[], unnest($8::text[])::bigint[]`

// updateLegsSQL stores what is refunded, if the legs are still as they were read; the CHECK on the table refuses more than was captured.
const updateLegsSQL = `
WITH changed AS (
    UPDATE legs l
    SET refunded_fen = v.refunded_fen
    FROM (
        SELECT $1::smallint AS book, unnest($2::text[]) AS order_id, unnest($3::smallint[]) AS leg,
               unnest($4::bigint[]) AS refunded_fen, unnest($5::bigint[]) AS stored_fen
        OFFSET 0
    ) v
    WHERE l.book = v.book AND l.order_id = v.order_id AND l.leg = v.leg AND l.refunded_fen = v.stored_fen
    RETURNING 1
)
SELECT expect_rows('legs', (SELECT count(*) FROM changed), cardinality($2::text[]))`

// updateLinesSQL stores what is refunded of lines, if they are still as they were read.
const updateLinesSQL = `
WITH changed AS (
    UPDATE order_lines l
    SET refunded_fen = v.refunded_fen
    FROM (
        SELECT $1::smallint AS book, unnest($2::text[]) AS order_id, unnest($3::text[]) AS line_id,
               unnest($4::text[])::bigint[] AS refunded_fen, unnest($5::text[])::bigint[] AS stored_fen
        OFFSET 0
    ) v
    WHERE l.book = v.book AND l.order_id = v.order_id AND l.line_id = v.line_id AND l.refunded_fen = v.stored_fen
    RETURNING 1
)
SELECT expect_rows('lines', (SELECT count(*) FROM changed), cardinality($2::text[]))`

const insertReceiptsSQL = `
INSERT INTO channel_receipts (book, channel, channel_txn_id, request_id)
SELECT $1, unnest($2::text[]), unnest($3::text[]), unnest($4::uuid[])`

const upsertEnrolmentSQL = `
INSERT INTO enrolments (book, product_id, user_id, keep_fen, consent_version, cash_account, wealth_account, request_id, occurred_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
ON CONFLICT ON CONSTRAINT user_is_enrolled_once_per_product
DO UPDATE SET keep_fen = excluded.keep_fen, consent_version = excluded.consent_version, request_id = excluded.request_id,
    occurred_at = excluded.occurred_at`

const insertSubscriptionsSQL = `
INSERT INTO subscriptions (book, product_id, business_date, user_id, amount_fen, keep_fen, cash_after_fen, request_id, transfer)
SELECT $1, unnest($2::text[]), unnest($3::date[]), unnest($4::text[]), unnest($5::bigint[]), unnest($6::bigint[]),
       unnest($7::bigint[]), unnest($8::uuid[]), unnest($9::bigint[])`

// wakeSQL comes after putBackSQL: what one request of a batch parks for, a later one of the same batch may bring. $3 is how long the
// relay leaves the woken to the ring that follows the commit.
const wakeSQL = `
WITH woken AS (
    UPDATE pending p
    SET state = 'accepted', waits_for = NULL, parked_at = NULL, ring_at = clock_timestamp() + $3
    FROM (SELECT DISTINCT $1::smallint AS book, unnest($2::text[]) AS waits_for OFFSET 0) brought
    WHERE p.book = brought.book AND p.state = 'parked' AND p.waits_for = brought.waits_for
    RETURNING p.request_id, p.kind
), told AS (
    INSERT INTO attempts (book, request_id, event)
    SELECT $1, request_id, 'woken' FROM woken
)
SELECT request_id, kind FROM woken`

// queueOrderRows stores captured orders with their legs and lines as the batch leaves them, and what it gave back of earlier ones.
func queueOrderRows(queries *pgx.Batch, book int, batch []*decided, at time.Time) {
	var orders, users, merchants []string
	var requests []uuid.UUID
	var captured []int64
	var legs legColumns
	fresh := map[*Order]bool{}
	for _, d := range batch {
		for _, o := range applied(d).Orders {
			fresh[o] = true
			orders, users, merchants = append(orders, o.ID), append(users, o.UserID), append(merchants, o.MerchantID)
			requests, captured = append(requests, d.request.ID), append(captured, o.Captured().Fen())
			for i := range o.Legs {
				legs.add(o, i)
			}
		}
	}
	if len(orders) > 0 {
		queries.Queue(insertOrdersSQL, book, at, orders, users, merchants, pguuid.Array(requests), captured)
		queries.Queue(insertLegsSQL, book, legs.orders, legs.numbers, legs.sources, legs.txns, legs.captured, legs.refunded)
	}
	queueNewLines(queries, book, fresh)
	queueRefundedLegs(queries, book, batch, fresh)
	queueRefundedLines(queries, book, batch, fresh)
}

func queueNewLines(queries *pgx.Batch, book int, fresh map[*Order]bool) {
	var orders, lines, kinds, allocated, refunded []string
	var positions []int16
	var amounts []int64
	for o := range fresh {
		for position, line := range o.Lines {
			orders, lines, kinds = append(orders, o.ID), append(lines, line.ID), append(kinds, string(line.Kind))
			positions, amounts = append(positions, int16(position)), append(amounts, line.Amount.Fen())
			allocated, refunded = append(allocated, arrayText(fens(line.Allocated))), append(refunded, arrayText(fens(line.Refunded)))
		}
	}
	if len(orders) > 0 {
		queries.Queue(insertLinesSQL, book, orders, lines, positions, kinds, amounts, allocated, refunded)
	}
}

// arrayText is the text of a bigint[].
func arrayText(numbers []int64) string {
	text := []byte{'{'}
	for i, n := range numbers {
		if i > 0 {
			text = append(text, ',')
		}
		text = strconv.AppendInt(text, n, 10)
	}
	return string(append(text, '}'))
}

type legColumns struct {
	orders, sources, txns []string
	numbers               []int16
	captured, refunded    []int64
}

func (c *legColumns) add(o *Order, leg int) {
	l := o.Legs[leg]
	c.orders, c.numbers = append(c.orders, o.ID), append(c.numbers, int16(leg))
	c.sources, c.txns = append(c.sources, string(l.Source)), append(c.txns, l.ChannelTxnID)
	c.captured, c.refunded = append(c.captured, l.Captured.Fen()), append(c.refunded, l.Refunded.Fen())
}

// queueRefundedLegs updates the legs of orders that existed before the batch, each once.
func queueRefundedLegs(queries *pgx.Batch, book int, batch []*decided, fresh map[*Order]bool) {
	type legKey struct {
		order *Order
		leg   int
	}
	given := make(map[legKey]int64, len(batch))
	var changed []legKey
	for _, d := range batch {
		for _, r := range applied(d).LegRefunds {
			key := legKey{r.Order, r.Leg}
			if _, seen := given[key]; !seen && !fresh[r.Order] {
				changed = append(changed, key)
			}
			given[key] += r.Amount.Fen()
		}
	}
	if len(changed) == 0 {
		return
	}
	var legs legColumns
	stored := make([]int64, 0, len(changed))
	for _, key := range changed {
		legs.add(key.order, key.leg)
		stored = append(stored, key.order.Legs[key.leg].Refunded.Fen()-given[key])
	}
	queries.Queue(updateLegsSQL, book, legs.orders, legs.numbers, legs.refunded, stored)
}

// queueRefundedLines updates the lines of orders that existed before the batch, each once.
func queueRefundedLines(queries *pgx.Batch, book int, batch []*decided, fresh map[*Order]bool) {
	type found struct {
		orderID  string
		refunded []int64 // before the batch: what the line says now, less what the batch gave back
	}
	lines := map[*Line]*found{}
	for _, d := range batch {
		for _, r := range applied(d).LineRefunds {
			if fresh[r.Order] {
				continue
			}
			line, _ := r.Order.Line(r.LineID)
			if lines[line] == nil {
				lines[line] = &found{r.Order.ID, fens(line.Refunded)}
			}
			for leg, amount := range r.PerLeg {
				lines[line].refunded[leg] -= amount.Fen()
			}
		}
	}
	if len(lines) == 0 {
		return
	}
	var orders, ids, refunded, stored []string
	for line, before := range lines {
		orders, ids = append(orders, before.orderID), append(ids, line.ID)
		refunded, stored = append(refunded, arrayText(fens(line.Refunded))), append(stored, arrayText(before.refunded))
	}
	queries.Queue(updateLinesSQL, book, orders, ids, refunded, stored)
}

// applied is the decision of an applied request, and an empty one of every other.
func applied(d *decided) *Decision {
	if d.decision.verdict == verdictApply {
		return &d.decision
	}
	return &Decision{}
}

func queueReceiptRows(queries *pgx.Batch, book int, batch []*decided) {
	var channels, txns []string
	var requests []uuid.UUID
	for _, d := range batch {
		for _, r := range applied(d).Receipts {
			channels, txns = append(channels, string(r.Channel)), append(txns, r.TxnID)
			requests = append(requests, d.request.ID)
		}
	}
	if len(channels) > 0 {
		queries.Queue(insertReceiptsSQL, book, channels, txns, pguuid.Array(requests))
	}
}

func queueWealthRows(queries *pgx.Batch, book int, batch []*decided) {
	var products, dates, users []string
	var amounts, keeps, after, transfers []int64
	var requests []uuid.UUID
	for _, d := range batch {
		for _, e := range applied(d).Enrolments {
			queries.Queue(upsertEnrolmentSQL, book, e.ProductID, e.UserID, e.Keep.Fen(), e.ConsentVersion, e.Cash.id, e.Wealth.id,
				d.request.ID, e.OccurredAt)
		}
		for _, s := range applied(d).Subscriptions {
			products, dates, users = append(products, s.ProductID), append(dates, s.BusinessDate), append(users, s.UserID)
			amounts, keeps = append(amounts, s.Amount.Fen()), append(keeps, s.Keep.Fen())
			after, transfers = append(after, s.CashAfter.Fen()), append(transfers, d.first+int64(s.Transfer))
			requests = append(requests, d.request.ID)
		}
	}
	if len(products) > 0 {
		queries.Queue(insertSubscriptionsSQL, book, products, dates, users, amounts, keeps, after, pguuid.Array(requests), transfers)
	}
}

func queueCases(queries *pgx.Batch, book int, batch []*decided, at time.Time) {
	for _, d := range batch {
		for i, c := range applied(d).Cases {
			queries.Queue(insertCaseSQL, book, d.request.ID, i, string(c.Kind), string(c.Account), c.Amount.Fen(), c.Detail, at)
		}
		if c := applied(d).Closes; c != nil {
			queries.Queue(insertClosingSQL, book, c.Case.Ref.Request, c.Case.Ref.Ordinal, d.request.ID, c.By, c.Note, at)
		}
	}
}

// queueWakes comes after queueReturns; bells collects what was woken.
func queueWakes(queries *pgx.Batch, book int, batch []*decided, ringAfter time.Duration, bells *[]tasks.Bell) {
	var wakes []string
	for _, d := range batch {
		switch d.decision.verdict {
		case verdictApply:
			wakes = append(wakes, d.decision.Wakes...)
		case verdictReject:
			wakes = append(wakes, nameOf(d.request))
		}
	}
	if len(wakes) == 0 {
		return
	}
	queries.Queue(wakeSQL, book, wakes, ringAfter).Query(func(rows pgx.Rows) error {
		bell := tasks.Bell{Book: book}
		_, err := pgx.ForEachRow(rows, []any{pguuid.Into(&bell.ID), &bell.Kind}, func() error {
			*bells = append(*bells, bell)
			return nil
		})
		return err
	})
}
