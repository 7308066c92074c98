package postgres_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/settled-dev/settled/internal/postgres"
)

func TestBadURLNamesItselfAndNotItsPassword(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ url, want string }{
		"empty":                     {"", "is empty"},
		"blank":                     {"  ", "is empty"},
		"a word":                    {"localhost", "neither a URL nor key=value pairs"},
		"another database":          {"mysql://me:s3cr@host/db", `has scheme "mysql"`},
		"no scheme but a password":  {"me:s3cr@host/db", "neither a URL nor key=value pairs"},
		"slash in password":         {"postgres://me:s3cr/et@host/db", "percent-encoded"},
		"percent in password":       {"postgres://me:s3cr%et@host/db", "percent-encoded"},
		"space in password":         {"postgres://me:s3cr et@host:x/db", "percent-encoded"},
		"port is no number":         {"postgres://host:port/db", `invalid port`},
		"port out of range":         {"postgres://me:s3cr@host:99999/db", "invalid port"},
		"port and encoded password": {"postgres://me:s3cr%2Fet@host:0/db", "invalid port"},
		"unknown sslmode":           {"postgres://me:s3cr@host/db?sslmode=maybe", "sslmode"},
		"password in the query":     {"postgres://host:0/db?password=s3cr", "invalid port"},
		"pairs with a password":     {"host=h password='s3cr", "must be quoted"},
		"pairs without one":         {"host=h port=x", "invalid port"},
		"bad pool size":             {"postgres://me:s3cr@host/db?pool_max_conns=0", "pool_max_conns"},
		"the password as a word":    {"postgres://me:sslmode@host/db?sslmode=maybe", "cannot be used"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := postgres.Open(t.Context(), test.url)
			bad := (*postgres.URLError)(nil)
			if !errors.As(err, &bad) {
				t.Fatalf("error = %v, want *URLError", err)
			}
			text := err.Error()
			if !strings.HasPrefix(text, "DATABASE_URL ") || !strings.Contains(text, test.want) {
				t.Errorf("error %q does not name DATABASE_URL and say %q", text, test.want)
			}
			for _, secret := range []string{"s3cr", "s3", "et@"} {
				if strings.Contains(text, secret) {
					t.Errorf("error %q shows the password", text)
				}
			}
			if shown := postgres.Address(test.url); strings.Contains(shown, "s3cr") {
				t.Errorf("address %q shows the password", shown)
			}
		})
	}
}

func TestUnreachableServerIsNamedWithoutPassword(t *testing.T) {
	t.Parallel()
	const url = "postgres://me:s3cr@127.0.0.1:1/books"
	for name, fail := range map[string]func() error{
		"open":    func() error { _, err := postgres.Open(t.Context(), url); return err },
		"owner":   func() error { _, err := postgres.OpenOwner(t.Context(), url); return err },
		"connect": func() error { _, err := postgres.Connect(t.Context(), url); return err },
		"migrate": func() error { return postgres.Migrate(t.Context(), url, postgres.MigrateOptions{}) },
	} {
		err := fail()
		if !postgres.IsConnection(err) {
			t.Errorf("%s: %v, want a connection error", name, err)
			continue
		}
		if text := err.Error(); !strings.Contains(text, "DATABASE_URL me@127.0.0.1:1/books") || strings.Contains(text, "s3cr") {
			t.Errorf("%s: error %q does not name the server, or shows the password", name, text)
		}
	}
}

func TestAddressShowsWhereAndWho(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]string{
		"postgres://me:s3cr@db.example:5433/books?sslmode=disable": "me@db.example:5433/books",
		"host=db.example port=5433 user=me password=s3cr dbname=b": "me@db.example:5433/b",
		"postgres://me:s3cr@host:port/x":                           "(unreadable)",
	} {
		if got := postgres.Address(url); got != want {
			t.Errorf("Address(%q) = %q, want %q", url, got, want)
		}
	}
}
