package main

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/settled-dev/settled/internal/postgres"
	"github.com/settled-dev/settled/ledger"
)

// openPool opens the database for a command that answers one question: few connections, and none kept.
func (f databaseFlags) openPool(ctx context.Context, command string) (*pgxpool.Pool, error) {
	url, err := f.require()
	if err != nil {
		return nil, err
	}
	return postgres.Open(ctx, url, postgres.MaxConns(2), postgres.ApplicationName("settled "+command))
}

// read opens the books, lets look read them, and closes them.
func (f databaseFlags) read(ctx context.Context, command string, look func(*ledger.Reader) error) error {
	pool, err := f.openPool(ctx, command)
	if err != nil {
		return err
	}
	defer pool.Close()
	return look(ledger.NewReader(pool))
}

// parseAt reads the time of a question about the past: a moment, or a Shanghai date whose end is meant. The zero time is now.
func parseAt(text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if at, err := time.Parse(time.RFC3339Nano, text); err == nil {
		return at, nil
	}
	if day, err := parseDate(text); err == nil {
		return day.AddDate(0, 0, 1).Add(-time.Microsecond), nil // PostgreSQL's resolution
	}
	return time.Time{}, &usageError{problem: "--at: " + quoted(text) +
		" is not a time; allowed: RFC 3339 such as 2026-01-02T15:04:05+08:00, or a date such as 2026-01-02 for its end in Shanghai"}
}
