package postgres_test

import (
	"context"
	"errors"
	"net/url"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/settled-dev/settled/internal/devstack"
	"github.com/settled-dev/settled/internal/postgres"
	"github.com/settled-dev/settled/internal/postgres/pgtest"
)

func TestServicePoolActsAsTheServiceRoleAndOwnerPoolDoesNot(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	if got := current(t, db.Pool, "role"); got != postgres.ServiceRole {
		t.Errorf("service pool acts as %s, want %s", got, postgres.ServiceRole)
	}
	if got := current(t, db.Owner, "role"); got == postgres.ServiceRole {
		t.Error("owner pool acts as the service role")
	}
	if got := current(t, db.Pool, "application_name"); got != t.Name() {
		t.Errorf("application_name = %s, want %s", got, t.Name())
	}
}

func TestServiceRoleCannotChangeWhatIsAppendOnly(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	for _, table := range []string{"requests", "outcomes", "transfers"} {
		for _, statement := range []string{"DELETE FROM " + table, "TRUNCATE " + table, "UPDATE " + table + " SET book = book"} {
			if _, err := db.Pool.Exec(t.Context(), statement); err == nil {
				t.Errorf("%s succeeded", statement)
			}
		}
	}
}

func TestDefaultsGiveWayToTheURLAndTheURLToOptions(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, pgtest.MaxConns(2))
	for name, test := range map[string]struct {
		query    string
		options  []postgres.Option
		maxConns int32
		settings map[string]string
	}{
		"defaults": {
			maxConns: postgres.MaxConnsDefault,
			settings: map[string]string{
				"application_name": "settled", "lock_timeout": "10s", "statement_timeout": "0", "TimeZone": "UTC",
				"idle_in_transaction_session_timeout": "1min",
			},
		},
		"URL": {
			query:    "pool_max_conns=3&lock_timeout=7000&application_name=theirs",
			maxConns: 3,
			settings: map[string]string{"application_name": "theirs", "lock_timeout": "7s"},
		},
		"options": {
			query:    "pool_max_conns=3&application_name=theirs&statement_timeout=9000",
			options:  []postgres.Option{postgres.MaxConns(5), postgres.ApplicationName("ours")},
			maxConns: 5,
			settings: map[string]string{"application_name": "ours", "statement_timeout": "9s"},
		},
		"last word": {
			options:  []postgres.Option{postgres.Configure(func(c *pgxpool.Config) { c.MaxConns = 1 })},
			maxConns: 1,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pool, err := postgres.Open(t.Context(), withQuery(t, db.URL, test.query), test.options...)
			if err != nil {
				t.Fatal(err)
			}
			defer pool.Close()
			if got := pool.Config().MaxConns; got != test.maxConns {
				t.Errorf("MaxConns = %d, want %d", got, test.maxConns)
			}
			for setting, want := range test.settings {
				if got := current(t, pool, setting); got != want {
					t.Errorf("%s = %s, want %s", setting, got, want)
				}
			}
		})
	}
}

func TestServerThatAcknowledgesBeforeItIsDurableIsRefused(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	careless := withQuery(t, db.URL, "synchronous_commit=off")
	if _, err := postgres.Open(t.Context(), careless); !errors.Is(err, postgres.ErrAsyncCommit) {
		t.Errorf("error = %v, want ErrAsyncCommit", err)
	}
}

func TestLaterConnectionsWaitForTheirCommitsWhateverTheDatabaseSays(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	pool, err := postgres.Open(t.Context(), db.URL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	for said, want := range map[string]string{"off": "on", "remote_apply": "remote_apply"} {
		name := pgx.Identifier{db.Pool.Config().ConnConfig.Database}.Sanitize()
		if _, err := db.Owner.Exec(t.Context(), "ALTER DATABASE "+name+" SET synchronous_commit = "+said); err != nil {
			t.Fatal(err)
		}
		pool.Reset()
		if got := current(t, pool, "synchronous_commit"); got != want {
			t.Errorf("with %s in the database a new connection has %s, want %s", said, got, want)
		}
	}
}

func TestOwnerWhoIsNotASuperuserMigratesAndServes(t *testing.T) {
	t.Parallel()
	server, err := devstack.StartPostgres(t.Context(), devstack.PostgresOptions{Fast: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Stop(context.Background()) })
	if _, err := postgres.Open(t.Context(), server.URL); !errors.Is(err, postgres.ErrNotMigrated) {
		t.Errorf("before any migration: %v, want ErrNotMigrated", err)
	}
	admin, err := postgres.Connect(t.Context(), server.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = admin.Close(t.Context()) }()
	for _, statement := range []string{`CREATE ROLE keeper LOGIN CREATEROLE`, `CREATE DATABASE books OWNER keeper`} {
		if _, err := admin.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	parsed, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	parsed.User, parsed.Path = url.User("keeper"), "/books"
	for range 2 {
		if err := postgres.Migrate(t.Context(), parsed.String(), postgres.MigrateOptions{Books: 2}); err != nil {
			t.Fatal(err)
		}
	}
	pool, err := postgres.Open(t.Context(), parsed.String())
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	var books int
	if err := pool.QueryRow(t.Context(), `SELECT count(*) FROM books`).Scan(&books); err != nil || books != 2 {
		t.Errorf("%d books, %v; want 2", books, err)
	}
}

// The ledger reads after it has locked a book, and is to see what the last batch left.
func TestServiceReadsWhatIsCommittedWhateverTheDatabasePrefers(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	prefer := `DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET default_transaction_isolation = serializable', current_database()); END $$`
	if _, err := db.Owner.Exec(t.Context(), prefer); err != nil {
		t.Fatal(err)
	}
	pool, err := postgres.Open(t.Context(), db.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	if got := current(t, pool, "default_transaction_isolation"); got != "read committed" {
		t.Errorf("transactions are %s", got)
	}
}

func TestDatabaseWithoutTablesIsNotServed(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t) // its server has the role
	parsed, err := url.Parse(db.URL)
	if err != nil {
		t.Fatal(err)
	}
	parsed.Path += "_empty"
	empty := pgx.Identifier{parsed.Path[1:]}.Sanitize()
	if _, err := db.Owner.Exec(t.Context(), "CREATE DATABASE "+empty+" TEMPLATE template0"); err != nil {
		t.Fatal(err)
	}
	db.OnCleanup(func(ctx context.Context, t testing.TB) {
		if _, err := db.Owner.Exec(ctx, "DROP DATABASE "+empty); err != nil {
			t.Error(err)
		}
	})
	if _, err := postgres.Open(t.Context(), parsed.String()); !errors.Is(err, postgres.ErrNotMigrated) {
		t.Errorf("error = %v, want ErrNotMigrated", err)
	}
	owner, err := postgres.OpenOwner(t.Context(), parsed.String())
	if err != nil {
		t.Fatalf("its owner, who is about to migrate it: %v", err)
	}
	owner.Close()
}

// current returns a setting as the pool's connections have it; "role" is whom they act as.
func current(t *testing.T, pool *pgxpool.Pool, setting string) string {
	t.Helper()
	var value string
	query := `SELECT CASE WHEN $1 = 'role' THEN current_user::text ELSE current_setting($1) END`
	if err := pool.QueryRow(t.Context(), query, setting).Scan(&value); err != nil {
		t.Fatal(err)
	}
	return value
}

// withQuery returns raw with further parameters, and without what else DATABASE_URL says about pools.
func withQuery(t *testing.T, raw, query string) string {
	t.Helper()
	parsed, err := url.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	values := parsed.Query()
	for _, name := range []string{"pool_max_conns", "application_name", "lock_timeout", "statement_timeout"} {
		values.Del(name)
	}
	parsed.RawQuery = values.Encode() + "&" + query
	return parsed.String()
}
