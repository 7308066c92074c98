package proof_test

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/settled-dev/settled/internal/postgres"
	"github.com/settled-dev/settled/internal/postgres/pgtest"
	"github.com/settled-dev/settled/ledger"
	"github.com/settled-dev/settled/ledger/ledgertest"
	"github.com/settled-dev/settled/tasks"
	"github.com/settled-dev/settled/worker"
)

// Whatever a client of Redis is told, the opposite may be so: a ring that failed is in the queue, a ring that was taken is nowhere, a task
// that was ended comes again. The lines of a producer, of a worker and of its relay lose commands and replies at random, and Redis forgets
// rings that it has acknowledged, as a failover makes it do. The relay alone brings back what was lost.
func TestLostCommandsAndRepliesOfRedisLoseNothingAndDoubleNothing(t *testing.T) {
	t.Parallel()
	const users, wave, forgottenMin, lossesMin = 4, 5, 3, 5
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	s := newStack(t, pgtest.New(t, pgtest.MaxConns(12)))
	var lines []*lossyRedis
	for i := range 2 {
		line := newLossyRedis(t, s.server.URL, 1, seed+uint64(i))
		lines = append(lines, line)
		pool, err := postgres.Open(t.Context(), s.db.URL, postgres.MaxConns(6))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(pool.Close)
		through := &stack{db: s.db, server: s.server, redis: line.client(t)}
		through.startWorker(t, pool, func(c *worker.Config) {
			c.Redis = through.redis
		})
	}
	producers := newLossyRedis(t, s.server.URL, 4, seed+2)
	client, err := tasks.NewClient(t.Context(), s.db.Pool, tasks.NewDoorbell(producers.client(t)), tasks.ClientConfig{Producer: "proof",
		RingAfter: ringAfter, RingSize: 4})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)

	waves, forgotten := 0, 0
	for waves < wave || forgotten < forgottenMin || producers.rings.Load() < lossesMin || lines[0].tasks.Load() < lossesMin ||
		lines[1].tasks.Load() < lossesMin || lines[0].rings.Load()+lines[1].rings.Load() == 0 {
		var asking sync.WaitGroup
		for user := range users {
			asking.Go(func() {
				for _, payload := range purchase(fmt.Sprintf("%d-%d", waves, user), fmt.Sprint("u", user)) {
					if _, err := client.Enqueue(t.Context(), payload); err != nil {
						t.Errorf("accepting does not need Redis: %v", err)
					}
				}
			})
		}
		asking.Wait()
		for _, queue := range tasks.Queues() {
			n, err := s.redis.LPop(t.Context(), "asynq:{"+string(queue)+"}:pending").Result()
			if err == nil && s.redis.Del(t.Context(), "asynq:{"+string(queue)+"}:t:"+n).Err() == nil {
				forgotten++
			}
		}
		if waves++; t.Failed() || t.Context().Err() != nil {
			t.FailNow()
		}
	}
	books, looks := ledgertest.OpenOn(t, s.db), 0
	eventually(t, "everything is decided", func() bool {
		if looks++; looks%100 == 1 { // the relay's pauses, half a minute and longer, are not what is tested
			if _, err := books.Ledger.MakeAllDue(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		return s.count(t, "SELECT count(*) FROM outcomes") >= waves*users*purchaseRequests
	})
	for _, line := range append(lines, producers) {
		line.mend()
	}
	s.expectPurchases(t, waves, users)
	t.Logf("%d waves: %d rings of producers, %d of workers and %d other commands were lost or not answered, %d acknowledged rings forgotten", waves,
		producers.rings.Load(), lines[0].rings.Load()+lines[1].rings.Load(), lines[0].tasks.Load()+lines[1].tasks.Load(), forgotten)
}

// client is one at the line's near end, as a worker opens it.
func (l *lossyRedis) client(t *testing.T) *redis.Client {
	t.Helper()
	options, err := worker.RedisOptions(l.url(), nil)
	if err != nil {
		t.Fatal(err)
	}
	client := worker.OpenRedis(options)
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// purchase is an order that is paid through a channel, partly given back, and rewarded. The refund comes first, and waits.
func purchase(id, user string) []tasks.Payload {
	return []tasks.Payload{ledgertest.Refund("f"+id, "o"+id, user, "4.00"),
		ledgertest.Payment("o"+id, user, ledgertest.Leg(tasks.SourceWeChat, "10.00")), ledgertest.Reward("w"+id, user, "1.00")}
}

// purchaseRequests are those three, the order to the channel, and its answer.
const purchaseRequests = 5

// expectPurchases fails the test unless each user's purchases are booked, once.
func (s *stack) expectPurchases(t *testing.T, each, users int) {
	t.Helper()
	n := each * users
	for user := range users {
		s.expectBalance(t, ledger.UserReward(fmt.Sprint("u", user)), fmt.Sprintf("%d.00", each))
	}
	s.expectBalance(t, ledger.MerchantPayable("m1"), fmt.Sprintf("%d.00", n*6))
	s.expectBalance(t, ledger.ChannelRefunding(tasks.SourceWeChat), "0.00")
	s.expectBalance(t, ledger.ChannelClearing(tasks.SourceWeChat), fmt.Sprintf("-%d.00", n*6))
	s.expectCount(t, n*purchaseRequests, "SELECT count(*) FROM outcomes WHERE result = 'applied'")
	s.expectCount(t, n, "SELECT count(*) FROM requests WHERE kind = 'refund:send'")
	s.expectCount(t, 0, "SELECT count(*) FROM pending")
	s.expectCount(t, 0, "SELECT count(*) FROM strays")
}
