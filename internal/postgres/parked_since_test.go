package postgres_test

import (
	"io/fs"
	"os"
	"testing"
	"testing/fstest"

	"github.com/settled-dev/settled/internal/postgres"
	"github.com/settled-dev/settled/internal/postgres/pgtest"
)

// migrationsBefore are those of the versions before a migration.
func migrationsBefore(t *testing.T, number string) fs.FS {
	t.Helper()
	before := fstest.MapFS{}
	names, err := fs.Glob(os.DirFS("migrations"), "*.sql")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if name >= number {
			break
		}
		content, err := os.ReadFile("migrations/" + name)
		if err != nil {
			t.Fatal(err)
		}
		before[name] = &fstest.MapFile{Data: content}
	}
	return before
}

// Migrations run while workers of the version before park and wake: they know nothing of the column.
func TestWorkersOfTheVersionBeforeParkAcrossTheMigration(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, pgtest.Empty())
	if err := postgres.MigrateFrom(t.Context(), db.URL, migrationsBefore(t, "00012"), postgres.MigrateOptions{Books: 1}); err != nil {
		t.Fatal(err)
	}
	park := func() {
		t.Helper()
		if _, err := db.Owner.Exec(t.Context(), `INSERT INTO pending (book, request_id, kind, state, accepted_at, ring_at, attempts, waits_for)
			VALUES (0, gen_random_uuid(), 'refund:apply', 'parked', now() - interval '1 hour', now(), 0, 'payment:capture/o1')`); err != nil {
			t.Fatal(err)
		}
	}
	park()
	if err := postgres.Migrate(t.Context(), db.URL, postgres.MigrateOptions{}); err != nil {
		t.Fatal(err)
	}
	park()
	var parked, fromAcceptance, recent int
	if err := db.Owner.QueryRow(t.Context(), `SELECT count(*), count(*) FILTER (WHERE parked_at = accepted_at),
		count(*) FILTER (WHERE parked_at > accepted_at + interval '59 minutes') FROM pending WHERE state = 'parked'`).
		Scan(&parked, &fromAcceptance, &recent); err != nil {
		t.Fatal(err)
	}
	if parked != 2 || fromAcceptance != 1 || recent != 1 {
		t.Errorf("of %d parked requests %d wait since their acceptance and %d since now, want one of each", parked, fromAcceptance, recent)
	}
}
