package main

import (
	"regexp"
	"strings"
	"testing"

	"github.com/settled-dev/settled/intake/access"
	"github.com/settled-dev/settled/internal/postgres/pgtest"
	"github.com/settled-dev/settled/ledger/ledgertest"
)

func TestKeyIsPrintedOnceListedWithoutItsSecretAndRevokedOnce(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	ledgertest.Audit(t, db)
	c := call{env: map[string]string{"DATABASE_URL": db.URL}}
	c.run(t, "key", "list").expect(t, exitOK, "there are no keys")

	made := c.run(t, "key", "create", "--producer", "shop", "--scope", "read", "--scope", "refunds:write,rewards:write,read",
		"--label", "order system", "--by", "ada")
	made.expect(t, exitOK)
	token := strings.TrimSuffix(made.stdout, "\n")
	parts := regexp.MustCompile(`^sk_([0-9a-f]{16})_([\w-]{43})$`).FindStringSubmatch(token)
	if parts == nil {
		t.Fatalf("printed %q", made.stdout)
	}
	id, secret := parts[1], parts[2]
	if want := "key " + id + " of shop: refunds:write, rewards:write, read; order system\n"; made.stderr != want {
		t.Errorf("told %q, want %q", made.stderr, want)
	}

	for _, args := range [][]string{{"key", "list"}, {"key", "list", "--json"}} {
		got := c.run(t, args...)
		got.expect(t, exitOK, id, "shop", "refunds:write", "order system", "ada")
		if strings.Contains(got.stdout+got.stderr, secret) {
			t.Errorf("%v shows the secret:\n%s", args, got.stdout)
		}
	}
	revoked := c.run(t, "key", "revoke", id, "--by", "bob")
	revoked.expect(t, exitOK, "key "+id+" of shop was revoked at ", " by bob\n")
	if again := c.run(t, "key", "revoke", id, "--by", "eve"); again.code != exitOK || again.stdout != revoked.stdout {
		t.Errorf("again: %+v, want %+v", again, revoked)
	}
	var keys []access.Key
	parse(t, c.run(t, "key", "list", "--json"), &keys)
	if len(keys) != 1 || keys[0].RevokedAt == nil || keys[0].RevokedBy != "bob" || keys[0].CreatedBy != "ada" {
		t.Errorf("after its revocation: %+v", keys)
	}
	for _, other := range []string{"0123456789abcdef", token, "\x00", "\xff"} {
		got := c.run(t, "key", "revoke", other, "--by", "eve")
		got.expect(t, exitNo, "there is no such key")
		if strings.Contains(got.stderr, secret) {
			t.Errorf("the secret is repeated:\n%s", got.stderr)
		}
	}
}

func TestKeyThatCannotBeMadeNamesItsFlag(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	ledgertest.Audit(t, db)
	c := call{env: map[string]string{"DATABASE_URL": db.URL}}
	for _, bad := range []struct {
		args []string
		says string
	}{
		{[]string{"--scope", "read"}, "--producer"},
		{[]string{"--producer", "shop"}, "--scope"},
		{[]string{"--producer", "two words", "--scope", "read"}, "--producer is"},
		{[]string{"--producer", "shop", "--scope", "write"}, "--scope has a name that is no scope; allowed: payments:write, refunds:write"},
		{[]string{"--producer", "shop", "--scope", "read", "--label", strings.Repeat("x", 201)}, "--label has 201 bytes"},
		{[]string{"--producer", "shop", "--scope", "read", "--label", "a\nb"}, "--label has a control character"},
		{[]string{"--producer", "shop", "--scope", "read", "--by", ""}, "--by is missing"},
	} {
		c.run(t, append([]string{"key", "create"}, bad.args...)...).expect(t, exitUsage, bad.says)
	}
	c.run(t, "key", "list").expect(t, exitOK, "there are no keys")
}

func TestLimitsOfTheAPIAreChecked(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	ledgertest.Audit(t, db)
	c := call{env: map[string]string{"DATABASE_URL": db.URL, "REDIS_URL": "redis://127.0.0.1:1/0"}}
	for _, setting := range []string{"SETTLED_RATE", "SETTLED_BURST"} {
		for _, value := range []string{"0", "-1", "1000000001"} {
			c.env[setting] = value
			c.run(t, "api", "--listen", "127.0.0.1:0", "--metrics-listen", "off").expect(t, exitUsage, setting+" is "+value+"; allowed: 1 to ")
		}
		delete(c.env, setting)
	}
}
