package redisurl_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/settled-dev/settled/internal/clock"
	"github.com/settled-dev/settled/internal/devstack/redistest"
	"github.com/settled-dev/settled/internal/redisurl"
)

func TestURLsNameAServerOrTheMasterOfSentinels(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]string{
		"redis://ada:s3cr3t@host:6380/2":                                             "host:6380/2",
		"unix:///run/redis.sock?db=1":                                                "/run/redis.sock/1",
		"redis://s1:26379/3?master_name=money&addr=s2:26379&password=s3cr3t":         "master money of Sentinel s1:26379, s2:26379/3",
		"rediss://watch:s3cr3t@s1:26379?master_name=money&max_retries=2&pool_size=9": "master money of Sentinel s1:26379/0",
	} {
		server, err := redisurl.Parse(raw)
		if err != nil || server.String() != want {
			t.Errorf("%s: %s, %v", raw, server, err)
		}
	}
	server, err := redisurl.Parse("redis://w:one@s1:26379/3?master_name=money&addr=s2:26379&username=u&password=two")
	if err != nil {
		t.Fatal(err)
	}
	got := server.Watched
	if got.SentinelUsername != "w" || got.SentinelPassword != "one" || got.Username != "u" || got.Password != "two" || got.DB != 3 ||
		!slices.Equal(got.SentinelAddrs, []string{"s1:26379", "s2:26379"}) {
		t.Errorf("%+v", got)
	}
}

func TestURLsThatCannotBeUsedAreRefusedWithoutTheirSecrets(t *testing.T) {
	t.Parallel()
	for raw, says := range map[string]string{
		"http://:s3cr3t@host:1":                                    "is not a Redis URL",
		"redis://:s3cr3t@host:port/0":                              "is not a Redis URL",
		"redis://host:1/seven":                                     "cannot be used: ",
		"redis://host:1/0?master_name=":                            "empty master_name",
		"redis://host:1/0?master_name=m&addr=x&password=s3cr3t":    "is not a Redis URL",
		"redis://host:1/0?master_name=m&replica_only=true":         "replicas, which take no tasks",
		"redis://host:1/0?master_name=m&color=red":                 "unexpected option: color",
		"redis://host:1/0?addr=host2:1":                            "unexpected option: addr",
		"redis+sentinel://host:1/m/0":                              "invalid URL scheme",
		"redis://host:1/0?master_name=m&addr=:s3cr3t@h&password=x": "is not a Redis URL",
	} {
		_, err := redisurl.Parse(raw)
		var refused *redisurl.Error
		if !errors.As(err, &refused) || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "s3cr3t") ||
			!strings.Contains(err.Error(), redisurl.Example) {
			t.Errorf("%s: %v, want %q", raw, err, says)
		}
	}
}

func TestClientFollowsTheMasterThatSentinelNames(t *testing.T) {
	t.Parallel()
	group := redistest.StartWatched(t)
	server, err := redisurl.Parse(group.URL)
	if err != nil {
		t.Fatal(err)
	}
	client := server.Open()
	defer func() { _ = client.Close() }()
	before, err := server.Master(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := client.Set(t.Context(), "k", "v", 0).Err(); err != nil {
		t.Fatal(err)
	}
	if err := server.Failover(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "Sentinel names the other", func() bool {
		now, err := server.Master(t.Context())
		return err == nil && now != before
	})
	other := redis.NewClient(&redis.Options{Addr: strings.TrimSuffix(strings.TrimPrefix(group.Replica.URL, "redis://"), "/0")})
	defer func() { _ = other.Close() }()
	// The old master takes writes until Sentinel has told it of the new one.
	eventually(t, "the client writes to it", func() bool {
		return client.Set(t.Context(), "k", "w", 0).Err() == nil && other.Get(t.Context(), "k").Val() == "w"
	})
}

func TestAServerThatNobodyWatchesCannotFailOver(t *testing.T) {
	t.Parallel()
	server, err := redisurl.Parse("redis://127.0.0.1:1/0")
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Failover(t.Context()); !errors.Is(err, redisurl.ErrNotWatched) {
		t.Errorf("got %v", err)
	}
	watched, err := redisurl.Parse("redis://127.0.0.1:1/0?master_name=m&addr=127.0.0.1:2")
	if err != nil {
		t.Fatal(err)
	}
	if err := watched.Failover(t.Context()); err == nil || !strings.Contains(err.Error(), "127.0.0.1:1") ||
		!strings.Contains(err.Error(), "127.0.0.1:2") {
		t.Errorf("got %v", err)
	}
}

func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	end := clock.System.After(time.Minute)
	for !done() {
		select {
		case <-tick.C:
		case <-end:
			t.Fatalf("%s: not within a minute", what)
		}
	}
}
