package postgres_test

import (
	"io/fs"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/settled-dev/settled/internal/postgres"
	"github.com/settled-dev/settled/internal/postgres/pgtest"
)

func TestManyMigrateAtOnceAndEachMigrationRunsOnce(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, pgtest.Empty())
	migrations := migrationFiles(map[string]string{
		"00001_jars.sql":  "CREATE TABLE jars (coins int);",
		"00002_coins.sql": "INSERT INTO jars VALUES (1);",
	})
	var (
		mu      sync.Mutex
		applied []string
		all     sync.WaitGroup
	)
	for range 4 {
		all.Go(func() {
			err := postgres.MigrateFrom(t.Context(), db.URL, migrations, postgres.MigrateOptions{
				Applied: func(name string, _ time.Duration) {
					mu.Lock()
					defer mu.Unlock()
					applied = append(applied, name)
				},
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if diff := cmp.Diff([]string{"00001_jars.sql", "00002_coins.sql"}, applied); diff != "" {
		t.Errorf("migrations that ran (-want +got):\n%s", diff)
	}
	var coins int
	if err := db.Owner.QueryRow(t.Context(), `SELECT sum(coins) FROM jars`).Scan(&coins); err != nil || coins != 1 {
		t.Errorf("%d coins, %v; want 1", coins, err)
	}
}

func TestMigrationThatFailsNamesItselfAndKeepsThoseBefore(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, pgtest.Empty())
	files := map[string]string{
		"00001_jars.sql":  "CREATE TABLE jars (coins int);",
		"00002_coins.sql": "INSERT INTO jars VALUES (1); INSERT INTO jars VALUES ('many');",
	}
	var applied []string
	note := postgres.MigrateOptions{Applied: func(name string, _ time.Duration) { applied = append(applied, name) }}
	err := postgres.MigrateFrom(t.Context(), db.URL, migrationFiles(files), note)
	if err == nil || !strings.Contains(err.Error(), "00002_coins.sql") || !postgres.IsContent(err) {
		t.Errorf("error = %v, want the server's, naming 00002_coins.sql", err)
	}
	files["00002_coins.sql"] = "INSERT INTO jars VALUES (1);"
	if err := postgres.MigrateFrom(t.Context(), db.URL, migrationFiles(files), note); err != nil {
		t.Fatalf("mended: %v", err)
	}
	if diff := cmp.Diff([]string{"00001_jars.sql", "00002_coins.sql"}, applied); diff != "" {
		t.Errorf("migrations that ran (-want +got):\n%s", diff)
	}
	var coins int
	if err := db.Owner.QueryRow(t.Context(), `SELECT count(*) FROM jars`).Scan(&coins); err != nil || coins != 1 {
		t.Errorf("%d rows, %v; want 1: the failed migration left something", coins, err)
	}
}

func TestNumberOfBooksIsFixedByTheFirstMigrationThatNamesIt(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, pgtest.Empty())
	for _, step := range []struct{ books, want int }{{0, 0}, {3, 3}, {3, 3}, {0, 3}} {
		if err := postgres.Migrate(t.Context(), db.URL, postgres.MigrateOptions{Books: step.books}); err != nil {
			t.Fatalf("%d books: %v", step.books, err)
		}
		var got int
		if err := db.Owner.QueryRow(t.Context(), `SELECT count(*) FROM books`).Scan(&got); err != nil || got != step.want {
			t.Errorf("after Books: %d there are %d, %v; want %d", step.books, got, err, step.want)
		}
	}
	for _, books := range []int{4, 2, -1} {
		err := postgres.Migrate(t.Context(), db.URL, postgres.MigrateOptions{Books: books})
		if !postgres.IsContent(err) {
			t.Errorf("%d books: %v, want a refusal", books, err)
		}
	}
}

func TestHashOfMigrationsIsStable(t *testing.T) {
	t.Parallel()
	first, err := postgres.MigrationsHash()
	if err != nil || len(first) != 12 {
		t.Fatalf("hash = %q, %v; want 12 characters", first, err)
	}
	if second, err := postgres.MigrationsHash(); err != nil || second != first {
		t.Errorf("second hash = %q, %v; want %q", second, err, first)
	}
}

func migrationFiles(files map[string]string) fs.FS {
	migrations := fstest.MapFS{}
	for name, statements := range files {
		migrations[name] = &fstest.MapFile{Data: []byte("-- +goose Up\n" + statements + "\n")}
	}
	return migrations
}
