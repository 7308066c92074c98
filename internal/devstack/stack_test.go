package devstack

import (
	"context"
	"errors"
	"strings"
	"testing"
)

func TestStackUsesServersThatAreNamedAndLeavesThemRunning(t *testing.T) {
	t.Parallel()
	p, r := startPostgres(t, PostgresOptions{Fast: true}), startRedis(t, RedisOptions{})
	stack, err := Start(t.Context(), Options{DatabaseURL: p.URL, RedisURL: r.URL})
	if err != nil {
		t.Fatal(err)
	}
	if stack.Postgres.URL != p.URL || stack.Redis.URL != r.URL {
		t.Errorf("URLs = %s %s, want those that were named", stack.Postgres.URL, stack.Redis.URL)
	}
	for i, want := range []string{"named by DATABASE_URL", "named by REDIS_URL"} {
		if got := stack.Describe()[i]; !strings.Contains(got, want) {
			t.Errorf("description %q does not say %q", got, want)
		}
	}
	for name, err := range map[string]error{
		"kill PostgreSQL":    stack.Postgres.Kill(),
		"restart PostgreSQL": stack.Postgres.Restart(t.Context(), true),
		"kill Redis":         stack.Redis.Kill(),
		"restart Redis":      stack.Redis.Restart(t.Context(), true),
	} {
		if !errors.Is(err, ErrNotOurs) {
			t.Errorf("%s: %v, want ErrNotOurs", name, err)
		}
	}
	if err := stack.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := queryInt(t, p.URL, "SELECT 1"); got != 1 {
		t.Error("PostgreSQL no longer answers")
	}
	if err := redisClient(t, r.URL).Ping(t.Context()).Err(); err != nil {
		t.Errorf("Redis no longer answers: %v", err)
	}
}

func TestStackNamesItsServersInErrorsWithoutSecrets(t *testing.T) {
	t.Parallel()
	const password = "s3cr/et@"
	for name, test := range map[string]struct{ database, redis, want string }{
		"nobody listens at DATABASE_URL": {"postgres://me:s3cr%2Fet%40@127.0.0.1:1/books", "redis://127.0.0.1:1", "me@127.0.0.1:1/books"},
		"malformed DATABASE_URL":         {"postgres://me:" + password + "@host/books", "redis://127.0.0.1:1", "DATABASE_URL is not a well-formed URL"},
		"nobody listens at REDIS_URL":    {"postgres://127.0.0.1:1/x", "redis://me:s3cr%2Fet%40@127.0.0.1:1/3", "REDIS_URL 127.0.0.1:1/3"},
		"malformed REDIS_URL":            {"postgres://127.0.0.1:1/x", "redis://me:" + password + "@host", "REDIS_URL is not a Redis URL"},
		"REDIS_URL of another kind":      {"postgres://127.0.0.1:1/x", "http://127.0.0.1:1", "REDIS_URL cannot be used"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := Start(t.Context(), Options{DatabaseURL: test.database, RedisURL: test.redis})
			if err == nil {
				t.Fatal("started")
			}
			if !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %q does not say %q", err, test.want)
			}
			if strings.Contains(err.Error(), "s3cr") {
				t.Errorf("error %q shows the password", err)
			}
		})
	}
}

func TestStackStartsBothAndStopsBoth(t *testing.T) {
	t.Parallel()
	stack, err := Start(t.Context(), Options{Postgres: PostgresOptions{Fast: true}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = stack.Stop(context.Background()) })
	for i, want := range []string{"PostgreSQL", "Redis"} {
		if got := stack.Describe()[i]; !strings.HasPrefix(got, want) || !strings.Contains(got, "private") {
			t.Errorf("description = %q, want a private %s", got, want)
		}
	}
	if stack.Postgres.PID() == 0 || stack.Redis.PID() == 0 {
		t.Error("a running server has no process id")
	}
	if err := stack.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
}
