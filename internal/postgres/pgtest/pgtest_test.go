package pgtest_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/settled-dev/settled/internal/postgres"
	"github.com/settled-dev/settled/internal/postgres/pgtest"
)

func TestEveryDatabaseIsMigratedAndItsOwn(t *testing.T) {
	t.Parallel()
	first, second := pgtest.New(t), pgtest.New(t)
	if _, err := first.Owner.Exec(t.Context(), `CREATE TABLE jars (coins int)`); err != nil {
		t.Fatal(err)
	}
	if _, err := second.Owner.Exec(t.Context(), `SELECT * FROM jars`); err == nil {
		t.Error("one test's table is seen by another")
	}
	for _, db := range []*pgtest.Database{first, second} {
		if got := countBooks(t, db); got != 4 {
			t.Errorf("%d books, want 4", got)
		}
	}
}

func TestNumberOfBooksIsTheTestsChoice(t *testing.T) {
	t.Parallel()
	for _, want := range []int{1, 7, 0} {
		if got := countBooks(t, pgtest.New(t, pgtest.Books(want))); got != want {
			t.Errorf("%d books, want %d", got, want)
		}
	}
}

func TestPoolsAreSmallUnlessAskedFor(t *testing.T) {
	t.Parallel()
	for want, db := range map[int32]*pgtest.Database{8: pgtest.New(t), 3: pgtest.New(t, pgtest.MaxConns(3))} {
		if got := []int32{db.Pool.Config().MaxConns, db.Owner.Config().MaxConns}; got[0] != want || got[1] != want {
			t.Errorf("MaxConns = %d, want %d", got, want)
		}
	}
}

func TestCleanupsRunBeforeTheDatabaseIsDropped(t *testing.T) {
	t.Parallel()
	var (
		name  string
		order []string
	)
	t.Run("owner of the database", func(t *testing.T) {
		db := pgtest.New(t)
		for _, check := range []string{"first", "second"} {
			db.OnCleanup(func(ctx context.Context, t testing.TB) {
				order = append(order, check)
				if err := db.Pool.QueryRow(ctx, `SELECT current_database()`).Scan(&name); err != nil {
					t.Errorf("database is gone at cleanup: %v", err)
				}
			})
		}
		t.Cleanup(func() { order = append(order, "the test's own") })
	})
	if diff := cmp.Diff([]string{"the test's own", "second", "first"}, order); diff != "" {
		t.Errorf("order of cleanups (-want +got):\n%s", diff)
	}
	if slices.Contains(databases(t), name) {
		t.Errorf("database %s is still there", name)
	}
}

func TestManyDatabasesAtOnce(t *testing.T) {
	t.Parallel()
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			t.Run(fmt.Sprint(i), func(t *testing.T) {
				if got := countBooks(t, pgtest.New(t)); got != 4 {
					t.Errorf("%d books, want 4", got)
				}
			})
		})
	}
	all.Wait()
}

func TestPrivateServerIsDurableAndComesBackWithItsData(t *testing.T) {
	t.Parallel()
	server, db := pgtest.NewPrivate(t, pgtest.Books(2))
	var durable string
	if err := db.Owner.QueryRow(t.Context(), `SELECT current_setting('fsync')`).Scan(&durable); err != nil || durable != "on" {
		t.Errorf("fsync = %s, %v; want on", durable, err)
	}
	if err := server.Restart(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	again, err := postgres.Connect(t.Context(), db.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = again.Close(t.Context()) }()
	var books int
	if err := again.QueryRow(t.Context(), `SELECT count(*) FROM books`).Scan(&books); err != nil || books != 2 {
		t.Errorf("%d books after a crash, %v; want 2", books, err)
	}
}

func countBooks(t *testing.T, db *pgtest.Database) int {
	t.Helper()
	var books int
	if err := db.Pool.QueryRow(t.Context(), `SELECT count(*) FROM books`).Scan(&books); err != nil {
		t.Fatal(err)
	}
	return books
}

func databases(t *testing.T) []string {
	t.Helper()
	conn, err := postgres.Connect(t.Context(), pgtest.Server(t))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(t.Context()) }()
	var names []string
	if err := conn.QueryRow(t.Context(), `SELECT array_agg(datname::text) FROM pg_database`).Scan(&names); err != nil {
		t.Fatal(err)
	}
	return names
}
