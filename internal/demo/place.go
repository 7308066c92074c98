package demo

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/redis/go-redis/v9"

	"github.com/settled-dev/settled/internal/devstack"
	"github.com/settled-dev/settled/internal/postgres"
	"github.com/settled-dev/settled/internal/redisurl"
)

// Place is where the demo plays: a database of its own, and a Redis that it may wipe.
type Place struct {
	DatabaseURL, RedisURL string

	redis    *redisurl.Server // of a Redis that stays; nil when it goes as a whole
	server   string           // of a database that has to be dropped; empty when the server goes as a whole
	database string
}

// ErrRedisNotEmpty says that a Redis holds somebody's data.
var ErrRedisNotEmpty = errors.New("the demo wipes its Redis, and the one that REDIS_URL names is not empty; name an empty one, or none")

// Prepare sees that Redis may be wiped, and makes a database on the stack's server when that is not the demo's own. It returns
// ErrRedisNotEmpty.
func Prepare(ctx context.Context, stack *devstack.Stack) (*Place, error) {
	place := &Place{DatabaseURL: stack.Postgres.URL, RedisURL: stack.Redis.URL}
	server, err := redisurl.Parse(place.RedisURL)
	if err != nil {
		return nil, fmt.Errorf("use redis: its URL %w", err)
	}
	if stack.Redis.PID() == 0 {
		place.redis = &server
		if err := place.checkEmpty(ctx); err != nil {
			return nil, err
		}
	}
	if stack.Postgres.PID() == 0 {
		return place, place.makeDatabase(ctx, stack.Postgres.URL)
	}
	return place, nil
}

// SharedRedis says that Redis stays when the demo ends, and may hold other databases.
func (p *Place) SharedRedis() bool { return p.redis != nil }

// Remove drops the database that Prepare made and empties Redis again. Servers that go as a whole are left to whoever stops them.
func (p *Place) Remove(ctx context.Context) error {
	var errs []error
	if p.redis != nil {
		errs = append(errs, p.withRedis(func(client *redis.Client) error { return client.FlushDB(ctx).Err() }))
	}
	if p.server != "" {
		errs = append(errs, p.onServer(ctx, "DROP DATABASE IF EXISTS "+pgx.Identifier{p.database}.Sanitize()+" WITH (FORCE)"))
	}
	return errors.Join(errs...)
}

func (p *Place) makeDatabase(ctx context.Context, server string) error {
	named, err := url.Parse(server)
	if err != nil {
		return errors.New("DATABASE_URL has to be a URL, such as postgres://user:password@host:5432/database")
	}
	p.server, p.database = server, fmt.Sprintf("settled_demo_%d", os.Getpid())
	named.Path = "/" + p.database
	p.DatabaseURL = named.String()
	return p.onServer(ctx, "CREATE DATABASE "+pgx.Identifier{p.database}.Sanitize())
}

func (p *Place) onServer(ctx context.Context, statement string) error {
	conn, err := postgres.Connect(ctx, p.server)
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, statement)
	if err = errors.Join(err, conn.Close(ctx)); err != nil {
		return fmt.Errorf("%s: %w", strings.ToLower(statement), err)
	}
	return nil
}

func (p *Place) checkEmpty(ctx context.Context) error {
	return p.withRedis(func(client *redis.Client) error {
		keys, err := client.DBSize(ctx).Result()
		if err == nil && keys > 0 {
			err = fmt.Errorf("%w (%d keys)", ErrRedisNotEmpty, keys)
		}
		return err
	})
}

func (p *Place) withRedis(work func(*redis.Client) error) error {
	client := p.redis.Open()
	return errors.Join(work(client), client.Close())
}
