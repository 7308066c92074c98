package pgtest

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/settled-dev/settled/internal/postgres"
)

// Two binaries share nothing but the server, as two calls of makeTemplate do.
func TestTemplateIsMadeOnceByManyBinariesOfOneServer(t *testing.T) {
	t.Parallel()
	const books = 11 // no other test's
	var (
		all   sync.WaitGroup
		mu    sync.Mutex
		names = map[string]bool{}
	)
	for range 4 {
		all.Go(func() {
			name, err := makeTemplate(t.Context(), Server(t), books)
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			names[name] = true
		})
	}
	all.Wait()
	if len(names) != 1 {
		t.Errorf("templates = %v, want one", names)
	}
}

func TestTemplateLeftHalfMadeIsMadeAnew(t *testing.T) {
	t.Parallel()
	const books = 12 // no other test's
	hash, err := postgres.MigrationsHash()
	if err != nil {
		t.Fatal(err)
	}
	conn, err := postgres.Connect(t.Context(), Server(t))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(t.Context()) }()
	name := fmt.Sprintf("settled_template_%s_%d", hash, books)
	// On a server that is kept, an earlier run left it whole.
	for _, statement := range []string{
		`UPDATE pg_database SET datistemplate = false WHERE datname = '%s'`, `DROP DATABASE IF EXISTS %s`, `CREATE DATABASE %s`,
	} {
		if _, err := conn.Exec(t.Context(), fmt.Sprintf(statement, name)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := makeTemplate(t.Context(), Server(t), books); err != nil {
		t.Fatal(err)
	}
	var got int
	if err := New(t, Books(books)).Pool.QueryRow(t.Context(), `SELECT count(*) FROM books`).Scan(&got); err != nil || got != books {
		t.Errorf("%d books, %v; want %d", got, err, books)
	}
}

func TestConnectionThatIsNotGivenBackFailsItsTest(t *testing.T) {
	t.Parallel()
	db := New(t)
	conn, err := db.Pool.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	seen := &recorder{TB: t}
	closePool(seen, "service's", db.Pool, time.Millisecond)
	if len(seen.errors) != 1 || !strings.Contains(seen.errors[0], "1 connections of the service's pool") {
		t.Errorf("errors = %q, want one that tells of the connection", seen.errors)
	}
	conn.Release()
}

// recorder is a test that only notes its errors.
type recorder struct {
	testing.TB
	errors []string
}

func (r *recorder) Errorf(format string, args ...any) {
	r.errors = append(r.errors, fmt.Sprintf(format, args...))
}
