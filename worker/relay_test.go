package worker

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/redis/go-redis/v9"

	"github.com/settled-dev/settled/internal/clock"
	"github.com/settled-dev/settled/tasks"
)

// withRings makes the client ring one request a task, and the relay leave fresh ones alone for an hour.
func withRings(size int) stackOption {
	return func(s *stackSettings) { s.client.RingSize, s.client.RingAfter = size, time.Hour }
}

// lockBooks keeps every batch waiting until the returned function is called.
func lockBooks(t *testing.T, s *stack) (unlock func()) {
	t.Helper()
	tx, err := s.db.Owner.BeginTx(t.Context(), pgx.TxOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), "SELECT FROM books FOR UPDATE"); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := tx.Rollback(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// epochStands says whether a relay has made everything due since Redis was last empty.
func epochStands(t *testing.T, client redis.UniversalClient) bool {
	t.Helper()
	epoch := client.Get(t.Context(), epochKey).Val()
	return epoch != "" && epoch != epochStarting
}

func manyRecharges(n int) []tasks.Payload {
	payloads := make([]tasks.Payload, n)
	for i := range payloads {
		payloads[i] = recharge(fmt.Sprintf("r%d", i), fmt.Sprintf("u%d", i), 100)
	}
	return payloads
}

// failOnce moves n rings of the critical queue into asynq's retry set, due in an hour.
func failOnce(t *testing.T, s *stack, n int64) {
	t.Helper()
	server := asynq.NewServerFromRedisClient(s.redis, asynq.Config{Concurrency: 1, Queues: map[string]int{"critical": 1},
		TaskCheckInterval: time.Millisecond, Logger: asynqLog{discard},
		RetryDelayFunc: func(int, error, *asynq.Task) time.Duration { return time.Hour }})
	var failed atomic.Int64
	enough := make(chan struct{})
	if err := server.Start(asynq.HandlerFunc(func(ctx context.Context, _ *asynq.Task) error {
		if failed.Add(1) == n {
			close(enough)
		}
		if failed.Load() > n {
			<-ctx.Done()
		}
		return errors.New("later")
	})); err != nil {
		t.Fatal(err)
	}
	<-enough
	server.Shutdown()
}

func TestEverythingIsAppliedOnceAfterRedisWasFlushed(t *testing.T) {
	t.Parallel()
	s := newStack(t, withRings(1))
	const requests = 60
	s.accept(t, manyRecharges(requests)...)
	eventually(t, "all have rung", func() bool { return s.redis.LLen(t.Context(), "asynq:{critical}:pending").Val() == requests })
	failOnce(t, s, 5)
	unlock := lockBooks(t, s)
	w := s.startWorker(t, func(c *Config) { c.Concurrency = 10 })
	eventually(t, "tasks are active", func() bool { return s.redis.LLen(t.Context(), "asynq:{critical}:active").Val() == 10 })
	eventually(t, "the new Redis is counted and rung", func() bool {
		return testutil.ToFloat64(w.metrics.redisWipes) == 1 && testutil.ToFloat64(w.metrics.rungAgain) > 0
	})
	for state, n := range map[string]int64{
		"pending": s.redis.LLen(t.Context(), "asynq:{critical}:pending").Val(),
		"retry":   s.redis.ZCard(t.Context(), "asynq:{critical}:retry").Val(),
	} {
		if n == 0 {
			t.Errorf("no task is %s when Redis is flushed", state)
		}
	}
	if err := s.redis.FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	unlock()
	eventually(t, "all are decided", func() bool { return s.pending(t) == 0 })
	if got := s.count(t, "SELECT count(*) FROM outcomes WHERE result = 'applied' AND transfers = 1"); got != requests {
		t.Errorf("%d requests were applied, want %d", got, requests)
	}
	if got := s.count(t, "SELECT count(*) FROM transfers"); got != requests {
		t.Errorf("%d transfers were made, want %d", got, requests)
	}
	eventually(t, "the flush is counted", func() bool { return testutil.ToFloat64(w.metrics.redisWipes) == 2 })
	if queues := s.redis.SMembers(t.Context(), "asynq:queues").Val(); len(queues) != len(tasks.Queues()) {
		t.Errorf("queues %q are published after the flush", queues)
	}
}

func TestRedisEmptiedWhileAnEpochStartsIsNoticed(t *testing.T) {
	t.Parallel()
	s := newStack(t, withRings(1))
	s.accept(t, manyRecharges(3)...)
	eventually(t, "all have rung", func() bool { return s.redis.LLen(t.Context(), "asynq:{critical}:pending").Val() == 3 })
	tx, err := s.db.Owner.BeginTx(t.Context(), pgx.TxOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), "LOCK TABLE pending IN SHARE MODE"); err != nil {
		t.Fatal(err)
	}
	var book logBook
	s.startWorker(t, func(c *Config) { c.Logger = book.logger() })
	eventually(t, "the epoch is starting", func() bool { return s.redis.Get(t.Context(), epochKey).Val() == epochStarting })
	if err := s.redis.FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "all are decided", func() bool { return s.pending(t) == 0 })
	eventually(t, "the epoch stands", func() bool { return epochStands(t, s.redis) })
	if len(book.with(t, "redis was emptied again, will ring again for all that it lost")) == 0 {
		t.Error("an epoch that was flushed while it started was completed")
	}
	if queues := s.redis.SMembers(t.Context(), "asynq:queues").Val(); len(queues) != len(tasks.Queues()) {
		t.Errorf("queues %q are published after the flush", queues)
	}
}

func TestRelayRingsForRequestsWhoseRingWasLost(t *testing.T) {
	t.Parallel()
	s := newStack(t, func(s *stackSettings) { s.client.RingAfter = time.Millisecond })
	w := s.startWorker(t, nil)
	eventually(t, "the epoch stands", func() bool { return epochStands(t, s.redis) })
	silent, err := tasks.NewClient(t.Context(), s.db.Pool, nil, tasks.ClientConfig{Producer: "silent", RingAfter: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	if _, err := silent.EnqueueMany(t.Context(), manyRecharges(30)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "all are decided", func() bool { return s.pending(t) == 0 })
	if got := testutil.ToFloat64(w.metrics.rungAgain); got < 30 {
		t.Errorf("the relay rang for %v requests, want 30", got)
	}
}

func TestRelayIgnoresASequenceOfIDs(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	slow, err := s.db.Pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	client, err := tasks.NewClient(t.Context(), s.db.Pool, nil, tasks.ClientConfig{Producer: "silent", RingAfter: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if _, err := client.EnqueueTx(t.Context(), slow, recharge("early", "u1", 100)); err != nil {
		t.Fatal(err)
	}
	s.startWorker(t, nil)
	if _, err := client.Enqueue(t.Context(), recharge("late", "u2", 100)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the later id is applied", func() bool { return s.count(t, "SELECT count(*) FROM outcomes") == 1 })
	if err := slow.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the earlier id that committed later is applied", func() bool { return s.count(t, "SELECT count(*) FROM outcomes") == 2 })
}

func TestRelayBacksOffWhileRedisIsAwayAndClaimsNothing(t *testing.T) {
	t.Parallel()
	s := newStack(t, withRings(1))
	w := s.newWorker(t, nil)
	now := clock.NewManual(noon)
	w.relay.clock = now
	if err := s.server.Kill(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.client.EnqueueMany(t.Context(), manyRecharges(3)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.ledger.MakeAllDue(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		w.relay.run(ctx)
	}()
	const pauses = 10
	for range pauses {
		if err := now.WaitForTimers(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		now.Advance(relayPauseMax)
	}
	eventually(t, "a round fails after each pause", func() bool { return testutil.ToFloat64(w.metrics.relayErrors) == 1+pauses })
	cancel()
	<-ended
	if got := s.count(t, "SELECT count(*) FROM pending WHERE rings > 0"); got != 0 {
		t.Errorf("%d requests were claimed that could not be rung for", got)
	}
}

// A queue that is long has lost nothing: what waits in it is rung for again rarely, many requests at once.
func TestRelayDoesNotFloodARedisThatIsMerelyBusy(t *testing.T) {
	t.Parallel()
	s := newStack(t, func(s *stackSettings) { s.client.RingSize = 1 })
	w := s.newWorker(t, nil)
	w.relay.startEpoch(t.Context())
	const requests = 1000
	s.accept(t, manyRecharges(requests)...)
	waiting := func() int64 { return s.redis.LLen(t.Context(), "asynq:{critical}:pending").Val() }
	eventually(t, "all have rung", func() bool { return waiting() == requests })
	for range 120 { // an hour during which nobody takes a ring
		if _, err := s.db.Owner.Exec(t.Context(), "UPDATE pending SET ring_at = ring_at - interval '30 seconds'"); err != nil {
			t.Fatal(err)
		}
		for rung := 1; rung > 0; {
			var err error
			if rung, err = w.relay.round(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	again := testutil.ToFloat64(w.metrics.rungAgain)
	if again < 8*requests || again > 11*requests {
		t.Errorf("each request was rung for again %.1f times in an hour, want 8 to 11", again/requests)
	}
	if more := waiting() - requests; more > requests/10 {
		t.Errorf("%d rings more are in Redis after an hour, want at most a tenth of %d", more, requests)
	}
}

func TestArchivedTaskDoesNotKeepItsRequest(t *testing.T) {
	t.Parallel()
	s := newStack(t, withRings(1))
	s.accept(t, manyRecharges(1)...)
	eventually(t, "it has rung", func() bool { return s.redis.LLen(t.Context(), "asynq:{critical}:pending").Val() == 1 })
	// As asynq's recoverer does with a task whose process was killed at its last retry.
	if _, err := asynq.NewInspectorFromRedisClient(s.redis).ArchiveAllPendingTasks("critical"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.ledger.MakeAllDue(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.startWorker(t, nil)
	eventually(t, "it is decided", func() bool { return s.pending(t) == 0 })
}

func TestParkedRequestsAreBuriedInTheEnd(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	w := s.startWorker(t, func(c *Config) { c.RelayInterval = -1 }) // the test calls the relay itself
	s.accept(t, &tasks.Refund{RefundID: "f1", OrderID: "none", UserID: "u1", Amount: fen(100), OccurredAt: noon})
	eventually(t, "it is parked", func() bool { return s.count(t, "SELECT count(*) FROM pending WHERE state = 'parked'") == 1 })
	if _, err := s.db.Owner.Exec(t.Context(), "UPDATE pending SET parked_at = parked_at - interval '73 hours'"); err != nil {
		t.Fatal(err)
	}
	w.relay.lookAtParked(t.Context())
	if got := s.count(t, "SELECT count(*) FROM pending WHERE state = 'dead'"); got != 1 {
		t.Errorf("%d requests are dead, want the parked one", got)
	}
}

// Only the relay hears that what a request waits for was asked of another book after it had been parked.
func TestRefundThatCameBeforeAStrangersPaymentIsRejected(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	w := s.startWorker(t, func(c *Config) { c.RelayInterval = -1 }) // the test calls the relay itself
	owner, stranger := "u1", "u2"
	if tasks.BookOf(owner, s.client.Books()) == tasks.BookOf(stranger, s.client.Books()) {
		t.Fatal("both live in one book; choose others")
	}
	s.accept(t, &tasks.Refund{RefundID: "f1", OrderID: "o1", UserID: stranger, Amount: fen(100), OccurredAt: noon})
	eventually(t, "it is parked", func() bool { return s.count(t, "SELECT count(*) FROM pending WHERE state = 'parked'") == 1 })
	s.accept(t, &tasks.Payment{OrderID: "o1", UserID: owner, MerchantID: "m1", OccurredAt: noon,
		Legs: []tasks.Leg{{Source: tasks.SourceWeChat, Amount: fen(100), ChannelTxnID: "t1"}}})
	if _, err := w.relay.round(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "both are decided", func() bool { return s.pending(t) == 0 })
	if got := s.count(t, "SELECT count(*) FROM outcomes WHERE reason = 'order_of_another_user'"); got != 1 {
		t.Errorf("%d refunds are rejected, want one", got)
	}
}
