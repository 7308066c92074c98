package access

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/settled-dev/settled/tasks"
)

// Key is an API key as it is listed: without its secret, which nobody has but its producer.
type Key struct {
	ID        string     `json:"id"`
	Producer  string     `json:"producer"`
	Scopes    []Scope    `json:"scopes"`
	Label     string     `json:"label,omitempty"`
	CreatedAt time.Time  `json:"created_at"`
	CreatedBy string     `json:"created_by"`
	RevokedAt *time.Time `json:"revoked_at,omitempty"`
	RevokedBy string     `json:"revoked_by,omitempty"`
}

// NewKey says what a key is to be.
type NewKey struct {
	// Producer is who will ask by it: an id. Required.
	Producer string
	// Scopes are what it may do, at least one; ParseScopes reads them.
	Scopes []Scope
	// Label tells people what it is for: up to 200 bytes of UTF-8 without control characters.
	Label string
	// By is who makes it, as Label. Required.
	By string
}

// Querier is a pool, a connection or a transaction, as the owner of the tables where it writes.
type Querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
}

// ErrNoKey says that no key has that id.
var ErrNoKey = errors.New("no such key")

const createKeySQL = `
INSERT INTO api_keys (id, producer, label, scopes, secret_sha256, created_by)
VALUES ($1, $2, $3, $4, $5, $6)
RETURNING created_at`

// Create makes a key and returns its token, which cannot be had again. Run twice it makes two keys. It returns a *tasks.FieldError
// for what cannot be stored.
func Create(ctx context.Context, owner Querier, asked NewKey) (Key, Token, error) {
	if err := tasks.CheckProducer(asked.Producer); err != nil {
		return Key{}, Token{}, err
	}
	names := make([]string, len(asked.Scopes))
	for i, scope := range asked.Scopes {
		names[i] = string(scope)
	}
	scopes, err := ParseScopes(names)
	if err != nil {
		return Key{}, Token{}, err
	}
	if asked.Label != "" {
		if err := tasks.CheckText("label", asked.Label); err != nil {
			return Key{}, Token{}, err
		}
	}
	if err := tasks.CheckText("by", asked.By); err != nil {
		return Key{}, Token{}, err
	}
	token := newToken()
	hash := token.hash()
	key := Key{ID: token.id, Producer: asked.Producer, Scopes: scopes, Label: asked.Label, CreatedBy: asked.By}
	if err := owner.QueryRow(ctx, createKeySQL, key.ID, key.Producer, key.Label, scopes, hash[:], key.CreatedBy).
		Scan(&key.CreatedAt); err != nil {
		return Key{}, Token{}, fmt.Errorf("store a key of %s: %w", asked.Producer, err)
	}
	return key, token, nil
}

const listKeysSQL = `
SELECT id, producer, scopes, label, created_at, created_by, revoked_at, coalesce(revoked_by, '') AS revoked_by
FROM api_keys`

// List returns every key that was ever made, the oldest first.
func List(ctx context.Context, db Querier) ([]Key, error) {
	rows, err := db.Query(ctx, listKeysSQL+" ORDER BY created_at, id")
	if err != nil {
		return nil, fmt.Errorf("list keys: %w", err)
	}
	keys, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Key])
	if err != nil {
		return nil, fmt.Errorf("list keys: %w", err)
	}
	return keys, nil
}

// revokeKeySQL leaves a key that was revoked before as it is.
const revokeKeySQL = `
UPDATE api_keys SET revoked_at = clock_timestamp(), revoked_by = $2
WHERE id = $1 AND revoked_at IS NULL`

// Revoke ends a key for good, and returns it. It may run twice: the first revocation counts. It returns ErrNoKey, or a
// *tasks.FieldError when by is not allowed.
func Revoke(ctx context.Context, owner Querier, id, by string) (Key, error) {
	if err := tasks.CheckText("by", by); err != nil {
		return Key{}, err
	}
	if tasks.CheckText("id", id) != nil {
		return Key{}, ErrNoKey
	}
	if _, err := owner.Exec(ctx, revokeKeySQL, id, by); err != nil {
		return Key{}, fmt.Errorf("revoke key: %w", err)
	}
	rows, err := owner.Query(ctx, listKeysSQL+" WHERE id = $1", id)
	if err != nil {
		return Key{}, fmt.Errorf("read the revoked key: %w", err)
	}
	key, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByPos[Key])
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return Key{}, ErrNoKey
	case err != nil:
		return Key{}, fmt.Errorf("read the revoked key: %w", err)
	}
	return key, nil
}
