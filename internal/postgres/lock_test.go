package postgres_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/settled-dev/settled/internal/postgres"
	"github.com/settled-dev/settled/internal/postgres/pgtest"
)

func TestLockIsHeldByOneSessionUntilItEnds(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, pgtest.Empty())
	first, second := session(t, db.URL), session(t, db.URL)
	if err := postgres.Lock(t.Context(), first, 1); err != nil {
		t.Fatal(err)
	}
	if err := postgres.Lock(t.Context(), second, 2); err != nil {
		t.Errorf("another key: %v", err)
	}
	impatient, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if err := postgres.Lock(impatient, session(t, db.URL), 1); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the same key: %v, want the context's error", err)
	}
	waiting := make(chan error)
	go func() { waiting <- postgres.Lock(t.Context(), second, 1) }()
	if err := first.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-waiting; err != nil {
		t.Errorf("after the first session ended: %v", err)
	}
}

// session returns a connection that is closed when t ends.
func session(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := postgres.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}
