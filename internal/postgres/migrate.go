package postgres

import (
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
)

//go:embed migrations/*.sql
var embedded embed.FS

// migrateLock is the advisory lock that a migration holds: "settledM" as a number.
const migrateLock int64 = 0x736574746c65644d

// MigrateOptions say what Migrate does besides running the migrations.
type MigrateOptions struct {
	// Books is the number of books of the ledger. It is fixed by the first migration that names it; another number is
	// refused later, with an IsContent error. The special value 0 leaves the books as they are. Defaults to 0.
	Books int
	// Applied is called after each migration that ran, in order. Defaults to nobody.
	Applied func(name string, took time.Duration)
}

// Migrate brings the database at url to the newest version of the schema. It may run twice, and at the same time as
// others: they wait for each other. url's user owns what is created, and must be allowed to create roles. Fails with
// *URLError, or the server's error in the migration that it names; what ran before that one stays.
func Migrate(ctx context.Context, url string, options MigrateOptions) error {
	migrations, err := fs.Sub(embedded, "migrations")
	if err != nil {
		return fmt.Errorf("open embedded migrations: %w", err)
	}
	return migrate(ctx, url, migrations, options)
}

// MigrationsHash returns a short hash over all migrations: it differs when a database migrated by this binary would.
func MigrationsHash() (string, error) {
	hash := sha256.New()
	names, err := fs.Glob(embedded, "migrations/*.sql") // sorted
	if err != nil {
		return "", fmt.Errorf("list embedded migrations: %w", err)
	}
	for _, name := range names {
		content, err := embedded.ReadFile(name)
		if err != nil {
			return "", fmt.Errorf("read embedded migration: %w", err)
		}
		fmt.Fprintf(hash, "%s %d\n", name, len(content))
		_, _ = io.WriteString(hash, string(content)) // a hash never fails
	}
	return hex.EncodeToString(hash.Sum(nil))[:12], nil
}

func migrate(ctx context.Context, url string, migrations fs.FS, options MigrateOptions) error {
	conn, err := Connect(ctx, url)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }() // releases the lock
	for _, step := range []func() error{
		func() error { return Lock(ctx, conn, migrateLock) },
		func() error { return up(ctx, conn.Config(), migrations, options.Applied) },
		func() error { return letOwnerServe(ctx, conn) },
		func() error { return createBooks(ctx, conn, options.Books) },
	} {
		if err := step(); err != nil {
			return fmt.Errorf("migrate DATABASE_URL %s: %w", Address(url), err)
		}
	}
	return nil
}

// up runs the migrations that the database has not seen. The caller holds migrateLock.
func up(ctx context.Context, config *pgx.ConnConfig, migrations fs.FS, applied func(string, time.Duration)) error {
	db := stdlib.OpenDB(*config)
	defer func() { _ = db.Close() }()
	provider, err := goose.NewProvider(goose.DialectPostgres, db, migrations, goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return fmt.Errorf("read migrations: %w", err)
	}
	results, err := provider.Up(ctx)
	partial := (*goose.PartialError)(nil)
	if errors.As(err, &partial) {
		results = partial.Applied
		err = fmt.Errorf("run migration %s: %w", partial.Failed.Source.Path, partial.Err)
	}
	if applied != nil {
		for _, result := range results {
			applied(result.Source.Path, result.Duration)
		}
	}
	return err
}

// letOwnerServe lets the user that migrates also act as ServiceRole, so that one DATABASE_URL is enough to start with.
// A superuser may act as anybody; a migration that created no such role leaves nothing to grant.
func letOwnerServe(ctx context.Context, conn *pgx.Conn) error {
	var needed bool
	if err := conn.QueryRow(ctx, selectNeedsServiceRole, ServiceRole).Scan(&needed); err != nil {
		return fmt.Errorf("ask for membership in %s: %w", ServiceRole, err)
	}
	if !needed {
		return nil
	}
	if _, err := conn.Exec(ctx, `GRANT `+ServiceRole+` TO CURRENT_USER`); err != nil {
		return fmt.Errorf("let the owner act as %s: %w", ServiceRole, err)
	}
	return nil
}

const selectNeedsServiceRole = `
SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)
   AND NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user)`

// createBooks makes the ledger's books, or checks that there are as many. 0 leaves them as they are.
func createBooks(ctx context.Context, conn *pgx.Conn, books int) error {
	if books == 0 {
		return nil
	}
	if _, err := conn.Exec(ctx, `SELECT create_books($1)`, books); err != nil {
		return fmt.Errorf("create %d books: %w", books, err)
	}
	return nil
}
