package drill

import (
	"strings"
	"testing"

	"github.com/settled-dev/settled/internal/postgres/pgtest"
)

// The drill looks twenty times a second at a system that may have much outstanding and many accounts: each row is found by its book and
// its key, however many there are.
func TestDrillFindsItsRowsByTheirBooks(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	ctx := t.Context()
	tx, err := db.Pool.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(ctx) }()
	// The tables are empty here; the planner is to show what it does with large ones.
	if _, err := tx.Exec(ctx, `SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off; SET LOCAL enable_hashjoin = off;
		SET LOCAL enable_mergejoin = off`); err != nil {
		t.Fatal(err)
	}
	for sql, conditions := range map[string][]string{
		outstandingSQL: {"(book = asked.book)", "(request_id = asked.id)"},
		overpaidSQL:    {"(book = given.book)", "(name = (given.account)::text)"},
	} {
		for from, to := range map[string]string{"$1": "NULL", "$2": "NULL", "$3": "NULL"} {
			sql = strings.ReplaceAll(sql, from, to)
		}
		rows, err := tx.Query(ctx, "EXPLAIN "+sql)
		if err != nil {
			t.Fatal(err)
		}
		var plan []string
		for rows.Next() {
			var line string
			if err := rows.Scan(&line); err != nil {
				t.Fatal(err)
			}
			plan = append(plan, line)
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
		want := "Index Cond: (" + strings.Join(conditions, " AND ") + ")"
		if text := strings.Join(plan, "\n"); !strings.Contains(text, want) {
			t.Errorf("the plan has no %s:\n%s", want, text)
		}
	}
}
