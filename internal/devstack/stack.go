package devstack

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/settled-dev/settled/internal/postgres"
	"github.com/settled-dev/settled/internal/redisurl"
)

// Options say what Start starts.
type Options struct {
	// DatabaseURL names a PostgreSQL to use as it is. Without one, a private server is started.
	DatabaseURL string
	// RedisURL names a Redis to use as it is. Without one, a private server is started.
	RedisURL string
	// Postgres is how a private PostgreSQL runs. Defaults to durable.
	Postgres PostgresOptions
	// Redis is how a private Redis runs. Defaults to one that keeps nothing.
	Redis RedisOptions
}

// Stack is a PostgreSQL and a Redis that answer.
type Stack struct {
	Postgres *Postgres
	Redis    *Redis
}

// Start finds or starts both servers, at the same time, and returns when both answer. ctx bounds the start. On an error
// nothing is left running.
func Start(ctx context.Context, options Options) (*Stack, error) {
	var (
		stack                 Stack
		databaseErr, redisErr error
		starting              sync.WaitGroup
	)
	starting.Go(func() {
		if url := options.DatabaseURL; url != "" {
			stack.Postgres, databaseErr = useNamedPostgres(ctx, url)
		} else {
			stack.Postgres, databaseErr = StartPostgres(ctx, options.Postgres)
		}
	})
	starting.Go(func() {
		if url := options.RedisURL; url != "" {
			stack.Redis, redisErr = useNamedRedis(ctx, url)
		} else {
			stack.Redis, redisErr = StartRedis(ctx, options.Redis)
		}
	})
	starting.Wait()
	if err := errors.Join(databaseErr, redisErr); err != nil {
		return nil, errors.Join(err, stack.Stop(ctx))
	}
	return &stack, nil
}

// Stop ends both servers and removes their data; those that are not ours are left alone.
func (s *Stack) Stop(ctx context.Context) error {
	var errs []error
	if s.Redis != nil {
		errs = append(errs, s.Redis.Stop(ctx))
	}
	if s.Postgres != nil {
		errs = append(errs, s.Postgres.Stop(ctx))
	}
	return errors.Join(errs...)
}

// Describe returns a line per server: which was taken, where it is, and what it promises. No secrets.
func (s *Stack) Describe() []string {
	return []string{s.Postgres.Describe(), s.Redis.Describe()}
}

// useNamedPostgres returns the server at url, once it answers and is fit to keep books.
func useNamedPostgres(ctx context.Context, url string) (*Postgres, error) {
	pool, err := postgres.OpenOwner(ctx, url, postgres.MaxConns(1))
	if err != nil {
		return nil, err
	}
	defer pool.Close()
	var version string
	if err := pool.QueryRow(ctx, `SELECT current_setting('server_version')`).Scan(&version); err != nil {
		return nil, fmt.Errorf("ask DATABASE_URL %s for its version: %w", postgres.Address(url), err)
	}
	return &Postgres{
		URL:       url,
		described: fmt.Sprintf("PostgreSQL %s at %s, named by DATABASE_URL", version, postgres.Address(url)),
	}, nil
}

// useNamedRedis returns the server at url, once it answers.
func useNamedRedis(ctx context.Context, url string) (*Redis, error) {
	server, err := redisurl.Parse(url)
	if err != nil {
		return nil, fmt.Errorf("REDIS_URL %w", err)
	}
	client := server.Open()
	defer func() { _ = client.Close() }()
	asking, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	info, err := client.Info(asking).Result()
	if err != nil {
		return nil, fmt.Errorf("use REDIS_URL %s: %w", server, err)
	}
	return &Redis{
		URL:       url,
		described: fmt.Sprintf("Redis %s at %s, named by REDIS_URL", firstMatch(redisVersion, info), server),
	}, nil
}
