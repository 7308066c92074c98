package demo

import (
	"context"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/settled-dev/settled/internal/clock"
	"github.com/settled-dev/settled/ledger/ledgertest"
)

// applyPending applies what is pending until nothing is that can be applied. Channels are never asked: what they were to pay back
// stays where it is, which the record does not mind.
func applyPending(t *testing.T, books *ledgertest.Books) {
	t.Helper()
	for {
		rows, err := books.DB.Pool.Query(t.Context(), "SELECT book, request_id FROM pending WHERE state = 'accepted'")
		if err != nil {
			t.Fatal(err)
		}
		byBook := map[int][]uuid.UUID{}
		var book int
		var id uuid.UUID
		tag, err := pgx.ForEachRow(rows, []any{&book, &id}, func() error {
			byBook[book] = append(byBook[book], id)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if tag.RowsAffected() == 0 {
			return
		}
		for book, ids := range byBook {
			if _, err := books.Ledger.Apply(t.Context(), book, ids...); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// playedDay is a small day on books of the test's own, all of it decided.
func playedDay(t *testing.T) (*producers, *ledgertest.Books) {
	t.Helper()
	books := ledgertest.Open(t)
	plan := NewPlan(PlanConfig{Seed: 11, Users: 50, Requests: 600, Date: date})
	channels := startChannels(t, books.DB, nil)
	asking := &producers{client: books.Client, channels: channels, record: NewRecord(), clock: clock.System}
	for _, scenes := range [][]Scene{plan.Morning, plan.Day} {
		if err := asking.play(t.Context(), scenes); err != nil {
			t.Fatal(err)
		}
		if err := channels.settle(t.Context(), clock.System, dayPatience); err != nil {
			t.Fatal(err)
		}
		applyPending(t, books)
	}
	return asking, books
}

// judge compares what was asked, and what channels have told of, with the books.
func (p *producers) judge(books *Books) *Verdict {
	return Judge(p.record, p.channels.Simulator.Record(), books)
}

// Each theft is planted by the owner of the database, who may do what the service's role may not, and taken back afterwards.
func TestWhatIsPlantedInTheBooksIsFound(t *testing.T) {
	t.Parallel()
	asked, books := playedDay(t)
	read, err := ReadBooks(t.Context(), books.DB.Pool)
	if err != nil {
		t.Fatal(err)
	}
	if v := asked.judge(read); !v.OK() {
		t.Fatalf("before anything is planted: lost %q, doubled %q", v.Lost, v.Doubled)
	}
	for _, c := range planted {
		found := judgePlanted(t, asked, books, c.sql)
		if !strings.Contains(strings.Join(found.Lost, "\n"), c.lost) || !strings.Contains(strings.Join(found.Doubled, "\n"), c.doubled) ||
			found.OK() {
			t.Errorf("%s: lost %q, doubled %q, want %q and %q among them", c.name, found.Lost, found.Doubled, c.lost, c.doubled)
		}
	}
}

// planted is what the owner does to the books.
var planted = []struct {
	name, sql     string
	lost, doubled string // a part of one finding
}{
	{
		name: "a request is lost",
		sql:  `DELETE FROM requests WHERE key = (SELECT min(key) FROM requests WHERE kind = 'recharge:confirm')`,
		lost: "was accepted and is not stored",
	},
	{
		name: "an outcome is lost",
		sql: `DELETE FROM outcomes WHERE request_id = (SELECT r.id FROM requests r JOIN outcomes o ON o.request_id = r.id
			      WHERE r.kind = 'payment:capture' AND o.result = 'applied' LIMIT 1)`,
		lost: "has no outcome and is not pending",
	},
	{
		name: "a recharge is booked twice",
		sql: `WITH again AS (
			          INSERT INTO transfers (book, seq, request_id, debit_account, credit_account, amount_fen, credit_version,
			              credit_balance_fen, business_date, posted_at)
			          SELECT t.book, 1000000, t.request_id, t.debit_account, t.credit_account, t.amount_fen, 1000000, 1000000, t.business_date,
			              t.posted_at
			          FROM transfers t JOIN requests r ON r.book = t.book AND r.id = t.request_id
			          WHERE r.kind = 'recharge:confirm' LIMIT 1
			          RETURNING book, debit_account, credit_account, amount_fen
			      )
			      UPDATE accounts a SET balance_fen = balance_fen + CASE WHEN a.id = again.credit_account THEN amount_fen ELSE -amount_fen END
			      FROM again WHERE a.book = again.book AND a.id IN (again.debit_account, again.credit_account)`,
		doubled: "made 2 transfers of",
	},
	{
		name: "more is refunded than was asked",
		sql: `UPDATE legs SET refunded_fen = refunded_fen + 1
			      WHERE (book, order_id, leg) = (SELECT book, order_id, leg FROM legs WHERE refunded_fen < captured_fen LIMIT 1)`,
		doubled: "/refunded is ",
	},
	{
		name: "more is refunded than was paid",
		sql: `ALTER TABLE legs DROP CONSTRAINT leg_is_never_refunded_beyond_its_capture;
			      UPDATE legs SET refunded_fen = captured_fen + 1
			      WHERE (book, order_id, leg) = (SELECT book, order_id, leg FROM legs WHERE refunded_fen = captured_fen LIMIT 1)`,
		doubled: "/refunded is ",
	},
	{
		name: "a refund beyond the order is applied",
		sql: `UPDATE outcomes SET result = 'applied', reason = NULL
			      WHERE request_id = (SELECT request_id FROM outcomes WHERE reason = 'exceeds_refundable' LIMIT 1)`,
		doubled: " applied, ",
	},
	{
		name:    "a user is given money from nowhere",
		sql:     `UPDATE accounts SET balance_fen = balance_fen + 1 WHERE name = 'user/u00003/cash'`,
		doubled: "user/u00003/cash is ",
	},
	{
		name: "a user's money is gone",
		sql:  `UPDATE accounts SET balance_fen = balance_fen - 1 WHERE name = 'user/u00003/cash'`,
		lost: "user/u00003/cash is ",
	},
}

// judgePlanted judges books to which the owner has done something, which is then taken back.
func judgePlanted(t *testing.T, asked *producers, books *ledgertest.Books, sql string) *Verdict {
	t.Helper()
	ctx := t.Context()
	tx, err := books.DB.Owner.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := tx.Rollback(context.WithoutCancel(ctx)); err != nil {
			t.Error(err)
		}
	}()
	for _, table := range []string{"requests", "outcomes", "transfers"} {
		if _, err := tx.Exec(ctx, "ALTER TABLE "+table+" DISABLE TRIGGER USER"); err != nil {
			t.Fatal(err)
		}
	}
	for statement := range strings.SplitSeq(sql, ";") {
		if tag, err := tx.Exec(ctx, statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		} else if tag.RowsAffected() == 0 && !strings.HasPrefix(statement, "ALTER") {
			t.Fatalf("%s: changes nothing", statement)
		}
	}
	read, err := readBooks(ctx, tx)
	if err != nil {
		t.Fatal(err)
	}
	return asked.judge(read)
}
