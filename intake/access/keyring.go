package access

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/settled-dev/settled/internal/clock"
	"github.com/settled-dev/settled/internal/postgres"
)

const (
	// Fresh is how long a key is taken for what it was: the longest that a revoked key goes on working while PostgreSQL answers.
	Fresh = 5 * time.Second
	// Stale is how long a key that was proven goes on working while PostgreSQL does not answer.
	Stale = 5 * time.Minute
	// outageRest is how long PostgreSQL is not asked again about keys that are held, once it did not answer.
	outageRest = time.Second
	// lookupTimeout bounds one question to PostgreSQL.
	lookupTimeout = 2 * time.Second
)

// keyring holds the keys that are in use, and asks PostgreSQL again when they are no longer fresh. It never holds more keys than
// exist: what is not a key is not kept.
type keyring struct {
	pool         *pgxpool.Pool
	clock        clock.Clock
	newAllowance func() *allowance

	mu       sync.Mutex
	held     map[string]held
	failedAt time.Time // when PostgreSQL did not answer last
	waiting  *lookup   // what the next question asks for; nil when nobody waits for one
	asking   bool      // a question is under way
}

// held is a key as it was when PostgreSQL was asked.
type held struct {
	producer  string
	scopes    []Scope
	hash      []byte
	revoked   bool
	asOf      time.Time
	allowance *allowance
}

// lookup is one question for many keys. done is closed when it is answered; err says that it was not.
type lookup struct {
	ids  map[string]bool
	done chan struct{}
	err  error
}

func newKeyring(pool *pgxpool.Pool, c clock.Clock, newAllowance func() *allowance) *keyring {
	return &keyring{pool: pool, clock: c, newAllowance: newAllowance, held: map[string]held{}}
}

// find returns a key that is fresh, or at worst not too stale while PostgreSQL does not answer. It returns nil when there is no such
// key, and an error when that cannot be known.
func (k *keyring) find(ctx context.Context, id string) (*held, error) {
	k.mu.Lock()
	now := k.clock.Now()
	key, ok := k.held[id]
	if ok && (now.Sub(key.asOf) < Fresh || now.Sub(k.failedAt) < outageRest && now.Sub(key.asOf) < Stale) {
		k.mu.Unlock()
		return &key, nil
	}
	asked := k.join(ctx, id)
	k.mu.Unlock()
	var err error
	select {
	case <-asked.done:
		err = asked.err
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	key, ok = k.held[id]
	switch {
	case err == nil && !ok:
		return nil, nil
	case err == nil, ok && isOutage(err) && k.clock.Now().Sub(key.asOf) < Stale:
		return &key, nil
	default:
		return nil, fmt.Errorf("look an API key up: %w", err)
	}
}

func isOutage(err error) bool {
	return postgres.IsConnection(err) || errors.Is(err, context.DeadlineExceeded)
}

// join adds an id to the next question. One question is under way at a time, whatever arrives: a flood of keys that do not exist
// takes one connection, and all who wait share the next answer. The caller holds the lock.
func (k *keyring) join(ctx context.Context, id string) *lookup {
	if k.waiting == nil {
		k.waiting = &lookup{ids: map[string]bool{}, done: make(chan struct{})}
	}
	asked := k.waiting
	asked.ids[id] = true
	if !k.asking {
		k.asking = true
		go k.ask(context.WithoutCancel(ctx)) // others may wait for the answer when this caller has left
	}
	return asked
}

// ask asks until nobody waits.
func (k *keyring) ask(ctx context.Context) {
	for {
		k.mu.Lock()
		asked := k.waiting
		k.waiting = nil
		k.asking = asked != nil
		k.mu.Unlock()
		if asked == nil {
			return
		}
		k.load(ctx, asked)
		close(asked.done)
	}
}

const findKeysSQL = `
SELECT id, producer, scopes, secret_sha256, revoked_at IS NOT NULL
FROM api_keys
WHERE id = ANY ($1::text[])`

func (k *keyring) load(ctx context.Context, asked *lookup) {
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	ids := make([]string, 0, len(asked.ids))
	for id := range asked.ids {
		ids = append(ids, id)
	}
	asOf := k.clock.Now() // what is revoked later may be missing from the answer
	found := map[string]held{}
	rows, err := k.pool.Query(ctx, findKeysSQL, ids)
	if err == nil {
		var id string
		var key held
		_, err = pgx.ForEachRow(rows, []any{&id, &key.producer, &key.scopes, &key.hash, &key.revoked}, func() error {
			key.asOf = asOf
			found[id] = key
			key = held{}
			return nil
		})
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if err != nil {
		if asked.err = err; isOutage(err) {
			k.failedAt = k.clock.Now()
		}
		return
	}
	k.failedAt = time.Time{}
	for id, key := range found {
		if key.allowance = k.held[id].allowance; key.allowance == nil {
			key.allowance = k.newAllowance()
		}
		k.held[id] = key
	}
}

// proves says whether the token's secret is the key's. It takes as long when there is no key.
func (t Token) proves(key *held) bool {
	asked := t.hash()
	if key == nil {
		return compare(asked[:], nil)
	}
	return compare(asked[:], key.hash)
}

// compare says in constant time whether two hashes are the same. One that is missing is compared as zeros, and is not the same.
func compare(asked, stored []byte) bool {
	padded := make([]byte, sha256.Size)
	exists := copy(padded, stored) == sha256.Size
	same := subtle.ConstantTimeCompare(asked, padded) == 1
	return same && exists
}
