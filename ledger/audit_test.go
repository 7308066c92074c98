package ledger_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/settled-dev/settled/internal/postgres/pgtest"
	"github.com/settled-dev/settled/internal/rules"
	"github.com/settled-dev/settled/ledger"
	"github.com/settled-dev/settled/ledger/ledgertest"
	"github.com/settled-dev/settled/tasks"
)

// breaks damage books with history as only their owner can, with triggers and constraints out of the way. Each must be found by a check
// of its invariant, which names the row.
var breaks = []struct {
	name      string
	invariant string
	names     string
	sql       string
}{
	{"money appears", "I1", "sums to 1 fen", "UPDATE accounts SET balance_fen = balance_fen + 1 WHERE name = 'promotion/c1'"},
	{"a transfer of nothing", "I1", "moves 0 fen", `ALTER TABLE transfers DROP CONSTRAINT transfer_amount_is_positive;
		UPDATE transfers SET amount_fen = 0 WHERE seq = 1 AND book = (SELECT min(book) FROM transfers)`},
	{"a transfer to itself", "I1", "from account", `ALTER TABLE transfers DROP CONSTRAINT transfer_has_two_different_accounts;
		UPDATE transfers SET credit_account = debit_account WHERE seq = 1 AND book = (SELECT min(book) FROM transfers)`},
	{"balances that were exchanged", "I2", "promotion/c1", `UPDATE accounts SET balance_fen = balance_fen - 5 WHERE name = 'promotion/c1';
		UPDATE accounts SET balance_fen = balance_fen + 5 WHERE name = 'merchant/m1/payable'`},
	{"an account that is gone", "I2", "missing", "DELETE FROM accounts WHERE name = 'user/anna/reward'"},
	{"a version that was skipped", "I2", "user/anna/cash", "UPDATE accounts SET version = version + 1 WHERE name = 'user/anna/cash'"},
	{"a running balance that is off", "I2", "leaves account", `UPDATE transfers SET credit_balance_fen = credit_balance_fen + 1
		WHERE credit_version = 1 AND book = (SELECT min(book) FROM transfers WHERE credit_version = 1)`},
	{"a running balance that is missing", "I2", "at version", `UPDATE transfers SET credit_balance_fen = NULL, credit_version = NULL
		WHERE credit_version = 1 AND book = (SELECT min(book) FROM transfers WHERE credit_version = 1)`},
	{"a user in debt", "I3", "user/anna/cash", `ALTER TABLE accounts DROP CONSTRAINT guarded_account_is_never_below_its_holds;
		UPDATE accounts SET balance_fen = -1 WHERE name = 'user/anna/cash'`},
	{"a hold without cover", "I3", "user/anna/cash", `ALTER TABLE accounts DROP CONSTRAINT guarded_account_is_never_below_its_holds;
		UPDATE accounts SET held_fen = balance_fen + 1 WHERE name = 'user/anna/cash'`},
	{"a right that was granted", "I4", "transfers", "GRANT UPDATE ON transfers TO settled_service"},
	{"a right to empty a table", "I4", "outcomes", "GRANT TRUNCATE ON outcomes TO settled_service"},
	{"a trigger that was dropped", "I4", "requests", "DROP TRIGGER requests_are_append_only ON requests"},
	{"a trigger that was switched off", "I4", "outcomes", "ALTER TABLE outcomes DISABLE TRIGGER outcomes_are_append_only"},
	{"a gap in the journal", "I5", "numbered", "DELETE FROM transfers WHERE (book, seq) = (SELECT book, max(seq) FROM transfers GROUP BY book ORDER BY book LIMIT 1)"},
	{"an outcome that names too much", "I5", "name", "UPDATE outcomes SET transfers = transfers + 1 WHERE request_id = (SELECT id FROM requests WHERE key = 'r1')"},
	{"outcomes that name each other's transfers", "I5", "is not named by the outcome", `UPDATE outcomes SET first_transfer = first_transfer + 1
		WHERE request_id = (SELECT id FROM requests WHERE key = 'r1')`},
	{"a transfer of another request", "I5", "is not named by the outcome", `UPDATE transfers SET request_id = (SELECT id FROM requests WHERE key = 'w1')
		WHERE request_id = (SELECT id FROM requests WHERE key = 'r1')`},
	{"a transfer of no request", "I5", "is not named by the outcome", "UPDATE transfers SET request_id = gen_random_uuid() WHERE seq = 1"},
	{"a leg refunded beyond its capture", "I6", "order o1", `ALTER TABLE legs DROP CONSTRAINT leg_is_never_refunded_beyond_its_capture;
		UPDATE legs SET refunded_fen = captured_fen + 1 WHERE order_id = 'o1'`},
	{"an order that says more than its legs", "I6", "order o1", "UPDATE orders SET captured_fen = captured_fen + 1 WHERE order_id = 'o1'"},
	{"an order without legs", "I6", "order o1", "DELETE FROM legs WHERE order_id = 'o1'"},
	{"a refund that no request asked for", "I6", "order o1", "UPDATE legs SET refunded_fen = refunded_fen + 1 WHERE order_id = 'o1' AND leg = 0"},
	{"a refund that the legs forgot", "I6", "order o1", "UPDATE legs SET refunded_fen = 0 WHERE order_id = 'o1'"},
	{"money that arrived nowhere", "I7", "on their way", `DELETE FROM outcomes WHERE request_id = (SELECT id FROM requests WHERE kind = 'transfer:receive')`},
	{"a debt between books that is called something else", "I7", "on their way", `UPDATE accounts SET kind = 'suspense'
		WHERE name = (SELECT min(name) FROM accounts WHERE kind = 'interbook' AND balance_fen <> 0)`},
	{"a book that owes without cover", "I7", "owes", "UPDATE accounts SET balance_fen = balance_fen + 1 WHERE name = 'merchant/m1/payable'"},
	{"a subscription of another amount", "I8", "anna", "UPDATE subscriptions SET amount_fen = amount_fen + 1 WHERE user_id = 'anna'"},
	{"a subscription of another transfer", "I8", "anna", "UPDATE subscriptions SET transfer = 1 WHERE user_id = 'anna'"},
	{"a sweep below the keep amount", "I8", "anna", `ALTER TABLE subscriptions DROP CONSTRAINT sweep_leaves_the_keep_amount;
		UPDATE subscriptions SET keep_fen = cash_after_fen + 1 WHERE user_id = 'anna'`},
	{"a sweep that left something else", "I8", "anna", "UPDATE subscriptions SET cash_after_fen = cash_after_fen + 1 WHERE user_id = 'anna'"},
	{"a sweep of somebody else", "I8", "otto", "UPDATE subscriptions SET user_id = 'otto' WHERE user_id = 'anna'"},
	{"an accepted request that was forgotten", "I9", "early", "DELETE FROM pending"},
	{"a decided request that is pending", "I9", "is pending and has an outcome", `INSERT INTO pending (book, request_id, kind, ring_at)
		SELECT book, id, kind, now() FROM requests WHERE key = 'r1'`},
	{"an outcome of nothing", "I9", "has no request", "DELETE FROM requests WHERE key = 'r1'"},
	{"a pending row of nothing", "I9", "has no request", "DELETE FROM requests WHERE key = 'early'"},
	{"an answer of another amount", "I10", "has no order of that amount", `UPDATE requests SET payload = replace(payload::text, '"amount":"6.00"', '"amount":"6.01"')::json
		WHERE kind = 'refund:answer'`},
	{"an answer to a number that was never sent", "I10", "has no order of that amount", `UPDATE requests SET key = 'rfx'
		WHERE kind = 'refund:answer' AND payload ->> 'result' = 'succeeded'`},
	{"a revision of another amount", "I10", "refund:revise", `UPDATE requests SET payload = replace(payload::text, '"amount":"5.00"', '"amount":"5.01"')::json
		WHERE kind = 'refund:revise'`},
	{"a revision of a success", "I10", "no applied failure", `UPDATE requests SET payload = replace(payload::text, '"failed"', '"succeeded"')::json
		WHERE kind = 'refund:answer'`},
	{"a revision of nothing", "I10", "no applied failure", `DELETE FROM outcomes
		WHERE request_id = (SELECT id FROM requests WHERE kind = 'refund:answer' AND payload ->> 'result' = 'failed')`},
	{"suspense that no case asks about", "I11", "holds 300 fen", "DELETE FROM cases WHERE amount_fen = 300"},
	{"a case that is closed and has kept its money", "I11", "its open cases ask about 0", `INSERT INTO case_closings
		SELECT book, request_id, ordinal, gen_random_uuid(), 'eve', 'x', now() FROM cases WHERE amount_fen = 300`},
	{"a closing of no case", "I11", "was never opened", `UPDATE case_closings SET ordinal = 7
		WHERE closing_request_id = (SELECT id FROM requests WHERE kind = 'refund:revise')`},
	{"a closing by a request that was not applied", "I11", "which is not applied", `UPDATE case_closings SET closing_request_id = gen_random_uuid()
		WHERE closing_request_id = (SELECT id FROM requests WHERE kind = 'case:credit')`},
	{"a closing by a request that moved something else", "I11", "which moved something else", `UPDATE case_closings
		SET closing_request_id = (SELECT id FROM requests WHERE key = 'r1') WHERE closing_request_id = (SELECT id FROM requests WHERE kind = 'case:credit')`},
	{"an open case that is not listed as open", "I11", "is open and not among the open ones", "DELETE FROM open_cases WHERE opened_at = (SELECT opened_at FROM cases WHERE amount_fen = 300)"},
	{"a closed case that is listed as open", "I11", "is not open and among the open ones", `INSERT INTO open_cases
		SELECT book, request_id, ordinal, now() FROM case_closings LIMIT 1`},
	{"a way out that closed no case", "I11", "has closed no case", `UPDATE requests SET key = 'x' WHERE kind = 'case:return'`},
	{"a transfer that is not counted", "I12", "user anna", "DELETE FROM sent_days"},
	{"a day that counts too much", "I12", "user anna", "UPDATE sent_days SET sent_fen = sent_fen + 1"},
	{"a day that counts too little", "I12", "user anna", "UPDATE sent_days SET sent_fen = sent_fen - 1"},
	{"a day that counts a transfer too many", "I12", "in 1 had to be counted; counted are 1000 in 2", "UPDATE sent_days SET transfers = 2"},
	{"a day of somebody who sent nothing", "I12", "user otto", `INSERT INTO sent_days (book, business_date, user_id, sent_fen, transfers)
		VALUES (0, '2026-03-02', 'otto', 1, 1)`},
	{"a transfer that is counted on another date", "I12", "2026-03-0", "UPDATE sent_days SET business_date = '2026-03-03'"},
	{"an answer before its question", "I10", "has no order of that amount", "UPDATE requests SET accepted_at = now() + interval '1 day' WHERE kind = 'refund:send'"},
}

// openWithoutAudit opens books that are to be broken, with some history: all kinds, two books, something parked.
func openWithoutAudit(t *testing.T) *pgtest.Database {
	t.Helper()
	db := pgtest.New(t)
	l, err := ledger.Open(t.Context(), db.Pool, ledger.Config{Rules: rules.All()})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client, err := tasks.NewClient(t.Context(), db.Pool, nil, tasks.ClientConfig{Producer: "test"})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ask := func(payloads ...tasks.Payload) {
		t.Helper()
		if _, err := client.EnqueueMany(t.Context(), payloads); err != nil {
			t.Fatal(err)
		}
		settleDue(t, l)
	}
	ask(ledgertest.Recharge("r1", "anna", "200.00"), ledgertest.Reward("w1", "anna", "5.00"))
	ask(ledgertest.Payment("o1", "anna", ledgertest.Leg(tasks.SourceCash, "80.00"), ledgertest.Leg(tasks.SourceWeChat, "20.00")))
	ask(ledgertest.Refund("rf1", "o1", "anna", "30.00"), ledgertest.Transfer("t1", "anna", someoneElsewhere("anna"), "10.00"),
		ledgertest.Enrolment("e1", "anna", "20.00"))
	ask(&tasks.Sweep{ProductID: "xiaojinku", BusinessDate: "2026-03-02"}, ledgertest.Refund("early", "o9", "anna", "1.00"))
	items, err := client.EnqueueMany(t.Context(), []tasks.Payload{answerTo(t, db, "rf1")})
	if err != nil || items[0].Err != nil {
		t.Fatal(err, items)
	}
	settleDue(t, l)
	ask(ledgertest.Refund("rf2", "o1", "anna", "25.00"))
	failure := answerTo(t, db, "rf2")
	revision := tasks.RefundRevision(*failure)
	failure.Result = tasks.RefundFailed
	ask(failure, &revision)
	for i, user := range []string{"anna", "anna", "anna"} {
		ask(&tasks.Suspension{Channel: tasks.SourceWeChat, ChannelTxnID: fmt.Sprintf("s%d", i), OutTradeNo: "RC1", Cause: tasks.ClosedOrder,
			Amount: ledgertest.Yuan(fmt.Sprintf("%d.00", i+1)), UserID: user, RechargeID: fmt.Sprintf("rc%d", i), OccurredAt: ledgertest.Noon})
	}
	cases, _, err := ledger.NewReader(db.Pool).Cases(t.Context(), ledger.CaseFilter{Open: true}, ledger.CasePosition{}, 10)
	if err != nil || len(cases) != 3 {
		t.Fatal(cases, err)
	}
	ask(credit(cases[0].ID, "anna"), sendBack(cases[1].ID))
	return db
}

// someoneElsewhere is a user of another book.
func someoneElsewhere(user string) string { return userIn((tasks.BookOf(user, 4)+1)%4, 0) }

// settleDue applies what is due until only parked requests are left.
func settleDue(t *testing.T, l *ledger.Ledger) {
	t.Helper()
	for {
		if _, err := l.MakeAllDue(t.Context()); err != nil {
			t.Fatal(err)
		}
		due, err := l.ClaimDue(t.Context(), 1000)
		if err != nil {
			t.Fatal(err)
		}
		if len(due) == 0 {
			return
		}
		for _, bell := range due {
			if _, err := l.Apply(t.Context(), bell.Book, bell.ID); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// answerTo is the channel's success for the one order of a refund in the books.
func answerTo(t *testing.T, db *pgtest.Database, refundID string) *tasks.RefundResult {
	t.Helper()
	var raw []byte
	if err := db.Pool.QueryRow(t.Context(), "SELECT payload FROM requests WHERE kind = 'refund:send' AND payload ->> 'refund_id' = $1",
		refundID).Scan(&raw); err != nil {
		t.Fatal(err)
	}
	payload, err := tasks.DecodePayload(tasks.RefundSend, raw)
	if err != nil {
		t.Fatal(err)
	}
	order := payload.(*tasks.RefundOrder)
	return &tasks.RefundResult{Number: order.Number, RefundID: order.RefundID, UserID: order.UserID, Channel: order.Channel,
		Amount: order.Amount, Result: tasks.RefundSucceeded, OccurredAt: ledgertest.Noon}
}

func TestAuditFindsEveryBreakAndNamesTheRow(t *testing.T) {
	t.Parallel()
	for _, c := range breaks {
		t.Run(c.invariant+" "+c.name, func(t *testing.T) {
			t.Parallel()
			db := openWithoutAudit(t)
			reader := ledger.NewReader(db.Pool)
			report, err := reader.Audit(t.Context())
			if err != nil || !report.OK() || report.Err() != nil {
				t.Fatalf("before the break: %v, %v", report.Err(), err)
			}
			if _, err := db.Owner.Exec(t.Context(), "BEGIN; SET LOCAL session_replication_role = replica; "+c.sql+"; COMMIT",
				pgx.QueryExecModeSimpleProtocol); err != nil {
				t.Fatal(err)
			}
			report, err = reader.Audit(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if report.OK() || !errors.Is(report.Err(), ledger.ErrBooksDoNotBalance) {
				t.Fatal("the audit found nothing")
			}
			if !slices.ContainsFunc(report.Checks, func(check ledger.Check) bool {
				return check.Invariant == c.invariant && strings.Contains(check.Broken, c.names)
			}) {
				t.Errorf("no check of %s names %q: %+v", c.invariant, c.names, report.Checks)
			}
			if first := report.FirstBroken(); !strings.Contains(report.Err().Error(), first.Broken) {
				t.Errorf("the error does not name the first bad row: %v", report.Err())
			}
		})
	}
}

func TestEveryInvariantIsBrokenOnce(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	ledgertest.Audit(t, db)
	report, err := ledger.NewReader(db.Pool).Audit(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, check := range report.Checks {
		if !slices.ContainsFunc(breaks, func(b struct{ name, invariant, names, sql string }) bool { return b.invariant == check.Invariant }) {
			t.Errorf("%s has no break above", check.Invariant)
		}
	}
	if len(report.Checks) < 10 || !report.OK() {
		t.Errorf("an empty ledger: %+v", report)
	}
}

func TestAuditCountsWhatItLooksAt(t *testing.T) {
	t.Parallel()
	b := openWithHistory(t)
	report, err := b.Reader.Audit(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := ledger.Totals{
		Accounts: int64(count(t, b.DB, "SELECT count(*) FROM accounts")), Transfers: int64(count(t, b.DB, "SELECT count(*) FROM transfers")),
		Requests: int64(count(t, b.DB, "SELECT count(*) FROM requests")), Outcomes: int64(count(t, b.DB, "SELECT count(*) FROM outcomes")),
		Pending: 1, // the refund of o2 is parked
	}
	if report.Totals != want || want.Transfers == 0 {
		t.Errorf("totals are %+v, want %+v", report.Totals, want)
	}
	for _, check := range report.Checks {
		if check.Rows == 0 {
			t.Errorf("%s looked at nothing: %s", check.Invariant, check.Statement)
		}
	}
}
