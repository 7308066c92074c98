package pgtest

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/url"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5"

	"github.com/settled-dev/settled/internal/postgres"
)

// templateLock is the advisory lock under which a template is made: "settledT" as a number. Advisory locks belong to
// a database: all take this one in the database that the server's URL names.
const templateLock int64 = 0x736574746c656454

// template is a migrated database that this binary has seen or made.
type template struct {
	once sync.Once
	name string
	err  error
}

// templates by the number of books in them.
var templates sync.Map

// createDatabase makes a database on the server at url server and returns its URL.
func createDatabase(ctx context.Context, server string, s settings) (string, error) {
	conn, err := postgres.Connect(ctx, server)
	if err != nil {
		return "", err
	}
	defer func() { _ = conn.Close(ctx) }()
	name := "settled_test_" + strings.ToLower(rand.Text())
	source := "template0"
	if !s.empty {
		if source, err = templateWith(ctx, server, s.books); err != nil {
			return "", err
		}
	}
	if err := copyDatabase(ctx, conn, name, source); err != nil {
		return "", err
	}
	return withDatabase(server, name)
}

// copyDatabase creates the database name as a copy of source, the way that is cheaper on this server. Copying files
// costs two checkpoints, which are next to nothing without fsync (16 ms against 33 to 260 ms through the log, where
// wal_compression is what makes the difference) and dear with it (create and drop: 1.1 s against 0.25 s).
func copyDatabase(ctx context.Context, conn *pgx.Conn, name, source string) error {
	var fsync bool
	if err := conn.QueryRow(ctx, `SELECT current_setting('fsync')::bool`).Scan(&fsync); err != nil {
		return fmt.Errorf("ask whether the tests' server is durable: %w", err)
	}
	strategy := "file_copy"
	if fsync {
		strategy = "wal_log"
	}
	_, err := conn.Exec(ctx, fmt.Sprintf(`CREATE DATABASE %s TEMPLATE %s STRATEGY %s`, name, source, strategy))
	if err != nil {
		return fmt.Errorf("create database for a test: %w", err)
	}
	return nil
}

// dropDatabase drops the database that url names, whoever is connected to it.
func dropDatabase(ctx context.Context, server, url string) error {
	config, err := pgx.ParseConfig(url)
	if err != nil {
		return fmt.Errorf("read URL of a test's database: %w", err)
	}
	conn, err := postgres.Connect(ctx, server)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	if _, err := conn.Exec(ctx, fmt.Sprintf(`DROP DATABASE %s WITH (FORCE)`, config.Database)); err != nil {
		return fmt.Errorf("drop database of a test: %w", err)
	}
	return nil
}

// templateWith returns the name of a template with all migrations and that many books, and makes it when need be.
func templateWith(ctx context.Context, server string, books int) (string, error) {
	loaded, _ := templates.LoadOrStore(books, &template{})
	made := loaded.(*template)
	made.once.Do(func() {
		// Other tests need the template as well: it must not fail with the first one.
		made.name, made.err = makeTemplate(context.WithoutCancel(ctx), server, books)
	})
	return made.name, made.err
}

// makeTemplate makes the template unless it is there. A database of its name that is not marked as a template is what a
// binary left that was killed over it, and is made anew.
func makeTemplate(ctx context.Context, server string, books int) (string, error) {
	hash, err := postgres.MigrationsHash()
	if err != nil {
		return "", err
	}
	name := fmt.Sprintf("settled_template_%s_%d", hash, books)
	conn, err := postgres.Connect(ctx, server)
	if err != nil {
		return "", err
	}
	defer func() { _ = conn.Close(ctx) }() // releases the lock
	if err := postgres.Lock(ctx, conn, templateLock); err != nil {
		return "", fmt.Errorf("make template database: %w", err)
	}
	var ready bool
	if err := conn.QueryRow(ctx, selectTemplateIsReady, name).Scan(&ready); err != nil {
		return "", fmt.Errorf("look for template database: %w", err)
	}
	if ready {
		return name, nil
	}
	if _, err := conn.Exec(ctx, fmt.Sprintf(`DROP DATABASE IF EXISTS %s WITH (FORCE)`, name)); err != nil {
		return "", fmt.Errorf("drop half-made template database: %w", err)
	}
	if err := copyDatabase(ctx, conn, name, "template0"); err != nil {
		return "", err
	}
	url, err := withDatabase(server, name)
	if err != nil {
		return "", err
	}
	if err := postgres.Migrate(ctx, url, postgres.MigrateOptions{Books: books}); err != nil {
		return "", fmt.Errorf("make template database: %w", err)
	}
	// Nobody may connect to it any more, not even autovacuum: a database is copied only while nobody does.
	_, err = conn.Exec(ctx, fmt.Sprintf(`ALTER DATABASE %s IS_TEMPLATE true ALLOW_CONNECTIONS false`, name))
	if err != nil {
		return "", fmt.Errorf("finish template database: %w", err)
	}
	return name, nil
}

const selectTemplateIsReady = `
SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1 AND datistemplate)`

// withDatabase returns the URL of another database on the same server.
func withDatabase(server, name string) (string, error) {
	if !strings.Contains(server, "://") {
		return server + " dbname=" + name, nil // key=value pairs: the last one counts
	}
	parsed, err := url.Parse(server)
	if err != nil {
		return "", &postgres.URLError{Problem: "is not a well-formed URL"}
	}
	parsed.Path = "/" + name
	return parsed.String(), nil
}
