package redistest

import (
	"context"
	"testing"
	"time"

	"github.com/settled-dev/settled/internal/devstack"
)

// New starts a redis-server for t. It is stopped, and its data are removed, when t ends.
func New(t testing.TB) *devstack.Redis {
	t.Helper()
	return Start(t, devstack.RedisOptions{})
}

// Start is New with options, such as an append-only file for tests that restart Redis and expect its data.
func Start(t testing.TB, options devstack.RedisOptions) *devstack.Redis {
	t.Helper()
	redis, err := devstack.StartRedis(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		// The test's own context has ended by now.
		if err := redis.Stop(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	return redis
}

// StartWatched starts a master and its replica, watched by a Sentinel that takes a master for dead after two seconds. They are stopped
// when t ends.
func StartWatched(t testing.TB) *devstack.Watched {
	t.Helper()
	watched, err := devstack.StartWatched(t.Context(), 2*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := watched.Stop(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	return watched
}
