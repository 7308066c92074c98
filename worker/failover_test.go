package worker

import (
	"context"
	"net"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/settled-dev/settled/internal/devstack"
	"github.com/settled-dev/settled/internal/devstack/redistest"
	"github.com/settled-dev/settled/internal/redisurl"
)

// primary is whichever of several Redis servers clients are led to, as by a name that a failover moves.
type primary struct{ address atomic.Value }

func (p *primary) is(t *testing.T, server *devstack.Redis) {
	t.Helper()
	p.address.Store(addressOf(t, server))
}

func addressOf(t *testing.T, server *devstack.Redis) string {
	t.Helper()
	u, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	return u.Host
}

func (p *primary) dial(ctx context.Context, network, _ string) (net.Conn, error) {
	var dialer net.Dialer
	return dialer.DialContext(ctx, network, p.address.Load().(string))
}

// replicate makes replica a copy of server as it is now, and no later than now.
func replicate(t *testing.T, server, replica *devstack.Redis) {
	t.Helper()
	host, port, err := net.SplitHostPort(addressOf(t, server))
	if err != nil {
		t.Fatal(err)
	}
	client := openRedis(t, replica)
	if err := client.SlaveOf(t.Context(), host, port).Err(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the replica has the epoch", func() bool {
		info := client.Info(t.Context(), "replication").Val()
		return strings.Contains(info, "master_link_status:up") && epochStands(t, client)
	})
	if err := client.SlaveOf(t.Context(), "no", "one").Err(); err != nil {
		t.Fatal(err)
	}
}

// The primary is gone with every ring, and clients are led to a replica that has none of them. An empty one is noticed by its
// epoch, one that lags by the age of what was rung for.
func TestFailoverToAReplicaWithoutTheRingsLosesNothing(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		lags      bool
		ringAfter time.Duration
		wipes     float64
	}{
		"empty":   {false, time.Hour, 1},
		"lagging": {true, 100 * time.Millisecond, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const requests = 40
			first, second := redistest.New(t), redistest.New(t)
			var led primary
			led.is(t, first)
			options, err := RedisOptions(first.URL, nil)
			if err != nil {
				t.Fatal(err)
			}
			options.Dialer = led.dial
			client := OpenRedis(options)
			t.Cleanup(func() { _ = client.Close() })
			s := newStack(t, withRings(1), func(s *stackSettings) { s.redis, s.client.RingAfter = client, c.ringAfter })
			w := s.startWorker(t, func(c *Config) { c.Concurrency = 4 })
			eventually(t, "the epoch stands", func() bool { return epochStands(t, client) })
			if c.lags {
				replicate(t, first, second)
			}
			unlock := lockBooks(t, s)
			s.accept(t, manyRecharges(requests)...)
			eventually(t, "all have rung", func() bool {
				return client.LLen(t.Context(), "asynq:{critical}:pending").Val()+client.LLen(t.Context(), "asynq:{critical}:active").Val() >= requests
			})
			before := testutil.ToFloat64(w.metrics.redisWipes)
			led.is(t, second)
			if err := first.Kill(); err != nil {
				t.Fatal(err)
			}
			unlock()
			s.eventuallyDecided(t, requests)
			if got := s.count(t, "SELECT count(*) FROM transfers"); got != requests {
				t.Errorf("%d transfers were made, want %d", got, requests)
			}
			if got := testutil.ToFloat64(w.metrics.redisWipes) - before; got != c.wipes {
				t.Errorf("%v wipes were counted, want %v", got, c.wipes)
			}
		})
	}
}

// Sentinel makes a replica the master that has had nothing since before the rings: by a person's word, as for maintenance, or because the
// master was killed. Clients follow by what Sentinel tells them.
func TestFailoverBySentinelToAReplicaWithoutTheRingsLosesNothing(t *testing.T) {
	t.Parallel()
	for name, fail := range map[string]func(*testing.T, *devstack.Watched){
		"asked for": func(t *testing.T, watched *devstack.Watched) {
			server, err := redisurl.Parse(watched.URL)
			if err != nil {
				t.Fatal(err)
			}
			if err := server.Failover(t.Context()); err != nil {
				t.Fatal(err)
			}
		},
		"master killed": func(t *testing.T, watched *devstack.Watched) {
			if err := watched.Master.Kill(); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const requests = 40
			watched := redistest.StartWatched(t)
			client, err := OpenRedisURL(watched.URL, nil)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = client.Close() })
			cutOff(t, watched)
			s := newStack(t, withRings(1), func(s *stackSettings) { s.redis, s.client.RingAfter = client, time.Hour })
			w := s.startWorker(t, func(c *Config) { c.Concurrency = 4 })
			eventually(t, "the epoch stands", func() bool { return epochStands(t, client) })
			unlock := lockBooks(t, s)
			payloads := manyRecharges(2 * requests)
			s.accept(t, payloads[:requests]...)
			eventually(t, "all have rung", func() bool {
				return client.LLen(t.Context(), "asynq:{critical}:pending").Val()+client.LLen(t.Context(), "asynq:{critical}:active").Val() >= requests
			})
			before := testutil.ToFloat64(w.metrics.redisWipes)
			fail(t, watched)
			s.accept(t, payloads[requests:]...) // wherever the master is
			replica := openRedis(t, watched.Replica)
			eventually(t, "the worker asks the new master", func() bool { return replica.Exists(t.Context(), epochKey).Val() == 1 })
			unlock()
			s.eventuallyDecided(t, 2*requests)
			if got := s.count(t, "SELECT count(*) FROM transfers"); got != 2*requests {
				t.Errorf("%d transfers were made, want %d", got, 2*requests)
			}
			if got := testutil.ToFloat64(w.metrics.redisWipes) - before; got < 1 {
				t.Error("the loss was not noticed by the epoch")
			}
		})
	}
}

// cutOff keeps from the replica whatever its master is told from now on.
func cutOff(t *testing.T, watched *devstack.Watched) {
	t.Helper()
	master := openRedis(t, watched.Master)
	for _, command := range [][]any{{"ACL", "SETUSER", "default", "-psync", "-sync"}, {"CLIENT", "KILL", "TYPE", "replica"}} {
		if err := master.Do(t.Context(), command...).Err(); err != nil {
			t.Fatal(err)
		}
	}
}
