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
// the code decides before is not asked. Each migration's are in a file of their own.
var attacks = joined(attacksOnBooks, attacksOnSlots, attacksOnAPIKeys, attacksOnRechargeOrders, attacksOnWebhooks, attacksOnCaseClosings,
	attacksOnSentDays)

// joined holds every entry of the parts. It panics on a name that two of them have.
func joined(parts ...map[string]string) map[string]string {
	all := map[string]string{}
	for _, part := range parts {
		for name, sql := range part {
			if _, twice := all[name]; twice {
				panic("two attacks on " + name)
			}
			all[name] = sql
		}
	}
	return all
}

// insertInto inserts one row, of SQL expressions by column.
func insertInto(table string, row map[string]string) string {
	var columns, values []string
	for _, column := range slices.Sorted(maps.Keys(row)) {
		columns, values = append(columns, column), append(values, row[column])
	}
	return "INSERT INTO " + table + " (" + strings.Join(columns, ", ") + ") VALUES (" + strings.Join(values, ", ") + ")"
}

// openWithHistory opens books in which every table that the attacks copy from has rows.
func openWithHistory(t *testing.T) *ledgertest.Books {
	t.Helper()
	b := ledgertest.Open(t)
	payment := ledgertest.Payment("o1", "u1", ledgertest.Leg(tasks.SourceCash, "80.00"), ledgertest.Leg(tasks.SourceWeChat, "20.00"))
	payment.Lines = []tasks.Line{{LineID: "l1", Kind: tasks.Goods, Amount: ledgertest.Yuan("100.00")}}
	ledgertest.Applied(t, b.Do(t, ledgertest.Recharge("r1", "u1", "100.00"), payment, ledgertest.Refund("rf1", "o1", "u1", "30.00"),
		ledgertest.Transfer("t1", "u1", "u2", "1.00"), ledgertest.Enrolment("e1", "u1", "5.00"), &tasks.Sweep{ProductID: "xiaojinku", BusinessDate: "2026-03-02"})...)
	b.Settle(t)
	ledgertest.Applied(t, b.Do(t, credit(suspended(t, b, "s1", "u1", "10.00"), "u1"))...)
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
var appendOnly = []string{"attempts", "case_closings", "cases", "channel_receipts", "conflicts", "orders", "outcomes", "policies", "recharge_ids", "requests", "slots",
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

// endedOnce are the tables whose rows can be ended once, and changed in no other way by anybody.
var endedOnce = []struct {
	table, trigger string
	row            string // inserts a row that has not ended
	end, begin     string // ends it; would take that back
	change         string // changes something else of it
}{
	{"api_keys", "api_keys_are_only_revoked", newAPIKey("label", "'till 3'"), "revoked_at = now(), revoked_by = 'ada'",
		"revoked_at = NULL, revoked_by = NULL", "scopes = '{operate}'"},
	{"recharge_orders", "recharge_orders_are_only_closed", newRechargeOrder("user_id", "'u1'"), "closed_at = now()", "closed_at = NULL",
		"amount_fen = 1"},
}

func TestRowsThatEndOnceRefuseEveryOtherChange(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	ledgertest.Audit(t, db)
	for _, e := range endedOnce {
		update := "; UPDATE " + e.table + " SET "
		if refused := attack(t, db, e.row+update+e.end); refused != nil {
			t.Errorf("%s: ending a row: %v", e.table, refused)
		}
		for name, sql := range map[string]string{
			"change":               update + e.change,
			"change with the end":  update + e.end + ", " + e.change,
			"change after the end": update + e.end + update + e.change,
			"end twice":            update + e.end + update + e.end,
			"begin again":          update + e.end + update + e.begin,
			"delete":               "; DELETE FROM " + e.table,
			"delete nothing":       "; DELETE FROM " + e.table + " WHERE false",
			"truncate":             "; TRUNCATE " + e.table,
		} {
			refused := attack(t, db, e.row+sql)
			if refused == nil || refused.Code != "23001" || !strings.HasPrefix(refused.Message, e.table+" is append-only") {
				t.Errorf("%s: %s: %v, want it refused as append-only", e.table, name, refused)
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
	for _, e := range endedOnce {
		attacked = append(attacked, e.table+"_are_append_only", e.trigger)
	}
	// These refuse nothing: packages webhook and internal/postgres show what the first two do, and the audit's I11 what the others keep.
	attacked = append(attacked, "older_couriers_answer_of_gone_is_one", "older_apis_orders_are_inquired_about", "opened_cases_are_listed",
		"closed_cases_are_not_listed")
	slices.Sort(attacked)
	if diff := cmp.Diff(names, attacked); diff != "" {
		t.Errorf("triggers (-in the database +attacked):\n%s", diff)
	}
}

// I4: the service's role lacks the right, before any trigger is asked.
func TestServiceRoleMayOnlyDoWhatTheLedgerDoes(t *testing.T) {
	t.Parallel()
	b := openWithHistory(t)
	var forbidden []string
	for _, table := range append(slices.Clone(appendOnly), "api_keys", "recharge_orders", "webhook_endpoints", "webhook_cursors", "webhook_messages", "legs", "order_lines", "subscriptions", "accounts", "books", "enrolments", "sent_days") {
		forbidden = append(forbidden, "DELETE FROM "+table, "TRUNCATE "+table, "DROP TABLE "+table, "ALTER TABLE "+table+" DISABLE TRIGGER ALL")
	}
	for _, table := range appendOnly {
		forbidden = append(forbidden, fmt.Sprintf("UPDATE %s SET %s = NULL", table, firstColumn(t, b.DB, table)))
	}
	forbidden = append(forbidden, "INSERT INTO books (book) VALUES (9)", "UPDATE accounts SET name = 'x'", "UPDATE accounts SET guarded = false",
		"UPDATE accounts SET kind = 'reserve_cash'", "UPDATE legs SET captured_fen = 1", "UPDATE order_lines SET allocated_fen = '{}'",
		"UPDATE subscriptions SET amount_fen = 1", "TRUNCATE pending", "SET session_replication_role = replica", "CREATE TABLE mine (x int)",
		newEndpoint("next_sequence", "7"), "UPDATE webhook_endpoints SET url = 'https://mine.example'",
		"UPDATE webhook_endpoints SET producer = 'mine'", "UPDATE webhook_endpoints SET events = '{}'",
		"UPDATE webhook_messages SET request_id = gen_random_uuid()",
		newAPIKey("label", "'mine'"), "UPDATE api_keys SET revoked_at = NULL", "UPDATE recharge_orders SET amount_fen = 1",
		"UPDATE sent_days SET user_id = 'x'", "UPDATE sent_days SET business_date = '2026-03-03'",
		"TRUNCATE open_cases", "UPDATE open_cases SET opened_at = now()",
		"TRUNCATE recharge_inquiries", "UPDATE recharge_inquiries SET recharge_id = 'mine'", "UPDATE recharge_inquiries SET channel = 'ecny'",
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
