package postgres_test

import (
	"slices"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/settled-dev/settled/internal/postgres"
	"github.com/settled-dev/settled/internal/postgres/pgtest"
)

// Cases that were opened before open ones were listed are listed, unless they are closed; then cases are, until they are closed.
func TestOpenCasesOfTheVersionBeforeAreListed(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, pgtest.Empty())
	if err := postgres.MigrateFrom(t.Context(), db.URL, migrationsBefore(t, "00021"), postgres.MigrateOptions{Books: 1}); err != nil {
		t.Fatal(err)
	}
	const open = `INSERT INTO cases (book, request_id, ordinal, kind, account, amount_fen, detail, opened_at)
		VALUES (0, gen_random_uuid(), $1, 'failed_refund', 'channel/wechat/refunding', 100, 'x', now())`
	const closing = `INSERT INTO case_closings (book, request_id, ordinal, closing_request_id, closed_by, note, closed_at)
		SELECT book, request_id, ordinal, gen_random_uuid(), 'ada', 'x', now() FROM cases WHERE ordinal = $1`
	exec := func(sql string, ordinal int) {
		t.Helper()
		if _, err := db.Owner.Exec(t.Context(), sql, ordinal); err != nil {
			t.Fatal(err)
		}
	}
	exec(open, 1)
	exec(open, 2)
	exec(closing, 2)
	if err := postgres.Migrate(t.Context(), db.URL, postgres.MigrateOptions{}); err != nil {
		t.Fatal(err)
	}
	exec(open, 3)
	exec(open, 4)
	exec(closing, 4)
	rows, err := db.Owner.Query(t.Context(), `SELECT ordinal FROM open_cases JOIN cases USING (book, request_id, ordinal, opened_at) ORDER BY 1`)
	if err != nil {
		t.Fatal(err)
	}
	if listed, err := pgx.CollectRows(rows, pgx.RowTo[int]); err != nil || !slices.Equal(listed, []int{1, 3}) {
		t.Errorf("listed as open: %v, %v", listed, err)
	}
}
