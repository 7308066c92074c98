package main

import (
	"context"
	"fmt"
	"runtime"
	"time"

	"github.com/settled-dev/settled/internal/postgres"
)

// booksDefault is the number of books of a new ledger: enough lanes to keep a PostgreSQL of some cores busy.
const booksDefault = 4

// localBooks is the number of books of a ledger on a PostgreSQL of this machine: a lane a core, and two at least, so that transfers
// between books happen (docs/adr/0009).
func localBooks() int { return min(max(2, runtime.NumCPU()), 8) }

type migrateCommand struct {
	databaseFlags

	Books int `placeholder:"N" help:"Books of the ledger, 1 to 1024: fixed for ever by the first migration (default 4, or as many as there are)."`
}

// Help is shown below the command's summary.
func (migrateCommand) Help() string {
	return `May run twice and at the same time as others. While the system runs it holds up whatever writes to a table that it changes: ` +
		`in a large database accepting or applying stands still until it is done, and nothing accepted is lost. DATABASE_URL's user owns ` +
		`the tables, and must be allowed to create a role. A user lives in one book; each book is applied by one lane at a time, so as many books ` +
		`as PostgreSQL has cores is a good number. Example:

    $ settled migrate
    00001_books.sql  38 ms
    4 books`
}

// Run migrates.
func (c *migrateCommand) Run(ctx context.Context, p *Program) error {
	url, err := c.require()
	if err != nil {
		return err
	}
	if c.Books < 0 || c.Books > 1024 {
		return &usageError{problem: fmt.Sprintf("--books: is %d; allowed: 1 to 1024", c.Books)}
	}
	books, err := migrate(ctx, url, c.Books, func(name string, took time.Duration) {
		fmt.Fprintf(p.Stdout, "%s  %d ms\n", name, took.Milliseconds())
	})
	if err == nil {
		fmt.Fprintln(p.Stdout, plural(books, "book"))
	}
	return err
}

// migrate brings the database up to date and returns its number of books. wanted 0 creates the default number of them in a new
// ledger, and keeps those of another. applied is told of each migration that ran; it may be nil.
func migrate(ctx context.Context, url string, wanted int, applied func(string, time.Duration)) (int, error) {
	if err := postgres.Migrate(ctx, url, postgres.MigrateOptions{Books: wanted, Applied: applied}); err != nil {
		if postgres.IsContent(err) {
			return 0, &usageError{problem: fmt.Sprintf("--books: is %d; %s", wanted, postgres.Said(err))}
		}
		return 0, err
	}
	pool, err := postgres.Open(ctx, url, postgres.MaxConns(1), postgres.ApplicationName("settled migrate"))
	if err != nil {
		return 0, err
	}
	defer pool.Close()
	var books int
	if err := pool.QueryRow(ctx, "SELECT count(*) FROM books").Scan(&books); err != nil {
		return 0, fmt.Errorf("count books: %w", err)
	}
	if books > 0 {
		return books, nil
	}
	if err := postgres.Migrate(ctx, url, postgres.MigrateOptions{Books: booksDefault}); err != nil {
		return 0, err
	}
	return booksDefault, nil
}
