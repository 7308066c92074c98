package postgres_test

import (
	"testing"

	"github.com/settled-dev/settled/internal/postgres"
	"github.com/settled-dev/settled/internal/postgres/pgtest"
)

// What was applied before days were counted is not counted: a book begins behind its last transfer.
func TestBooksOfTheVersionBeforeCountWhatComes(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, pgtest.Empty())
	if err := postgres.MigrateFrom(t.Context(), db.URL, migrationsBefore(t, "00023"), postgres.MigrateOptions{Books: 2}); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Owner.Exec(t.Context(), "UPDATE books SET next_transfer = 8 WHERE book = 1"); err != nil {
		t.Fatal(err)
	}
	if err := postgres.Migrate(t.Context(), db.URL, postgres.MigrateOptions{}); err != nil {
		t.Fatal(err)
	}
	for book, want := range []int{1, 8} {
		var from, to int
		err := db.Owner.QueryRow(t.Context(), "SELECT counted_from, counted_to FROM books WHERE book = $1", book).Scan(&from, &to)
		if err != nil || from != want || to != want {
			t.Errorf("book %d counts from %d to %d (%v), want from %d", book, from, to, err, want)
		}
	}
}
