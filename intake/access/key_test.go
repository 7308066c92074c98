package access_test

import (
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/settled-dev/settled/intake/access"
	"github.com/settled-dev/settled/internal/postgres"
	"github.com/settled-dev/settled/tasks"
)

func TestKeyIsListedAsItWasMade(t *testing.T) {
	t.Parallel()
	g := newGate(t, access.Config{})
	if keys, err := access.List(t.Context(), g.db.Pool); err != nil || len(keys) != 0 {
		t.Fatalf("before: %v, %v", keys, err)
	}
	var made []access.Key
	for _, asked := range []access.NewKey{
		{Producer: "shop", Scopes: []access.Scope{access.Read, access.RefundsWrite, access.Read}, Label: "order system", By: "ada"},
		{Producer: "shop", Scopes: []access.Scope{access.Admin}, By: "bob"},
	} {
		key, token, err := access.Create(t.Context(), g.db.Owner, asked)
		if err != nil || token.ID() != key.ID {
			t.Fatalf("%+v, %v", key, err)
		}
		made = append(made, key)
	}
	if diff := cmp.Diff([]access.Scope{access.RefundsWrite, access.Read}, made[0].Scopes); diff != "" {
		t.Errorf("scopes (-want +got):\n%s", diff)
	}
	g.revoke(t, made[1].ID)
	keys, err := access.List(t.Context(), g.db.Pool)
	if err != nil || len(keys) != 2 {
		t.Fatalf("%v, %v", keys, err)
	}
	if keys[1].RevokedAt == nil || keys[1].RevokedAt.Before(keys[1].CreatedAt) || keys[1].RevokedBy != "ada" {
		t.Errorf("revoked: %+v", keys[1])
	}
	keys[1].RevokedAt, keys[1].RevokedBy = nil, ""
	if diff := cmp.Diff(made, keys); diff != "" {
		t.Errorf("keys (-made +listed):\n%s", diff)
	}
}

func TestKeyThatCannotBeStoredNamesItsField(t *testing.T) {
	t.Parallel()
	g := newGate(t, access.Config{})
	good := access.NewKey{Producer: "shop", Scopes: []access.Scope{access.Read}, By: "ada"}
	for field, change := range map[string]func(*access.NewKey){
		"producer": func(k *access.NewKey) { k.Producer = "a/b" },
		"scope":    func(k *access.NewKey) { k.Scopes = []access.Scope{"write"} },
		"label":    func(k *access.NewKey) { k.Label = strings.Repeat("店", 67) },
		"by":       func(k *access.NewKey) { k.By = "\xff" },
	} {
		asked := good
		change(&asked)
		var bad *tasks.FieldError
		if _, token, err := access.Create(t.Context(), g.db.Owner, asked); !errors.As(err, &bad) || bad.Field != field || bad.Allowed == "" ||
			token != (access.Token{}) {
			t.Errorf("%s: %v", field, err)
		}
	}
	if keys, err := access.List(t.Context(), g.db.Pool); err != nil || len(keys) != 0 {
		t.Errorf("stored: %v, %v", keys, err)
	}
}

func TestOfManyRevocationsTheFirstCounts(t *testing.T) {
	t.Parallel()
	g := newGate(t, access.Config{})
	key, _ := g.create(t, access.Read)
	answers := make([]access.Key, 8)
	var revoking sync.WaitGroup
	for i, by := range []string{"a", "b", "c", "d", "e", "f", "g", "h"} {
		revoking.Go(func() {
			var err error
			if answers[i], err = access.Revoke(t.Context(), g.db.Owner, key.ID, by); err != nil {
				t.Error(err)
			}
		})
	}
	revoking.Wait()
	for _, answer := range answers {
		if diff := cmp.Diff(answers[0], answer); diff != "" || answer.RevokedAt == nil {
			t.Errorf("two revocations (-one +other):\n%s", diff)
		}
	}
	for _, id := range []string{"", "0123456789abcdef", "\x00", "\xff", strings.Repeat("0", 1000)} {
		if _, err := access.Revoke(t.Context(), g.db.Owner, id, "ada"); !errors.Is(err, access.ErrNoKey) {
			t.Errorf("%q: %v", id, err)
		}
	}
	if bad := (*tasks.FieldError)(nil); !errors.As(func() error { _, err := access.Revoke(t.Context(), g.db.Owner, key.ID, ""); return err }(), &bad) {
		t.Error("nobody revoked it")
	}
}

func TestStoredKeyCanBeRevokedAndNothingElse(t *testing.T) {
	t.Parallel()
	g := newGate(t, access.Config{})
	key, _ := g.create(t, access.Read)
	revoked, _ := g.create(t, access.Read)
	g.revoke(t, revoked.ID)
	for _, change := range []string{
		`UPDATE api_keys SET scopes = '{admin}' WHERE id = $1`,
		`UPDATE api_keys SET producer = 'other' WHERE id = $1`,
		`UPDATE api_keys SET secret_sha256 = sha256('x') WHERE id = $1`,
		`UPDATE api_keys SET revoked_at = now(), revoked_by = 'eve', scopes = '{admin}' WHERE id = $1`,
		`UPDATE api_keys SET revoked_at = NULL, revoked_by = NULL WHERE id = $1`,
		`DELETE FROM api_keys WHERE id = $1`,
	} {
		for _, id := range []string{key.ID, revoked.ID} {
			if _, err := g.db.Owner.Exec(t.Context(), change, id); err == nil {
				t.Errorf("%s is done", change)
			}
		}
	}
	if _, err := g.db.Owner.Exec(t.Context(), `UPDATE api_keys SET revoked_at = now() WHERE id = $1`, revoked.ID); err == nil {
		t.Error("a revocation is changed")
	}
	if _, err := g.db.Owner.Exec(t.Context(), `UPDATE api_keys SET revoked_at = now() WHERE id = $1`, key.ID); postgres.Constraint(err) != "revocation_says_who" {
		t.Errorf("a revocation by nobody: %v", err)
	}
	if _, err := g.db.Owner.Exec(t.Context(), `TRUNCATE api_keys`); err == nil {
		t.Error("the keys are gone")
	}
}

func TestServingProcessCanMakeAndRevokeNoKey(t *testing.T) {
	t.Parallel()
	g := newGate(t, access.Config{})
	key, _ := g.create(t, access.Read)
	if _, _, err := access.Create(t.Context(), g.db.Pool, access.NewKey{Producer: "shop", Scopes: []access.Scope{access.Admin}, By: "eve"}); err == nil {
		t.Error("the service made a key")
	}
	if _, err := access.Revoke(t.Context(), g.db.Pool, key.ID, "eve"); err == nil || errors.Is(err, access.ErrNoKey) {
		t.Errorf("the service revoked a key: %v", err)
	}
	for _, change := range []string{`DELETE FROM api_keys`, `TRUNCATE api_keys`, `UPDATE api_keys SET scopes = '{admin}'`} {
		if _, err := g.db.Pool.Exec(t.Context(), change); err == nil {
			t.Errorf("the service did %s", change)
		}
	}
}
