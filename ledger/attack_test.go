package ledger_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/settled-dev/settled/internal/postgres"
	"github.com/settled-dev/settled/internal/postgres/pgtest"
	"github.com/settled-dev/settled/ledger/ledgertest"
	"github.com/settled-dev/settled/tasks"
)

// attacks break one constraint each, by the constraint's name, on books with history. They are made as the owner of the tables: what
// the code decides before is not asked.
var attacks = map[string]string{
	"book_is_identified":       "INSERT INTO books (book) VALUES (0)",
	"book_is_not_negative":     "INSERT INTO books (book) VALUES (-1)",
	"policy_version_is_unique": "INSERT INTO policies (version, document, set_by) VALUES (7, '{}', 'x'), (7, '{}', 'y')",

	"request_is_identified_within_its_book": "INSERT INTO requests SELECT book, id, kind, 'other key', version, payload, producer, occurred_at, business_date FROM requests LIMIT 1",
	"request_key_is_unique_within_its_kind": "INSERT INTO requests SELECT (book + 1) % 4, gen_random_uuid(), kind, key, version, payload, producer, occurred_at, business_date FROM requests LIMIT 1",
	"request_key_has_1_to_200_bytes":        "INSERT INTO requests SELECT book, gen_random_uuid(), kind, '', version, payload, producer, occurred_at, business_date FROM requests LIMIT 1",
	"request_version_is_positive":           "INSERT INTO requests SELECT book, gen_random_uuid(), kind, 'k', 0, payload, producer, occurred_at, business_date FROM requests LIMIT 1",

	"pending_request_is_identified_within_its_book": "INSERT INTO pending SELECT * FROM pending LIMIT 1",
	"pending_state_is_known":                        "UPDATE pending SET state = 'done', waits_for = NULL",
	"pending_request_waits_only_when_parked":        "UPDATE pending SET waits_for = NULL WHERE state = 'parked'",
	"dead_request_says_why":                         "UPDATE pending SET state = 'dead', waits_for = NULL, last_error = NULL",

	"request_has_at_most_one_outcome": "INSERT INTO outcomes SELECT * FROM outcomes LIMIT 1",
	"outcome_is_applied_or_rejected":  newOutcome("'maybe', NULL, 1, 0"),
	"rejection_says_why":              newOutcome("'rejected', NULL, 1, 0"),
	"rejection_moves_nothing":         newOutcome("'rejected', 'no_account', 1, 1"),
	"outcome_counts_its_transfers":    newOutcome("'applied', NULL, 1, -1"),

	"account_is_identified_within_its_book":    "INSERT INTO accounts SELECT book, id, name || 'x', kind, guarded FROM accounts LIMIT 1",
	"account_name_is_unique_within_its_book":   "INSERT INTO accounts SELECT book, id + 1000, name, kind, guarded FROM accounts LIMIT 1",
	"guarded_account_is_never_below_its_holds": "UPDATE accounts SET balance_fen = -1 WHERE kind = 'user_cash'",
	"hold_is_never_negative":                   "UPDATE accounts SET held_fen = -1 WHERE NOT guarded",
	"account_kind_is_known":                    "INSERT INTO accounts (book, id, name, kind, guarded) VALUES (0, 1000, 'x', 'gift', false)",
	"accounts_of_users_are_guarded":            "UPDATE accounts SET guarded = false WHERE kind = 'user_cash'",

	"transfer_is_numbered_within_its_book":    "INSERT INTO transfers SELECT * FROM transfers LIMIT 1",
	"transfer_amount_is_positive":             newTransfer("1, 2, 0, NULL, NULL, NULL, NULL"),
	"transfer_has_two_different_accounts":     newTransfer("1, 1, 1, NULL, NULL, NULL, NULL"),
	"debited_version_comes_with_its_balance":  newTransfer("1, 2, 1, 1000, NULL, NULL, NULL"),
	"credited_version_comes_with_its_balance": newTransfer("1, 2, 1, NULL, NULL, NULL, 5"),
	"debited_user_is_never_negative":          newTransfer("1, 2, 1, 1000, -1, NULL, NULL"),
	"account_version_is_debited_once": `INSERT INTO transfers SELECT book, seq + 1000, request_id, debit_account, credit_account, amount_fen,
		debit_version, debit_balance_fen, NULL, NULL, business_date, posted_at FROM transfers WHERE debit_version IS NOT NULL LIMIT 1`,
	"account_version_is_credited_once": `INSERT INTO transfers SELECT book, seq + 1000, request_id, debit_account, credit_account, amount_fen,
		NULL, NULL, credit_version, credit_balance_fen, business_date, posted_at FROM transfers WHERE credit_version IS NOT NULL LIMIT 1`,

	"order_is_captured_once":                   "INSERT INTO orders SELECT * FROM orders LIMIT 1",
	"order_captures_a_positive_amount":         "INSERT INTO orders SELECT book, 'o9', user_id, merchant_id, request_id, 0, captured_at FROM orders LIMIT 1",
	"leg_is_numbered_within_its_order":         "INSERT INTO legs SELECT * FROM legs LIMIT 1",
	"leg_captures_a_positive_amount":           "INSERT INTO legs SELECT book, order_id, 9, source, NULL, 0, 0 FROM legs LIMIT 1",
	"leg_is_never_refunded_beyond_its_capture": "UPDATE legs SET refunded_fen = captured_fen + 1",
	"line_is_identified_within_its_order":      "INSERT INTO order_lines SELECT * FROM order_lines LIMIT 1",
	"line_allocates_and_refunds_the_same_legs": "UPDATE order_lines SET refunded_fen = refunded_fen || 0::bigint",
	"channel_payment_is_booked_within_its_book": `ALTER TABLE channel_receipts DROP CONSTRAINT channel_payment_funds_one_request;
		INSERT INTO channel_receipts SELECT * FROM channel_receipts LIMIT 1`,
	"channel_payment_funds_one_request": "INSERT INTO channel_receipts SELECT (book + 1) % 4, channel, channel_txn_id, gen_random_uuid() FROM channel_receipts LIMIT 1",

	"user_is_enrolled_once_per_product":       "INSERT INTO enrolments SELECT * FROM enrolments LIMIT 1",
	"keep_amount_is_never_negative":           "UPDATE enrolments SET keep_fen = -1",
	"user_is_swept_once_per_product_and_date": "INSERT INTO subscriptions SELECT * FROM subscriptions LIMIT 1",
	"subscription_amount_is_positive":         "UPDATE subscriptions SET amount_fen = 0",
	"sweep_leaves_the_keep_amount":            "UPDATE subscriptions SET keep_fen = cash_after_fen + 1",
	"subscription_state_is_known":             "UPDATE subscriptions SET state = 'lost'",

	"case_is_numbered_within_its_request": newCase("0, 1") + ";" + newCase("0, 1"),
	"case_amount_is_positive":             newCase("1, 0"),
	"attempt_event_is_known":              "INSERT INTO attempts (book, request_id, event) VALUES (0, gen_random_uuid(), 'lost')",
	"stray_excerpt_is_short":              "INSERT INTO strays (queue, task_id, problem, excerpt) VALUES ('q', 't', 'p', repeat('x', 1025))",

	"slot_is_claimed_once":             newSlot("'sweep', '2026-03-02', '2026-03-01 16:30Z'") + ";" + newSlot("'sweep', '2026-03-02', '2026-03-01 16:31Z'"),
	"slot_job_has_1_to_64_bytes":       newSlot("'', '2026-03-02', '2026-03-01 16:30Z'"),
	"slot_is_due_on_its_business_date": newSlot("'sweep', '2026-03-02', '2026-03-01 15:59Z'"),
}

func newOutcome(values string) string {
	return "INSERT INTO outcomes (book, request_id, attempts, decided_at, result, reason, first_transfer, transfers) VALUES (0, gen_random_uuid(), 0, now(), " + values + ")"
}

func newTransfer(values string) string {
	return `INSERT INTO transfers (book, seq, request_id, business_date, posted_at, debit_account, credit_account, amount_fen, debit_version,
		debit_balance_fen, credit_version, credit_balance_fen) VALUES (0, 1000, gen_random_uuid(), now(), now(), ` + values + ")"
}

func newCase(values string) string {
	return "INSERT INTO cases (book, request_id, kind, account, detail, opened_at, ordinal, amount_fen) " +
		"VALUES (0, '00000000-0000-7000-8000-000000000001', 'k', 'a', 'd', now(), " + values + ")"
}

func newSlot(values string) string {
	return "INSERT INTO slots (claimed_by, requests, job, business_date, due_at) VALUES ('x', '{}', " + values + ")"
}

// openWithHistory opens books in which every table that the attacks copy from has rows.
func openWithHistory(t *testing.T) *ledgertest.Books {
	t.Helper()
	b := ledgertest.Open(t)
	payment := ledgertest.Payment("o1", "u1", ledgertest.Leg(tasks.SourceCash, "80.00"), ledgertest.Leg(tasks.SourceWeChat, "20.00"))
	payment.Lines = []tasks.Line{{LineID: "l1", Kind: tasks.Goods, Amount: ledgertest.Yuan("100.00")}}
	ledgertest.Applied(t, b.Do(t, ledgertest.Recharge("r1", "u1", "100.00"), payment, ledgertest.Refund("rf1", "o1", "u1", "30.00"),
		ledgertest.Enrolment("e1", "u1", "5.00"), &tasks.Sweep{ProductID: "xiaojinku", BusinessDate: "2026-03-02"})...)
	b.Settle(t)
	b.Do(t, ledgertest.Refund("early", "o2", "u1", "1.00"))
	return b
}

// attack runs SQL as the owner, takes it back, and returns PostgreSQL's refusal or nil.
func attack(t *testing.T, db *pgtest.Database, sql string) *pgconn.PgError {
	t.Helper()
	tx, err := db.Owner.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(t.Context())) }()
	_, err = tx.Exec(t.Context(), sql, pgx.QueryExecModeSimpleProtocol)
	var refused *pgconn.PgError
	if err != nil && !errors.As(err, &refused) {
		t.Fatal(err)
	}
	return refused
}

func TestEveryConstraintRefusesItsAttack(t *testing.T) {
	t.Parallel()
	b := openWithHistory(t)
	for name, sql := range attacks {
		refused := attack(t, b.DB, sql)
		if refused == nil {
			t.Errorf("%s: the attack succeeded: %s", name, sql)
		} else if refused.ConstraintName != name {
			t.Errorf("%s: refused by %q instead: %v", name, refused.ConstraintName, refused)
		}
	}
}

const constraintsSQL = `
SELECT conname FROM pg_constraint WHERE connamespace = 'public'::regnamespace AND conrelid <> 0 AND conrelid::regclass::text NOT LIKE 'goose%'
UNION
SELECT c.relname FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
WHERE i.indisunique AND c.relnamespace = 'public'::regnamespace AND i.indrelid::regclass::text NOT LIKE 'goose%'`

// A constraint that nobody has tried to break is not known to work. A new one needs a line above.
func TestEveryConstraintHasAnAttack(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	ledgertest.Audit(t, db)
	rows, err := db.Owner.Query(t.Context(), constraintsSQL)
	if err != nil {
		t.Fatal(err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(names)
	if diff := cmp.Diff(names, slices.Sorted(maps.Keys(attacks))); diff != "" {
		t.Errorf("constraints (-in the database +attacked):\n%s", diff)
	}
}

// appendOnly are the tables that a trigger keeps from being changed by anybody.
var appendOnly = []string{"attempts", "cases", "channel_receipts", "conflicts", "orders", "outcomes", "policies", "requests", "slots",
	"strays", "transfers"}

func TestAppendOnlyTablesRefuseEvenTheirOwner(t *testing.T) {
	t.Parallel()
	b := openWithHistory(t)
	for _, table := range appendOnly {
		for _, sql := range []string{"DELETE FROM %s", "TRUNCATE %s", "DELETE FROM %s WHERE false", "UPDATE %[1]s SET " + firstColumn(t, b.DB, table) + " = NULL"} {
			refused := attack(t, b.DB, fmt.Sprintf(sql, table))
			if refused == nil || refused.Code != "23001" || refused.Message != table+" is append-only" {
				t.Errorf("%s: %v, want it refused as append-only", fmt.Sprintf(sql, table), refused)
			}
		}
	}
}

func firstColumn(t *testing.T, db *pgtest.Database, table string) string {
	t.Helper()
	var name string
	err := db.Owner.QueryRow(t.Context(), "SELECT attname FROM pg_attribute WHERE attrelid = $1::regclass AND attnum = 1", table).Scan(&name)
	if err != nil {
		t.Fatal(err)
	}
	return name
}

func TestEveryTriggerIsAttacked(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	ledgertest.Audit(t, db)
	rows, err := db.Owner.Query(t.Context(), "SELECT tgname FROM pg_trigger WHERE NOT tgisinternal ORDER BY tgname")
	if err != nil {
		t.Fatal(err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	var attacked []string
	for _, table := range appendOnly {
		attacked = append(attacked, table+"_are_append_only")
	}
	if diff := cmp.Diff(names, attacked); diff != "" {
		t.Errorf("triggers (-in the database +attacked):\n%s", diff)
	}
}

// I4: the service's role lacks the right, before any trigger is asked.
func TestServiceRoleMayOnlyDoWhatTheLedgerDoes(t *testing.T) {
	t.Parallel()
	b := openWithHistory(t)
	var forbidden []string
	for _, table := range append(slices.Clone(appendOnly), "legs", "order_lines", "subscriptions", "accounts", "books", "enrolments") {
		forbidden = append(forbidden, "DELETE FROM "+table, "TRUNCATE "+table, "DROP TABLE "+table, "ALTER TABLE "+table+" DISABLE TRIGGER ALL")
	}
	for _, table := range appendOnly {
		forbidden = append(forbidden, fmt.Sprintf("UPDATE %s SET %s = NULL", table, firstColumn(t, b.DB, table)))
	}
	forbidden = append(forbidden, "INSERT INTO books (book) VALUES (9)", "UPDATE accounts SET name = 'x'", "UPDATE accounts SET guarded = false",
		"UPDATE accounts SET kind = 'reserve_cash'", "UPDATE legs SET captured_fen = 1", "UPDATE order_lines SET allocated_fen = '{}'",
		"UPDATE subscriptions SET amount_fen = 1", "TRUNCATE pending", "SET session_replication_role = replica", "CREATE TABLE mine (x int)",
		"CREATE ROLE friend", "COPY requests TO PROGRAM 'true'")
	for _, sql := range forbidden {
		tx, err := b.DB.Pool.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var refused *pgconn.PgError
		_, err = tx.Exec(t.Context(), sql)
		if !errors.As(err, &refused) || refused.Code != "42501" {
			t.Errorf("%s as %s: %v, want no permission", sql, postgres.ServiceRole, err)
		}
		if err := tx.Rollback(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

func TestBooksAreCreatedOnceAndTheirNumberIsFixed(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	ledgertest.Audit(t, db)
	if refused := attack(t, db, "SELECT create_books(4)"); refused != nil {
		t.Errorf("creating the same number again: %v", refused)
	}
	for _, n := range []int{-1, 0, 3, 5, 1025} {
		if refused := attack(t, db, fmt.Sprintf("SELECT create_books(%d)", n)); refused == nil || refused.Code != "23514" {
			t.Errorf("%d books: %v, want it refused", n, refused)
		}
	}
}

// A write behind the lock of a book is found by the next batch, which then runs again with fresh reads.
func TestWriteThatMeetsAChangedRowFailsTheBatch(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	ledgertest.Audit(t, db)
	refused := attack(t, db, "SELECT expect_rows('legs', 1, 2)")
	if refused == nil || refused.Code != "40001" || !strings.Contains(refused.Message, "legs changed 1 rows, expected 2") {
		t.Errorf("%v, want a serialization failure", refused)
	}
	if refused := attack(t, db, "SELECT expect_rows('legs', 2, 2)"); refused != nil {
		t.Error(refused)
	}
}
