package devstack

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

func TestRedisEvictsNothingAndLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	r := startRedis(t, RedisOptions{UnixSocket: true})
	for _, url := range []string{r.URL, r.SocketURL} {
		for setting, want := range map[string]string{"maxmemory-policy": "noeviction", "save": "", "appendonly": "no"} {
			got, err := redisClient(t, url).ConfigGet(t.Context(), setting).Result()
			if err != nil {
				t.Fatal(err)
			}
			if got[setting] != want {
				t.Errorf("%s = %q, want %q", setting, got[setting], want)
			}
		}
	}
	dir := r.home.dir
	if err := errors.Join(r.Stop(t.Context()), r.Stop(t.Context())); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("directory after Stop: %v, want it gone", err)
	}
	if pid := r.PID(); pid != 0 {
		t.Errorf("PID of a stopped server = %d, want 0", pid)
	}
}

func TestRedisRestartLosesAllUnlessAppendOnly(t *testing.T) {
	t.Parallel()
	for name, appendOnly := range map[string]bool{"keeps nothing": false, "append-only": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := startRedis(t, RedisOptions{AppendOnly: appendOnly})
			client := redisClient(t, r.URL)
			for _, restart := range []func() error{
				func() error { return r.Restart(t.Context(), false) },
				func() error { return r.Restart(t.Context(), true) },
				func() error { return errors.Join(r.Kill(), r.Kill(), r.Restart(t.Context(), false)) },
			} {
				if err := client.Set(t.Context(), "key", "value", 0).Err(); err != nil {
					t.Fatal(err)
				}
				if err := restart(); err != nil {
					t.Fatal(err)
				}
				got, err := redisClient(t, r.URL).Exists(t.Context(), "key").Result()
				if err != nil {
					t.Fatal(err)
				}
				if kept := got == 1; kept != appendOnly {
					t.Errorf("key is there after restart: %t, want %t", kept, appendOnly)
				}
			}
		})
	}
}

func TestEmulatedRedisSaysSoExpiresKeysAndKeepsNothing(t *testing.T) {
	t.Parallel()
	r, err := startEmulated()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Stop(context.Background()) })
	if !strings.Contains(r.Describe(), "emulated") || !strings.Contains(r.Describe(), "make deps") {
		t.Errorf("description %q does not say what it is and what mends it", r.Describe())
	}
	client := redisClient(t, r.URL)
	if err := client.Set(t.Context(), "short", "value", 5*time.Millisecond).Err(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the key expires", func() bool { return client.Exists(t.Context(), "short").Val() == 0 })

	if err := client.Set(t.Context(), "long", "value", 0).Err(); err != nil {
		t.Fatal(err)
	}
	url := r.URL
	if err := errors.Join(r.Kill(), r.Kill(), r.Restart(t.Context(), false)); err != nil {
		t.Fatal(err)
	}
	if r.URL != url {
		t.Errorf("URL after restart = %s, was %s", r.URL, url)
	}
	if got, err := redisClient(t, r.URL).Exists(t.Context(), "long").Result(); err != nil || got != 0 {
		t.Errorf("key after restart: %d, %v; want none", got, err)
	}
}

// startRedis starts a server that is stopped when t ends.
func startRedis(t *testing.T, options RedisOptions) *Redis {
	t.Helper()
	r, err := StartRedis(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return r
}

func redisClient(t *testing.T, url string) *redis.Client {
	t.Helper()
	options, err := redis.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	client := redis.NewClient(options)
	t.Cleanup(func() { _ = client.Close() })
	return client
}
