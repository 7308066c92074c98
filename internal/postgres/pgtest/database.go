package pgtest

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/settled-dev/settled/internal/clock"
	"github.com/settled-dev/settled/internal/devstack"
	"github.com/settled-dev/settled/internal/postgres"
)

const (
	// booksDefault is the number of books that a new ledger starts with.
	booksDefault = 4
	// maxConnsDefault leaves room for many tests at once on a server with 100 connections.
	maxConnsDefault = 8
	// closeTimeout is how long a pool waits for connections that a test still holds.
	closeTimeout = 10 * time.Second
	// cleanupTimeout bounds each OnCleanup function, an audit of all that a test wrote.
	cleanupTimeout = time.Minute
)

// Database is a test's own database. Its pools may be used by many goroutines at the same time.
type Database struct {
	// URL names the database, as the owner of everything in it.
	URL string
	// Pool acts as the service role.
	Pool *pgxpool.Pool
	// Owner acts as the owner: what the service must not do, a test may.
	Owner *pgxpool.Pool

	mu       sync.Mutex
	cleanups []func(context.Context, testing.TB)
}

// Option changes the database that New and NewPrivate make.
type Option func(*settings)

type settings struct {
	books    int
	maxConns int32
	empty    bool
}

// Books sets the number of books of the ledger. Defaults to 4. The special value 0 creates none.
func Books(n int) Option { return func(s *settings) { s.books = n } }

// MaxConns sets the size of each of the two pools. Defaults to 8.
func MaxConns(n int32) Option { return func(s *settings) { s.maxConns = n } }

// Empty leaves the database without any migration, and Pool nil: there is no role yet that it could act as.
func Empty() Option { return func(s *settings) { s.empty = true } }

// New gives t a database on the shared server. It is dropped when t ends.
func New(t testing.TB, options ...Option) *Database {
	t.Helper()
	s := newSettings(options)
	server := Server(t)
	url, err := createDatabase(t.Context(), server, s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		// The test's own context has ended by now.
		if err := dropDatabase(context.WithoutCancel(t.Context()), server, url); err != nil {
			t.Error(err)
		}
	})
	return open(t, url, s)
}

// NewPrivate gives t a durable server of its own, with a migrated database on it, for a test that crashes or restarts
// the server. Both are gone when t ends. It takes a second or two. When t leaves the server stopped, OnCleanup functions
// that need it fail.
func NewPrivate(t testing.TB, options ...Option) (*devstack.Postgres, *Database) {
	t.Helper()
	s := newSettings(options)
	server, err := devstack.StartPostgres(t.Context(), devstack.PostgresOptions{InMemory: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	if !s.empty {
		if err := postgres.Migrate(t.Context(), server.URL, postgres.MigrateOptions{Books: s.books}); err != nil {
			t.Fatal(err)
		}
	}
	return server, open(t, server.URL, s)
}

// OnCleanup makes check run when the test ends, before the pools close, with a context that is still alive. Functions
// run in the reverse order of their registration. check reports what it finds to the test that it is given.
func (db *Database) OnCleanup(check func(ctx context.Context, t testing.TB)) {
	db.mu.Lock()
	defer db.mu.Unlock()
	db.cleanups = append(db.cleanups, check)
}

func newSettings(options []Option) settings {
	s := settings{books: booksDefault, maxConns: maxConnsDefault}
	for _, option := range options {
		option(&s)
	}
	return s
}

// open opens the pools on the database at url, and registers their end.
func open(t testing.TB, url string, s settings) *Database {
	t.Helper()
	db := &Database{URL: url}
	var err error
	db.Owner, err = postgres.OpenOwner(t.Context(), url,
		postgres.MaxConns(s.maxConns), postgres.ApplicationName(t.Name()+" (owner)"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closePool(t, "owner's", db.Owner, closeTimeout) })
	if !s.empty {
		db.Pool, err = postgres.Open(t.Context(), url,
			postgres.MaxConns(s.maxConns), postgres.ApplicationName(t.Name()))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { closePool(t, "service's", db.Pool, closeTimeout) })
	}
	t.Cleanup(func() { db.runCleanups(t) })
	return db
}

// runCleanups runs the OnCleanup functions, the last registered first. One that ends the test's goroutine does not
// keep the others from running, because each is a cleanup of the test's own.
func (db *Database) runCleanups(t testing.TB) {
	db.mu.Lock()
	defer db.mu.Unlock()
	for _, check := range db.cleanups {
		t.Cleanup(func() {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), cleanupTimeout)
			defer cancel()
			check(ctx, t)
		})
	}
}

// closePool closes pool and fails t when the test still holds connections of it after timeout.
func closePool(t testing.TB, whose string, pool *pgxpool.Pool, timeout time.Duration) {
	t.Helper()
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		pool.Close() // waits for every connection to come back
	}()
	select {
	case <-closed:
	case <-clock.System.After(timeout):
		t.Errorf("%d connections of the %s pool were not given back", pool.Stat().AcquiredConns(), whose)
	}
}
